//! [`Inbox`]: what has come for a session and waits to be run in it.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{Counters, StoreError};

/// Names a subscription or a watch in its session.
pub type Handle = u64;

/// Something for one function of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The subscription or the watch.
    pub handle: Handle,
    /// The topic, or the key.
    pub name: Arc<str>,
    /// As JSON; `None`: the key is gone.
    pub value: Option<Arc<str>>,
}

/// Who runs what has come. Called on any thread, and must not block.
pub trait Wake: Send + Sync {
    /// There is something to take.
    fn delivered(&self);
    /// The write that its unit of work waits for has an answer.
    fn answered(&self);
}

/// Nobody.
#[cfg(test)]
impl Wake for () {
    fn delivered(&self) {}
    fn answered(&self) {}
}

/// Messages that wait for a session that takes none.
const MOST: usize = 1000;
/// What `hub.messages` bounds.
const SECOND: Duration = Duration::from_secs(1);

/// What has come for a session. Messages beyond a number per second are dropped; changes of the store never are:
/// of each key the newest is kept.
pub struct Inbox {
    id: u64,
    wake: Arc<dyn Wake>,
    rate: u32,
    counters: Arc<Counters>,
    /// Guards the lists only: nobody is woken under it.
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Delivery>,
    /// In the order of their first change.
    changed: VecDeque<(Handle, Arc<str>)>,
    changes: HashMap<(Handle, Arc<str>), Option<Arc<str>>>,
    /// What is called in place of a watch that has ended: a change of before may still be on its way to it.
    successors: HashMap<Handle, Handle>,
    /// Something that it has read is another now.
    has_changed: bool,
    /// Of the write with that number.
    answer: Option<(u64, Result<u64, StoreError>)>,
    is_told: bool,
    second: Option<(Instant, u32)>,
    dropped: u64,
}

/// What a session does next.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) delivery: Option<Delivery>,
    pub(super) has_changed: bool,
    pub(super) dropped: u64,
    /// There is more.
    pub(super) more: bool,
}

impl Inbox {
    pub(super) fn new(wake: Arc<dyn Wake>, rate: u32, counters: Arc<Counters>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Self { id, wake, rate, counters, waiting: Mutex::default() }
    }

    /// Another for each.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A message of a topic.
    pub fn message(&self, delivery: Delivery) {
        self.put(|waiting| {
            let now = Instant::now();
            let (began, count) =
                waiting.second.filter(|(began, _)| now < *began + SECOND).unwrap_or((now, 0));
            waiting.second = Some((began, count.saturating_add(1)));
            if count >= self.rate || waiting.messages.len() >= MOST {
                waiting.dropped += 1;
                self.counters.drop_one();
                return;
            }
            self.counters.deliver();
            waiting.messages.push_back(delivery);
        });
    }

    /// A watched key has another value, or is gone.
    pub fn change(&self, delivery: Delivery) {
        self.put(|waiting| {
            let handle = waiting.successors.get(&delivery.handle).copied().unwrap_or(delivery.handle);
            let key = (handle, delivery.name);
            if waiting.changes.insert(key.clone(), delivery.value).is_none() {
                waiting.changed.push_back(key);
            }
        });
    }

    /// `new` listens to the same in place of `old`, which gets nothing any more: what waits for that is for `new`,
    /// unless it has come for both.
    pub(super) fn hand_on(&self, old: Handle, new: Handle) {
        let mut waiting = self.waiting();
        let Waiting { messages, changed, changes, successors, .. } = &mut *waiting;
        // One message is one value, whoever it goes to.
        let place = |message: &Delivery| message.value.as_ref().map(Arc::as_ptr);
        let for_new = messages.iter().filter(|message| message.handle == new);
        let has_come: HashSet<*const str> = for_new.filter_map(place).collect();
        messages.retain_mut(|message| {
            if message.handle != old {
                return true;
            }
            message.handle = new;
            !place(message).is_some_and(|place| has_come.contains(&place))
        });
        changed.retain_mut(|key| {
            if key.0 != old {
                return true;
            }
            let value = changes.remove(key).flatten();
            key.0 = new;
            match changes.entry(key.clone()) {
                // It has its place in the list, and a value that is as new.
                Entry::Occupied(_) => false,
                Entry::Vacant(place) => {
                    place.insert(value);
                    true
                }
            }
        });
        successors.retain(|_, other| *other != old);
        successors.insert(old, new);
    }

    /// Nothing is called any more in place of another.
    pub(super) fn end(&self, handle: Handle) {
        self.waiting().successors.retain(|_, other| *other != handle);
    }

    /// A key that the session has read has another value.
    pub fn has_changed(&self) {
        self.put(|waiting| waiting.has_changed = true);
    }

    /// What came of the write that the session waits for.
    pub(super) fn answer(&self, number: u64, answer: Result<u64, StoreError>) {
        self.waiting().answer = Some((number, answer));
        self.wake.answered();
    }

    /// What came of the write with that number, once. That of an earlier one, which nobody waits for, is dropped.
    pub(super) fn take_answer(&self, number: u64) -> Option<Result<u64, StoreError>> {
        let answer = self.waiting().answer.take();
        answer.filter(|(of, _)| *of == number).map(|(_, answer)| answer)
    }

    pub(super) fn is_answered(&self, number: u64) -> bool {
        self.waiting().answer.as_ref().is_some_and(|(of, _)| *of == number)
    }

    /// What is to be run next. Changes come first: of each key there is one.
    pub(super) fn take(&self) -> Taken {
        let mut waiting = self.waiting();
        let change = waiting.changed.pop_front().map(|key| {
            let value = waiting.changes.remove(&key).flatten();
            Delivery { handle: key.0, name: key.1, value }
        });
        let delivery = change.or_else(|| waiting.messages.pop_front());
        let more = !(waiting.changed.is_empty() && waiting.messages.is_empty());
        waiting.is_told = more;
        Taken {
            delivery,
            has_changed: std::mem::take(&mut waiting.has_changed),
            dropped: std::mem::take(&mut waiting.dropped),
            more,
        }
    }

    pub(super) fn wake_again(&self) {
        self.wake.delivered();
    }

    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        put(&mut waiting);
        let is_news = !std::mem::replace(&mut waiting.is_told, true);
        drop(waiting);
        if is_news {
            self.wake.delivered();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("id", &self.id).finish_non_exhaustive()
    }
}
