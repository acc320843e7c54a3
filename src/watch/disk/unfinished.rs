//! Files that somebody is at work on still: how long each is waited for, as a value without a clock.
//!
//! `(sleep 3; make) > x.lua` empties the file at once and fills it later; a program may write a line now
//! and then. What is on the disk meanwhile is not what anybody saved.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hotloader_disk::Fingerprint;

/// A file that had content and has none now, or that somebody has open for writing, is waited for so long
/// after it changed last.
const PATIENCE: Duration = Duration::from_secs(5);

/// A new file without content is waited for so long: empty may be what it is meant to be.
const NEW: Duration = Duration::from_millis(60);

/// A file that was waited for, and grows on though nobody is known to have it open, is waited for so long.
const GROWING: Duration = Duration::from_millis(300);

/// In the end it is taken as it is, however it goes on changing.
const MOST: Duration = Duration::from_secs(15);

/// It is looked at this often: not every backend tells when a file is closed.
const STEP: Duration = Duration::from_millis(200);

/// Not said of what is over before.
const SAID_AFTER: Duration = Duration::from_millis(500);

/// A change within this time belongs to the one before.
const RECENT: Duration = Duration::from_secs(1);

/// How a file looks whose content is another than was told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signs {
    /// Nothing is in it.
    pub(crate) is_empty: bool,
    /// Nothing was told of it so far.
    pub(crate) is_new: bool,
    /// Somebody has it open for writing.
    pub(crate) is_open: bool,
}

/// The files that are waited for, and those that were until a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(BTreeMap<PathBuf, Awaited>);

#[derive(Debug)]
struct Awaited {
    key: Fingerprint,
    /// When it was first seen so.
    since: Instant,
    /// When it was first seen as it is.
    changed: Instant,
    grew: bool,
    /// Its writer can be seen, so one knows when it is gone.
    was_open: bool,
    is_held: bool,
    is_said: bool,
}

impl Awaited {
    fn new(key: Fingerprint, now: Instant) -> Self {
        Self { key, since: now, changed: now, grew: false, was_open: false, is_held: true, is_said: false }
    }
}

impl Unfinished {
    /// Whether a file is waited for, or was until a moment ago.
    pub(crate) fn knows(&self, file: &Path) -> bool {
        self.0.contains_key(file)
    }

    /// Whether a file is waited for.
    pub(crate) fn holds(&self, file: &Path) -> bool {
        self.0.get(file).is_some_and(|held| held.is_held)
    }

    /// Those that are waited for so long that a person should know.
    pub(crate) fn said(&self) -> Vec<PathBuf> {
        let said = self.0.iter().filter(|(_, held)| held.is_held && held.is_said);
        said.map(|(file, _)| file.clone()).collect()
    }

    /// Whether nothing is waited for.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        !self.0.values().any(|held| held.is_held)
    }

    /// When to look at a file again before it is believed; `None`: it is finished, as far as can be known.
    pub(crate) fn wait(
        &mut self,
        file: &Path,
        key: Fingerprint,
        signs: Signs,
        now: Instant,
    ) -> Option<Instant> {
        let held = self.0.entry(file.to_owned()).or_insert_with(|| Awaited::new(key, now));
        if held.key.identity() != key.identity() {
            // Another file took its place: what was waited for will not come.
            *held = Awaited::new(key, now);
        } else if held.key != key {
            held.grew = held.key.size > 0 && key.size > held.key.size;
            (held.key, held.changed) = (key, now);
        }
        if !held.is_held {
            (held.is_held, held.since) = (true, now);
        }
        held.was_open |= signs.is_open;
        let patience = match signs {
            Signs { is_open: true, .. } | Signs { is_empty: true, is_new: false, .. } => PATIENCE,
            Signs { is_empty: true, .. } => NEW,
            _ if held.grew && !held.was_open => GROWING,
            _ => Duration::ZERO,
        };
        let due = (held.changed + patience).min(held.since + MOST);
        if now < due {
            if !held.is_said && now >= held.since + SAID_AFTER {
                held.is_said = true;
                let state = signs.state();
                tracing::info!(target: "watch", ?file, "{state}; waiting until it is finished, {} s at most",
                    MOST.as_secs());
            }
            return Some(due.min(now + STEP));
        }
        if std::mem::take(&mut held.is_said) && (signs.is_empty || signs.is_open) {
            let state = signs.state();
            tracing::warn!(target: "watch", ?file, "{state} after {} ms; taken as it is",
                now.saturating_duration_since(held.since).as_millis());
        }
        held.is_held = false;
        // Saved at once: what comes next is another save.
        if now == held.since {
            self.0.remove(file);
        }
        None
    }

    /// It has the content that was told, or is gone.
    pub(crate) fn forget(&mut self, file: &Path) {
        self.0.remove(file);
    }

    /// Forgets those that were waited for and have not changed since.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, held| {
            if held.is_held { now < held.since + MOST + RECENT } else { now < held.changed + RECENT }
        });
    }
}

