//! [`LuaSession`]: what one unit of work can do, and what browsers hear of it afterwards.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    batch::ReceivedBatch,
    client::{Client, ClientId, MAX_PENDING, address_in, charged, view},
    id::SessionId,
    outbox::{Frame, Outbox, Over},
    pace::Pace,
    problems::{PageProblems, Problems},
    refusals::Refusals,
    settings::SessionSettings,
    start::start,
    unit::Waiting,
    upkeep::Upkeep,
};
use crate::{
    config::BindingRule,
    hub::Wake,
    lua::{Failures, Snapshot, Vm},
    reload::{Diagnostic, Generation, Refreshing, ReloadReport, Telling},
    variables::{Allowed, Objects},
    wire::{Account, ErrorCode, Incoming, Outgoing},
};

/// What was left out of a long frame follows after this long.
const REST: Duration = Duration::from_millis(10);
/// A browser that does not take its frames is looked at again after this long.
const CONGESTED: Duration = Duration::from_millis(50);

/// When browsers hear of what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refresh {
    No,
    /// With what else changes in the next moment.
    Soon,
    Now,
}

/// One browser session: its Lua state and the browsers that look at it. One thread at a time has it.
pub struct LuaSession {
    pub(super) id: SessionId,
    pub(super) settings: Arc<SessionSettings>,
    /// Their variables hold Lua values, so they are dropped before the state.
    pub(super) clients: Vec<Client>,
    /// When the state was made.
    pub(super) began: Instant,
    /// What went wrong last, and when.
    pub(super) last_error: Option<Box<(Instant, Diagnostic)>>,
    pub(super) objects: Objects,
    /// For what is held for its browsers.
    pub(super) account: Account,
    /// What its browsers may ask for; and the version of what its scripts have exposed that is in there.
    pub(super) allowed: (Arc<Allowed>, u64),
    refusals: Refusals,
    pub(super) start_error: Option<Diagnostic>,
    pub(super) failures: Failures,
    pub(super) problems: Problems,
    /// Where in the site the browser is, below the session's own address; `None`: at its beginning.
    pub(super) url: Option<Box<str>>,
    pub(super) refresh: Refresh,
    pace: Pace,
    refresh_at: Option<Instant>,
    /// Let go when browsers have been told.
    refreshing: Vec<Refreshing>,
    pub(super) upkeep: Upkeep,
    /// Without a browser since.
    lonely_since: Option<Instant>,
    on_end: Option<Box<dyn FnOnce() + Send>>,
    /// Who is told that something has come for it.
    pub(super) wake: Arc<dyn Wake>,
    /// The unit of work that waits for the store.
    pub(super) waiting: Option<Waiting>,
    /// Of its life elsewhere, until `main.lua` has run well.
    pub(super) arrived: Option<Snapshot>,
    /// When to say how many messages were dropped.
    pub(super) dropped_at: Option<Instant>,
    /// Last: everything above may hold values of it.
    pub(super) vm: Vm,
}

impl LuaSession {
    /// Makes the state and runs the main file. That may fail, and the session is there all the same.
    pub(super) fn new(
        id: SessionId,
        settings: Arc<SessionSettings>,
        account: Account,
        on_end: Box<dyn FnOnce() + Send>,
        wake: Arc<dyn Wake>,
    ) -> mlua::Result<Self> {
        let (vm, objects, error) = start(&id, &settings, &account, settings.published.good(), None, &wake)?;
        let start_error = error.map(|failure| failure.diagnostic);
        let now = Instant::now();
        let problems = Problems::new(&id, settings.published.faults().clone());
        Ok(Self {
            id,
            settings,
            clients: Vec::new(),
            began: now,
            last_error: start_error.clone().map(|error| Box::new((now, error))),
            objects,
            account,
            allowed: Default::default(),
            refusals: Refusals::default(),
            start_error,
            failures: Failures::default(),
            problems,
            url: None,
            refresh: Refresh::No,
            pace: Pace::new(now),
            refresh_at: None,
            refreshing: Vec::new(),
            upkeep: Upkeep::after_start(id, now),
            lonely_since: Some(now),
            on_end: Some(on_end),
            wake,
            waiting: None,
            arrived: None,
            dropped_at: None,
            vm,
        })
    }

