//! Requests that a server has to answer although the kernel remembers an answer: how many there may be, and of what.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use hotloader_disk::Ask;
use tokio::time::Instant;

/// How many may be made, over all mounts.
#[derive(Debug)]
pub(crate) struct Budget {
    per_second: u32,
    /// What may be made now; of a second in which nobody asked, all of it.
    left: f64,
    at: Instant,
    /// How many were made.
    pub(crate) made: u64,
}

impl Budget {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: per_second.into(), at: now, made: 0 }
    }

    /// Takes a share of what may be made now, for one of so many who want some.
    pub(crate) fn take(&mut self, among: usize, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        let most = f64::from(self.per_second);
        (self.left, self.at) = ((self.left + since * most).min(most), now);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it is small"
        )]
        let share = (self.left / among.max(1) as f64).max(0.0) as u32;
        self.left -= f64::from(share);
        share
    }

    /// Takes what may be asked of what is in use: at most so many, and half of what may be made now.
    pub(crate) fn take_for_glance(&mut self, most: u32, now: Instant) -> u32 {
        let share = self.take(2, now);
        self.settle(share.saturating_sub(most), 0);
        share.min(most)
    }

    /// Of what was taken, so many were made.
    pub(crate) fn settle(&mut self, taken: u32, made: u32) {
        self.left += f64::from(taken.saturating_sub(made));
        self.made += u64::from(made);
    }
}

/// What a look may ask a server, of all there is to be looked at: an entry for each file, and one more for each
/// directory. Where that is less than all, the next look goes on where this one ended.
#[derive(Debug)]
pub(crate) struct Questions {
    left: AtomicU32,
    allowed: u32,
}

impl Questions {
    pub(crate) fn new(allowed: u32) -> Self {
        Self { left: allowed.into(), allowed }
    }

    /// Whom to ask, if the server is wanted.
    pub(crate) fn ask(&self, wanted: bool) -> Ask {
        let take = |left: u32| left.checked_sub(1);
        let is_allowed = wanted && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if is_allowed { Ask::Server } else { Ask::Kernel }
    }

    /// How many were put to the server.
    pub(crate) fn made(&self) -> u32 {
        self.allowed - self.left.load(Ordering::Relaxed)
    }

    /// Of directories with so many entries each, those of which the server is asked: for each directory a part of its
    /// entries, counted from 1, and itself if that is not empty. Begins at a place and returns where the next look
    /// begins.
    pub(crate) fn parts(&self, lens: &[usize], begin: Place) -> (Vec<Range<usize>>, Place) {
        let mut parts = vec![0..0; lens.len()];
        let mut left = self.allowed as usize;
        let mut place = if begin.dir < lens.len() { begin } else { Place::default() };
        for _ in lens {
            let Place { dir, entry } = place;
            let rest = lens[dir].saturating_sub(entry);
            if left < 1 + rest.min(1) {
                break;
            }
            let asked = rest.min(left - 1);
            left -= 1 + asked;
            if asked < rest {
                parts[dir] = 1 + entry..1 + entry + asked;
                place.entry += asked;
                break;
            }
            // With what may have come since.
            parts[dir] = 1 + entry..usize::MAX;
            place = Place { dir: (dir + 1) % lens.len(), entry: 0 };
        }
        (parts, place)
    }
}

/// How far the questions have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    dir: usize,
    /// Of the directory, so many have had their turn.
    entry: usize,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;

    #[test]
    fn no_more_is_asked_in_a_second_than_is_allowed_and_what_was_not_needed_is_kept() {
        let start = Instant::now();
        let mut budget = Budget::new(1000, start);
        assert_eq!(budget.take(2, start), 500, "another mount wants some as well");
        assert_eq!(budget.take(1, start), 500);
        assert_eq!(budget.take(1, start), 0);
        budget.settle(500, 100);
        assert_eq!((budget.take(1, start), budget.made), (400, 100));
        let later = start + Duration::from_millis(100);
        assert_eq!(budget.take_for_glance(40, later), 40);
        assert_eq!(budget.take_for_glance(40, later), 30, "half of it is for passes");
        assert_eq!(budget.take(1, later), 30);
        assert_eq!(budget.take(1, start + Duration::from_secs(3600)), 1000);
    }

    #[test]
    fn a_server_is_asked_of_everything_in_turn() {
        for allowed in 2..20 {
            let lens = [3, 0, 7, 2];
            let mut asked: [BTreeSet<usize>; 4] = Default::default();
            let mut place = Place::default();
            for _ in 0..14 {
                let (parts, next) = Questions::new(allowed).parts(&lens, place);
                let parts = parts.iter().zip(lens).map(|(part, len)| part.start..part.end.min(len + 1));
                let mut made = 0;
                for (asked, part) in asked.iter_mut().zip(parts) {
                    made += usize::from(part.start > 0) + part.len();
                    asked.extend(part);
                }
                assert!(made <= allowed as usize, "{made} of {allowed}");
                place = next;
            }
            assert_eq!(asked.map(|asked| asked.len()), lens, "{allowed}");
        }
        let (parts, next) = Questions::new(100).parts(&[3, 0], Place::default());
        assert_eq!((parts, next), (vec![1..usize::MAX; 2], Place::default()));
        let (parts, _) = Questions::new(0).parts(&[3], Place::default());
        assert_eq!((parts.len(), parts.first()), (1, Some(&(0..0))));
        assert!(Questions::new(5).parts(&[], Place { dir: 3, entry: 1 }).0.is_empty());
    }

    #[test]
    fn what_was_not_there_before_does_not_go_beyond_what_is_allowed() {
        let questions = Questions::new(2);
        let asked: Vec<Ask> = (0..4).map(|_| questions.ask(true)).collect();
        assert_eq!(asked, [Ask::Server, Ask::Server, Ask::Kernel, Ask::Kernel]);
        assert_eq!((questions.ask(false), questions.made()), (Ask::Kernel, 2));
    }
}
