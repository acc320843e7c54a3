//! The bytes of one connection. A client that asks for something and does not read the answer is dropped.
//!
//! hyper writes what it can and waits for the rest without a limit; and while it waits, it goes on to read
//! requests and to write their heads into memory. So here a write must make progress within
//! `server.send_timeout`, and while one waits, nothing is read. A WebSocket has rules of its own
//! (`super::socket`), and from then on this is a plain stream.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::connections::Permit;

/// How much may wait in the kernel. Without a bound it takes megabytes, and reports room again only when a
/// third of them has been read: a slow reader would look like one that does not read.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
const UNSENT: u32 = 128 << 10;

/// A connection that is HTTP until it is told otherwise.
pub(super) struct HttpStream {
    tcp: TcpStream,
    send_timeout: Duration,
    is_upgraded: Arc<AtomicBool>,
    /// Until when the write that waits has to get on.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Woken when the write that waits is done: then reading goes on.
    reader: Option<Waker>,
    _place: Permit,
}

impl HttpStream {
    /// `is_upgraded` is set when it has become a WebSocket.
    pub(super) fn new(
        tcp: TcpStream,
        send_timeout: Duration,
        is_upgraded: Arc<AtomicBool>,
        place: Permit,
    ) -> Self {
        // Updates are small and must not wait for the acknowledgement of the one before.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        #[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
        if let Err(error) = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
        }
        Self { tcp, send_timeout, is_upgraded, deadline: None, reader: None, _place: place }
    }

    /// What comes of a write, within its time.
    fn timed(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.deadline = None;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            return written;
        }
        if self.is_upgraded.load(Relaxed) {
            return Poll::Pending;
        }
        let within = self.send_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(deadline.as_mut().poll(cx));
        // What is in the kernel would stay there for minutes.
        if let Err(error) = self.tcp.set_zero_linger() {
            tracing::debug!(%error, "SO_LINGER could not be set");
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deadline.is_some() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Whether a connection ended because its answer was not read.
pub(super) fn is_unread(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;
    use crate::{
        config::ServerConfig,
        web::{connections::Connections, visitor::TrustedProxies},
    };

    /// A connection on which a write waits, since nobody reads; and its other end.
    async fn waiting(is_upgraded: bool) -> (HttpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let browser = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        let config = ServerConfig::default();
        let mut connections = Connections::new(&config, TrustedProxies::new(&config).unwrap());
        let (place, _) = connections.admit(peer.ip(), Instant::now()).unwrap();
        let within = Duration::from_secs(60);
        let mut stream = HttpStream::new(tcp, within, Arc::new(AtomicBool::new(is_upgraded)), place);
        while stream.write(&[0; 64 << 10]).now_or_never().is_some() {}
        (stream, browser)
    }

    #[tokio::test]
    async fn while_a_write_waits_a_websocket_is_read_and_http_is_not() {
        let (mut socket, mut browser) = waiting(true).await;
        browser.write_all(b"x").await.unwrap();
        let read = timeout(Duration::from_secs(20), socket.read(&mut [0; 8])).await;
        assert_eq!(read.expect("it is read").unwrap(), 1);

        let (mut http, mut browser) = waiting(false).await;
        browser.write_all(b"x").await.unwrap();
        http.tcp.readable().await.unwrap();
        assert!(http.read(&mut [0; 8]).now_or_never().is_none());
    }
}
