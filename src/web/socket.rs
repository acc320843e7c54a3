//! One browser's socket: a single task that reads, writes, pings and closes.
//!
//! It knows neither sessions nor HTTP. Frames of the browser go to a function that takes them, frames for
//! the browser come from a channel. One task and small buffers keep an idle socket at some 6 KiB.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{
            CloseFrame, WebSocketConfig,
            frame::{
                Frame as WireFrame,
                coding::{Data, OpCode},
            },
        },
    },
};
use tokio_util::sync::CancellationToken;

use super::meter;
use crate::{
    session::{Frame, Line, Over, SessionGone},
    wire::{self, Close, ErrorCode},
};

/// Frames of one browser that may be waiting for their session; then its socket is not read.
pub(super) const MAX_OUTSTANDING: usize = 16;
/// How often the server pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pings of all sockets that are due within this time leave together. Sent one by one, each ping and each
/// answer would wake a thread, which costs more than the ping itself.
const TOGETHER: Duration = Duration::from_millis(500);
/// A socket that was silent for this long is given up: at least one pong should have come.
const SILENCE: Duration = Duration::from_secs(75);
/// How long a farewell may take, the browser's answer included.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longer frames leave in fragments of this size, since tungstenite's buffer for writing never shrinks
/// again. The browser sees one message.
const FRAGMENT: usize = 4 << 10;
/// Size of the buffers for reading and writing. What is larger is read and written in more than one step;
/// a browser's batch seldom is.
const BUFFER: usize = 2 << 10;
/// The most that the buffer for writing may hold: a browser that sends pings and does not read fills it with
/// answers.
const MOST_UNWRITTEN: usize = BUFFER + 2 * FRAGMENT;

/// What a socket is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SocketLimits {
    /// Largest frame and largest message, in bytes.
    pub(super) max_frame: usize,
    /// How long sending one frame may take.
    pub(super) send_timeout: Duration,
}

impl SocketLimits {
    /// For tungstenite, which otherwise allocates 128 KiB for every socket at once.
    pub(super) fn websocket_config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_write_buffer_size(MOST_UNWRITTEN)
            .max_frame_size(Some(self.max_frame))
            .max_message_size(Some(self.max_frame))
    }
}

/// Why a socket is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The browser said goodbye.
    ClosedByBrowser,
    /// The connection broke.
    Lost,
    /// The browser took nothing for longer than the send timeout.
    Stalled,
    /// The browser did not even answer pings.
    Silent,
    /// The browser broke a rule of WebSocket, or sent a frame that is too large.
    Violation(Close),
    /// The session ended.
    SessionEnded,
    /// It takes more than a socket, or the session, may.
    Over(Over),
    /// The server stops.
    Stopped,
}

/// Runs the socket until it is closed, and closes it.
///
/// `receive` takes one text of the browser. Its futures are first polled in the order of the texts, so
/// what they queue at their first poll is in order; up to [`MAX_OUTSTANDING`] of them are pending at once.
pub(super) async fn run<S, R, F>(
    // In a box, since a future holds an argument twice: as given, and as used.
    mut socket: Box<WebSocketStream<S>>,
    mut outbox: mpsc::Receiver<Frame>,
    line: Arc<Line>,
    receive: R,
    stop: CancellationToken,
    limits: SocketLimits,
) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Fn(String) -> F,
    F: Future<Output = Result<(), SessionGone>>,
{
    let left = converse(&mut socket, &mut outbox, &line, receive, &stop, limits).await;
    // From here on the session need not wait for this socket.
    drop(outbox);
    match farewell(left) {
        Some(close) => Box::pin(say_goodbye(socket, close)).await,
        // What is left to say is tungstenite's own answer to a Close.
        None => drop(timeout(FAREWELL, socket.flush()).await),
    }
    left
}

async fn converse<S, R, F>(
    socket: &mut WebSocketStream<S>,
    outbox: &mut mpsc::Receiver<Frame>,
    line: &Line,
    receive: R,
    stop: &CancellationToken,
    limits: SocketLimits,
) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Fn(String) -> F,
    F: Future<Output = Result<(), SessionGone>>,
{
    // One future for the whole conversation: making it anew for every frame would cost as much as reading the
    // frame.
    let mut ended = pin!(async {
        tokio::select! {
            biased;
            () = stop.cancelled() => Left::Stopped,
            over = line.closed() => Left::Over(over),
        }
    });
    let mut outstanding = FuturesUnordered::new();
    let mut outstanding_bytes = 0;
    let mut heard = Instant::now();
    let mut pinged = Instant::now();
    loop {
        let reading = outstanding.len() < MAX_OUTSTANDING && outstanding_bytes < limits.max_frame;
        // A browser that is not read cannot be silent.
        let silent_at = if reading { heard + SILENCE } else { Instant::now() + SILENCE };
        let wake = silent_at.min(next_ping(pinged));
        let to_send = tokio::select! {
            // In this order: what was received is polled before anything else is read, which keeps the
            // order of the browser's frames; and a browser that sends without pause is still answered.
            biased;
            left = &mut ended => return left,
            Some((bytes, done)) = outstanding.next() => match done {
                Ok(()) => {
                    outstanding_bytes -= bytes;
                    if !reading {
                        heard = Instant::now();
                    }
                    continue;
                }
                Err(SessionGone) => return Left::SessionEnded,
            },
            frame = outbox.recv() => match frame {
                Some(frame) => ToSend::Frames(frame),
                None => return Left::SessionEnded,
            },
            message = socket.next(), if reading => {
                heard = Instant::now();
                match received(message) {
                    Received::Text(text) => {
                        let bytes = text.len();
                        outstanding_bytes += bytes;
                        let doing = receive(text);
                        outstanding.push(async move { (bytes, doing.await) });
                        continue;
                    }
                    Received::Nothing => continue,
                    Received::Unreadable => ToSend::BadMessage,
                    Received::Left(left) => return left,
                }
            },
            () = sleep_until(wake) => {
                if wake == silent_at {
                    return Left::Silent;
                }
                pinged = Instant::now();
                ToSend::Ping
            },
        };
        // Boxed, like the farewell, so that an idle socket holds no memory for it.
        let sending = Box::pin(send(socket, outbox, line, to_send, limits.send_timeout));
        let sent = tokio::select! {
            biased;
            left = &mut ended => return left,
            sent = sending => sent,
        };
        if let Err(left) = sent {
            return left;
        }
    }
}

