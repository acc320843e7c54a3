//! [`SqliteStore`]: the store of one server, in an SQLite file.
//!
//! One thread writes, all that waits at once in one transaction, and nobody is answered before it is on the
//! disk. Sessions read what it has in memory. Another process may write the file as well (`lua-hotloader
//! store`): that thread looks for it.

mod file;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use tokio::sync::watch;

use super::{
    Done, Entry, Handle, HubError, Inbox, Interest, Replica, Store, StoreError, StoreSize, Write,
    limits::limit,
};
use crate::config::HubConfig;
use file::{File, Row};

/// At most so many writes are one transaction.
const TOGETHER: usize = 1000;
/// How long who drops the store waits for its file: a server has 2 s to end.
const CLOSING: Duration = Duration::from_millis(500);
/// How often it is looked at whether another process has written.
const LOOK: Duration = Duration::from_millis(250);

/// The store of one server: an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    replica: Arc<Replica>,
    /// `None`: it is being dropped.
    writes: Option<Sender<(Write, Done)>>,
    /// Disconnected when the thread has closed the file.
    closed: Receiver<()>,
}

/// Waits until the file is closed: all is in one file then, which may be copied.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.writes = None;
        let _ = self.closed.recv_timeout(CLOSING);
    }
}

impl SqliteStore {
    /// In that file. It is made with the first write; if it is there already, it is checked now.
    ///
    /// # Errors
    /// If it is there and can't be used.
    pub fn open(path: &Path, config: &HubConfig) -> Result<Self, HubError> {
        let file = if path.exists() { Some(File::open(path, config.patience)?) } else { None };
        Self::with(Some(path.to_owned()), file, config)
    }

    /// In memory: it ends with the server.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn in_memory(config: &HubConfig) -> Result<Self, HubError> {
        Self::with(None, Some(File::in_memory()?), config)
    }

    fn with(path: Option<PathBuf>, file: Option<File>, config: &HubConfig) -> Result<Self, HubError> {
        let replica = Arc::new(Replica::default());
        let (writes, waiting) = unbounded();
        let mut writer = Writer {
            path,
            file,
            replica: replica.clone(),
            config: config.clone(),
            expiring: BTreeMap::new(),
        };
        if let Some(file) = &mut writer.file {
            let rows = file.rows_if_changed().map_err(|problem| file.damaged(&problem))?;
            writer.take(rows.unwrap_or_default());
        }
        let (closing, closed) = bounded(0);
        let run = move || {
            writer.run(&waiting);
            drop(closing);
        };
        thread::Builder::new().name("store".into()).spawn(run).map_err(HubError::Thread)?;
        Ok(Self { replica, writes: Some(writes), closed })
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &str) -> Option<Entry> {
        self.replica.get(key)
    }

    fn list(&self, prefix: &str) -> Vec<(Arc<str>, Entry)> {
        self.replica.list(prefix)
    }

    fn write(&self, write: Write, done: Done) {
        let unsent = match &self.writes {
            Some(writes) => writes.send((write, done)).err().map(|unsent| unsent.0),
            None => Some((write, done)),
        };
        if let Some((_, done)) = unsent {
            done(Err(StoreError::Failed("the store has ended; the log says why".into())));
        }
    }

    fn observe(&self, interest: Interest, inbox: &Arc<Inbox>) {
        self.replica.observe(interest, inbox);
    }

    fn unwatch(&self, inbox: &Inbox, handle: Handle) {
        self.replica.unwatch(inbox, handle);
    }

    fn forget(&self, inbox: &Inbox) {
        self.replica.forget(inbox);
    }

    fn follow_own(&self) -> watch::Receiver<()> {
        self.replica.follow_own()
    }

    fn size(&self) -> StoreSize {
        self.replica.size()
    }
}

/// What the thread has.
struct Writer {
    /// `None`: in memory.
    path: Option<PathBuf>,
    /// `None`: there is none yet.
    file: Option<File>,
    replica: Arc<Replica>,
    config: HubConfig,
    /// Keys that end by themselves, by milliseconds since 1970.
    expiring: BTreeMap<u64, Vec<Arc<str>>>,
}

