//! Rollouts under a virtual clock: servers, a store and a publisher, with all that goes wrong between them.
//! `FLEET_ROLLOUTS=10000` runs as many.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Answer, Digest, Ended, Failing, Follower, Memory, Outcome, Plan, Pointer, Position, Report, Rollout,
    Stage, Stale, Step, Wave, pointer::first,
};

const TICK: Duration = Duration::from_millis(500);
/// A server looks at the pointer after this at the latest.
const LOOK: Duration = Duration::from_secs(36);
const BEAT: Duration = Duration::from_secs(10);
/// Then faults end, and whatever was under way is seen to by a person.
const FAULTS: Duration = Duration::from_secs(240);
/// For so long a server is down that what it ran has killed.
const KILLED: Duration = Duration::from_secs(90);
/// Within so many milliseconds it shows that a release raises, and the publisher has heard of it.
const RAISES: u64 = 5000;
/// Within this everybody runs what is published then: a look, and the longest a server needs for it.
const PROMISED: Duration = Duration::from_secs(60);

/// Good enough to choose by, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Once in so many.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What is wrong with a release.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Good,
    /// Some servers refuse it.
    Refused,
    /// Sessions fail with it.
    Fails,
    /// Servers die of it.
    Kills,
    /// It runs, and then sessions fail.
    Raises,
}

/// What a server is at.
enum Task {
    Fetching(Digest, Duration),
    Applying(Digest, Duration),
}

struct Server {
    name: String,
    follower: Follower,
    disk: Memory,
    task: Option<Task>,
    is_up: bool,
    up_again: Duration,
    next_look: Duration,
    next_beat: Duration,
    boot: u64,
    beat: u64,
    /// By its own clock.
    skew: u64,
    newest: Position,
    ran: BTreeSet<Digest>,
    /// When the first session fails.
    raises_at: Option<Duration>,
    has_raised: bool,
}

