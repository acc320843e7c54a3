//! Who watches what: which directories each lane is given, how they are handed over from one lane to another, and
//! when all of them are watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use hotloader_backend::{Armed, BackendFailure, SkipCause, Skipped, WatchPlan};

use super::{
    choice::Choice,
    lane::Lane,
    targets::{Target, next_after, targets},
};

/// What is to be watched, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    wanted: Arc<WatchPlan>,
    /// For each wanted directory, in their order.
    choices: Vec<Arc<Choice>>,
    /// The revision that was confirmed to the watcher.
    confirmed: Option<u64>,
    /// Somebody did not watch what was watched before: look everywhere as soon as all is watched again.
    has_gap: bool,
    /// Every wanted directory is watched.
    is_complete: bool,
    /// Why some are not.
    trouble: Option<String>,
    /// How many directories each lane watches that no better one does.
    serves: BTreeMap<u64, usize>,
}

/// What the watcher is to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    /// All is watched again, after a gap.
    pub(super) is_gap_over: bool,
    pub(super) armed: Option<Armed>,
}

impl Coverage {
    pub(super) fn wanted(&self) -> &WatchPlan {
        &self.wanted
    }

    /// Takes over another plan.
    pub(super) fn want(&mut self, plan: Arc<WatchPlan>) {
        self.wanted = plan;
    }

    /// Takes over the choice for each wanted directory, in their order.
    pub(super) fn choose(&mut self, choices: Vec<Arc<Choice>>) {
        self.choices = choices;
    }

    pub(super) fn choices(&self) -> &[Arc<Choice>] {
        &self.choices
    }

    /// Whether a plan was ever confirmed to the watcher.
    pub(super) fn was_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    pub(super) fn has_gap(&self) -> bool {
        self.has_gap
    }

    pub(super) fn note_gap(&mut self) {
        self.has_gap = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }

    /// How many directories a lane watches that no better one does.
    pub(super) fn served_by(&self, lane: &Lane) -> usize {
        self.serves.get(&lane.id).copied().unwrap_or_default()
    }

    /// Who would take over from a lane, if all that it has can be taken over.
    pub(super) fn next_after(&self, lane: &Lane, lanes: &[Lane]) -> Option<String> {
        next_after(lane, &self.choices, lanes)
    }

    /// For each wanted directory, in their order, who is to watch it.
    pub(super) fn targets(&self, lanes: &[Lane]) -> Vec<Target> {
        targets(&self.wanted.dirs, &self.choices, lanes)
    }

    /// Gives each lane its directories: those targeted at it, and those it holds until another has them.
    /// Returns the lanes that have to prove first that they work.
    pub(super) fn spread(&mut self, targets: &[Target], lanes: &mut [Lane]) -> BTreeSet<usize> {
        let mut plans: Vec<Vec<Arc<Path>>> = vec![Vec::new(); lanes.len()];
        let mut unproven = BTreeSet::new();
        for (place, (dir, target)) in self.wanted.dirs.iter().zip(targets).enumerate() {
            unproven.extend(target.on_trial);
            for (at, lane) in lanes.iter().enumerate() {
                if target.lane == Some(at) || target.on_trial == Some(at) {
                    plans[at].push(dir.clone());
                } else if lane.holds(dir) && lane.takes(dir) {
                    match target.lane {
                        Some(to) if lanes[to].covers(place, dir) && lanes[to].is_proven() => {
                            self.has_gap = true
                        }
                        to => {
                            unproven.extend(to);
                            plans[at].push(dir.clone());
                        }
                    }
                }
            }
        }
        for (lane, dirs) in lanes.iter_mut().zip(plans) {
            if dirs.is_empty() {
                lane.rest();
            } else {
                // Nearly always there is one lane, with all of them.
                let all = dirs.len() == self.wanted.dirs.len();
                let dirs = if all { self.wanted.dirs.clone() } else { dirs.into_iter().collect() };
                lane.send(dirs, &self.wanted);
            }
        }
        unproven
    }

    /// What is confirmed by now.
    ///
    /// # Errors
    ///
    /// When a directory is beyond what all backends can watch, and nothing was ever confirmed: at the start a
    /// person is there to mend it. Later the best is made of it.
    pub(super) fn conclude(&mut self, lanes: &[Lane]) -> Result<News, BackendFailure> {
        let targets = self.targets(lanes);
        self.serves.clear();
        let mut pending = 0;
        let mut skipped = Vec::new();
        let wanted = self.wanted.dirs.iter().zip(&targets).zip(&self.choices);
        for (place, ((dir, target), choice)) in wanted.enumerate() {
            let best = target.lane.filter(|&at| lanes[at].covers(place, dir));
            let lane = match best {
                Some(at) => Some(&lanes[at]),
                None => lanes.iter().find(|lane| lane.covers(place, dir)),
            };
            match lane {
                Some(lane) => *self.serves.entry(lane.id).or_default() += 1,
                None if target.lane.or(target.on_trial).is_some() => pending += 1,
                None => {
                    let reason = why_nobody(choice, dir, lanes);
                    skipped.push(Skipped { dir: dir.to_path_buf(), cause: SkipCause::Limit, reason });
                }
            }
        }
        self.is_complete = pending == 0 && skipped.is_empty();
        self.trouble = skipped.first().map(|skipped| skipped.reason.clone());
        if let Some(reason) = &self.trouble
            && self.confirmed.is_none()
        {
            return Err(BackendFailure::next_backend(reason.clone()));
        }
        let mut news = News::default();
        if pending > 0 {
            return Ok(news);
        }
        let revision = self.wanted.revision;
        if skipped.is_empty() {
            news.is_gap_over = std::mem::take(&mut self.has_gap);
        } else {
            // Whoever can watch them later has to be followed by a look at everything.
            self.has_gap = true;
        }
        // Directories that nobody can watch must not hold up the others.
        if self.confirmed != Some(revision) && revision > 0 {
            self.confirmed = Some(revision);
            news.armed = Some(Armed { revision, skipped });
        }
        Ok(news)
    }
}

fn why_nobody(choice: &Choice, dir: &Path, lanes: &[Lane]) -> String {
    let lane = |name: &String| lanes.iter().find(|lane| lane.name == *name && !lane.retiring);
    let lanes = choice.backends.iter().filter_map(lane);
    let reasons: Vec<&str> = lanes.filter_map(|lane| lane.why_not(dir)).collect();
    if reasons.is_empty() { "no backend watches it".into() } else { reasons.join("; ") }
}
