//! When to look at what is in use on one mount. A thread of its own does: neither a pass that takes long nor a
//! server that hangs is waited for by anybody else.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use hotloader_backend::{DirSet, ReportSink};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use crate::{
    glance::{Glance, Glances},
    in_use::InUse,
    lane::{Done, Lane},
    mounts::MountPoints,
    options::Options,
    pass::{Manner, Outcome},
};

/// Nobody waits for a look that takes longer.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is in use on one mount, and when it was looked at.
#[derive(Debug)]
pub(crate) struct Glancer {
    pub(crate) id: u64,
    lane: Option<Lane<Glance>>,
    in_use: Arc<InUse>,
    begun: Option<Instant>,
    due: Instant,
    /// A look is to begin as soon as the lane is free.
    looks_again: bool,
    /// How often the look at work may ask the server.
    pub(crate) allowed: u32,
    /// How long the last look took.
    took: Duration,
}

impl Glancer {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            lane: None,
            in_use: Arc::default(),
            begun: None,
            due: Instant::now(),
            looks_again: false,
            allowed: 0,
            took: Duration::ZERO,
        }
    }

    /// Of the files that are in use, those in these directories are on its mount.
    pub(crate) fn set(&mut self, files: &BTreeSet<PathBuf>, dirs: &DirSet) {
        let in_use = InUse::within(files, dirs);
        if *self.in_use != in_use {
            self.in_use = in_use.into();
        }
    }

    pub(crate) fn has_any(&self) -> bool {
        !self.in_use.is_empty()
    }

    pub(crate) fn files(&self) -> usize {
        self.in_use.files()
    }

    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// Gives the lane a look, if one is due and it is free. `allow` says, of so many questions to the server, how many
    /// it may ask.
    pub(crate) fn go_on(
        &mut self,
        now: Instant,
        manner: Manner,
        mount_points: Arc<MountPoints>,
        (reports, done): (&ReportSink, &UnboundedSender<Done>),
        allow: impl FnOnce(u32) -> u32,
    ) {
        if !self.has_any() || self.begun.is_some() || now < self.due && !self.looks_again {
            return;
        }
        if self.lane.is_none() {
            let start = Lane::start(self.id, done.clone(), |pulse| {
                let mut glances = Glances::new(manner, reports.clone(), pulse);
                move |order: Glance| glances.look(&order)
            });
            match start {
                Ok(lane) => self.lane = Some(lane),
                // The passes see everything as well, later.
                Err(error) => {
                    tracing::debug!(target: "watch", %error, "cannot start a thread to look at what is in use");
                    self.due = now + PATIENCE;
                    return;
                }
            }
        }
        let Some(lane) = &self.lane else { return };
        self.looks_again = false;
        self.begun = Some(now);
        self.allowed = allow(self.in_use.questions());
        lane.give(Glance { in_use: self.in_use.clone(), mount_points, allowed: self.allowed });
    }

    /// When there is something to do.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        (self.has_any() && self.begun.is_none()).then_some(self.due)
    }

    /// Has a look begin as soon as it can.
    pub(crate) fn look_again(&mut self, now: Instant) {
        self.looks_again = self.may_look_again(now);
    }

    /// Whether a look is likely to end soon.
    pub(crate) fn may_look_again(&self, now: Instant) -> bool {
        self.has_any() && self.begun.is_none_or(|begun| now < begun + PATIENCE)
    }

    /// Whether a look is at work that others wait for.
    pub(crate) fn is_looking(&self, now: Instant) -> bool {
        self.may_look_again(now) && (self.looks_again || self.begun.is_some())
    }

    /// Takes over what a look brought; returns when it began.
    pub(crate) fn finish(&mut self, outcome: &Outcome, now: Instant, options: &Options) -> Option<Instant> {
        let begun = self.begun.take()?;
        self.took = now - begun;
        self.due = begun + pace(outcome, options);
        Some(begun)
    }
}

/// From the beginning of such a look to that of the next. Half of the processor time and of the requests that are
/// allowed are for passes over everything.
fn pace(outcome: &Outcome, options: &Options) -> Duration {
    let processor = outcome.used.div_f64(options.max_cpu / 2.0);
    let requests = f64::from(outcome.requests) / (f64::from(options.max_requests) / 2.0);
    options.shortest_interval().max(processor).max(Duration::from_secs_f64(requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn looks_at_what_is_in_use_leave_half_of_the_processor_and_of_the_requests_to_passes() {
        let options = Options::default();
        let pace = |used, requests| pace(&Outcome { used, requests, ..Outcome::default() }, &options);
        assert_eq!(pace(MS, 10), 100 * MS);
        assert_eq!(pace(10 * MS, 10), 400 * MS);
        assert_eq!(pace(MS, 500), 500 * MS);
    }

    #[test]
    fn nobody_waits_for_a_look_that_hangs() {
        let now = Instant::now();
        let mut glancer = Glancer::new(1);
        glancer.set(&[PathBuf::from("/a/x")].into(), &[PathBuf::from("/a")].into_iter().collect());
        glancer.begun = Some(now);
        assert!(glancer.is_looking(now));
        assert!(!glancer.is_looking(now + PATIENCE) && !glancer.may_look_again(now + PATIENCE));
    }
}
