//! Who looks at what and when: the plan split by mounts, the times of the passes, barriers, vitals. It
//! touches no watched file system itself, so it never hangs.

use std::{collections::BTreeMap, iter, mem, path::Path, sync::Arc, time::Duration};

use hotloader_backend::{
    Armed, BackendFailure, BackendInputs, BarrierRequest, DirSet, LostCause, Report, ReportSink,
    ReportStream, Scope, Skipped, WatchPlan,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    group::{Group, top},
    hold::Hold,
    lane::Done,
    load::{Load, processor_time},
    mounts::{Device, Mount, Mounts},
    options::Options,
    pass::Outcome,
    requests::Budget,
};

/// How long a stop waits for the system calls that lanes are in.
const LANES_END: Duration = Duration::from_secs(1);

/// So many barriers wait for passes at the same time; others wait to be taken up.
const MAX_WAITING: usize = 64;

/// The one who deals out the work.
pub(crate) struct Poller {
    options: Options,
    inputs: BackendInputs,
    mounts: Mounts,
    groups: Vec<Group>,
    next_id: u64,
    plan: Arc<WatchPlan>,
    /// What was last said to be skipped, and whether that was of the present plan.
    skipped: Vec<Skipped>,
    is_armed: bool,
    /// Counts requests; each waits for a pass over each mount that is begun after it.
    barrier: u64,
    waiting: Vec<(u64, BarrierRequest)>,
    hold: Hold,
    load: Load,
    requests: Budget,
    changed: Instant,
    passes: u64,
    last_pass: Duration,
    /// What lanes report goes in here and is forwarded when it is time, so that one that hangs at the end
    /// keeps nobody waiting for the last report.
    lane_reports: ReportSink,
    reported: ReportStream,
    done: UnboundedSender<Done>,
    finished: UnboundedReceiver<Done>,
}

/// Why the wait is over.
enum Wake {
    Stop,
    Plan,
    Barrier(BarrierRequest),
    Reports(hotloader_backend::Collected),
    Done(Done),
    Time,
    Hold,
}

impl Poller {
    pub(crate) fn new(options: Options, inputs: BackendInputs) -> Self {
        let (lane_reports, reported) = ReportSink::new();
        let (done, finished) = mpsc::unbounded_channel();
        let now = Instant::now();
        Self {
            options,
            inputs,
            mounts: Mounts::new(),
            groups: Vec::new(),
            next_id: 0,
            plan: Arc::default(),
            skipped: Vec::new(),
            is_armed: true,
            barrier: 0,
            waiting: Vec::new(),
            load: Load::new(options.max_cpu, now),
            requests: Budget::new(options.max_requests, now),
            changed: now,
            passes: 0,
            last_pass: Duration::ZERO,
            hold: Hold::new(options.interval(Duration::ZERO)),
            lane_reports,
            reported,
            done,
            finished,
        }
    }

    /// Works until it is stopped.
    pub(crate) async fn run(mut self) -> Result<(), BackendFailure> {
        let result = self.work().await;
        self.release();
        let Self { groups, done, mut finished, .. } = self;
        drop((groups, done));
        let all_ended = async { while finished.recv().await.is_some() {} };
        if timeout(LANES_END, all_ended).await.is_err() {
            tracing::warn!(target: "watch", "a file system does not answer; a polling thread is left behind");
        }
        result
    }

