//! When it is quiet enough to look: the debounce, as a value without a clock.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use hotloader_backend::{HintSet, Phase};

/// While a file is still open for writing, one waits at least this long, even if `quiet` is zero.
const WRITING_QUIET: Duration = Duration::from_millis(20);

/// Gathers hints until nothing happened for `quiet`, or the first is `max_hold` old.
#[derive(Debug)]
pub(crate) struct Settle {
    quiet: Duration,
    max_hold: Duration,
    held: Option<Held>,
    rechecks: BTreeMap<PathBuf, Instant>,
}

#[derive(Debug)]
struct Held {
    hints: HintSet,
    first: Instant,
    last: Instant,
    /// Something outside asked to wait until then.
    not_before: Option<Instant>,
    /// What was written until then is hinted.
    reported: Instant,
    /// It is held until then, though that is longer than usual.
    extended: Option<Instant>,
}

impl Held {
    fn settled(self) -> Settled {
        Settled { hints: self.hints, first: self.first, reported: self.reported }
    }
}

/// A set of places to look at now.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Where.
    pub(crate) hints: HintSet,
    /// When the first hint came in.
    pub(crate) first: Instant,
    /// What was written until then is hinted.
    pub(crate) reported: Instant,
}

/// How calm it must be to look: a look must not come upon half of what is saved together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calm {
    quiet: Duration,
    reported: Option<Instant>,
}

impl Calm {
    /// Whatever was written when.
    pub(crate) const ANY: Self = Self { quiet: Duration::ZERO, reported: None };

    pub(crate) fn new(quiet: Duration, reported: Instant) -> Self {
        Self { quiet, reported: Some(reported) }
    }

    /// How long to wait before looking again, if a look comes upon what was written that long before `now`.
    pub(crate) fn rest(&self, age: Duration, now: Instant) -> Option<Duration> {
        if age < self.quiet {
            return Some(self.quiet - age);
        }
        // It was hinted for another reason. Its own hints, and those of its companions, are yet to come.
        let is_unreported = self.reported.is_some_and(|reported| now > reported + age);
        is_unreported.then_some(Duration::ZERO)
    }
}

impl Settle {
    pub(crate) fn new(quiet: Duration, max_hold: Duration) -> Self {
        Self { quiet, max_hold, held: None, rechecks: BTreeMap::new() }
    }

    /// Other times, also for what is held by now.
    pub(crate) fn configure(&mut self, quiet: Duration, max_hold: Duration) {
        (self.quiet, self.max_hold) = (quiet, max_hold);
    }

    /// Takes in hints that came in between `first` and `last`.
    pub(crate) fn add(&mut self, hints: HintSet, first: Instant, last: Instant) {
        if hints.is_empty() {
            return;
        }
        match &mut self.held {
            Some(held) => {
                held.hints.merge(hints);
                held.last = held.last.max(last);
                held.reported = held.reported.max(last);
            }
            None => {
                self.held =
                    Some(Held { hints, first, last, not_before: None, reported: last, extended: None })
            }
        }
    }

    /// The backends have reported all that was written until then.
    pub(crate) fn all_reported(&mut self, until: Instant) {
        if let Some(held) = &mut self.held {
            held.reported = held.reported.max(until);
        }
    }

    /// Whether hints are held that will be taken now, unless they are put off.
    pub(crate) fn is_ripe(&self, now: Instant) -> bool {
        self.held_due().is_some_and(|due| due <= now)
    }

    /// What is held.
    pub(crate) fn held(&self) -> Option<&HintSet> {
        self.held.as_ref().map(|held| &held.hints)
    }