impl Signs {
    fn state(self) -> &'static str {
        match self {
            Self { is_open: true, .. } => "still open for writing",
            Self { is_empty: true, .. } => "emptied",
            _ => "still growing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ino: u64, size: u64) -> Fingerprint {
        Fingerprint { ino, size, ..Fingerprint::default() }
    }

    const MS: Duration = Duration::from_millis(1);
    const SAVED: Signs = Signs { is_empty: false, is_new: false, is_open: false };
    const EMPTIED: Signs = Signs { is_empty: true, ..SAVED };
    const OPEN: Signs = Signs { is_open: true, ..SAVED };

    /// Looks at a file of so many bytes whenever it asks for it, until it is believed or that time has come.
    fn looks(unfinished: &mut Unfinished, size: u64, signs: Signs, from: Instant, until: Instant) -> Instant {
        let mut now = from;
        while let Some(again) = unfinished.wait(Path::new("/x"), file(1, size), signs, now) {
            assert!(again > now);
            if again >= until {
                return until;
            }
            now = again;
        }
        now
    }

    #[test]
    fn what_is_saved_and_closed_is_believed_at_once() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        assert_eq!(unfinished.wait(Path::new("/x"), file(1, 9), SAVED, start), None);
        assert!(unfinished.is_empty());
    }

    #[test]
    fn an_emptied_file_is_waited_for_and_believed_as_soon_as_its_content_is_there() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        let three = start + 3000 * MS;
        assert_eq!(looks(&mut unfinished, 0, EMPTIED, start, three), three);
        assert_eq!(unfinished.said(), [Path::new("/x")]);
        assert_eq!(unfinished.wait(Path::new("/x"), file(1, 9), SAVED, three), None);
        assert!(unfinished.said().is_empty());
    }

    #[test]
    fn one_that_stays_empty_is_believed_in_the_end_and_a_new_one_soon() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        let far = start + 60_000 * MS;
        assert_eq!(looks(&mut unfinished, 0, EMPTIED, start, far), start + PATIENCE);
        unfinished.forget(Path::new("/x"));
        let new = Signs { is_new: true, ..EMPTIED };
        assert_eq!(looks(&mut unfinished, 0, new, start, far), start + NEW);
    }

    #[test]
    fn an_open_file_is_waited_for_while_it_changes_but_not_for_ever() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        let mut now = start;
        let mut believed = Vec::new();
        for size in 1..400 {
            if looks(&mut unfinished, size, OPEN, now, now + 100 * MS) < now + 100 * MS {
                believed.push(now - start);
            }
            now += 100 * MS;
        }
        assert_eq!(believed, [MOST, MOST * 2 + 100 * MS]);
        let far = now + 60_000 * MS;
        assert_eq!(looks(&mut unfinished, 400, OPEN, now, far), now + PATIENCE);
        assert!(unfinished.wait(Path::new("/x"), file(1, 401), OPEN, far).is_some());
        assert_eq!(unfinished.wait(Path::new("/x"), file(1, 402), SAVED, far), None, "it is closed");
    }

    #[test]
    fn a_writer_that_cannot_be_seen_is_known_by_the_growth_of_the_file() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        let later = start + 100 * MS;
        assert_eq!(looks(&mut unfinished, 0, EMPTIED, start, later), later);
        assert_eq!(looks(&mut unfinished, 10, SAVED, later, later + MS), later, "nothing is known of it");
        let later = later + 100 * MS;
        unfinished.expire(later);
        assert_eq!(looks(&mut unfinished, 20, SAVED, later, later + 100 * MS), later + 100 * MS);
        let later = later + 100 * MS;
        assert_eq!(looks(&mut unfinished, 30, SAVED, later, later + 1000 * MS), later + GROWING);
        unfinished.expire(later + RECENT);
        assert!(!unfinished.knows(Path::new("/x")));
    }

    #[test]
    fn what_took_the_place_of_a_file_that_was_waited_for_is_not_waited_for() {
        let (mut unfinished, start) = (Unfinished::default(), Instant::now());
        assert!(unfinished.wait(Path::new("/x"), file(1, 1), OPEN, start).is_some());
        let other = file(7, 9);
        assert_eq!(unfinished.wait(Path::new("/x"), other, SAVED, start + MS), None);
    }
}