struct World {
    dice: Dice,
    now: Duration,
    kinds: BTreeMap<Digest, Kind>,
    servers: Vec<Server>,
    /// All that was ever written; stale readers see old ones.
    written: Vec<Pointer>,
    store: Option<Pointer>,
    reports: BTreeMap<String, Report>,
    old_reports: Vec<Report>,
    publisher: Option<Rollout>,
    /// Which servers a release was ever for.
    allowed: BTreeMap<Digest, BTreeSet<String>>,
    ended: Option<Ended>,
    has_faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 1 + dice.below(14);
        let servers = (0..count)
            .map(|at| {
                let name = format!("server-{at}");
                Server {
                    follower: Follower::new(name.clone(), Memory::default(), None),
                    name,
                    disk: Memory::default(),
                    task: None,
                    is_up: true,
                    up_again: Duration::ZERO,
                    next_look: Duration::ZERO,
                    next_beat: Duration::ZERO,
                    boot: 0,
                    beat: 0,
                    skew: dice.below(1_000_000_000),
                    newest: Position::default(),
                    ran: BTreeSet::new(),
                    raises_at: None,
                    has_raised: false,
                }
            })
            .collect();
        let mut world = Self {
            dice,
            now: Duration::ZERO,
            kinds: BTreeMap::new(),
            servers,
            written: Vec::new(),
            store: None,
            reports: BTreeMap::new(),
            old_reports: Vec::new(),
            publisher: None,
            allowed: BTreeMap::new(),
            ended: None,
            has_faults: false,
        };
        (0..world.servers.len()).for_each(|at| world.start(at));
        world
    }

    fn start(&mut self, at: usize) {
        let now = self.now;
        let server = &mut self.servers[at];
        let (name, memory) = (server.name.clone(), server.disk.clone());
        let running = memory.accepted;
        server.follower = Follower::new(name, memory, running);
        let ms = server.skew + u64::try_from(now.as_millis()).unwrap();
        server.boot = server.follower.boot(ms);
        server.disk = server.follower.memory().clone();
        (server.beat, server.task, server.is_up) = (0, None, true);
        (server.next_look, server.next_beat) = (now, now);
    }

    fn write(&mut self, pointer: Pointer) {
        let allowed = self.allowed.entry(pointer.root).or_default();
        let names = self.servers.iter().map(|server| &server.name);
        allowed.extend(names.filter(|name| pointer.wave.includes(name, pointer.root)).cloned());
        self.written.push(pointer.clone());
        self.store = Some(pointer);
        for at in 0..self.servers.len() {
            // A hint, which may be lost.
            if !self.has_faults || !self.dice.once_in(3) {
                self.servers[at].next_look = self.now;
            }
        }
    }

    /// A person publishes: as `Publisher::point` does.
    fn publish(&mut self, text: &str, kind: Kind, canary: u16) -> Digest {
        let root = Digest::of(text.as_bytes());
        self.kinds.insert(root, kind);
        let known = self.store.as_ref().map_or(0, |pointer| pointer.seq);
        let seen = super::rollout::newest_seen(known, self.reports.values()).unwrap_or_default();
        let wave = match canary {
            0 => Wave::All,
            count => Wave::of(first(count.into(), self.reports.keys().cloned(), root)),
        };
        let least = if kind == Kind::Raises { RAISES } else { 0 };
        let bake = least + self.dice.below(15_000);
        let pointer = Pointer {
            site: "shop".into(),
            seq: known.max(seen) + 1,
            step: 0,
            root,
            previous: self.store.as_ref().and_then(Pointer::accepted),
            wave,
            stage: Stage::Rolling,
            plan: Plan { canary, bake, patience: 50_000, tolerate: 100, named: false },
            deadline: 0,
            note: String::new(),
        };
        self.write(pointer.clone());
        self.publisher = Some(Rollout::new(pointer, self.now));
        self.ended = None;
        root
    }

    fn step(&mut self) {
        self.now += TICK;
        if self.has_faults {
            self.fault();
        }
        (0..self.servers.len()).for_each(|at| self.serve(at));
        self.lead();
        self.check();
    }

    fn fault(&mut self) {
        let at = usize::try_from(self.dice.below(self.servers.len() as u64)).unwrap();
        if self.dice.once_in(80) && self.servers[at].is_up {
            self.servers[at].is_up = false;
            self.servers[at].up_again = self.now + Duration::from_secs(self.dice.below(60));
        }
        if self.dice.once_in(1500) {
            self.store = None;
            self.reports.clear();
        }
        if self.dice.once_in(600) {
            self.publisher = None;
        }
        // Who finds it so does something about it: sometimes at once, sometimes much later.
        if self.publisher.is_none() && self.ended.is_none() && self.dice.once_in(60) {
            self.help();
        }
    }

    /// A person finds a rollout that nobody leads.
    fn help(&mut self) {
        let Some(newest) = self.store.clone().filter(|newest| newest.stage != Stage::Settled) else { return };
        let back = Rollout::back(&newest, "asked for");
        match (self.dice.below(3), back) {
            (0, Some(back)) => self.write(back),
            (1, _) => self.write(Rollout::pause(&newest)),
            _ => {
                let pointer = Rollout::resume(&newest);
                self.write(pointer.clone());
                self.publisher = Some(Rollout::new(pointer, self.now));
            }
        }
    }

    fn serve(&mut self, at: usize) {
        if !self.servers[at].is_up {
            if self.now >= self.servers[at].up_again {
                self.start(at);
            }
            return;
        }
        self.work(at);
        if self.servers[at].raises_at.take_if(|raises| *raises <= self.now).is_some() {
            self.servers[at].has_raised = true;
            self.report(at);
        }
        if self.now >= self.servers[at].next_look {
            let jitter = Duration::from_millis(self.dice.below(12_000));
            self.servers[at].next_look = self.now + LOOK - jitter;
            let is_away = self.has_faults && self.dice.once_in(6);
            let is_stale = self.has_faults && self.dice.once_in(5);
            let old = usize::try_from(self.dice.below(self.written.len().max(1) as u64)).unwrap();
            let read = if is_stale { self.written.get(old).cloned() } else { self.store.clone() };
            if let Some(pointer) = read.filter(|_| !is_away) {
                let server = &mut self.servers[at];
                let before = server.follower.memory().seen;
                match server.follower.hear(&pointer) {
                    Ok(()) => server.disk = server.follower.memory().clone(),
                    Err(Stale::Older { .. } | Stale::Twice(_)) => {
                        assert_eq!(server.follower.memory().seen, before, "what is refused changes nothing");
                    }
                }
            }
            self.next(at);
        }
        if self.now >= self.servers[at].next_beat {
            self.report(at);
        }
    }

    fn next(&mut self, at: usize) {
        let took = Duration::from_millis(self.dice.below(6000));
        let now = self.now;
        let server = &mut self.servers[at];
        if let Some(root) = server.follower.take_up() {
            server.task = Some(Task::Fetching(root, now + took));
        }
    }

    fn work(&mut self, at: usize) {
        let now = self.now;
        let took = Duration::from_millis(self.dice.below(4000));
        let (sessions, is_first, dies) =
            (usize::try_from(self.dice.below(20)).unwrap(), self.dice.once_in(2), self.dice.once_in(2));
        let has_faults = self.has_faults;
        let is_unlucky = has_faults && self.dice.once_in(8);
        let kinds = &self.kinds;
        let server = &mut self.servers[at];
        match server.task.take() {
            Some(Task::Fetching(root, until)) if now >= until => {
                let kind = kinds[&root];
                if is_unlucky {
                    server.follower.wait(root, "the disk is full".into());
                } else if kind == Kind::Refused && is_first {
                    server.follower.refuse(root, "lua/main.lua:3: unexpected symbol".into());
                } else {
                    server.follower.accept(root);
                    server.ran.insert(root);
                    (server.raises_at, server.has_raised) = (None, false);
                    server.task = Some(Task::Applying(root, now + took));
                }
                server.disk = server.follower.memory().clone();
                self.report(at);
                self.next_unless_at_work(at);
            }
            Some(Task::Applying(root, until)) if now >= until => {
                let kind = kinds[&root];
                if kind == Kind::Kills && dies {
                    server.is_up = false;
                    server.up_again = now + KILLED;
                    return;
                }
                if kind == Kind::Raises {
                    server.raises_at = Some(now + took / 2);
                }
                let sessions = sessions + usize::from(kind == Kind::Fails);
                let kept = if kind == Kind::Fails { sessions } else { 0 };
                let outcome = Outcome::Applied { sessions, kept, diagnostics: Vec::new() };
                server.follower.applied(root, kept < sessions || sessions == 0, outcome);
                server.disk = server.follower.memory().clone();
                self.report(at);
                self.next_unless_at_work(at);
            }
            task => server.task = task,
        }
    }

    fn next_unless_at_work(&mut self, at: usize) {
        if self.servers[at].task.is_none() {
            self.next(at);
        }
    }

    fn report(&mut self, at: usize) {
        let server = &mut self.servers[at];
        server.next_beat = self.now + BEAT;
        server.beat += 1;
        let memory = server.follower.memory();
        let report = Report {
            server: server.name.clone(),
            boot: server.boot,
            beat: server.beat,
            seen: memory.seen,
            seen_root: memory.seen_root,
            running: server.follower.running(),
            answer: server.follower.answer().cloned(),
            sessions: 0,
            stuck: 0,
            failing: Failing { errors: server.has_raised.into(), ..Failing::default() },
            leaving: false,
            version: String::new(),
        };
        if self.has_faults {
            self.old_reports.push(report.clone());
        }
        if !self.has_faults || !self.dice.once_in(4) {
            self.reports.insert(report.server.clone(), report);
        }
    }

    fn lead(&mut self) {
        let Some(mut rollout) = self.publisher.take() else { return };
        for report in self.reports.values() {
            rollout.hear(report.clone(), self.now);
        }
        if self.has_faults && !self.old_reports.is_empty() && self.dice.once_in(2) {
            let at = usize::try_from(self.dice.below(self.old_reports.len() as u64)).unwrap();
            // Late, or for the second time.
            rollout.hear(self.old_reports[at].clone(), self.now);
        }
        match &self.store {
            None => {
                // It has the bytes, and publishes again.
                let pointer = rollout.pointer().clone();
                let text = Pointer { seq: 1, step: 0, previous: None, ..pointer };
                self.write(text.clone());
                self.publisher = Some(Rollout::new(text, self.now));
                return;
            }
            Some(newest) if newest != rollout.pointer() => rollout.overtaken(Some(newest)),
            Some(_) => {}
        }
        match rollout.next(self.now) {
            Step::Wait => {}
            Step::Done(ended) => {
                self.ended = Some(ended);
                return;
            }
            Step::Write(pointer) => {
                if self.has_faults && self.dice.once_in(10) {
                    rollout.not_written();
                } else {
                    self.write((*pointer).clone());
                    rollout.written(*pointer, self.now);
                }
            }
        }
        self.publisher = Some(rollout);
    }

    fn check(&mut self) {
        for server in &mut self.servers {
            let seen = server.disk.seen;
            assert!(seen >= server.newest, "{} went back from {:?} to {seen:?}", server.name, server.newest);
            server.newest = seen;
            for root in &server.ran {
                // What was before is for everybody.
                let was_accepted = self.written.iter().any(|pointer| pointer.previous == Some(*root));
                let is_its = self.allowed.get(root).is_some_and(|names| names.contains(&server.name));
                assert!(is_its || was_accepted, "{} ran {root:?}, which was not for it", server.name);
            }
            if let Some(Answer { root, .. }) = server.follower.answer() {
                assert!(self.kinds.contains_key(root), "an answer of what nobody published");
            }
        }
    }

    fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.step();
        }
    }
}

