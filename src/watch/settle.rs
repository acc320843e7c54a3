//! When it is quiet enough to look: the debounce, as values without a clock.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use hotloader_backend::{HintSet, Phase};

use crate::config::WatchConfig;

/// While a file is still open for writing, one waits at least this long, even if `quiet` is zero.
const WRITING_QUIET: Duration = Duration::from_millis(20);

/// How long hints are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debounce {
    /// Until nothing happened for so long.
    pub(super) quiet: Duration,
    /// Or the first of them is so old.
    pub(super) max_hold: Duration,
}

impl Debounce {
    pub(super) fn of(settings: &WatchConfig) -> Self {
        Self { quiet: settings.quiet, max_hold: settings.max_hold }
    }
}

/// Hints that are held until it is quiet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hints: HintSet,
    /// When the first hint came in.
    pub(super) first: Instant,
    last: Instant,
    /// What was written until then is hinted.
    reported: Instant,
    /// Something outside asked to wait until then.
    not_before: Option<Instant>,
    /// It is held until then, though that is longer than usual.
    extended: Option<Instant>,
}

impl Held {
    /// Hints that came in between `first` and `last`.
    pub(super) fn new(hints: HintSet, first: Instant, last: Instant) -> Self {
        Self { hints, first, last, reported: last, not_before: None, extended: None }
    }

    /// What is held, and places to look at with it.
    pub(super) fn both(held: Option<Self>, reminded: Option<Self>) -> Option<Self> {
        match (held, reminded) {
            (Some(mut held), Some(reminded)) => {
                held.hints.merge(reminded.hints);
                Some(held)
            }
            (held, reminded) => held.or(reminded),
        }
    }

    /// Adds hints of which the last came in then.
    pub(super) fn add(&mut self, hints: HintSet, last: Instant) {
        self.hints.merge(hints);
        self.last = self.last.max(last);
        self.reported = self.reported.max(last);
    }

    /// When to look.
    pub(super) fn due(&self, debounce: Debounce) -> Instant {
        let Debounce { quiet, max_hold } = debounce;
        // What is left of the quiet time shows in the look: what was written too short a while ago puts it off.
        let quiet = if self.hints.is_settled() { Duration::ZERO } else { quiet };
        let quiet = if self.hints.any_writing() { quiet.max(WRITING_QUIET) } else { quiet };
        let quiet = self.not_before.map_or(self.last + quiet, |until| until.max(self.last + quiet));
        quiet.min((self.first + max_hold).max(self.extended.unwrap_or(self.first)))
    }

    pub(super) fn is_ripe(&self, debounce: Debounce, now: Instant) -> bool {
        self.due(debounce) <= now
    }

    /// Puts off the look, though it is quiet: somebody is known to be at work still. Returns false if it
    /// cannot be put off any longer.
    pub(super) fn postpone(&mut self, debounce: Debounce, now: Instant, until: Instant) -> bool {
        let may_wait = now < self.first + debounce.max_hold;
        if may_wait {
            self.not_before = Some(until);
        }
        may_wait
    }

    /// Puts off the look beyond `max_hold`, for somebody who is known to be at work and to come to an end.
    /// Returns false if it was put off for that long.
    pub(super) fn extend(&mut self, until: Instant, most: Duration) -> bool {
        let may_wait = until <= self.first + most;
        if may_wait {
            (self.not_before, self.extended) = (Some(until), Some(until));
        }
        may_wait
    }

    /// A look came too early: it is to be done again then, with what came in meanwhile.
    pub(super) fn put_off(self, until: Instant, meanwhile: Option<Self>) -> Self {
        let Self { hints, first, reported, .. } = self;
        let mut again = match meanwhile {
            Some(later) => {
                let mut all = hints;
                all.merge(later.hints);
                Self {
                    hints: all,
                    first: later.first.min(first),
                    reported: later.reported.max(reported),
                    ..later
                }
            }
            None => Self { reported, ..Self::new(hints, first, first) },
        };
        again.not_before = again.not_before.max(Some(until));
        again
    }

    /// The backends have reported all that was written until then.
    pub(super) fn all_reported(&mut self, until: Instant) {
        self.reported = self.reported.max(until);
    }