/// At the first beat after [`PING_EVERY`]; the beats are the same for all sockets.
fn next_ping(pinged: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let due = (pinged + PING_EVERY).saturating_duration_since(*FIRST);
    let beats = due.as_millis().div_ceil(TOGETHER.as_millis());
    *FIRST + TOGETHER * u32::try_from(beats).unwrap_or(u32::MAX)
}

enum Received {
    Text(String),
    /// A binary frame that is not text.
    Unreadable,
    /// Ping and pong: tungstenite answers by itself.
    Nothing,
    Left(Left),
}

fn received(message: Option<Result<Message, Error>>) -> Received {
    match message {
        Some(Ok(Message::Text(text))) => Received::Text(text.as_str().to_owned()),
        Some(Ok(Message::Binary(bytes))) => {
            String::from_utf8(bytes.into()).map_or(Received::Unreadable, Received::Text)
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Received::Nothing,
        Some(Ok(Message::Close(_))) => Received::Left(Left::ClosedByBrowser),
        Some(Err(error)) => Received::Left(match error {
            Error::Capacity(_) => Left::Violation(Close::TOO_LARGE),
            Error::Utf8(_) => Left::Violation(Close::NOT_TEXT),
            Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            ) => Left::Lost,
            Error::Protocol(_) => Left::Violation(Close::PROTOCOL),
            Error::Io(error) if meter::is_exceeded(&error) => Left::Over(Over::Browser),
            _ => Left::Lost,
        }),
        None => Received::Left(Left::Lost),
    }
}

enum ToSend {
    /// This one and all that are queued behind it.
    Frames(Frame),
    Ping,
    BadMessage,
}

/// Sends and flushes. One flush for all that is queued: 30 small frames are one packet.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    outbox: &mut mpsc::Receiver<Frame>,
    line: &Line,
    what: ToSend,
    limit: Duration,
) -> Result<(), Left> {
    match what {
        ToSend::Frames(first) => {
            let mut next = Some(first);
            while let Some(frame) = next {
                within(limit, feed(socket, frame.bytes())).await?;
                line.sent(&frame);
                next = outbox.try_recv().ok();
            }
        }
        ToSend::Ping => within(limit, socket.feed(Message::Ping(Bytes::new()))).await?,
        ToSend::BadMessage => {
            let description = "a binary frame that is not UTF-8 text; send JSON text".into();
            let error = wire::Outgoing::Error { var_id: 1, code: ErrorCode::BadMessage, description };
            within(limit, feed(socket, &error.alone().into())).await?;
        }
    }
    within(limit, socket.flush()).await
}

async fn within(limit: Duration, sending: impl Future<Output = Result<(), Error>>) -> Result<(), Left> {
    match timeout(limit, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Left::Lost),
        Err(_) => Err(Left::Stalled),
    }
}

/// Queues one message, in fragments if it is long. The text is known to be valid and not looked at again.
async fn feed<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    text: &Bytes,
) -> Result<(), Error> {
    let mut rest = text.clone();
    let mut kind = Data::Text;
    loop {
        let fragment = rest.split_to(rest.len().min(FRAGMENT));
        let frame = WireFrame::message(fragment, OpCode::Data(kind), rest.is_empty());
        match socket.feed(Message::Frame(frame)).await {
            // The buffer is full of answers to pings. They leave first.
            Err(Error::WriteBufferFull(frame)) => {
                socket.flush().await?;
                socket.feed(*frame).await?;
            }
            fed => fed?,
        }
        if rest.is_empty() {
            return Ok(());
        }
        kind = Data::Continue;
    }
}

/// The Close that the browser is sent; `None` if nobody would read it.
fn farewell(left: Left) -> Option<Close> {
    match left {
        Left::Stopped => Some(Close::STOPPING),
        Left::SessionEnded => Some(Close::ENDED),
        Left::Violation(close) => Some(close),
        Left::Over(Over::Browser) => Some(Close::TOO_MUCH),
        Left::Over(Over::Unread) => Some(Close::UNREAD),
        Left::Over(Over::Sockets) => Some(Close::SOCKETS),
        Left::Lost | Left::Stalled | Left::Silent | Left::ClosedByBrowser => None,
    }
}

/// Sends a Close and reads until the browser ends: a socket that is closed while data is unread is reset by
/// the kernel, and the browser might never see why.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Box<WebSocketStream<S>>, close: Close) {
    let until = Instant::now() + FAREWELL;
    let close = CloseFrame { code: close.code.into(), reason: close.reason.into() };
    if !matches!(timeout_at(until, socket.send(Message::Close(Some(close)))).await, Ok(Ok(()))) {
        return;
    }
    let mut stream = socket.into_inner();
    let hear_out = pin!(async move {
        stream.shutdown().await?;
        let mut scrap = [0; 4 << 10];
        while stream.read(&mut scrap).await? > 0 {}
        std::io::Result::Ok(())
    });
    drop(timeout_at(until, hear_out).await);
}
