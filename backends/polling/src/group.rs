//! The directories on one mount, as the poller sees them: what their lane is at, and what is still to do.

use std::{
    collections::BTreeSet,
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hotloader_backend::{DirSet, ReportSink, SkipCause, Skipped};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use crate::{
    glancer::Glancer,
    lane::{Done, Lane},
    mounts::{Device, Mount, MountPoints},
    options::{Options, Sync},
    pass::{Manner, Order, OrderKind, Outcome, Tree},
};

/// A file system that has not answered one system call for so long is said not to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is seen to whether it does.
const CHECK: Duration = Duration::from_millis(250);

/// For how long what changed on a file system with another program or machine behind it is looked at
/// again: beyond the 20 seconds that sshfs keeps attributes.
const ECHO: Duration = Duration::from_secs(30);

/// What takes more processor time than this is not looked at again just because something changed.
const CHEAP: Duration = Duration::from_millis(20);

/// Where an answer takes longer, people are told what to expect.
const SLOW: Duration = Duration::from_millis(1);

/// The directories on one mount.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) device: Device,
    /// Where it is mounted, for people.
    at: PathBuf,
    lane: Lane<Order>,
    pub(crate) glancer: Glancer,
    pub(crate) manner: Manner,
    dirs: DirSet,
    state: Taken,
    task: Option<Task>,
    /// The newest barrier that a pass has proved.
    proved: u64,
    /// A pass is to begin as soon as the lane is free.
    looks_again: bool,
    /// How often the pass at work may ask the server.
    pub(crate) allowed: u32,
    /// Processor time of the last task.
    used: Duration,
    /// The file system does not answer.
    pub(crate) is_silent: bool,
    /// Its server is asked, and not the kernel.
    pub(crate) asks_server: bool,
    entries: usize,
    skipped: Vec<Skipped>,
    /// Where sync is lost until the present task is done.
    lost: Vec<PathBuf>,
    last_pass: Instant,
    /// How long it took, and how long an answer was waited for in it.
    pass: Duration,
    answer: Duration,
    /// Whether it was told to be slow.
    is_slow: bool,
    /// How long the last pass of the present round took.
    took: Option<Duration>,
}

/// How far the lane is with `dirs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    No,
    Ordered,
    Yes,
}

/// What the lane is at.
#[derive(Debug)]
struct Task {
    begun: Instant,
    kind: TaskKind,
    /// How often the file system had answered, when that was last new, and when it was looked at.
    answers: u64,
    heard: Instant,
    checked: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskKind {
    Take,
    Pass {
        /// It proves this barrier and those before.
        proves: u64,
        /// It would not have begun by itself yet.
        is_asked: bool,
        /// It is another look, after something was found.
        is_look: bool,
    },
}

/// A task that is done.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) begun: Instant,
    /// Somebody waits for it, so that it was begun without regard to the load.
    pub(crate) is_asked: bool,
    /// Where sync was lost.
    pub(crate) lost: Vec<PathBuf>,
}

impl Group {
    pub(crate) fn start(
        (id, glancer): (u64, u64),
        mount: &Mount,
        options: Options,
        reports: ReportSink,
        done: UnboundedSender<Done>,
    ) -> io::Result<Self> {
        let verify_content = options.verify_content;
        let asks_server = match options.sync {
            Sync::Auto => mount.is_remembered,
            Sync::Always => true,
            Sync::Never => false,
        };
        let echo = if mount.is_remote { ECHO } else { Duration::ZERO };
        let manner = Manner { verify_content, echo };
        let lane = Lane::start(id, done, |pulse| {
            let mut tree = Tree::new(manner, reports, pulse);
            move |order: Order| tree.obey(order)
        })?;
        Ok(Self {
            id,
            device: mount.device,
            at: mount.at.clone(),
            lane,
            glancer: Glancer::new(glancer),
            manner,
            dirs: DirSet::new(),
            state: Taken::Yes,
            task: None,
            proved: 0,
            looks_again: false,
            allowed: 0,
            used: Duration::ZERO,
            is_silent: false,
            asks_server,
            entries: 0,
            skipped: Vec::new(),
            lost: Vec::new(),
            last_pass: Instant::now(),
            pass: Duration::ZERO,
            answer: Duration::ZERO,
            is_slow: false,
            took: None,
        })
    }

