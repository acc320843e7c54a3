//! The variables of one browser: made, watched, written, destroyed.
//!
//! Each socket has variables of its own, numbered by its browser, so that two tabs of one session
//! can't disturb each other. What they show is the same: the session's objects. Beside them are those
//! that Lua code made (`declared`), in each socket under the same id.

use std::sync::Arc;

use mlua::{Table, Value};

use super::{
    access::{self, Checks},
    allowed::{Allowed, Refusal, unauthorized},
    grant::Grant,
    handler,
    known_names::Answers,
    nodes::Nodes,
    path::{self, Access, PathError, Step},
    problem::{Known, Problem, ProblemKind},
    properties::{self, PropertySet, TooMany},
    upload::Upload,
    value::Objects,
    variable::{Key, ROOT, Refused, Variable, WriteFailed, charge, weight},
    viewdefs::KnownViewdefs,
};
use crate::lua::{Failure, Vm};
use crate::reload::Diagnostic;
use crate::wire::{ErrorCode, Exceeded, Incoming, Outgoing, Properties, VarId, cut};

/// What one browser sees of a session.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(super) nodes: Nodes,
    /// The highest id that the browser has given: it numbers upwards.
    highest: VarId,
    /// The version of what Lua code has declared that is in here.
    pub(super) declared: i64,
    pub(super) viewdefs: KnownViewdefs,
    /// What a glance compares with.
    pub(super) known: Option<Table>,
    /// The browser wanted more than the account has.
    over: bool,
    /// The last frame had no room for all that is to be said.
    pub(super) unfinished: bool,
    pub(super) allowed: Arc<Allowed>,
    /// What was refused, for the log.
    pub(super) refusals: Vec<Refusal>,
    /// Its author looks at it, and wants to know of misspelt names.
    pub(super) is_developing: bool,
    pub(super) names: Answers,
    /// Files of which the rest is still to come.
    pub(super) uploads: Vec<Upload>,
    /// The app's title, as the browser has it.
    pub(super) title: Box<str>,
    pub(super) problems: Known,
    /// The variable whose handler waits for the store, and what was written to it.
    waiting: Option<(VarId, Value)>,
}

impl View {
    /// Makes a view with variable 1, unwatched. `is_developing`: for the author of the site.
    pub(crate) fn new(is_developing: bool) -> Self {
        let mut view = Self { is_developing, ..Self::default() };
        view.nodes.insert(Variable { id: ROOT, access: Access::Read, ..Variable::default() });
        view
    }

    fn is_gone(&self, id: VarId) -> bool {
        (1..=self.highest).contains(&id) && self.nodes.key(id).is_none()
    }

    pub(super) fn key(&self, id: VarId) -> Result<Key, Refused> {
        let unknown = || (ErrorCode::NotFound, format!("there is no variable {id}"));
        self.nodes.key(id).ok_or_else(unknown)
    }

    /// A property of variable 1 that the browser has to hear of.
    pub(crate) fn set_app_property(&mut self, name: &str, value: &str) {
        if let Some(root) = self.nodes.key(ROOT).and_then(|key| self.nodes.get_mut(key)) {
            let _ = root.properties.tell(name, value.to_owned());
        }
    }

