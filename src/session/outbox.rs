//! Where a session puts frames for a browser, and what it knows of the socket there.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::wire::{Charge, Outgoing};

/// One text frame for a browser: JSON, shared without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

/// The text of a frame, with its charge.
struct Charged {
    text: String,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Frame {
    /// The charge is given back when no socket has anything left to send of it.
    pub(super) fn charged(text: String, charge: Charge) -> Self {
        Self(Bytes::from_owner(Charged { text, _charge: charge }))
    }

    /// Its bytes, valid UTF-8.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Outgoing> for Frame {
    /// A frame with nothing but this message, charged to nobody.
    fn from(message: Outgoing) -> Self {
        message.alone().into()
    }
}

/// Why a session lets go of a browser's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// What the browser sends takes more than it may.
    #[error(
        "its browser takes more memory than the session has for browsers; a page that needs it: raise session.budget.browser"
    )]
    Browser,
    /// There is no room for what would have to be sent.
    #[error(
        "it does not take what is sent, and the session has no memory left to hold it; see session.budget.browser"
    )]
    Unread,
    /// The session has as many sockets as it may.
    #[error("the session has as many sockets as it may; raise session.sockets if browsers need more")]
    Sockets,
}

/// What a session and one of its sockets tell each other beside frames.
#[derive(Debug, Default)]
pub struct Line {
    /// Bytes that the session has given to the socket, and that are not sent yet.
    unsent: AtomicUsize,
    over: OnceLock<Over>,
    closed: Notify,
}

impl Line {
    /// The socket has sent a frame.
    pub fn sent(&self, frame: &Frame) {
        // Frames that the session did not count are sent, too.
        let less = |unsent: usize| Some(unsent.saturating_sub(frame.bytes().len()));
        let _ = self.unsent.fetch_update(Relaxed, Relaxed, less);
    }

    /// The socket shall be closed at once.
    pub(super) fn close(&self, over: Over) {
        if self.over.set(over).is_ok() {
            self.closed.notify_one();
        }
    }

    /// Resolves when the socket shall be closed. For one waiter at a time.
    pub async fn closed(&self) -> Over {
        loop {
            if let Some(over) = self.over.get() {
                return *over;
            }
            self.closed.notified().await;
        }
    }
}

/// Where a session puts frames for a browser. Bounded: while it is full the session sends nothing, and
/// afterwards the state of that moment.
#[derive(Debug, Clone)]
pub struct Outbox {
    frames: mpsc::Sender<Frame>,
    line: Arc<Line>,
}

impl From<mpsc::Sender<Frame>> for Outbox {
    fn from(frames: mpsc::Sender<Frame>) -> Self {
        Self::new(frames, Arc::default())
    }
}

impl Outbox {
    /// The socket at the other end of the channel keeps `line`.
    pub fn new(frames: mpsc::Sender<Frame>, line: Arc<Line>) -> Self {
        Self { frames, line }
    }

    pub(super) fn try_send(&self, frame: Frame) {
        let bytes = frame.bytes().len();
        self.line.unsent.fetch_add(bytes, Relaxed);
        if self.frames.try_send(frame).is_err() {
            self.line.unsent.fetch_sub(bytes, Relaxed);
        }
    }

    /// Whether nothing more fits in.
    pub(super) fn is_full(&self) -> bool {
        self.frames.capacity() == 0
    }

    /// Whether the socket has something to send.
    pub(super) fn is_sending(&self) -> bool {
        self.line.unsent.load(Relaxed) > 0
    }

    /// Whether there is no socket any more, or shall be none.
    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_closed() || self.line.over.get().is_some()
    }

    pub(super) fn close(&self, over: Over) {
        self.line.close(over);
    }

    pub(super) fn downgrade(&self) -> WeakOutbox {
        WeakOutbox { frames: self.frames.downgrade(), line: self.line.clone() }
    }
}

/// Keeps no socket open.
#[derive(Debug)]
pub(super) struct WeakOutbox {
    frames: mpsc::WeakSender<Frame>,
    line: Arc<Line>,
}

impl WeakOutbox {
    pub(super) fn upgrade(&self) -> Option<Outbox> {
        Some(Outbox::new(self.frames.upgrade()?, self.line.clone()))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.frames.strong_count() == 0
    }
}
