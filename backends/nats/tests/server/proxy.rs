//! A connection that can be cut, stalled and slowed down.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

/// What it does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Hands them on.
    Open,
    /// Hands them on late.
    Slow(Duration),
    /// Keeps them, and the connections.
    Stalled,
    /// Hands them on, but not what has [`SWALLOWED`] in it and comes from NATS.
    Swallowing,
    /// Ends all connections, and each new one at once.
    Cut,
}

/// What does not come through.
pub(crate) const SWALLOWED: &str = "swallowed";

/// Between a server and its NATS.
pub(crate) struct Proxy {
    addr: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, way) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *way.borrow() == Way::Cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near_read, far_write, way.clone(), false));
                tokio::spawn(pass(far_read, near_write, way.clone(), true));
            }
        });
        Self { addr, way: sender }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    is_from_nats: bool,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let mut seen = way.clone();
        let count = tokio::select! {
            read = from.read(&mut bytes) => match read {
                Ok(count) if count > 0 => count,
                _ => return,
            },
            _ = seen.wait_for(|way| *way == Way::Cut) => return,
        };
        let now = way.wait_for(|way| *way != Way::Stalled).await.map(|way| *way);
        match now {
            Ok(Way::Slow(by)) => tokio::time::sleep(by).await,
            Ok(Way::Cut) | Err(_) => return,
            // NATS sends a message in one piece where nothing else is sent.
            Ok(Way::Swallowing) if is_from_nats => {
                let word = SWALLOWED.as_bytes();
                if bytes[..count].windows(word.len()).any(|some| some == word) {
                    continue;
                }
            }
            _ => {}
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
