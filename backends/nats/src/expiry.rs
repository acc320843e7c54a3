//! [`Expiry`]: keys that end by themselves.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

/// When which key ends. Each server counts by its own clock, from when it heard of the key.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    by_time: BTreeSet<(Instant, Arc<str>)>,
    by_key: HashMap<Arc<str>, Ending>,
}

/// How a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) at: Instant,
    pub(crate) revision: u64,
    /// It was written here, so it is removed from here.
    pub(crate) is_ours: bool,
}

impl Expiry {
    /// The key has another value, which ends so, or never.
    pub(crate) fn set(&mut self, key: &Arc<str>, ending: Option<Ending>) {
        if let Some(before) = self.by_key.remove(key) {
            self.by_time.remove(&(before.at, key.clone()));
        }
        if let Some(ending) = ending {
            self.by_time.insert((ending.at, key.clone()));
            self.by_key.insert(key.clone(), ending);
        }
    }

    /// When the next one ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// One that has ended by then.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Arc<str>, Ending)> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        let ending = self.by_key.remove(&key)?;
        Some((key, ending))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_that_is_written_again_ends_when_the_last_value_says_so() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        let ending = |seconds, revision| {
            Some(Ending { at: now + Duration::from_secs(seconds), revision, is_ours: false })
        };
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        expiry.set(&a, ending(1, 1));
        expiry.set(&b, ending(2, 2));
        expiry.set(&a, ending(3, 3));
        assert_eq!(expiry.take(now + Duration::from_secs(1)), None);
        let late = now + Duration::from_secs(5);
        assert_eq!(expiry.take(late).map(|(key, _)| key), Some(b));
        assert_eq!(expiry.take(late).map(|(_, ending)| ending.revision), Some(3));
        expiry.set(&a, ending(1, 4));
        expiry.set(&a, None);
        assert_eq!(expiry.next(), None);
    }
}