impl Writer {
    /// Until nobody is left who could write; then the file is closed.
    fn run(mut self, waiting: &Receiver<(Write, Done)>) {
        loop {
            match waiting.recv_timeout(self.rest()) {
                Ok(first) => {
                    let others = waiting.try_iter().take(TOGETHER - 1);
                    self.write_all([first].into_iter().chain(others).collect());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
            self.expire();
        }
    }

    /// Until there is something to do without a write.
    fn rest(&self) -> Duration {
        let next = self.expiring.keys().next();
        next.map_or(LOOK, |at| Duration::from_millis(at.saturating_sub(now())).min(LOOK))
    }

    fn file(&mut self) -> Result<&mut File, StoreError> {
        let file = match (self.file.take(), &self.path) {
            (Some(file), _) => file,
            (None, Some(path)) => {
                let make = || File::make(path).and_then(|()| File::open(path, self.config.patience));
                make().map_err(|error| StoreError::Failed(error.to_string()))?
            }
            (None, None) => return Err(StoreError::Failed("a bug: there is no database".into())),
        };
        Ok(self.file.insert(file))
    }

    /// All in one transaction, then the answers.
    fn write_all(&mut self, writes: Vec<(Write, Done)>) {
        // What another process wrote counts, or a session would read an old value after its own write.
        if let Err(error) = self.file() {
            return refuse(writes, &error);
        }
        self.look();
        let (size, config) = (self.replica.size(), self.config.clone());
        let file = match self.file() {
            Ok(file) => file,
            Err(error) => return refuse(writes, &error),
        };
        let mut room = Room { size, config };
        match file.transaction(|rows| {
            writes.iter().map(|(write, _)| one(rows, write, &mut room)).collect::<rusqlite::Result<Vec<_>>>()
        }) {
            Ok(results) => {
                for ((write, done), result) in writes.into_iter().zip(results) {
                    if let Ok(row) = &result {
                        self.apply(&write.key, row.clone());
                    }
                    done(result.map(|row| row.map_or(0, |row| row.revision)));
                }
            }
            Err(problem) => {
                let error = StoreError::Failed(file.explain(&problem));
                tracing::error!(target: "hub", limited_by = "store", "the store can't be written: {error}");
                refuse(writes, &error);
            }
        }
    }

    fn apply(&mut self, key: &Arc<str>, row: Option<Row>) {
        if let Some(at) = row.as_ref().and_then(|row| row.expires) {
            self.expiring.entry(at).or_default().push(key.clone());
        }
        let since = |at| UNIX_EPOCH.checked_add(Duration::from_millis(at));
        let entry = row.map(|row| Entry {
            value: row.value,
            revision: row.revision,
            expires: row.expires.and_then(since),
        });
        self.replica.apply(key, entry);
    }

    /// What another process has written.
    fn look(&mut self) {
        if self.file.is_none() && self.path.as_ref().is_some_and(|path| path.exists()) {
            // Else the next write says why not.
            self.file = self.path.as_ref().and_then(|path| File::open(path, self.config.patience).ok());
        }
        let Some(file) = &mut self.file else { return };
        match file.rows_if_changed() {
            Ok(Some(rows)) => self.take(rows),
            Ok(None) => {}
            Err(problem) => {
                tracing::error!(target: "hub", limited_by = "store", "the store can't be read: {}", file.explain(&problem));
            }
        }
    }

    /// Everything that is in the file.
    fn take(&mut self, rows: HashMap<Arc<str>, Row>) {
        for (key, _) in self.replica.list("") {
            if !rows.contains_key(&key) {
                self.apply(&key, None);
            }
        }
        for (key, row) in rows {
            if self.replica.get(&key).is_none_or(|entry| entry.revision != row.revision) {
                self.apply(&key, Some(row));
            }
        }
    }

    /// Ends keys whose time is over.
    fn expire(&mut self) {
        let now = now();
        let later = self.expiring.split_off(&(now + 1));
        let over: Vec<Arc<str>> =
            std::mem::replace(&mut self.expiring, later).into_values().flatten().collect();
        if over.is_empty() {
            return;
        }
        let Some(file) = &mut self.file else { return };
        match file.transaction(|rows| rows.expire(&over, now)) {
            Ok(gone) => gone.iter().for_each(|key| self.replica.apply(key, None)),
            Err(problem) => {
                tracing::error!(target: "hub", limited_by = "store", "keys can't end: {}", file.explain(&problem));
                // Tried again.
                self.expiring.entry(now + 1000).or_default().extend(over);
            }
        }
    }
}

fn refuse(writes: Vec<(Write, Done)>, error: &StoreError) {
    for (_, done) in writes {
        done(Err(error.clone()));
    }
}

/// How much there is, while a transaction writes.
struct Room {
    size: StoreSize,
    config: HubConfig,
}

impl Room {
    /// Whether there is room for it in place of that.
    fn take(&mut self, key: &str, new: Option<&str>, old: Option<&str>) -> Result<(), StoreError> {
        let bytes = |value: Option<&str>| value.map_or(0, |value| key.len() + value.len());
        let size = StoreSize {
            keys: self.size.keys + usize::from(new.is_some()) - usize::from(old.is_some()),
            bytes: self.size.bytes + bytes(new) - bytes(old),
        };
        // What makes it smaller is always allowed.
        if bytes(new) > bytes(old) {
            limit("the number of keys", size.keys, self.config.max_keys, "hub.max_keys")?;
            let max = self.config.max_size.as_usize();
            limit("the size of the store in bytes", size.bytes, max, "hub.max_size")?;
        }
        self.size = size;
        Ok(())
    }
}

/// One write of a transaction. What it refuses leaves the others alone.
fn one(
    rows: &file::Rows<'_>,
    write: &Write,
    room: &mut Room,
) -> rusqlite::Result<Result<Option<Row>, StoreError>> {
    let before = rows.get(&write.key)?;
    let revision = before.as_ref().map_or(0, |row| row.revision);
    if write.expected.is_some_and(|expected| expected != revision) {
        return Ok(Err(StoreError::Conflict));
    }
    let old = before.as_ref().map(|row| &*row.value);
    if let Err(error) = room.take(&write.key, write.value.as_deref(), old) {
        return Ok(Err(error));
    }
    let Some(value) = &write.value else {
        if before.is_some() {
            rows.delete(&write.key)?;
        }
        return Ok(Ok(None));
    };
    let expires =
        write.ttl.map(|ttl| now().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
    // SQLite's integers have a sign.
    let expires = expires.map(|at| at.min(i64::MAX as u64));
    let row = Row { value: value.clone(), revision: rows.next_revision()?, expires };
    rows.put(&write.key, &row)?;
    Ok(Ok(Some(row)))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