    /// The browser wanted more than the account of the session has.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// There is more to be said than was in the last frame.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    fn over(&mut self, exceeded: Exceeded) -> Refused {
        self.over = true;
        (ErrorCode::Limit, exceeded.to_string())
    }

    /// From now on this is allowed.
    pub(crate) fn allow(&mut self, allowed: &Arc<Allowed>) {
        if Arc::ptr_eq(&self.allowed, allowed) {
            return;
        }
        self.allowed = allowed.clone();
        let mut place = 0;
        while let Some((earlier, variable)) = self.nodes.at(place) {
            place += 1;
            variable.allow(earlier, allowed);
        }
    }

    /// What was refused since the last time.
    pub(crate) fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Does what a message says; failures and notices go to `out`.
    pub(crate) fn receive(
        &mut self,
        message: Incoming,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) {
        self.take_declared(vm, objects.account(), out);
        let (id, done) = match message {
            Incoming::Create { id, parent, value, properties, watch, unbound } => {
                let made = self.create(id, parent, value, properties, unbound, vm, objects);
                let made = made.and_then(|key| {
                    self.set_watched(key, watch);
                    self.make_instance(key, vm, objects)
                });
                (id, made)
            }
            Incoming::Watch(id) => (id, self.watch(id, true)),
            // What is gone is watched by nobody and needs no end: released clients say both of what went with
            // its parent. What never was is a mistake.
            Incoming::Unwatch(id) | Incoming::Destroy(id) if self.is_gone(id) => (id, Ok(())),
            Incoming::Unwatch(id) => (id, self.watch(id, false)),
            Incoming::Update { id, value, properties } => {
                (id, self.update(id, value, properties, vm, objects, out))
            }
            Incoming::Destroy(id) => (id, self.destroy(id, out)),
            Incoming::Upload { id, piece } => (id, self.take_piece(id, piece, vm, objects, out)),
            Incoming::Error { id, description } => {
                let session = vm.name();
                tracing::warn!(target: "web", session, limited_by = session, variable = id, description, "the browser reports an error");
                return;
            }
            // A matter of the session.
            Incoming::Restart => return,
        };
        if let Err((code, mut description)) = done {
            cut(&mut description);
            out.push(Outgoing::Error { var_id: id, code, description });
        }
        // What was encoded for the comparison may be too large to be sent; the next pass finds that out.
        objects.take_exceeded();
    }

    #[allow(clippy::too_many_arguments)]
    fn create(
        &mut self,
        id: VarId,
        parent: Option<VarId>,
        value: Option<serde_json::Value>,
        properties: Properties,
        unbound: bool,
        vm: &Vm,
        objects: &Objects,
    ) -> Result<Key, Refused> {
        if self.nodes.key(id).is_some() || id < 1 {
            return Err((ErrorCode::BadMessage, format!("the id {id} is taken or not a positive integer")));
        }
        let parent = parent.map(|parent| self.key(parent)).transpose()?;
        self.highest = self.highest.max(id);
        let mut properties = PropertySet::given(properties).map_err(too_many)?;
        let (path, access) = path::parse(&mut properties).map_err(refused)?;
        // The browser keeps the value of an unbound variable itself, whatever its path says.
        let path = path.filter(|_| !unbound);
        let kept = if path.is_none() { value.as_ref().map_or(0, weight) } else { 0 };
        let charge = charge(objects.account(), &properties, path.as_ref(), kept);
        let charge = charge.map_err(|exceeded| self.over(exceeded))?;
        let value = match (&path, value) {
            (None, Some(value)) => decode(vm, objects, &value)?,
            _ => Value::Nil,
        };
        let grant = Grant::asking(access);
        Ok(self.nodes.insert(Variable {
            id,
            parent,
            path,
            access,
            grant,
            properties,
            value,
            kept,
            charge,
            ..Variable::default()
        }))
    }

    fn watch(&mut self, id: VarId, watched: bool) -> Result<(), Refused> {
        let key = self.key(id)?;
        self.set_watched(key, watched);
        if let Some(variable) = self.nodes.get_mut(key) {
            // `watch` also sends what is there.
            variable.properties.tell_all();
        }
        Ok(())
    }

    fn set_watched(&mut self, key: Key, watched: bool) {
        if let Some(variable) = self.nodes.get_mut(key) {
            (variable.watched, variable.sent, variable.sent_type) = (watched, None, None);
        }
    }

    fn update(
        &mut self,
        id: VarId,
        value: Option<serde_json::Value>,
        properties: Properties,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Refused> {
        let key = self.key(id)?;
        if !properties.is_empty() {
            self.set_properties(key, properties, vm, objects)?;
        }
        let Some(json) = value else { return Ok(()) };
        self.judge_now(key, vm, objects)?;
        let Some(variable) = self.nodes.get(key) else { return Ok(()) };
        if !variable.access.writable() {
            return Err((ErrorCode::Unauthorized, format!("variable {id} can't be written")));
        }
        if variable.path.is_none() {
            self.keep(key, weight(&json))?;
        }
        let written = decode(vm, objects, &json)?;
        let done = self.write(key, &written, vm, objects);
        if vm.is_waiting() {
            self.waiting = Some((id, written));
            return Ok(());
        }
        self.settle(key, done, &written, vm, objects, out)
    }

    /// A handler that waited has come to its end.
    pub(crate) fn written(
        &mut self,
        ran: Result<(), Failure>,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) {
        let done = ran.map_err(|failure| handler::failed(failure, vm));
        // What the property `create` made is no value of the browser's.
        let Some((id, written)) = self.waiting.take() else { return };
        let done = match self.nodes.key(id) {
            Some(key) => self.settle(key, done, &written, vm, objects, out),
            None => done.map_err(|(refused, _)| refused),
        };
        if let Err((code, mut description)) = done {
            cut(&mut description);
            out.push(Outgoing::Error { var_id: id, code, description });
        }
        objects.take_exceeded();
    }

    /// Takes note of what came of a write.
    fn settle(
        &mut self,
        key: Key,
        done: Result<(), WriteFailed>,
        written: &Value,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Refused> {
        let (done, raised) = match done {
            Ok(()) => (Ok(()), None),
            Err((refused, raised)) => (Err(refused), raised),
        };
        self.note_written(key, &done, raised, vm);
        if let Some(variable) = self.nodes.get_mut(key) {
            if variable.access.readable() && variable.sent.is_some() {
                // The writer has it already: no echo, unless the object makes something else of it.
                variable.sent = if done.is_ok() { objects.encode(written).ok() } else { None };
            }
            if std::mem::replace(&mut variable.refused, done.is_err()) && done.is_ok() {
                // Its last write failed, and this one may change no value, so the browser is told that the
                // error has ended.
                let var_id = variable.id;
                out.push(Outgoing::Update { var_id, value: None, properties: Properties::new() });
            }
        }
        done
    }

    /// What became of a write: what it raised, or why it was refused, is a problem of the page.
    pub(super) fn note_written(
        &mut self,
        key: Key,
        done: &Result<(), Refused>,
        raised: Option<Box<Diagnostic>>,
        vm: &Vm,
    ) {
        if let Some((earlier, variable)) = self.nodes.with_earlier(key) {
            let refused = || {
                let (_, why) = done.as_ref().err().filter(|_| self.is_developing)?;
                let parent = variable.parent.and_then(|parent| earlier.get(parent));
                Some(variable.path_problem(parent, why, &vm.generation()).diagnostic)
            };
            let diagnostic = raised.map(|raised| *raised).or_else(refused);
            let problem = diagnostic.map(|diagnostic| Problem { kind: ProblemKind::Handler, diagnostic });
            if problem.is_some() || variable.handler_problem().is_some() {
                variable.note_problem(problem, &mut self.problems);
            }
            variable.settled = false;
        }
    }

    fn set_properties(
        &mut self,
        key: Key,
        properties: Properties,
        vm: &Vm,
        objects: &mut Objects,
    ) -> Result<(), Refused> {
        self.look_above(key, vm, objects);
        let Some((earlier, variable)) = self.nodes.with_earlier(key) else { return Ok(()) };
        if let Err(refusal) = variable.may_take(&properties, earlier, &self.allowed) {
            let description = refusal.description.clone();
            self.refusals.push(refusal);
            return Err(unauthorized(description));
        }
        let mut create = false;
        let before = variable.properties.cost();
        for (name, value) in properties {
            let new = variable.properties.put(&name, value).map_err(too_many)?;
            create |= new && properties::split(&name).0 == "create";
        }
        let after = variable.properties.cost();
        variable.charge.shrink(before.saturating_sub(after));
        let grown = variable.charge.grow(after.saturating_sub(before));
        grown.map_err(|exceeded| self.over(exceeded))?;
        let Some(variable) = self.nodes.get_mut(key) else { return Ok(()) };
        if let Some(wrapping) = &mut variable.wrapping {
            wrapping.ask_again();
        }
        if create { self.make_instance(key, vm, objects) } else { Ok(()) }
    }

    /// A variable without a path keeps what is written to it.
    fn keep(&mut self, key: Key, bytes: usize) -> Result<(), Refused> {
        let Some(variable) = self.nodes.get_mut(key) else { return Ok(()) };
        let before = std::mem::replace(&mut variable.kept, bytes);
        variable.charge.shrink(before);
        variable.charge.grow(bytes).map_err(|exceeded| self.over(exceeded))
    }

    /// The property `create` names a prototype: a new object of it becomes the value.
    fn make_instance(&mut self, key: Key, vm: &Vm, objects: &mut Objects) -> Result<(), Refused> {
        let Some(variable) = self.nodes.get(key) else { return Ok(()) };
        let Some(prototype) = variable.properties.get_set("create").map(str::to_owned) else { return Ok(()) };
        self.judge_now(key, vm, objects)?;
        let Some(variable) = self.nodes.get(key) else { return Ok(()) };
        if !variable.access.writable() || variable.id < ROOT {
            let id = variable.id;
            return Err((
                ErrorCode::Unauthorized,
                format!("variable {id} can't be written: create={prototype}"),
            ));
        }
        let mut made = Value::Nil;
        handler::run(vm, |_| {
            made = vm.wrapping("create", prototype)?;
            Ok(())
        })
        .and_then(|()| self.write(key, &made, vm, objects))
        .map_err(|(refused, _)| refused)
    }

    /// Variables above this one that were made in the same batch have not been read yet.
    fn look_above(&mut self, key: Key, vm: &Vm, objects: &mut Objects) {
        let mut unread = Vec::new();
        let mut above = self.nodes.get(key).and_then(|variable| variable.parent);
        while let Some((key, variable)) = above.and_then(|key| Some((key, self.nodes.get(key)?))) {
            if !variable.looked {
                unread.push(key);
            }
            above = variable.parent;
        }
        for key in unread.into_iter().rev() {
            if let Some((earlier, variable)) = self.nodes.with_earlier(key) {
                match variable.judge(earlier, &self.allowed, &mut self.refusals) {
                    None => variable.look_ahead(earlier, vm, objects, &self.allowed),
                    Some(_) => variable.value = Value::Nil,
                }
            }
        }
    }

    /// Whether the browser may write it.
    pub(super) fn judge_now(&mut self, key: Key, vm: &Vm, objects: &mut Objects) -> Result<(), Refused> {
        let Some((earlier, variable)) = self.nodes.with_earlier(key) else { return Ok(()) };
        let parent = variable.parent.and_then(|parent| earlier.get(parent));
        if !parent.is_some_and(|parent| parent.looked && variable.grant.holds_below(&parent.grant)) {
            self.look_above(key, vm, objects);
        }
        let Some((earlier, variable)) = self.nodes.with_earlier(key) else { return Ok(()) };
        let before = self.refusals.len();
        let refusal = match variable.judge(earlier, &self.allowed, &mut self.refusals) {
            None => variable.refuse_write(earlier, &self.allowed),
            Some(_) => Some(variable.refuse_again(earlier, &self.allowed)),
        };
        let Some(refusal) = refusal else { return Ok(()) };
        let description = refusal.description.clone();
        if self.refusals.len() == before {
            self.refusals.push(refusal);
        }
        Err(unauthorized(description))
    }

    pub(super) fn write(
        &mut self,
        key: Key,
        written: &Value,
        vm: &Vm,
        objects: &mut Objects,
    ) -> Result<(), WriteFailed> {
        self.look_above(key, vm, objects);
        let Some(variable) = self.nodes.get(key) else { return Ok(()) };
        if let Some(path) = &variable.path {
            let all = self.nodes.all();
            let ancestors = |level| all.ancestor(variable, level);
            // `name()` that is an action is bound to be called with nothing.
            let is_bare =
                variable.access == Access::Action && matches!(path.steps.last(), Some(Step::Call(_)));
            let value = if is_bare { Value::Nil } else { written.clone() };
            let generation = vm.generation();
            // A typing mistake in a template must not make a field: what is typed there would be lost.
            let mut misspelt = |table: &Table, step: &Step| {
                let unknown = self.names.unknown(table, step, &generation)?;
                unknown.is_misspelt().then(|| unknown.to_string())
            };
            return handler::run(vm, |_| {
                let checks = Checks {
                    is_code: &|table| vm.is_code(table),
                    misspelt: &mut misspelt,
                    call: &|method, args| vm.call_unit(method, args),
                };
                access::write(path, &ancestors, value, checks)
            });
        }
        if let Some(variable) = self.nodes.get_mut(key) {
            variable.value = written.clone();
        }
        Ok(())
    }

    fn destroy(&mut self, id: VarId, out: &mut Vec<Outgoing>) -> Result<(), Refused> {
        if id == ROOT {
            return Err((ErrorCode::Unauthorized, "variable 1 stays as long as the session".into()));
        }
        let key = self.key(id)?;
        if id < ROOT {
            return Err((
                ErrorCode::Unauthorized,
                format!("variable {id} is the session's: Lua code ends it"),
            ));
        }
        self.remove(key, out);
        Ok(())
    }

    /// Ends a variable and its descendants, children first, with a notice for each.
    pub(super) fn remove(&mut self, key: Key, out: &mut Vec<Outgoing>) {
        // The problems of what ends, end.
        let changed = &mut self.problems.changed;
        let gone = self.nodes.remove(key, |variable| *changed |= variable.problem.is_some());
        self.uploads.retain(|upload| self.nodes.get(upload.key).is_some());
        out.extend(gone.into_iter().map(|var_id| Outgoing::Destroy { var_id }));
    }
}

fn too_many(error: TooMany) -> Refused {
    (ErrorCode::Limit, error.to_string())
}

fn decode(vm: &Vm, objects: &Objects, value: &serde_json::Value) -> Result<Value, Refused> {
    objects.decode(vm.lua(), value).map_err(|error| (ErrorCode::BadMessage, error.to_string()))
}

fn refused(error: PathError) -> Refused {
    (error.code, error.description)
}
