//! [`Store`]: values that outlive sessions.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{Handle, Inbox, Interest, StoreError};

/// A value of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// JSON.
    pub value: Arc<str>,
    /// Grows with each write of the store.
    pub revision: u64,
    /// When the key is gone by itself.
    pub expires: Option<SystemTime>,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Of which key.
    pub key: Arc<str>,
    /// JSON; `None` deletes it.
    pub value: Option<Arc<str>>,
    /// After so long the key is gone by itself.
    pub ttl: Option<Duration>,
    /// Only if that is its revision; 0: only if it is not there.
    pub expected: Option<u64>,
}

impl Write {
    /// Whatever is there is deleted.
    pub fn delete(key: &str) -> Self {
        Self { key: key.into(), value: None, ttl: None, expected: None }
    }
}

/// Called once, on any thread, with the new revision of the key; must not block.
pub type Done = Box<dyn FnOnce(Result<u64, StoreError>) + Send>;

/// How large a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    /// How many keys.
    pub keys: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// Values that outlive sessions. Reads wait for nobody; who is told that a write is done can read it, and it is
/// there after a crash.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is there.
    fn get(&self, key: &str) -> Option<Entry>;
    /// All whose key begins so, by their keys.
    fn list(&self, prefix: &str) -> Vec<(Arc<str>, Entry)>;
    /// Writes. `done` is always called.
    fn write(&self, write: Write, done: Done);
    /// From now on the inbox hears of changes.
    fn observe(&self, interest: Interest, inbox: &Arc<Inbox>);
    /// No longer of that watch.
    fn unwatch(&self, inbox: &Inbox, handle: Handle);
    /// No longer of anything.
    fn forget(&self, inbox: &Inbox);
    /// Changes when a key of the server's own has another value, or is gone.
    fn follow_own(&self) -> watch::Receiver<()>;
    /// How large it is.
    fn size(&self) -> StoreSize;
}
