//! [`Rollout`]: how a release goes from wave to wave, and back if it does not go well.
//!
//! It is told the time and what servers report, and says what to write. It has no clock, signs nothing and sends
//! nothing; who leads it does that. All of what it decides is in the pointer, so another can go on with it.

use std::{collections::BTreeMap, time::Duration};

use super::{Answer, Digest, Outcome, Pointer, Report, Stage, Wave, pointer::first};

/// A server whose heartbeat has not been heard for so long is gone: two and a half of them.
pub const GONE: Duration = Duration::from_secs(25);
/// One that has only left an old report behind is gone sooner: a heartbeat, and a little.
const UNHEARD: Duration = Duration::from_secs(12);
/// Without any server there is nothing to wait for.
const NOBODY: Duration = Duration::from_secs(3);
/// As many servers are named in a pointer; of more, a share.
const MOST_NAMES: usize = 256;
/// The second wave: one of ten.
const TENTH: usize = 10;
/// A server that says it has seen a generation as far ahead is not believed: reports are not signed.
const FURTHEST: u64 = 1_000_000;

/// A rollout on its way.
#[derive(Debug)]
pub struct Rollout {
    pointer: Pointer,
    servers: BTreeMap<String, Server>,
    /// When the wave began, by the clock of who leads it.
    began: Duration,
    /// When reports were read first.
    asked: Option<Duration>,
    /// Since when all of the wave is well.
    well_since: Option<Duration>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Going,
    /// It was said what to write, and not yet that it is written.
    Writing,
    Ended(Ended),
}

#[derive(Debug, Clone)]
struct Server {
    report: Report,
    /// When its heartbeat changed.
    heard: Duration,
    /// It has changed since we look.
    is_alive: bool,
    /// How it was when the wave began.
    stuck_before: usize,
    boot_before: u64,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until a report comes or time has passed.
    Wait,
    /// Sign and write this pointer in the place of the one before, and say so.
    Write(Box<Pointer>),
    /// It has ended.
    Done(Ended),
}

/// How a rollout ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every server runs it, and new ones begin with it.
    Settled,
    /// Every server runs again what was before.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Some servers run it and some do not; nothing more is done, as there were no waves.
    Partial {
        /// Why.
        why: String,
    },
    /// There is no server; whoever joins runs it.
    Alone,
    /// Somebody has stopped it.
    Paused,
    /// Somebody has written another pointer.
    Overtaken,
}

/// Who has answered what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Servers of the wave.
    pub servers: usize,
    /// Those that have applied it.
    pub applied: usize,
    /// Those that have not answered.
    pub silent: Vec<String>,
    /// Those that refuse it, and why.
    pub refused: Vec<(String, String)>,
    /// Those that try again, and what they wait for.
    pub waiting: Vec<(String, String)>,
    /// Sessions of those that have applied it.
    pub sessions: usize,
    /// Those of them that keep the version before.
    pub kept: usize,
    /// Why, of the first ones.
    pub diagnostics: Vec<String>,
}

impl Rollout {
    /// Follows a pointer that was just written.
    pub fn new(pointer: Pointer, now: Duration) -> Self {
        let state = State::Going;
        Self { pointer, servers: BTreeMap::new(), began: now, asked: None, well_since: None, state }
    }

    /// Goes on with one that stands still: the step to write first.
    pub fn resume(pointer: &Pointer) -> Pointer {
        Pointer { step: pointer.step + 1, stage: Stage::Rolling, note: String::new(), ..pointer.clone() }
    }

    /// The step to write to stop one where it is.
    pub fn pause(pointer: &Pointer) -> Pointer {
        Pointer { step: pointer.step + 1, stage: Stage::Paused, ..pointer.clone() }
    }

