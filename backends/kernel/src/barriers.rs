//! Barriers by cookie: something that is seen through the same queue as every change before it. Who places
//! it, and how, is up to the watches.

use std::collections::VecDeque;

use hotloader_backend::BarrierRequest;

/// The barriers that wait for a cookie, by its number.
#[derive(Debug, Default)]
pub(crate) struct Barriers {
    last: u64,
    waiting: VecDeque<(u64, BarrierRequest)>,
}

impl Barriers {
    /// Returns the number of the cookie that is to be placed now.
    pub(crate) fn begin(&mut self, request: BarrierRequest) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, request));
        self.last
    }

    /// The cookie of whoever still waits may be among what was lost: returns the number of another.
    pub(crate) fn begin_again(&mut self) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        self.last += 1;
        Some(self.last)
    }

    /// That cookie has come through the queue.
    pub(crate) fn complete_to(&mut self, seen: u64) {
        while self.waiting.front().is_some_and(|&(number, _)| number <= seen) {
            if let Some((_, request)) = self.waiting.pop_front() {
                request.complete();
            }
        }
    }

    /// No cookie can be placed.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.waiting.drain(..).for_each(|(_, request)| request.refuse(reason));
    }
}
