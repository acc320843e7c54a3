//! The variables of one browser: made, watched, written, destroyed.
//!
//! Each socket has variables of its own, numbered by its browser, so that two tabs of one session
//! can't disturb each other. What they show is the same: the session's objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mlua::{Lua, Value};

use super::{
    access::{self, AccessError},
    message::{ErrorCode, Incoming, Outgoing, Properties, VarId},
    path::{Access, Path, PathError},
    value::{Encoded, Objects},
    viewdefs::KnownViewdefs,
};
use crate::vm::{Failure, Vm};

/// A browser that makes more than that has a loop in it.
const MAX_VARIABLES: usize = 100_000;
/// The app: there from the start.
pub(crate) const ROOT: VarId = 1;

/// What one browser sees of a session.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// By the order in which they were made: parents come before children. In boxes, since a node of the
    /// map has room for eleven, and most browsers of a small application have fewer.
    pub(super) variables: BTreeMap<u64, Box<Variable>>,
    ids: HashMap<VarId, u64>,
    last: u64,
    pub(super) viewdefs: KnownViewdefs,
}

/// A place in the session's objects, and what the browser knows of it.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) id: VarId,
    pub(super) parent: Option<u64>,
    /// `None`: it has no path and keeps the value that was written.
    pub(super) path: Option<Path>,
    pub(super) access: Access,
    pub(super) properties: Properties,
    pub(super) watched: bool,
    /// What children start from.
    pub(super) value: Value,
    /// What the browser has; `None`: nothing yet.
    pub(super) sent: Option<Encoded>,
    pub(super) sent_type: Option<String>,
    pub(super) error: Option<(ErrorCode, String)>,
}

/// What a message failed with.
type Refused = (ErrorCode, String);

impl View {
    /// With variable 1, unwatched.
    pub(crate) fn new() -> Self {
        let mut view = Self::default();
        view.insert(Variable {
            id: ROOT,
            parent: None,
            path: None,
            access: Access::Read,
            properties: Properties::new(),
            watched: false,
            value: Value::Nil,
            sent: None,
            sent_type: None,
            error: None,
        });
        view
    }

    fn insert(&mut self, variable: Variable) {
        self.last += 1;
        self.ids.insert(variable.id, self.last);
        self.variables.insert(self.last, Box::new(variable));
    }

    fn key(&self, id: VarId) -> Result<u64, Refused> {
        let unknown = || (ErrorCode::NotFound, format!("there is no variable {id}"));
        self.ids.get(&id).copied().ok_or_else(unknown)
    }