    /// Which session it is.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Why the main file failed, if it did.
    pub fn start_error(&self) -> Option<&Diagnostic> {
        self.start_error.as_ref()
    }

    /// Why the main file failed, in the words that browsers may read: a reference where hot loading is off.
    pub(super) fn told_start_error(&self) -> Option<Diagnostic> {
        self.start_error.as_ref().map(|error| self.telling().told(error))
    }

    fn telling(&self) -> &Telling {
        self.settings.published.telling()
    }

    /// The code it runs.
    pub fn generation(&self) -> Arc<Generation> {
        self.vm.generation()
    }

    /// Bytes that its Lua state uses.
    pub fn used_memory(&self) -> usize {
        self.vm.used_memory()
    }

    /// Runs Lua code for the host, in the budget of a handler.
    ///
    /// # Errors
    /// What the code raised, with file and line.
    pub fn with_lua<R>(&mut self, work: impl FnOnce(&mlua::Lua) -> mlua::Result<R>) -> Result<R, Diagnostic> {
        self.vm.run(self.vm.handler(), work).map_err(|failure| failure.diagnostic)
    }

    /// Runs the file with this real path, again if the session has loaded it. What it exports goes
    /// into the tables that other code holds already. If it fails, the session is as it was.
    ///
    /// # Errors
    /// If no file of the generation has that path, or it fails.
    pub fn load_file_absolute(&mut self, path: &Path) -> Result<(), Diagnostic> {
        let generation = self.generation();
        let found = generation.files.iter().find_map(|(file, entry)| {
            let good = entry.good.as_ref()?;
            (good.path == path).then_some((file, good))
        });
        let Some((file, source)) = found.map(|(file, source)| (file.clone(), source.clone())) else {
            let message = "this file is not one of the site's Lua files, or it does not compile";
            return Err(Diagnostic::about(path.to_string_lossy(), None, message));
        };
        self.vm.run_file(source, file).map(drop).map_err(|failure| failure.diagnostic)
    }

    pub(super) fn attach(&mut self, id: ClientId, outbox: impl Into<Outbox>) {
        let outbox = outbox.into();
        if let Some(report) = self.settings.published.standing() {
            outbox.try_send(Outgoing::Reload(Box::new((*report).clone())).into());
        } else if let Some(error) = &self.start_error {
            let generation = self.generation();
            let report = ReloadReport::of_start(generation.number, error.clone());
            let report = self.settings.published.telling().apply(report);
            outbox.try_send(Outgoing::Reload(Box::new(report)).into());
        }
        let is_developing = !self.telling().is_concealing && self.start_error.is_none();
        let view = view(self.url.as_deref(), is_developing);
        // Mostly one, and room for four would be a kilobyte in each session.
        self.clients.reserve_exact(1);
        let waiting = self.account.passing(0).unwrap_or_default();
        self.clients.push(Client {
            id,
            outbox,
            view,
            pending: Vec::new(),
            waiting,
            held: None,
            problems: PageProblems::default(),
        });
        self.lonely_since = None;
    }

    pub(super) fn knows(&self, id: ClientId) -> bool {
        self.clients.iter().any(|client| client.id == id)
    }

    pub(super) fn detach(&mut self, id: ClientId) {
        self.clients.retain(|client| client.id != id);
        if self.clients.is_empty() {
            self.lonely_since = Some(Instant::now());
        }
    }