    /// The rollout that undoes one: a newer one, of what was before. `None`: there was nothing before.
    pub fn back(pointer: &Pointer, why: &str) -> Option<Pointer> {
        let previous = pointer.previous?;
        Some(Pointer {
            seq: pointer.seq + 1,
            step: 0,
            root: previous,
            previous: Some(previous),
            wave: Wave::All,
            // Who did not run the other runs this already.
            stage: Stage::Settled,
            note: format!("rollback of {}: {why}", pointer.seq),
            ..pointer.clone()
        })
    }

    /// What it has written last.
    pub fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// All reports that there are have been read, which may be none. Before that, nobody knows that there is no server.
    pub fn asked(&mut self, now: Duration) {
        self.asked.get_or_insert(now);
    }

    /// A report of a server, perhaps an old one.
    pub fn hear(&mut self, report: Report, now: Duration) {
        let (boot, stuck) = (report.boot, report.stuck);
        match self.servers.get_mut(&report.server) {
            // Another came first.
            Some(known) if (known.report.boot, known.report.beat) >= (boot, report.beat) => {}
            Some(known) => {
                known.report = report;
                known.heard = now;
                known.is_alive = true;
            }
            None => {
                let server =
                    Server { heard: now, is_alive: false, stuck_before: stuck, boot_before: boot, report };
                self.servers.insert(server.report.server.clone(), server);
            }
        }
    }

    /// The pointer that it said to write is written.
    pub fn written(&mut self, pointer: Pointer, now: Duration) {
        self.state = match (pointer.seq > self.pointer.seq, pointer.root == self.pointer.root) {
            (true, false) => State::Ended(Ended::RolledBack { why: pointer.note.clone() }),
            _ if pointer.stage == Stage::Settled => State::Ended(Ended::Settled),
            _ => State::Going,
        };
        self.pointer = pointer;
        self.began = now;
        self.well_since = None;
        for server in self.servers.values_mut() {
            server.stuck_before = server.report.stuck;
            server.boot_before = server.report.boot;
        }
    }

    /// It could not be written, and is to be tried again.
    pub fn not_written(&mut self) {
        self.state = State::Going;
    }

    /// Somebody else has written this pointer.
    pub fn overtaken(&mut self, by: Option<&Pointer>) {
        let is_pause = by.is_some_and(|by| by.seq == self.pointer.seq && by.stage == Stage::Paused);
        self.state = State::Ended(if is_pause { Ended::Paused } else { Ended::Overtaken });
    }

    /// Who has answered what.
    pub fn tally(&self, now: Duration) -> Tally {
        let mut tally = Tally::default();
        for (name, server) in self.wave(now) {
            tally.servers += 1;
            match self.answer(server) {
                None | Some(Outcome::Accepted) => tally.silent.push(name.clone()),
                Some(Outcome::Refused { why }) => tally.refused.push((name.clone(), why.clone())),
                Some(Outcome::Waiting { why }) => tally.waiting.push((name.clone(), why.clone())),
                Some(Outcome::Applied { sessions, kept, diagnostics }) => {
                    tally.applied += 1;
                    tally.sessions += sessions;
                    tally.kept += kept;
                    tally.diagnostics.extend(diagnostics.iter().cloned());
                }
            }
        }
        tally
    }

    fn wave(&self, now: Duration) -> impl Iterator<Item = (&String, &Server)> {
        let is_in = move |(name, server): &(&String, &Server)| {
            server.is_there(now) && self.pointer.wave.includes(name, self.pointer.root)
        };
        self.servers.iter().filter(is_in)
    }