    /// How calm it must be to look at these: they are not held for ever.
    pub(super) fn calm(&self, debounce: Debounce, now: Instant) -> Calm {
        if now < self.first + debounce.max_hold {
            Calm::new(debounce.quiet, self.reported)
        } else {
            Calm::ANY
        }
    }
}

/// How calm it must be to look: a look must not come upon half of what is saved together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calm {
    quiet: Duration,
    reported: Option<Instant>,
}

impl Calm {
    /// Whatever was written when.
    pub(super) const ANY: Self = Self { quiet: Duration::ZERO, reported: None };

    pub(super) fn new(quiet: Duration, reported: Instant) -> Self {
        Self { quiet, reported: Some(reported) }
    }

    /// How long to wait before looking again, if a look comes upon what was written that long before `now`.
    pub(super) fn rest(&self, age: Duration, now: Instant) -> Option<Duration> {
        if age < self.quiet {
            return Some(self.quiet - age);
        }
        // It was hinted for another reason. Its own hints, and those of its companions, are yet to come.
        let is_unreported = self.reported.is_some_and(|reported| now > reported + age);
        is_unreported.then_some(Duration::ZERO)
    }
}

/// Places to look at again at some time, whatever happens.
#[derive(Debug, Default)]
pub(super) struct Reminders(BTreeMap<PathBuf, Instant>);

impl Reminders {
    /// Of two for one place, the earlier one counts.
    pub(super) fn add(&mut self, path: PathBuf, at: Instant) {
        let earliest = self.0.entry(path).or_insert(at);
        *earliest = at.min(*earliest);
    }

