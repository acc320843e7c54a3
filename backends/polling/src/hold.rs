//! Holds back what was found until another look finds nothing more.
//!
//! A pass may fall between two files that are saved together. Told at once, the first would be acted upon
//! before the second is found by the next pass, half a second or two seconds later: the debounce of who is told
//! waits for hints, and there are none until then. So both leave together.

use std::{mem, time::Duration};

use hotloader_backend::{Collected, ReportSink, ReportStream};
use tokio::time::Instant;

/// So long after something was found, everybody looks again, or sooner if they would by themselves. Between two
/// files that are saved together there is less.
const PAUSE: Duration = Duration::from_millis(20);

/// While each look finds more, looks go on for so long, and there are at most so many.
const LONGEST: Duration = Duration::from_millis(100);
const MAX_LOOKS: u32 = 10;

/// After so long what is held leaves, even if a look takes longer: a file system may hang.
const LIMIT: Duration = Duration::from_millis(250);

/// What is held, and when it leaves.
#[derive(Debug)]
pub(crate) struct Hold {
    pause: Duration,
    inbox: ReportSink,
    held: ReportStream,
    /// When the first of what is held came in.
    since: Option<Instant>,
    state: State,
    /// How many in a row.
    looks: u32,
    /// A look after the last find has found nothing more.
    is_settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No look is planned. What is held is of a pass that goes on.
    Idle,
    /// The next look begins then.
    Until(Instant),
    Looking {
        has_found: bool,
        /// Whether any look has come to an end.
        is_seen: bool,
    },
}

impl Hold {
    /// For passes that are so far apart.
    pub(crate) fn new(interval: Duration) -> Self {
        let (inbox, held) = ReportSink::new();
        Self {
            pause: PAUSE.min(interval),
            inbox,
            held,
            since: None,
            state: State::Idle,
            looks: 0,
            is_settled: false,
        }
    }

    /// Takes in what was reported.
    pub(crate) fn add(&mut self, collected: Collected, now: Instant) {
        self.since.get_or_insert(now);
        self.is_settled = false;
        self.inbox.forward(collected);
    }

    /// A pass is over, after which there may be another look. What it reported was added before.
    pub(crate) fn end_pass(&mut self, has_found: bool, now: Instant) {
        match self.state {
            State::Idle if has_found || self.since.is_some() => {
                self.looks = 0;
                self.state = State::Until(now + self.pause);
            }
            // Somebody asked for this pass.
            State::Until(_) if has_found && self.may_go_on(now) => {
                self.state = State::Until(now + self.pause)
            }
            State::Looking { has_found: before, .. } => {
                self.state = State::Looking { has_found: before || has_found, is_seen: true };
            }
            State::Idle | State::Until(_) => {}
        }
    }

    /// Whether a look begins now, which it then has.
    pub(crate) fn begin_look(&mut self, now: Instant) -> bool {
        let begins = matches!(self.state, State::Until(at) if at <= now);
        if begins {
            self.looks += 1;
            self.state = State::Looking { has_found: false, is_seen: false };
        }
        begins
    }

    /// Whether it is time for what is held to leave.
    pub(crate) fn is_over(&mut self, is_looking: bool, now: Instant) -> bool {
        if let State::Looking { has_found, is_seen } = self.state
            && !is_looking
        {
            if has_found && self.may_go_on(now) {
                self.state = State::Until(now + self.pause);
            } else {
                self.state = State::Idle;
                self.is_settled = is_seen && !has_found;
                return true;
            }
        }
        self.since.is_some_and(|since| since + LIMIT <= now)
    }

    /// Whether anything is held.
    pub(crate) fn has_any(&self) -> bool {
        self.since.is_some()
    }

    /// Hands over what is held. Looks that are planned stay planned. Where one has shown that it is quiet, nobody
    /// need wait for that again.
    pub(crate) fn release(&mut self) -> Option<Collected> {
        self.since = None;
        let mut collected = self.held.take()?;
        if mem::take(&mut self.is_settled) {
            collected.hints.settle();
        }
        Some(collected)
    }

    /// When to look after it again.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        let look = if let State::Until(at) = self.state { Some(at) } else { None };
        look.into_iter().chain(self.since.map(|since| since + LIMIT)).min()
    }

    fn may_go_on(&self, now: Instant) -> bool {
        self.looks < MAX_LOOKS && self.since.is_none_or(|since| now < since + LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use hotloader_backend::Phase;

    use super::*;

    fn hold(at: Instant) -> Hold {
        let (sink, mut reports) = ReportSink::new();
        sink.hint("/x", Phase::Complete);
        let mut hold = Hold::new(Duration::from_secs(1));
        hold.add(reports.take().unwrap(), at);
        hold
    }

    #[test]
    fn what_looks_the_same_but_is_told_for_caution_is_held_as_well() {
        let now = Instant::now();
        let mut hold = hold(now);
        hold.end_pass(false, now);
        assert!(!hold.is_over(false, now));
        assert!(hold.begin_look(now + PAUSE));
    }

    #[test]
    fn what_is_found_before_the_look_puts_it_off() {
        let now = Instant::now();
        let mut hold = hold(now);
        hold.end_pass(true, now);
        hold.end_pass(true, now + PAUSE / 2);
        assert!(!hold.begin_look(now + PAUSE));
        assert!(hold.begin_look(now + PAUSE + PAUSE / 2));
    }

    /// Has one look made, at so long after the first find, which finds more or not.
    fn look(hold: &mut Hold, now: Instant, has_found: bool) -> bool {
        assert!(hold.begin_look(now));
        hold.end_pass(has_found, now);
        hold.is_over(false, now)
    }

    #[test]
    fn what_another_look_has_found_nothing_beside_is_settled() {
        let now = Instant::now();
        let mut hold = hold(now);
        hold.end_pass(true, now);
        assert!(!look(&mut hold, now + PAUSE, true), "more is looked for");
        assert!(look(&mut hold, now + 2 * PAUSE, false));
        assert!(hold.release().unwrap().hints.is_settled());
    }

    #[test]
    fn what_is_held_no_longer_though_more_comes_or_nobody_has_looked_is_not_settled() {
        let now = Instant::now();
        let mut slow = hold(now);
        slow.end_pass(true, now);
        assert!(slow.begin_look(now + PAUSE) && slow.is_over(true, now + LIMIT));
        assert!(!slow.release().unwrap().hints.is_settled(), "the look hangs");

        let mut busy = hold(now);
        busy.end_pass(true, now);
        assert!(look(&mut busy, now + LONGEST, true));
        assert!(!busy.release().unwrap().hints.is_settled(), "each look finds more");

        let mut alone = hold(now);
        alone.end_pass(true, now);
        assert!(alone.begin_look(now + PAUSE) && alone.is_over(false, now + PAUSE));
        assert!(!alone.release().unwrap().hints.is_settled(), "all others take too long to look");
    }

    #[test]
    fn without_anything_found_there_is_no_look() {
        let mut hold = Hold::new(Duration::from_secs(1));
        hold.end_pass(false, Instant::now());
        assert_eq!(hold.wakes(), None);
    }
}