    /// Whether no hint is held. Rechecks are none.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_none()
    }

    /// Puts off what is held, though it is quiet: somebody is known to be at work still. Returns false if
    /// it cannot be held any longer.
    pub(crate) fn postpone(&mut self, now: Instant, until: Instant) -> bool {
        match &mut self.held {
            Some(held) if now < held.first + self.max_hold => {
                held.not_before = Some(until);
                true
            }
            _ => false,
        }
    }

    /// Puts off what is held beyond `max_hold`, for somebody who is known to be at work and to come to an end.
    /// Returns false if it was held for that long.
    pub(crate) fn extend(&mut self, until: Instant, most: Duration) -> bool {
        match &mut self.held {
            Some(held) if until <= held.first + most => {
                (held.not_before, held.extended) = (Some(until), Some(until));
                true
            }
            _ => false,
        }
    }

    /// Takes back what was taken too early, to be taken once more then.
    pub(crate) fn put_back(&mut self, settled: Settled, until: Instant) {
        let Settled { hints, first, reported } = settled;
        let none =
            Held { hints: HintSet::new(), first, last: first, not_before: None, reported, extended: None };
        let mut held = self.held.take().unwrap_or(none);
        let mut before = hints;
        before.merge(std::mem::take(&mut held.hints));
        self.held = Some(Held {
            hints: before,
            first: held.first.min(first),
            not_before: held.not_before.max(Some(until)),
            reported: held.reported.max(reported),
            ..held
        });
    }

    /// How calm it must be to look at these: they are not held for ever.
    pub(crate) fn calm_for(&self, settled: &Settled, now: Instant) -> Calm {
        if now < settled.first + self.max_hold { Calm::new(self.quiet, settled.reported) } else { Calm::ANY }
    }

    /// Asks for another look at a place at some time, whatever happens.
    pub(crate) fn recheck(&mut self, path: PathBuf, at: Instant) {
        let earliest = self.rechecks.entry(path).or_insert(at);
        *earliest = at.min(*earliest);
    }

    /// When there will be something to look at.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.held_due().into_iter().chain(self.rechecks.values().copied()).min()
    }

    /// What is to be looked at now, if it is time.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Settled> {
        let ripe = self.held_due().is_some_and(|due| due <= now);
        let held = if ripe { self.held.take() } else { None };
        let mut settled = held.map(Held::settled);
        self.rechecks.retain(|path, &mut at| {
            if at <= now {
                let into =
                    settled.get_or_insert_with(|| Settled { hints: HintSet::new(), first: at, reported: at });
                into.hints.insert(path, Phase::Complete);
            }
            at > now
        });
        settled
    }

    /// What is held, whether it is quiet or not.
    pub(crate) fn take_now(&mut self, now: Instant) -> Option<Settled> {
        let held = self.held.take().map(Held::settled);
        match (held, self.take(now)) {
            (Some(mut held), Some(rechecks)) => {
                held.hints.merge(rechecks.hints);
                Some(held)
            }
            (held, rechecks) => held.or(rechecks),
        }
    }

    fn held_due(&self) -> Option<Instant> {
        let held = self.held.as_ref()?;
        let quiet = if held.hints.any_writing() { self.quiet.max(WRITING_QUIET) } else { self.quiet };
        let quiet = held.not_before.map_or(held.last + quiet, |until| until.max(held.last + quiet));
        Some(quiet.min((held.first + self.max_hold).max(held.extended.unwrap_or(held.first))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn settle() -> (Settle, Instant) {
        (Settle::new(20 * MS, 500 * MS), Instant::now())
    }

    fn hint(settle: &mut Settle, path: &str, phase: Phase, at: Instant) {
        let mut hints = HintSet::new();
        hints.insert(path, phase);
        settle.add(hints, at, at);
    }

    #[test]
    fn a_second_save_within_the_quiet_time_extends_it() {
        let (mut settle, start) = settle();
        assert_eq!(settle.due(), None);
        hint(&mut settle, "/a", Phase::Complete, start);
        assert!(settle.take(start + 19 * MS).is_none());
        hint(&mut settle, "/b", Phase::Complete, start + 19 * MS);
        assert!(settle.take(start + 38 * MS).is_none());
        assert_eq!(settle.due(), Some(start + 39 * MS));
        let settled = settle.take(start + 39 * MS).unwrap();
        assert_eq!(settled.hints.len(), 2);
        assert_eq!(settled.first, start);
        assert_eq!(settle.due(), None);
    }

    #[test]
    fn constant_writes_do_not_starve_it() {
        let (mut settle, start) = settle();
        let mut looks = Vec::new();
        for i in 0..2000 {
            let now = start + i * MS;
            hint(&mut settle, "/a", Phase::Writing, now);
            if let Some(settled) = settle.take(now) {
                assert!(now - settled.first <= 500 * MS);
                looks.push(i);
            }
        }
        assert_eq!(looks, [500, 1001, 1502]);
    }

    #[test]
    fn what_is_put_off_is_taken_when_it_may_or_has_been_held_long_enough() {
        let (mut settle, start) = settle();
        hint(&mut settle, "/a", Phase::Complete, start);
        assert!(!settle.is_ripe(start + 19 * MS) && settle.is_ripe(start + 20 * MS));
        assert!(settle.postpone(start + 20 * MS, start + 30 * MS));
        assert!(settle.take(start + 29 * MS).is_none());
        assert!(settle.take(start + 30 * MS).is_some());

        hint(&mut settle, "/b", Phase::Complete, start);
        let mut now = start + 20 * MS;
        while settle.is_ripe(now) && settle.postpone(now, now + 10 * MS) {
            now += 10 * MS;
        }
        assert_eq!(now, start + 500 * MS);
        assert!(settle.take(now).is_some());
        assert!(!settle.postpone(now, now + 10 * MS), "nothing is held");
    }

    #[test]
    fn who_is_known_to_be_at_work_is_waited_for_beyond_the_usual_time_and_not_for_ever() {
        let (mut settle, start) = settle();
        hint(&mut settle, "/a", Phase::Complete, start);
        let mut now = start + 500 * MS;
        assert!(!settle.postpone(now, now + 10 * MS));
        while settle.extend(now + 250 * MS, 30_000 * MS) {
            now += 250 * MS;
            assert_eq!(settle.due(), Some(now));
            assert!(!settle.is_ripe(now - MS) && settle.is_ripe(now));
        }
        assert_eq!(now, start + 30_000 * MS);
        assert!(settle.take(now).is_some());
    }

    #[test]
    fn what_was_taken_too_early_is_taken_again_and_its_time_counts_from_the_first_hint() {
        let (mut settle, start) = settle();
        hint(&mut settle, "/a", Phase::Complete, start);
        let early = settle.take(start + 20 * MS).unwrap();
        let written_just_now =
            |settle: &Settle, settled: &Settled, at| settle.calm_for(settled, at).rest(Duration::ZERO, at);
        assert_eq!(written_just_now(&settle, &early, start + 20 * MS), Some(20 * MS));
        hint(&mut settle, "/b", Phase::Complete, start + 21 * MS);
        settle.put_back(early, start + 35 * MS);
        assert_eq!(settle.due(), Some(start + 41 * MS), "the later hint has a quiet time of its own");
        let again = settle.take(start + 41 * MS).unwrap();
        assert!(again.hints.len() == 2 && again.first == start);
        assert_eq!(written_just_now(&settle, &again, start + 500 * MS), None, "held for long enough");
        settle.put_back(again, start + 900 * MS);
        assert_eq!(settle.due(), Some(start + 500 * MS));
    }

    #[test]
    fn what_was_written_after_the_last_hint_is_not_looked_at_until_all_is_reported() {
        let (mut settle, start) = settle();
        hint(&mut settle, "/a", Phase::Complete, start);
        let now = start + 60 * MS;
        let settled = settle.take(now).unwrap();
        let calm = settle.calm_for(&settled, now);
        assert_eq!(calm.rest(59 * MS, now), Some(Duration::ZERO), "nobody has hinted it");
        assert_eq!(calm.rest(61 * MS, now), None);
        settle.put_back(settled, now);
        settle.all_reported(now);
        let settled = settle.take(now).unwrap();
        assert_eq!(settle.calm_for(&settled, now).rest(59 * MS, now), None);
    }

    #[test]
    fn an_open_writer_is_waited_for_even_without_a_quiet_time() {
        let start = Instant::now();
        let mut settle = Settle::new(Duration::ZERO, 500 * MS);
        hint(&mut settle, "/a", Phase::Writing, start);
        assert_eq!(settle.due(), Some(start + 20 * MS));
        hint(&mut settle, "/a", Phase::Complete, start + MS);
        assert_eq!(settle.due(), Some(start + MS));
    }

    #[test]
    fn a_recheck_comes_at_its_time_and_holds_nothing_up() {
        let (mut settle, start) = settle();
        settle.recheck("/gone".into(), start + 60 * MS);
        settle.recheck("/gone".into(), start + 90 * MS);
        hint(&mut settle, "/a", Phase::Complete, start);
        let first = settle.take(start + 20 * MS).unwrap();
        assert!(!first.hints.covers("/gone".as_ref()));
        assert_eq!(settle.due(), Some(start + 60 * MS));
        hint(&mut settle, "/b", Phase::Complete, start + 59 * MS);
        let second = settle.take(start + 60 * MS).unwrap();
        assert!(second.hints.covers("/gone".as_ref()) && !second.hints.covers("/b".as_ref()));
        assert_eq!(settle.due(), Some(start + 79 * MS));
    }

    #[test]
    fn nothing_is_held_back_when_all_is_wanted_at_once() {
        let (mut settle, start) = settle();
        hint(&mut settle, "/a", Phase::Writing, start);
        settle.recheck("/later".into(), start + 60 * MS);
        let all = settle.take_now(start).unwrap();
        assert!(all.hints.covers("/a".as_ref()) && !all.hints.covers("/later".as_ref()));
        assert!(settle.take_now(start).is_none());
    }
}