    /// When the first is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().copied().min()
    }

    /// Those that are due, to be looked at without waiting for quiet.
    pub(super) fn take(&mut self, now: Instant) -> Option<Held> {
        let mut due: Option<Held> = None;
        self.0.retain(|path, &mut at| {
            if at <= now {
                let due = due.get_or_insert_with(|| Held::new(HintSet::new(), at, at));
                due.hints.insert(path, Phase::Complete);
            }
            at > now
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const USUAL: Debounce =
        Debounce { quiet: Duration::from_millis(20), max_hold: Duration::from_millis(500) };

    fn hints(path: &str, phase: Phase) -> HintSet {
        let mut hints = HintSet::new();
        hints.insert(path, phase);
        hints
    }

    fn held(path: &str, phase: Phase, at: Instant) -> Held {
        Held::new(hints(path, phase), at, at)
    }

    #[test]
    fn a_second_save_within_the_quiet_time_extends_it() {
        let start = Instant::now();
        let mut held = held("/a", Phase::Complete, start);
        assert!(!held.is_ripe(USUAL, start + 19 * MS));
        held.add(hints("/b", Phase::Complete), start + 19 * MS);
        assert_eq!(held.due(USUAL), start + 39 * MS);
        assert!(!held.is_ripe(USUAL, start + 38 * MS) && held.is_ripe(USUAL, start + 39 * MS));
        assert_eq!((held.hints.len(), held.first), (2, start));
    }

    #[test]
    fn constant_writes_do_not_starve_it() {
        let start = Instant::now();
        let mut looks = Vec::new();
        let mut before: Option<Held> = None;
        for i in 0..2000 {
            let now = start + i * MS;
            let mut writing = before.take().unwrap_or_else(|| held("/a", Phase::Writing, now));
            writing.add(hints("/a", Phase::Writing), now);
            if writing.is_ripe(USUAL, now) {
                assert!(now - writing.first <= 500 * MS);
                looks.push(i);
            } else {
                before = Some(writing);
            }
        }
        assert_eq!(looks, [500, 1001, 1502]);
    }

    #[test]
    fn what_is_put_off_is_taken_when_it_may_or_has_been_held_long_enough() {
        let start = Instant::now();
        let mut one = held("/a", Phase::Complete, start);
        assert!(!one.is_ripe(USUAL, start + 19 * MS) && one.is_ripe(USUAL, start + 20 * MS));
        assert!(one.postpone(USUAL, start + 20 * MS, start + 30 * MS));
        assert!(!one.is_ripe(USUAL, start + 29 * MS) && one.is_ripe(USUAL, start + 30 * MS));

        let mut two = held("/b", Phase::Complete, start);
        let mut now = start + 20 * MS;
        while two.is_ripe(USUAL, now) && two.postpone(USUAL, now, now + 10 * MS) {
            now += 10 * MS;
        }
        assert_eq!(now, start + 500 * MS);
        assert!(two.is_ripe(USUAL, now));
    }

    #[test]
    fn who_is_known_to_be_at_work_is_waited_for_beyond_the_usual_time_and_not_for_ever() {
        let start = Instant::now();
        let mut held = held("/a", Phase::Complete, start);
        let mut now = start + 500 * MS;
        assert!(!held.postpone(USUAL, now, now + 10 * MS));
        while held.extend(now + 250 * MS, 30_000 * MS) {
            now += 250 * MS;
            assert_eq!(held.due(USUAL), now);
            assert!(!held.is_ripe(USUAL, now - MS) && held.is_ripe(USUAL, now));
        }
        assert_eq!(now, start + 30_000 * MS);
    }

    #[test]
    fn what_was_looked_at_too_early_is_looked_at_again_and_its_time_counts_from_the_first_hint() {
        let start = Instant::now();
        let early = held("/a", Phase::Complete, start);
        let written_just_now = |held: &Held, at| held.calm(USUAL, at).rest(Duration::ZERO, at);
        assert_eq!(written_just_now(&early, start + 20 * MS), Some(20 * MS));
        let meanwhile = held("/b", Phase::Complete, start + 21 * MS);
        let again = early.put_off(start + 35 * MS, Some(meanwhile));
        assert_eq!(again.due(USUAL), start + 41 * MS, "the later hint has a quiet time of its own");
        assert!(again.hints.len() == 2 && again.first == start);
        assert_eq!(written_just_now(&again, start + 500 * MS), None, "held for long enough");
        assert_eq!(again.put_off(start + 900 * MS, None).due(USUAL), start + 500 * MS);
    }

    #[test]
    fn what_was_written_after_the_last_hint_is_not_looked_at_until_all_is_reported() {
        let start = Instant::now();
        let mut held = held("/a", Phase::Complete, start);
        let now = start + 60 * MS;
        let calm = held.calm(USUAL, now);
        assert_eq!(calm.rest(59 * MS, now), Some(Duration::ZERO), "nobody has hinted it");
        assert_eq!(calm.rest(61 * MS, now), None);
        held = held.put_off(now, None);
        held.all_reported(now);
        assert_eq!(held.calm(USUAL, now).rest(59 * MS, now), None);
    }

    #[test]
    fn an_open_writer_is_waited_for_even_without_a_quiet_time() {
        let start = Instant::now();
        let none = Debounce { quiet: Duration::ZERO, ..USUAL };
        let mut held = held("/a", Phase::Writing, start);
        assert_eq!(held.due(none), start + 20 * MS);
        held.add(hints("/a", Phase::Complete), start + MS);
        assert_eq!(held.due(none), start + MS);
    }

    #[test]
    fn settled_hints_are_looked_at_at_once_unless_others_are_held_with_them() {
        let start = Instant::now();
        let mut held = held("/a", Phase::Settled, start);
        assert_eq!(held.due(USUAL), start);
        held.add(hints("/b", Phase::Settled), start + MS);
        assert_eq!(held.due(USUAL), start + MS);
        held.add(hints("/c", Phase::Complete), start + 2 * MS);
        assert_eq!(held.due(USUAL), start + 22 * MS);
    }

    #[test]
    fn a_reminder_comes_at_its_time() {
        let start = Instant::now();
        let mut reminders = Reminders::default();
        reminders.add("/gone".into(), start + 60 * MS);
        reminders.add("/gone".into(), start + 90 * MS);
        assert!(reminders.take(start + 59 * MS).is_none());
        assert_eq!(reminders.due(), Some(start + 60 * MS));
        assert!(reminders.take(start + 60 * MS).unwrap().hints.covers("/gone".as_ref()));
        assert_eq!(reminders.due(), None);
    }
}