    /// What a server has answered to this rollout.
    fn answer<'a>(&self, server: &'a Server) -> Option<&'a Outcome> {
        let is_ours =
            |answer: &&Answer| answer.root == self.pointer.root && answer.position.seq == self.pointer.seq;
        server.report.answer.as_ref().filter(is_ours).map(|answer| &answer.outcome)
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Step {
        match &self.state {
            State::Writing => return Step::Wait,
            State::Ended(ended) => return Step::Done(ended.clone()),
            State::Going => {}
        }
        if let Some(newer) = self.ahead() {
            // The store has lost what servers remember: they wait for a newer one.
            return self.write(Pointer { seq: newer + 1, step: 0, ..self.pointer.clone() });
        }
        let tally = self.tally(now);
        if let Some(why) = self.wrong(&tally, now) {
            return self.fail(why);
        }
        if let Some(pointer) = self.with_stand_ins(now) {
            return self.write(pointer);
        }
        let is_well = tally.applied == tally.servers && tally.servers > 0;
        if !is_well {
            self.well_since = None;
            let asked_for = self.asked.map(|first| now.saturating_sub(first));
            if !self.has_waves() && tally.is_answered() {
                return self.fail(lateness(&tally));
            }
            if !self.has_waves()
                && self.servers.is_empty()
                && asked_for.is_some_and(|waited| waited >= NOBODY)
            {
                self.state = State::Ended(Ended::Alone);
                return Step::Done(Ended::Alone);
            }
            let is_late = now.saturating_sub(self.began) >= Duration::from_millis(self.pointer.plan.patience);
            return if is_late { self.fail(lateness(&tally)) } else { Step::Wait };
        }
        let since = *self.well_since.get_or_insert(now);
        let bake = Duration::from_millis(self.pointer.plan.bake);
        if self.has_waves() && now.saturating_sub(since) < bake {
            return Step::Wait;
        }
        let next = self.widen(now);
        self.write(next)
    }

    /// Servers that died before it began have left a report behind, as all have, so they may have been picked: others
    /// stand in for them, once. If it was the release that they died of, it stays with those.
    fn with_stand_ins(&self, now: Duration) -> Option<Pointer> {
        let Wave::Some { share: 0, names } = &self.pointer.wave else { return None };
        let canary = usize::from(self.pointer.plan.canary);
        let is_known = now.saturating_sub(self.began) >= UNHEARD;
        if self.pointer.plan.named || names.len() > canary || !is_known {
            return None;
        }
        let was_alive = |name: &String| self.servers.get(name).is_some_and(|server| server.is_alive);
        let missing = canary - names.iter().filter(|name| was_alive(name)).count();
        let others =
            self.servers.iter().filter(|(name, server)| !names.contains(*name) && server.is_there(now));
        let stand_ins = first(missing, others.map(|(name, _)| name.clone()), self.pointer.root);
        if stand_ins.is_empty() {
            return None;
        }
        let names = names.union(&stand_ins).cloned().collect();
        Some(Pointer {
            step: self.pointer.step + 1,
            wave: Wave::Some { share: 0, names },
            ..self.pointer.clone()
        })
    }

    fn has_waves(&self) -> bool {
        self.pointer.plan.canary > 0
    }

    fn write(&mut self, pointer: Pointer) -> Step {
        self.state = State::Writing;
        Step::Write(Box::new(pointer))
    }

    /// The newest generation that a server remembers, if it is newer than this one, or another of its number.
    fn ahead(&self) -> Option<u64> {
        let ours = self.pointer.position();
        let is_other = |report: &&Report| {
            let is_newer = report.seen > ours;
            let is_namesake = report.seen.seq == ours.seq && report.seen_root != Some(self.pointer.root);
            is_newer || is_namesake
        };
        let others = self.servers.values().map(|server| &server.report).filter(is_other);
        newest_seen(ours.seq, others)
    }

    fn wrong(&self, tally: &Tally, now: Duration) -> Option<String> {
        if let Some((server, why)) = tally.refused.first().filter(|_| self.has_waves()) {
            return Some(format!("{server} refuses it: {why}"));
        }
        if tally.kept * 1000 > tally.sessions * usize::from(self.pointer.plan.tolerate) && self.has_waves() {
            let first = tally.diagnostics.first().map(|text| format!(": {text}")).unwrap_or_default();
            return Some(format!(
                "{} of {} sessions keep the version before{first}",
                tally.kept, tally.sessions
            ));
        }
        if !self.has_waves() {
            return None;
        }
        // Of those that had it and do not answer any more, it may be the fault of what they run.
        let includes = |name: &String| self.pointer.wave.includes(name, self.pointer.root);
        for (name, server) in self.servers.iter().filter(|(name, _)| includes(name)) {
            let had_it = self.answer(server).is_some();
            if had_it && !server.report.leaving && !server.is_there(now) {
                return Some(format!("{name} does not answer any more"));
            }
            if server.report.boot != server.boot_before && had_it {
                return Some(format!("{name} has started anew with it"));
            }
            if server.report.stuck > server.stuck_before {
                return Some(format!("{name} has sessions that are stuck"));
            }
            let failing = &server.report.failing;
            if had_it && failing.is_unusual() {
                return Some(format!("more fails on {name} than before, the last: {}", failing.last));
            }
        }
        None
    }

    fn fail(&mut self, why: String) -> Step {
        if !self.has_waves() {
            self.state = State::Ended(Ended::Partial { why: why.clone() });
            return Step::Done(Ended::Partial { why });
        }
        match Self::back(&self.pointer, &why) {
            Some(back) => self.write(back),
            // Nothing to go back to: it stays where it is.
            None => self.write(Pointer { note: why, ..Self::pause(&self.pointer) }),
        }
    }

    /// The next wave: a tenth, then all, then it is settled.
    fn widen(&self, now: Duration) -> Pointer {
        let next = Pointer { step: self.pointer.step + 1, ..self.pointer.clone() };
        let Wave::Some { share, names } = &self.pointer.wave else {
            return Pointer { stage: Stage::Settled, ..next };
        };
        let there =
            || self.servers.iter().filter(|(_, server)| server.is_there(now)).map(|(name, _)| name.clone());
        let tenth = there().count().div_ceil(TENTH);
        if *share > 0 || names.len() >= tenth {
            return Pointer { wave: Wave::All, ..next };
        }
        let mut names = names.clone();
        let share = if tenth > MOST_NAMES {
            100
        } else {
            names.extend(first(tenth, there(), self.pointer.root));
            0
        };
        Pointer { wave: Wave::Some { share, names }, ..next }
    }
}