    async fn work(&mut self) -> Result<(), BackendFailure> {
        loop {
            let wake = self.wake().await;
            let (now, before) = (Instant::now(), processor_time());
            let is_asked = matches!(wake, Wake::Plan | Wake::Barrier(_));
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Plan => self.take_plan()?,
                Wake::Barrier(request) => self.take_barrier(request)?,
                Wake::Reports(collected) => self.hold.add(collected, Instant::now()),
                Wake::Done(done) => self.finish(done)?,
                Wake::Time => self.follow_mounts()?,
                Wake::Hold => {}
            }
            self.go_on();
            // To deal out the work is a part of it.
            let used = processor_time().saturating_sub(before);
            self.load.add(now, now, used, is_asked);
        }
    }

    async fn wake(&mut self) -> Wake {
        let interval = self.interval();
        let wakes = self.groups.iter().filter_map(|group| group.wakes(self.due(group, interval))).min();
        let glances = self.groups.iter().filter_map(|group| group.glancer.wakes()).min();
        let wakes = wakes.into_iter().chain(glances).min();
        let hold = self.hold.wakes();
        let takes_barriers = self.waiting.len() < MAX_WAITING;
        let inputs = &mut self.inputs;
        tokio::select! {
            biased;
            () = inputs.stop.cancelled() => Wake::Stop,
            plan = inputs.plan.changed() => if plan.is_ok() { Wake::Plan } else { Wake::Stop },
            Some(done) = self.finished.recv() => Wake::Done(done),
            Some(collected) = self.reported.next() => Wake::Reports(collected),
            Some(request) = inputs.barriers.recv(), if takes_barriers => Wake::Barrier(request),
            () = sleep_until(hold.unwrap_or_else(Instant::now)), if hold.is_some() => Wake::Hold,
            () = sleep_until(wakes.unwrap_or_else(Instant::now)), if wakes.is_some() => Wake::Time,
        }
    }

    fn interval(&self) -> Duration {
        self.options.interval(self.changed.elapsed())
    }

    fn due(&self, group: &Group, interval: Duration) -> Instant {
        group.due(interval).max(self.load.rests_until())
    }

    /// Keeps everybody busy, and says what has become true.
    fn go_on(&mut self) {
        let now = Instant::now();
        let interval = self.interval();
        let rests_until = self.load.rests_until();
        let mut ceased = false;
        if self.hold.begin_look(now) {
            self.groups.iter_mut().for_each(|group| {
                group.look_again();
                group.glancer.look_again(now);
            });
        }
        let askers = self.groups.iter().filter(|group| group.asks_server).count();
        let glances = self.groups.iter().any(|group| group.asks_server && group.glancer.has_any());
        for group in &mut self.groups {
            let (asks, manner) = (group.asks_server, group.manner);
            let ends = (&self.lane_reports, &self.done);
            let allow = |most: u32| if asks { self.requests.take_for_glance(most, now) } else { 0 };
            group.glancer.go_on(now, manner, self.mounts.points(), ends, allow);
            let (due, points) = (group.due(interval).max(rests_until), self.mounts.points());
            // Half of what is left stays for what is in use.
            let among = if glances { 2 * askers } else { askers };
            group.go_on(now, self.barrier, due, points, || self.requests.take(among, now));
            ceased |= group.check(now);
        }
        self.groups.retain(|group| !group.is_over());
        if ceased {
            self.publish();
        }
        self.tell_armed(ceased);
        let is_looking = |group: &Group| group.is_looking() || group.glancer.is_looking(now);
        if self.hold.is_over(self.groups.iter().any(is_looking), now) {
            self.release();
        }
        // A barrier proves that all was reported. It waits for what is held: the supervisor asks for one
        // every few seconds, and must not tear what is saved just then.
        if !self.hold.has_any() {
            let groups = &self.groups;
            self.waiting
                .extract_if(.., |(barrier, _)| groups.iter().all(|group| group.proves(*barrier)))
                .for_each(|(_, request)| request.complete());
        }
    }

    /// Reports what was held back.
    fn release(&mut self) {
        if let Some(collected) = self.hold.release() {
            self.inputs.reports.forward(collected);
        }
    }

    fn take_barrier(&mut self, request: BarrierRequest) -> Result<(), BackendFailure> {
        self.barrier += 1;
        self.waiting.push((self.barrier, request));
        self.follow_mounts()
    }

    /// A new plan is a change: whoever makes it is at work.
    fn take_plan(&mut self) -> Result<(), BackendFailure> {
        let revision = self.plan.revision;
        self.plan = self.inputs.plan.borrow_and_update().clone();
        if self.plan.revision == revision {
            self.groups.iter_mut().for_each(|group| group.set_in_use(&self.plan.in_use));
            self.publish();
            return Ok(());
        }
        self.is_armed = false;
        self.changed = Instant::now();
        self.mounts.refresh();
        self.regroup(true)
    }

    /// What is mounted can change under the same plan.
    fn follow_mounts(&mut self) -> Result<(), BackendFailure> {
        if self.mounts.refresh() { self.regroup(false) } else { Ok(()) }
    }

    /// Gives each mount the directories of the plan that are on it: all mounts, or those where they are
    /// not the same as before.
    fn regroup(&mut self, all: bool) -> Result<(), BackendFailure> {
        let mut parts: BTreeMap<Device, (&Mount, Vec<Arc<Path>>)> = BTreeMap::new();
        for (dir, mount) in self.mounts.of_each(&self.plan.dirs) {
            parts.entry(mount.device).or_insert_with(|| (mount, Vec::new())).1.push(dir.clone());
        }
        let parts: BTreeMap<Device, (&Mount, DirSet)> = parts
            .into_iter()
            .map(|(device, (mount, dirs))| {
                // Nearly always there is one mount.
                let all = dirs.len() == self.plan.dirs.len();
                (device, (mount, if all { self.plan.dirs.clone() } else { dirs.into_iter().collect() }))
            })
            .collect();
        let moved: Vec<_> = parts
            .iter()
            .map(|(device, (_, dirs))| {
                let was_elsewhere = |dir: &&Arc<Path>| {
                    self.groups.iter().any(|group| group.device != *device && group.has(dir))
                };
                top(dirs.iter().filter(was_elsewhere))
            })
            .collect();
        for group in &mut self.groups {
            if !parts.contains_key(&group.device) {
                group.set_dirs(DirSet::new(), iter::empty());
            }
        }
        for ((device, (mount, dirs)), moved) in parts.into_iter().zip(moved) {
            let at = self.groups.iter().position(|group| group.device == device);
            let at = at.unwrap_or(self.groups.len());
            if at == self.groups.len() {
                self.next_id += 2;
                let (reports, done) = (self.lane_reports.clone(), self.done.clone());
                let ids = (self.next_id, self.next_id + 1);
                let group = Group::start(ids, mount, self.options, reports, done);
                self.groups.push(group.map_err(cannot_start)?);
            }
            if all || !self.groups[at].is_same(&dirs) {
                self.groups[at].set_dirs(dirs, moved);
            }
        }
        self.groups.iter_mut().for_each(|group| group.set_in_use(&self.plan.in_use));
        Ok(())
    }

    fn finish(&mut self, done: Done) -> Result<(), BackendFailure> {
        let mut outcome = done.outcome.ok_or_else(panicked)?;
        let now = Instant::now();
        // Before anything that rests on it.
        if let Some(collected) = self.reported.take() {
            self.hold.add(collected, now);
        }
        let is_asked = |group: &&mut Group| [group.id, group.glancer.id].contains(&done.lane);
        let Some(group) = self.groups.iter_mut().find(is_asked) else { return Ok(()) };
        if group.id != done.lane {
            self.requests.settle(mem::take(&mut group.glancer.allowed), outcome.requests);
            let Some(begun) = group.glancer.finish(&outcome, now, &self.options) else { return Ok(()) };
            self.load.add(begun, now, outcome.used, false);
            self.ended(outcome.changed, now);
            return Ok(());
        }
        self.requests.settle(mem::take(&mut group.allowed), outcome.requests);
        let Some(finished) = group.finish(&mut outcome, now) else { return Ok(()) };
        let Outcome { changed, used, .. } = outcome;
        tracing::trace!(target: "watch", took = ?now - finished.begun, processor = ?used, "looked at the disk");
        self.load.add(finished.begun, now, used, finished.is_asked);
        if !finished.lost.is_empty() {
            self.changed = now;
        }
        self.ended(changed, now);
        for dir in finished.lost {
            let (scope, cause) = (Scope::Below(dir), LostCause::Reconnected);
            self.inputs.reports.report(Report::LostSync { scope, cause });
        }
        let took = self.groups.iter().filter(|group| !group.is_empty()).map(Group::took);
        // Over all mounts, if each has had a pass.
        if let Some(longest) = took.collect::<Option<Vec<_>>>().and_then(|took| took.into_iter().max()) {
            self.passes += 1;
            self.last_pass = longest;
            self.groups.iter_mut().for_each(Group::begin_round);
        }
        self.publish();
        self.tell_armed(true);
        Ok(())
    }

    /// A look is over: what it found leaves at once, or after another look that is cheap.
    fn ended(&mut self, has_found: bool, now: Instant) {
        if has_found {
            self.changed = now;
        }
        let may_look_again = |group: &Group| group.may_look_again() || group.glancer.may_look_again(now);
        if self.groups.iter().any(may_look_again) {
            self.hold.end_pass(has_found, now);
        } else {
            self.release();
        }
    }

    /// Says what is watched, when the plan is new or that has changed.
    fn tell_armed(&mut self, may_differ: bool) {
        if self.is_armed && !may_differ || !self.groups.iter().all(Group::is_armed) {
            return;
        }
        let skipped: Vec<_> = self.groups.iter().flat_map(Group::skipped).collect();
        if self.is_armed && skipped == self.skipped {
            return;
        }
        self.is_armed = true;
        self.skipped.clone_from(&skipped);
        self.inputs.reports.report(Report::Armed(Armed { revision: self.plan.revision, skipped }));
    }

    fn publish(&self) {
        let now = Instant::now();
        let entries: usize = self.groups.iter().map(Group::entries).sum();
        let mut detail = format!("every {}, {entries} entries", humantime::format_duration(self.interval()));
        if self.groups.len() > 1 {
            detail += &format!(" on {} mounts", self.groups.len());
        }
        let in_use: usize = self.groups.iter().map(|group| group.glancer.files()).sum();
        if in_use > 0 {
            detail += &format!(", {in_use} in use");
        }
        for slow in self.groups.iter().filter_map(Group::slowness) {
            detail += &format!("; {slow}");
        }
        for silent in self.groups.iter().filter(|group| group.is_silent) {
            detail += &format!("; {} does not answer", silent.at().display());
        }
        let (passes, last_pass, cpu_share) = (self.passes, self.last_pass, self.load.share(now));
        let requests = self.requests.made;
        self.inputs.vitals.send_if_modified(|vitals| {
            let before = vitals.clone();
            (vitals.detail, vitals.cpu_share) = (detail, cpu_share);
            (vitals.passes, vitals.last_pass) = (passes, last_pass);
            vitals.requests = requests;
            *vitals != before
        });
    }
}

fn cannot_start(error: std::io::Error) -> BackendFailure {
    BackendFailure::retry("cannot start a thread to poll on").because(error)
}

pub(crate) fn panicked() -> BackendFailure {
    BackendFailure::retry("a polling thread panicked; please report it as a bug")
}

#[cfg(test)]
mod tests;