    pub(crate) fn has(&self, dir: &Path) -> bool {
        self.dirs.contains(dir)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_empty() && self.task.is_none()
    }

    /// What it is to look after from now on. Sync is lost in `lost`, which others have looked after.
    pub(crate) fn set_dirs(&mut self, dirs: DirSet, lost: impl IntoIterator<Item = PathBuf>) {
        self.dirs = dirs;
        self.state = Taken::No;
        self.lost.extend(lost);
    }

    /// What is in use anywhere: a part of it is here.
    pub(crate) fn set_in_use(&mut self, files: &BTreeSet<PathBuf>) {
        self.glancer.set(files, &self.dirs);
    }

    pub(crate) fn is_same(&self, dirs: &DirSet) -> bool {
        self.dirs == *dirs
    }

    /// Whether each change will be told from now on, or all is skipped.
    pub(crate) fn is_armed(&self) -> bool {
        self.is_empty() || self.is_silent || self.state == Taken::Yes
    }

    /// Whether a pass that began after the barrier is done.
    pub(crate) fn proves(&self, barrier: u64) -> bool {
        self.is_empty() || self.proved >= barrier
    }

    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        if !self.is_silent {
            return self.skipped.clone();
        }
        let reason = format!("the file system at {} does not answer", self.at.display());
        let skipped = |dir: &Arc<Path>| Skipped {
            dir: dir.to_path_buf(),
            cause: SkipCause::Unreachable,
            reason: reason.clone(),
        };
        self.dirs.iter().map(skipped).collect()
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// One line when answers come to take long, and one when they no longer do.
    fn tell_slowness(&mut self) {
        let was_slow = self.is_slow;
        self.is_slow = self.answer >= if was_slow { SLOW / 2 } else { SLOW };
        let (mount, answer_ms) = (self.at.display(), self.answer.as_secs_f64() * 1000.0);
        if self.is_slow && !was_slow {
            tracing::info!(target: "watch", %mount, answer_ms, pass_ms = self.pass.as_millis() as u64,
                "a file system takes long to answer; what is in use is looked at first");
        } else if was_slow && !self.is_slow {
            tracing::info!(target: "watch", %mount, answer_ms, "the file system answers fast again");
        }
    }

    /// What to expect of a mount whose answers take long, for people.
    pub(crate) fn slowness(&self) -> Option<String> {
        let whole = |time: Duration| humantime::format_duration(rounded(time));
        (self.is_slow && !self.is_silent && !self.is_empty()).then(|| {
            let at = self.at.display();
            let mut text =
                format!("{at} takes {} for an answer and {} for all", whole(self.answer), whole(self.pass));
            if self.glancer.has_any() {
                text += &format!(", {} for what is in use", whole(self.glancer.took()));
            }
            text
        })
    }