fn rollouts() -> u64 {
    std::env::var("FLEET_ROLLOUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(400)
}

#[test]
fn whatever_is_lost_late_or_dies_no_server_goes_back_poison_stays_in_its_wave_and_all_converge() {
    for seed in 0..rollouts() {
        let mut world = World::new(seed);
        world.run_until(Duration::from_secs(1));
        world.publish("first", Kind::Good, 0);
        world.run_until(Duration::from_secs(60));
        world.has_faults = true;
        let kinds = [Kind::Good, Kind::Refused, Kind::Fails, Kind::Kills, Kind::Raises];
        let kind = kinds[usize::try_from(world.dice.below(5)).unwrap()];
        let canary = 1 + u16::try_from(world.dice.below(3)).unwrap();
        world.publish("second", kind, canary);
        world.run_until(FAULTS);
        world.has_faults = false;
        // All who were down are back, and a person publishes.
        world.run_until(FAULTS + Duration::from_secs(100));
        let last = world.publish("third", Kind::Good, 0);
        // Who was killed a moment before is back first.
        world.run_until(world.now + KILLED + PROMISED);
        for server in &world.servers {
            assert_eq!(server.follower.running(), Some(last), "{} of rollout {seed}, {kind:?}", server.name);
        }
    }
}

#[test]
fn without_faults_what_is_good_settles_and_what_is_not_is_rolled_back_by_itself() {
    for seed in 0..rollouts() / 4 {
        for kind in [Kind::Good, Kind::Fails, Kind::Kills, Kind::Raises] {
            let mut world = World::new(seed);
            world.run_until(Duration::from_secs(1));
            let before = world.publish("first", Kind::Good, 0);
            world.run_until(Duration::from_secs(60));
            assert_eq!(world.ended, Some(Ended::Settled), "rollout {seed}");
            let root = world.publish("second", kind, 2);
            world.run_until(Duration::from_secs(60 + 400));
            let is_good = match &world.ended {
                Some(Ended::Settled) => true,
                Some(Ended::RolledBack { .. }) => false,
                other => panic!("rollout {seed} of {kind:?} ended so: {other:?}"),
            };
            // What kills only some servers may come to all before it is noticed.
            assert!(is_good || kind != Kind::Good, "rollout {seed}");
            let expected = if is_good { root } else { before };
            for server in &world.servers {
                assert_eq!(server.follower.running(), Some(expected), "{} of rollout {seed}", server.name);
            }
            if kind == Kind::Fails || kind == Kind::Raises {
                let ran = world.servers.iter().filter(|server| server.ran.contains(&root)).count();
                assert!(
                    !is_good && ran <= 2,
                    "{ran} servers ran what fails in every session, of rollout {seed} of {kind:?}"
                );
            }
        }
    }
}