impl Server {
    fn is_there(&self, now: Duration) -> bool {
        let patience = if self.is_alive { GONE } else { UNHEARD };
        !self.report.leaving && now.saturating_sub(self.heard) < patience
    }
}

impl Tally {
    /// Whether all have said what they do about it.
    pub fn is_answered(&self) -> bool {
        self.servers > 0 && self.silent.is_empty() && self.waiting.is_empty()
    }
}

fn lateness(tally: &Tally) -> String {
    let of = |names: &[String]| names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if tally.servers == 0 {
        return "no server has answered".into();
    }
    if let Some((server, why)) = tally.refused.first() {
        return format!(
            "{} of {} servers apply it; {server} refuses it: {why}",
            tally.applied, tally.servers
        );
    }
    if let Some((server, why)) = tally.waiting.first() {
        return format!("{} of {} servers apply it; {server} waits: {why}", tally.applied, tally.servers);
    }
    format!("{} of {} servers apply it; no answer from {}", tally.applied, tally.servers, of(&tally.silent))
}

/// The newest generation that a server says it has seen, as far as that is believed.
pub(super) fn newest_seen<'a>(ours: u64, reports: impl IntoIterator<Item = &'a Report>) -> Option<u64> {
    let seen = reports.into_iter().map(|report| report.seen.seq);
    seen.filter(|seq| *seq <= ours.saturating_add(FURTHEST)).max()
}

/// The first wave of a new release: so many of these servers.
pub(super) fn canary(count: usize, servers: impl IntoIterator<Item = String>, root: Digest) -> Wave {
    Wave::of(first(count, servers, root))
}