    /// Does what a message says; failures and notices go to `out`.
    pub(crate) fn receive(
        &mut self,
        message: Incoming,
        vm: &Vm,
        objects: &mut Objects,
        out: &mut Vec<Outgoing>,
    ) {
        let (id, done) = match message {
            Incoming::Create { id, parent, value, properties, watch } => {
                (id, self.create(id, parent, value, properties, watch, vm, objects))
            }
            Incoming::Watch(id) => (id, self.set_watched(id, true)),
            Incoming::Unwatch(id) => (id, self.set_watched(id, false)),
            Incoming::Update { id, value, properties } => {
                (id, self.update(id, value, properties, vm, objects))
            }
            Incoming::Destroy(id) => (id, self.destroy(id, out)),
            Incoming::Error { id, description } => {
                tracing::warn!(target: "web", variable = id, "the browser reports: {description}");
                return;
            }
            // A matter of the session.
            Incoming::Restart => return,
        };
        if let Err((code, description)) = done {
            out.push(Outgoing::Error { var_id: id, code, description });
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn create(
        &mut self,
        id: VarId,
        parent: Option<VarId>,
        value: Option<serde_json::Value>,
        mut properties: Properties,
        watch: bool,
        vm: &Vm,
        objects: &Objects,
    ) -> Result<(), Refused> {
        if self.ids.contains_key(&id) || id < 1 {
            return Err((ErrorCode::BadMessage, format!("the id {id} is taken or not a positive integer")));
        }
        if self.variables.len() >= MAX_VARIABLES {
            return Err((ErrorCode::Limit, format!("more than {MAX_VARIABLES} variables")));
        }
        let parent = parent.map(|parent| self.key(parent)).transpose()?;
        let path = match properties.get("path").cloned() {
            Some(text) => Some(Path::parse(&text, &mut properties).map_err(refused)?),
            None => None,
        };
        let access = properties.get("access").map(String::as_str);
        let access = Access::parse(access, path.as_ref().unwrap_or(&Path::default())).map_err(refused)?;
        let value = match (&path, value) {
            (None, Some(value)) => decode(vm, objects, &value)?,
            _ => Value::Nil,
        };
        let (sent, sent_type, error) = (None, None, None);
        self.insert(Variable {
            id,
            parent,
            path,
            access,
            properties,
            watched: watch,
            value,
            sent,
            sent_type,
            error,
        });
        Ok(())
    }

    fn set_watched(&mut self, id: VarId, watched: bool) -> Result<(), Refused> {
        let key = self.key(id)?;
        if let Some(variable) = self.variables.get_mut(&key) {
            variable.watched = watched;
            // `watch` also sends what is there.
            (variable.sent, variable.sent_type) = (None, None);
        }
        Ok(())
    }

    fn update(
        &mut self,
        id: VarId,
        value: Option<serde_json::Value>,
        properties: Properties,
        vm: &Vm,
        objects: &mut Objects,
    ) -> Result<(), Refused> {
        let key = self.key(id)?;
        if let Some(variable) = self.variables.get_mut(&key) {
            variable.properties.extend(properties);
        }
        let (Some(json), Some(variable)) = (value, self.variables.get(&key)) else { return Ok(()) };
        if !variable.access.writable() {
            return Err((ErrorCode::Unauthorized, format!("variable {id} can't be written")));
        }
        let written = decode(vm, objects, &json)?;
        match &variable.path {
            Some(path) => {
                let ancestors = |level| self.ancestor(variable, level);
                run(vm, |_| access::write(path, &ancestors, written.clone()))?;
            }
            None => {
                if let Some(variable) = self.variables.get_mut(&key) {
                    variable.value = written.clone();
                }
            }
        }
        // The writer has it already: no echo, unless the object makes something else of it.
        let sent = objects.encode(&written).ok();
        if let Some(variable) = self.variables.get_mut(&key)
            && variable.access.readable()
            && variable.sent.is_some()
        {
            variable.sent = sent;
        }
        Ok(())
    }

    /// Ends a variable and its descendants, children first, with a notice for each.
    fn destroy(&mut self, id: VarId, out: &mut Vec<Outgoing>) -> Result<(), Refused> {
        if id == ROOT {
            return Err((ErrorCode::Unauthorized, "variable 1 stays as long as the session".into()));
        }
        let mut doomed = BTreeSet::from([self.key(id)?]);
        // Children were made after their parents.
        for (&key, variable) in &self.variables {
            if variable.parent.is_some_and(|parent| doomed.contains(&parent)) {
                doomed.insert(key);
            }
        }
        for key in doomed.into_iter().rev() {
            if let Some(variable) = self.variables.remove(&key) {
                self.ids.remove(&variable.id);
                out.push(Outgoing::Destroy { var_id: variable.id });
            }
        }
        Ok(())
    }

    /// The value of a variable's parent (level 0), of the parent's parent (1), and so on.
    pub(super) fn ancestor(&self, variable: &Variable, level: usize) -> Option<Value> {
        let mut ancestor = self.variables.get(&variable.parent?)?;
        for _ in 0..level {
            ancestor = self.variables.get(&ancestor.parent?)?;
        }
        Some(ancestor.value.clone())
    }

    /// The variables as a tree, for debugging.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let describe = |variable: &Variable| {
            let parent = variable.parent.and_then(|key| self.variables.get(&key)).map(|parent| parent.id);
            serde_json::json!({
                "id": variable.id,
                "parentId": parent,
                "value": variable.sent,
                "type": variable.sent_type,
                "properties": variable.properties,
                "watched": variable.watched,
                "error": variable.error.as_ref().map(|(code, description)| {
                    serde_json::json!({ "code": code, "description": description })
                }),
            })
        };
        self.variables.values().map(|variable| describe(variable)).collect()
    }
}

fn decode(vm: &Vm, objects: &Objects, value: &serde_json::Value) -> Result<Value, Refused> {
    objects.decode(vm.lua(), value).map_err(|error| (ErrorCode::BadMessage, error.to_string()))
}

fn refused(error: PathError) -> Refused {
    (error.code, error.description)
}

/// Runs a handler in its budget. What fails in Lua is logged with file and line.
fn run(vm: &Vm, work: impl FnOnce(&Lua) -> Result<(), AccessError>) -> Result<(), Refused> {
    let mut refusal = None;
    let ran = vm.run(vm.handler(), |lua| match work(lua) {
        Ok(()) => Ok(()),
        Err(AccessError::Lua(error)) => Err(error),
        Err(AccessError::Path(description)) => {
            refusal = Some((ErrorCode::PathFailure, description));
            Ok(())
        }
        Err(AccessError::Unauthorized(description)) => {
            refusal = Some((ErrorCode::Unauthorized, description));
            Ok(())
        }
    });
    match (ran, refusal) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(refusal)) => Err(refusal),
        (Err(failure), _) => {
            let session = vm.name();
            tracing::warn!(target: "lua", session, "a handler failed: {}", failure.diagnostic);
            Err((code(&failure, ErrorCode::HandlerFailed), failure.diagnostic.to_string()))
        }
    }
}

/// What kind of failure a browser is told of.
pub(super) fn code(failure: &Failure, otherwise: ErrorCode) -> ErrorCode {
    match (failure.exhausted, failure.diagnostic.message.starts_with("used more")) {
        (true, true) => ErrorCode::Limit,
        (true, false) => ErrorCode::Timeout,
        _ => otherwise,
    }
}