    /// How long the last pass took, once there was one in this round.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.took
    }

    pub(crate) fn begin_round(&mut self) {
        self.took = None;
    }

    /// Whether another look is cheap, and likely to end.
    pub(crate) fn may_look_again(&self) -> bool {
        !self.is_empty() && !self.is_silent && self.used < CHEAP
    }

    /// Has a pass begin as soon as it can, if that is cheap.
    pub(crate) fn look_again(&mut self) {
        self.looks_again = self.may_look_again();
    }

    /// Whether such a pass is not over yet. Nobody waits for what does not answer.
    pub(crate) fn is_looking(&self) -> bool {
        let is_at_it =
            self.task.as_ref().is_some_and(|task| matches!(task.kind, TaskKind::Pass { is_look: true, .. }));
        !self.is_empty() && !self.is_silent && (self.looks_again || is_at_it)
    }

    /// Gives the lane what is to be done now, if it is free. `due` is when a pass begins by itself; `allow` says how
    /// often it may ask the server.
    pub(crate) fn go_on(
        &mut self,
        now: Instant,
        barrier: u64,
        due: Instant,
        mount_points: Arc<MountPoints>,
        allow: impl FnOnce() -> u32,
    ) {
        if self.task.is_some() {
            return;
        }
        let (order, task) = if self.state == Taken::No {
            self.state = Taken::Ordered;
            (OrderKind::Take(self.dirs.clone()), TaskKind::Take)
        } else if self.is_empty() {
            return;
        } else if now >= due || self.proved < barrier || self.looks_again {
            let is_asked = now < due && self.proved < barrier;
            let is_look = mem::take(&mut self.looks_again);
            self.allowed = if self.asks_server { allow() } else { 0 };
            (OrderKind::Pass { allowed: self.allowed }, TaskKind::Pass { proves: barrier, is_asked, is_look })
        } else {
            return;
        };
        let answers = self.lane.answers();
        self.task = Some(Task { begun: now, kind: task, answers, heard: now, checked: now });
        self.lane.give(Order { kind: order, mount_points });
    }

    /// When the next pass begins by itself.
    pub(crate) fn due(&self, interval: Duration) -> Instant {
        self.last_pass + interval
    }

    /// When to look after it again: whether it answers, or to begin the pass that is due then.
    pub(crate) fn wakes(&self, due: Instant) -> Option<Instant> {
        match &self.task {
            Some(_) if self.is_silent => None,
            Some(task) => Some(task.checked + CHECK),
            None if self.is_empty() => None,
            None => Some(due),
        }
    }

    /// Looks whether the file system still answers. Returns whether it has just ceased to.
    pub(crate) fn check(&mut self, now: Instant) -> bool {
        let Some(task) = &mut self.task else { return false };
        task.checked = now;
        let answers = self.lane.answers();
        if answers != task.answers {
            (task.answers, task.heard) = (answers, now);
        }
        if self.is_silent || now < task.heard + PATIENCE {
            return false;
        }
        self.is_silent = true;
        let silent_ms = (now - task.heard).as_millis() as u64;
        tracing::warn!(target: "watch", mount = %self.at.display(), dirs = self.dirs.len(), silent_ms,
            "a file system does not answer; what is watched on it is not watched until it does");
        true
    }

    /// Takes over what the lane has done.
    pub(crate) fn finish(&mut self, outcome: &mut Outcome, now: Instant) -> Option<Finished> {
        let task = self.task.take()?;
        if mem::take(&mut self.is_silent) {
            let silent_ms = (now - task.heard).as_millis() as u64;
            tracing::info!(target: "watch", mount = %self.at.display(), silent_ms, "the file system answers again");
            self.lost.extend(top(&self.dirs));
        }
        if let Some(skipped) = outcome.skipped.take() {
            self.skipped = skipped;
        }
        self.entries = outcome.entries;
        self.used = outcome.used;
        let is_asked = match task.kind {
            TaskKind::Take => {
                if self.state == Taken::Ordered {
                    self.state = Taken::Yes;
                }
                true
            }
            TaskKind::Pass { proves, is_asked, is_look: _ } => {
                self.proved = self.proved.max(proves);
                self.last_pass = now;
                (self.pass, self.answer) = (now - task.begun, outcome.answer);
                self.tell_slowness();
                self.took = Some(now - task.begun);
                is_asked
            }
        };
        // What has still to be taken is lost until it is.
        let lost = if self.state == Taken::Yes { mem::take(&mut self.lost) } else { Vec::new() };
        Some(Finished { begun: task.begun, is_asked, lost })
    }
}

/// In milliseconds: more than that nobody wants to know.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// Of paths in order, those that are not below another.
pub(crate) fn top<'a>(paths: impl IntoIterator<Item = &'a Arc<Path>>) -> Vec<PathBuf> {
    let mut top: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !top.last().is_some_and(|above| path.starts_with(above)) {
            top.push(path.to_path_buf());
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_is_lost_at_the_top_of_what_did_not_answer() {
        let paths: DirSet = ["/a", "/a/b", "/a/b/c", "/ab", "/c/d"].map(PathBuf::from).into_iter().collect();
        assert_eq!(top(&paths), ["/a", "/ab", "/c/d"].map(PathBuf::from));
    }
}
