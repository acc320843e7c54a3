//! How many requests are on their way at the same time: where an answer takes long, waiting for one after the other
//! would take longer than everything else.

use std::time::Duration;

/// An answer that takes longer is waited for beside others.
const SLOW: Duration = Duration::from_micros(250);

/// More at once would be in the way of others who ask that server.
const MOST: usize = 16;

/// More threads are worth it if they are answered so much faster together.
const WORTH: f64 = 1.25;

/// Finds out how many threads are answered fastest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    /// Where answers come at once.
    usual: usize,
    now: usize,
    /// Answers in a second, the best so far.
    best: f64,
    is_found: bool,
    /// How long an answer took.
    answer: Duration,
}

impl InFlight {
    pub(crate) fn new(usual: usize) -> Self {
        Self { usual, now: usual, best: 0.0, is_found: false, answer: Duration::ZERO }
    }

    /// How many threads the next look may have.
    pub(crate) fn threads(&self) -> usize {
        self.now
    }

    /// How long the last look waited for an answer, at the mean.
    pub(crate) fn answer(&self) -> Duration {
        self.answer
    }

    /// Whether each answer is waited for.
    pub(crate) fn is_slow(&self) -> bool {
        self.answer >= SLOW
    }

    /// A look by so many threads had so many answers, took so long, and so much of that was work of our own.
    pub(crate) fn note(&mut self, threads: usize, answers: usize, took: Duration, used: Duration) {
        let Ok(count) = u32::try_from(answers.max(1)) else { return };
        let waited = (took * u32::try_from(threads).unwrap_or(1)).saturating_sub(used);
        self.answer = waited / count;
        if !self.is_slow() {
            (self.now, self.best, self.is_found) = (self.usual, 0.0, false);
            return;
        }
        // What has fewer parts than threads says nothing.
        if self.is_found || threads < self.now || answers < 2 * self.now {
            return;
        }
        let rate = f64::from(count) / took.as_secs_f64().max(f64::EPSILON);
        if rate > self.best * WORTH {
            self.best = rate;
            self.is_found = self.now == MOST;
            self.now = (self.now * 2).min(MOST);
        } else {
            self.now = (self.now / 2).max(self.usual);
            self.is_found = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_server_that_answers_many_at_once_is_asked_by_many_and_one_that_does_not_is_not() {
        let mut both = [InFlight::new(1); 2];
        for _ in 0..20 {
            for (in_flight, at_once) in both.iter_mut().zip([64, 2]) {
                let threads = in_flight.threads();
                let took = 5 * MS * 1000 / u32::try_from(threads.min(at_once)).unwrap();
                in_flight.note(threads, 1000, took, MS);
            }
        }
        assert_eq!(both.map(|one| one.threads()), [MOST, 2]);
        assert!(both.iter().all(InFlight::is_slow));
        both[0].note(MOST, 1000, 10 * MS, MS);
        assert!(!both[0].is_slow() && both[0].threads() == 1, "it is fast again");
    }

    #[test]
    fn a_look_of_few_parts_tells_nothing_of_more_threads() {
        let mut in_flight = InFlight::new(2);
        in_flight.note(1, 1000, 5000 * MS, MS);
        in_flight.note(2, 3, 15 * MS, MS);
        assert_eq!(in_flight.threads(), 2);
        assert_eq!(in_flight.answer(), 29 * MS / 3);
    }
}