    /// Messages of one frame of a browser, in order, until it is time for others. Says whether those were all.
    pub(super) fn receive(&mut self, batch: &mut ReceivedBatch, until: Instant) -> bool {
        let id = batch.client();
        let begun = match batch.begin(&self.account) {
            Ok(begun) => begun,
            Err(_) => {
                self.let_go(id, Over::Browser);
                return true;
            }
        };
        self.bring_allowed_up_to_date();
        self.want(if begun.user_event { Refresh::Now } else { Refresh::Soon });
        for message in begun.messages.by_ref() {
            let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return true };
            if client.outbox.is_closed() {
                return true;
            }
            let from = client.pending.len();
            match message {
                Ok(Incoming::Restart) => self.begin_anew("a browser asked for it"),
                Ok(message) => {
                    let url = address_in(&message);
                    client.view.receive(message, &self.vm, &mut self.objects, &mut client.pending);
                    client.charge_pending(from);
                    if let Some(url) = url {
                        self.be_at(&url, Some(id));
                    }
                    if self.vm.is_waiting() {
                        self.waiting = Some(Waiting::Handler(id));
                        return false;
                    }
                }
                Err(bad) => {
                    client.pending.push(Outgoing::Error {
                        var_id: bad.id,
                        code: ErrorCode::BadMessage,
                        description: bad.description,
                    });
                    client.charge_pending(from);
                }
            }
            if Instant::now() >= until {
                return begun.messages.len() == 0;
            }
        }
        true
    }

    fn let_go(&mut self, id: ClientId, over: Over) {
        if let Some(client) = self.clients.iter().find(|client| client.id == id) {
            client.outbox.close(over);
        }
    }

    /// Something is due: a timer, or a refresh. `is_crowded`: many sessions wait for a thread.
    pub(super) fn wake(&mut self, is_crowded: bool) {
        let now = Instant::now();
        self.vm.tell_dropped_lines(now);
        self.tell_dropped_messages(now);
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.want(Refresh::Now);
        }
        let due = self.upkeep.due(now, is_crowded);
        if due.slim {
            self.vm.forget_reload();
        }
        if due.collect {
            self.vm.forget_load();
            self.vm.collect_garbage();
        }
        // One timer for each wake: the next is due at once, and frames of browsers come in between.
        if !self.rests(now)
            && let Some(handle) = self.vm.take_due_timer(now)
        {
            let fired = self.vm.fire(handle);
            self.ran(Waiting::Timer(handle), fired);
        }
    }

    /// Browsers shall hear at once of what has changed.
    pub fn refresh_now(&mut self) {
        self.want(Refresh::Now);
    }

    /// Tells browsers at once, and lets go of `refreshing` when they have been told.
    pub fn refresh_until(&mut self, refreshing: Refreshing) {
        self.refreshing.push(refreshing);
        self.refresh_now();
    }

    /// A message of the session itself, after what has changed.
    pub(super) fn tell_all(&mut self, message: impl Fn() -> Outgoing) {
        for client in &mut self.clients {
            client.pending.push(message());
        }
    }

    /// A frame for all its browsers, as it is.
    pub fn broadcast(&self, frame: &Frame) {
        for client in &self.clients {
            client.outbox.try_send(frame.clone());
        }
    }

    /// A reload has left garbage, and what it needed.
    pub(super) fn collect_later(&mut self) {
        self.upkeep.after_reload(Instant::now());
    }

    /// Browsers shall hear soon of what has changed.
    pub(super) fn refresh_soon(&mut self) {
        self.want(Refresh::Soon);
    }

    fn want(&mut self, refresh: Refresh) {
        self.refresh = self.refresh.max(refresh);
    }

    /// Follows each unit of work. Says when to wake the session; `None` if it has ended.
    pub(super) fn after_unit(&mut self) -> Option<Option<Instant>> {
        let now = Instant::now();
        if self.vm.state(|state| std::mem::take(&mut state.restart)) == Some(true) {
            self.begin_anew("a script asked for it");
        }
        self.go_where_scripts_lead();
        match std::mem::replace(&mut self.refresh, Refresh::No) {
            Refresh::No => {}
            Refresh::Soon if self.pace.next(now) > now => {
                self.refresh_at.get_or_insert(self.pace.next(now));
            }
            Refresh::Soon | Refresh::Now => self.after_batch(now),
        }
        if let Some(pressure) = self.vm.memory_pressure() {
            self.tell_pressure(pressure);
        }
        self.note_dropped(now);
        let timer = self.vm.next_timer().filter(|_| !self.rests(now));
        let expires = self.expires();
        if expires.is_some_and(|at| at <= now) {
            tracing::info!(limited_by = "", session = %self.id.short(), "the session ends: no browser for session.timeout");
            if let Some(on_end) = self.on_end.take() {
                on_end();
            }
            return None;
        }
        Some(
            [
                timer,
                self.vm.dropped_lines_due(),
                self.dropped_at,
                self.refresh_at,
                self.upkeep.next(),
                expires,
            ]
            .into_iter()
            .flatten()
            .min(),
        )
    }

    /// Whether it has been without a browser for so long that its timers wait until one is back.
    fn rests(&self, now: Instant) -> bool {
        let rest = self.settings.session.rest;
        let since = self.lonely_since.filter(|_| !rest.is_zero());
        since.and_then(|since| since.checked_add(rest)).is_some_and(|from| from <= now)
    }

    fn expires(&self) -> Option<Instant> {
        let timeout = self.settings.session.timeout;
        self.lonely_since.filter(|_| !timeout.is_zero())?.checked_add(timeout)
    }

    /// Judges by the templates of the code it runs, and by what its scripts have exposed.
    fn bring_allowed_up_to_date(&mut self) {
        let (allowed, version) = &self.allowed;
        let holds =
            self.vm.state(|state| allowed.is_of(&state.generation.bindings) && *version == state.exposed);
        match self.settings.bindings {
            BindingRule::Any if allowed.is_open() => {}
            BindingRule::Any => self.allowed.0 = Arc::new(Allowed::anything()),
            BindingRule::Templates if holds == Some(true) => {}
            BindingRule::Templates => {
                let (bindings, exposed) = (self.generation().bindings.clone(), self.vm.exposed_version());
                self.allowed = (Arc::new(Allowed::by_templates(bindings, &self.vm.exposed())), exposed);
            }
        }
        for client in &mut self.clients {
            client.view.allow(&self.allowed.0);
        }
    }

    /// The AfterBatch pass: what differs from what each browser has goes to it, as one frame.
    fn after_batch(&mut self, now: Instant) {
        self.pace.told(now);
        self.refresh_at = None;
        let generation = self.generation();
        self.bring_allowed_up_to_date();
        let (mut congested, mut unfinished, mut starved) = (false, false, false);
        let mut last: Option<Frame> = None;
        for at in 0..self.clients.len() {
            let is_short = self.account.is_short();
            let Some(client) = self.clients.get_mut(at) else { break };
            let is_waiting = (client.view.is_unfinished() || is_short) && client.outbox.is_sending();
            if starved || is_waiting || client.outbox.is_full() {
                // It gets the state of the moment when it takes frames again. The socket has a time limit.
                congested = true;
                if client.pending.len() > MAX_PENDING {
                    client.outbox.close(Over::Unread);
                }
                continue;
            }
            if client.outbox.is_closed() {
                continue;
            }
            let text = match client.held.take() {
                Some(text) => Some(text),
                None => {
                    let telling = self.settings.published.telling();
                    client.frame(&self.vm, &mut self.objects, &generation, telling, &mut self.problems)
                }
            };
            unfinished |= client.view.is_unfinished();
            self.refusals.take(client.view.take_refusals(), &self.id, &self.settings.refused);
            let Some(text) = text else { continue };
            match charged(text, &mut last, &self.account) {
                Ok(frame) => client.outbox.try_send(frame),
                Err(text) => {
                    starved = self.make_room(at, text);
                    congested |= starved;
                }
            }
        }
        self.clients.retain(|client| !client.outbox.is_closed());
        if self.clients.is_empty() {
            self.lonely_since.get_or_insert(now);
        }
        if congested {
            self.refresh_at = Some(now + CONGESTED);
        } else if unfinished {
            self.refresh_at = Some(now + REST);
        }
        self.refreshing = Vec::new();
        if let Some(error) = self.problems.take_last() {
            self.remember_error(&error);
        }
    }

    /// Makes room for a frame: closes the sockets of browsers that do not read, and lets this frame wait. If
    /// there are none, the frame itself is too large, and its own socket is closed. Returns whether the frame
    /// waits.
    fn make_room(&mut self, at: usize, text: String) -> bool {
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != at);
        let mut some = false;
        for (_, client) in others.filter(|(_, client)| client.outbox.is_sending()) {
            client.outbox.close(Over::Unread);
            some = true;
        }
        if let Some(client) = self.clients.get_mut(at) {
            match some {
                true => client.held = Some(text),
                false => client.outbox.close(Over::Unread),
            }
        }
        some
    }
}

impl fmt::Debug for LuaSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuaSession").field("id", &self.id).finish_non_exhaustive()
    }
}
