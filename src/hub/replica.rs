//! [`Replica`]: what is in a store, in memory, and who wants to hear of changes.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::{Delivery, Entry, Handle, Inbox, StoreSize};

/// What a session wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interest {
    /// It has read that key.
    Key(Arc<str>),
    /// It has read all that begin so.
    Prefix(Arc<str>),
    /// A function of it is called for each change of a key that begins so.
    Watch(Arc<str>, Handle),
}

/// What is in a store, in memory. An engine has one, and applies what it has written or heard.
#[derive(Debug, Default)]
pub struct Replica {
    table: RwLock<Table>,
    own: watch::Sender<()>,
}

/// Who wants to hear of what, by what tells them apart.
type Listeners<K> = HashMap<Arc<str>, HashMap<K, Arc<Inbox>>>;

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<Arc<str>, Entry>,
    bytes: usize,
    /// Who has read a key, by the inbox's id.
    keys: Listeners<u64>,
    /// Who has read what begins so.
    prefixes: Listeners<u64>,
    watches: Listeners<(u64, Handle)>,
    /// What each inbox is interested in.
    of: HashMap<u64, Vec<Interest>>,
}

impl Replica {
    /// What is there.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.read().entries.get(key).cloned()
    }

    /// All whose key begins so, by their keys.
    pub fn list(&self, prefix: &str) -> Vec<(Arc<str>, Entry)> {
        let table = self.read();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let range = table.entries.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        let asked = range.filter(|(key, _)| !is_own(key) || is_own(prefix));
        asked.map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    /// How much it is.
    pub fn size(&self) -> StoreSize {
        let table = self.read();
        StoreSize { keys: table.entries.len(), bytes: table.bytes }
    }

    /// A key has another value, or is gone: those who want to know are told.
    pub fn apply(&self, key: &Arc<str>, entry: Option<Entry>) {
        let mut table = self.write();
        let value = entry.as_ref().map(|entry| entry.value.clone());
        let (new, had) = match entry {
            Some(entry) => (key.len() + entry.value.len(), table.entries.insert(key.clone(), entry)),
            None => (0, table.entries.remove(key)),
        };
        if had.is_none() && value.is_none() {
            return;
        }
        table.bytes += new;
        table.bytes -= had.map_or(0, |had| key.len() + had.value.len());
        if is_own(key) {
            drop(table);
            self.own.send_replace(());
            return;
        }
        let mut told: Vec<(Arc<Inbox>, Option<Handle>)> = Vec::new();
        let reader = |inbox: &Arc<Inbox>| (inbox.clone(), None);
        told.extend(table.keys.get(key).into_iter().flat_map(HashMap::values).map(reader));
        // As many as the key has letters: prefixes that sessions ask for may be more.
        for prefix in key.char_indices().map(|(at, _)| &key[..at]).chain([&**key]) {
            told.extend(table.prefixes.get(prefix).into_iter().flat_map(HashMap::values).map(reader));
            let watches = table.watches.get(prefix).into_iter().flatten();
            told.extend(watches.map(|((_, handle), inbox)| (inbox.clone(), Some(*handle))));
        }
        // Nobody is woken under the lock.
        drop(table);
        for (inbox, handle) in told {
            match handle {
                Some(handle) => inbox.change(Delivery { handle, name: key.clone(), value: value.clone() }),
                None => inbox.has_changed(),
            }
        }
    }

    /// Changes when a key of the server's own has another value, or is gone.
    pub fn follow_own(&self) -> watch::Receiver<()> {
        self.own.subscribe()
    }

    /// From now on the inbox hears of it. Whoever reads calls this first, and misses nothing.
    pub fn observe(&self, interest: Interest, inbox: &Arc<Inbox>) {
        let mut table = self.write();
        match &interest {
            Interest::Key(key) => {
                table.keys.entry(key.clone()).or_default().insert(inbox.id(), inbox.clone());
            }
            Interest::Prefix(prefix) => {
                table.prefixes.entry(prefix.clone()).or_default().insert(inbox.id(), inbox.clone());
            }
            Interest::Watch(prefix, handle) => {
                let watches = table.watches.entry(prefix.clone()).or_default();
                watches.insert((inbox.id(), *handle), inbox.clone());
            }
        }
        table.of.entry(inbox.id()).or_default().push(interest);
    }

    /// No longer of that watch.
    pub fn unwatch(&self, inbox: &Inbox, handle: Handle) {
        let mut table = self.write();
        let Some(interests) = table.of.get_mut(&inbox.id()) else { return };
        let is_it = |interest: &Interest| matches!(interest, Interest::Watch(_, other) if *other == handle);
        let found = interests.iter().position(is_it);
        if let Some(Interest::Watch(prefix, _)) = found.map(|at| interests.swap_remove(at)) {
            remove(&mut table.watches, &prefix, &(inbox.id(), handle));
        }
    }

    /// No longer of anything.
    pub fn forget(&self, inbox: &Inbox) {
        let mut table = self.write();
        for interest in table.of.remove(&inbox.id()).unwrap_or_default() {
            match interest {
                Interest::Key(key) => remove(&mut table.keys, &key, &inbox.id()),
                Interest::Prefix(prefix) => remove(&mut table.prefixes, &prefix, &inbox.id()),
                Interest::Watch(prefix, handle) => {
                    remove(&mut table.watches, &prefix, &(inbox.id(), handle));
                }
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a key is the server's own: no site can name one, as its keys have no control characters in them.
fn is_own(key: &str) -> bool {
    key.starts_with(super::OWN)
}

/// Takes out one, and its list with the last.
fn remove<K: std::hash::Hash + Eq>(lists: &mut Listeners<K>, name: &Arc<str>, key: &K) {
    if let Some(list) = lists.get_mut(name) {
        list.remove(key);
        if list.is_empty() {
            lists.remove(name);
        }
    }
}
