//! Who watches what: the part of the supervisor that brings its lanes nearer to what they should be, hands
//! directories over from one to another, and says when all of them are watched.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use hotloader_backend::{Armed, BackendFailure, BackendInputs, LostCause, Report, Scope, SkipCause, Skipped};

use super::{
    choice::Choice,
    questions::Purpose,
    supervisor::Supervisor,
    targets::{Target, targets},
};

impl Supervisor {
    fn targets(&self) -> Vec<Target> {
        targets(&self.wanted.dirs, &self.choices, &self.lanes)
    }

    /// Brings the lanes nearer to what they should be, as far as it goes without waiting.
    pub(super) fn advance(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        loop {
            let targets = self.targets();
            let needed: BTreeSet<usize> = targets.iter().filter_map(|target| target.lane).collect();
            let mut failed = None;
            for &at in &needed {
                if let Err(failure) = self.lanes[at].start() {
                    failed = Some((at, failure));
                    break;
                }
            }
            if let Some((at, failure)) = failed {
                self.fail(at, &failure, inputs)?;
                continue;
            }
            self.spread(&targets);
            return self.conclude(inputs);
        }
    }

    /// Gives each lane its directories: those targeted at it, and those it holds until another has them.
    fn spread(&mut self, targets: &[Target]) {
        let mut plans: Vec<Vec<Arc<Path>>> = vec![Vec::new(); self.lanes.len()];
        let mut unproven = BTreeSet::new();
        for (place, (dir, target)) in self.wanted.dirs.iter().zip(targets).enumerate() {
            unproven.extend(target.on_trial);
            for (at, lane) in self.lanes.iter().enumerate() {
                if target.lane == Some(at) || target.on_trial == Some(at) {
                    plans[at].push(dir.clone());
                } else if lane.holds(dir) && lane.takes(dir) {
                    match target.lane {
                        Some(to) if self.lanes[to].covers(place, dir) && self.lanes[to].is_proven() => {
                            self.gap = true
                        }
                        to => {
                            unproven.extend(to);
                            plans[at].push(dir.clone());
                        }
                    }
                }
            }
        }
        for (lane, dirs) in self.lanes.iter_mut().zip(plans) {
            if dirs.is_empty() {
                lane.rest();
            } else {
                // Nearly always there is one lane, with all of them.
                let all = dirs.len() == self.wanted.dirs.len();
                let dirs = if all { self.wanted.dirs.clone() } else { dirs.into_iter().collect() };
                lane.send(dirs, &self.wanted.trees);
            }
        }
        for at in unproven {
            if self.lanes[at].ask_for_proof() {
                self.questions.ask(&self.lanes[at], Purpose::Proof);
            }
        }
        self.lanes.retain(|lane| !lane.retiring || lane.is_running());
    }

    /// Says what is confirmed by now.
    fn conclude(&mut self, inputs: &BackendInputs) -> Result<(), BackendFailure> {
        let targets = self.targets();
        self.serves.clear();
        let mut pending = 0;
        let mut skipped = Vec::new();
        let wanted = self.wanted.dirs.iter().zip(&targets).zip(&self.choices);
        for (place, ((dir, target), choice)) in wanted.enumerate() {
            let best = target.lane.filter(|&at| self.lanes[at].covers(place, dir));
            let lane = match best {
                Some(at) => Some(&self.lanes[at]),
                None => self.lanes.iter().find(|lane| lane.covers(place, dir)),
            };
            match lane {
                Some(lane) => *self.serves.entry(lane.id).or_default() += 1,
                None if target.lane.or(target.on_trial).is_some() => pending += 1,
                None => {
                    let reason = self.why_nobody(choice, dir);
                    skipped.push(Skipped { dir: dir.to_path_buf(), cause: SkipCause::Limit, reason });
                }
            }
        }
        self.has_news = true;
        self.covered = pending == 0 && skipped.is_empty();
        self.trouble = skipped.first().map(|skipped| skipped.reason.clone());
        if let Some(reason) = &self.trouble
            && self.confirmed.is_none()
        {
            // At the start a person is there to mend it; later the best is made of it.
            return Err(BackendFailure::next_backend(reason.clone()));
        }
        if pending > 0 {
            return Ok(());
        }
        let revision = self.wanted.revision;
        if !skipped.is_empty() {
            // Whoever can watch them later has to be followed by a look at everything.
            self.gap = true;
        } else if std::mem::take(&mut self.gap) {
            let cause = LostCause::Handover;
            inputs.reports.report(Report::LostSync { scope: Scope::Everything, cause });
        }
        // Directories that nobody can watch must not hold up the others.
        if self.confirmed != Some(revision) && revision > 0 {
            self.confirmed = Some(revision);
            // Whoever hears of it may ask at once who watches.
            self.tell();
            inputs.reports.report(Report::Armed(Armed { revision, skipped }));
        }
        Ok(())
    }

    fn why_nobody(&self, choice: &Choice, dir: &Path) -> String {
        let lanes = choice.backends.iter().filter_map(|name| self.lane(name));
        let reasons: Vec<&str> = lanes.filter_map(|at| self.lanes[at].why_not(dir)).collect();
        if reasons.is_empty() { "no backend watches it".into() } else { reasons.join("; ") }
    }
}
