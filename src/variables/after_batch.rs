//! AfterBatch: the pass that finds what differs from what the browser has.
//!
//! Lua code changes its objects and tells nobody. After each unit of work every watched variable is
//! read again, parents before children, and compared with what was sent last.

use mlua::{LuaString, Value};

use super::{
    access::{self, AccessError},
    allowed::{Allowed, Denied, unauthorized},
    frame::Frame,
    handler,
    nodes::Earlier,
    problem::{Problem, ProblemKind},
    tree::View,
    value::{self, Objects},
    variable::{ROOT, Refused, Variable},
    wrapper::Wrapping,
};
use crate::wire::{Encoded, ErrorCode, Outgoing, Properties, cut};
use crate::{
    lua::{Budget, Vm},
    reload::{Diagnostic, Generation},
};

/// At most this many passes: a wrapper may change what was read before it was asked, and some never come to
/// rest.
const MAX_PASSES: usize = 4;

/// A longer one is cut.
const MAX_TITLE: usize = 200;

/// The name of a type, if there is one; `None`: as it was sent.
type NewType = Option<Option<Box<str>>>;

/// What a variable is now.
#[derive(Default)]
struct Reading {
    value: Value,
    /// `None`: as it was sent.
    encoded: Option<Encoded>,
    type_name: NewType,
    /// The type itself, for the next glance.
    lua_type: Option<LuaString>,
    /// What its children are paths from is a list.
    is_list: bool,
    /// A wrapper was asked, or has changed properties: what was read before may be another now.
    unsettled: bool,
    /// What its wrapper failed with: the browser gets the value and hears of it.
    failure: Option<Diagnostic>,
}

/// Why a variable has no value.
enum Unread {
    /// Its path leads nowhere.
    Nowhere(String),
    /// The value is not to be had.
    Refused(Refused),
    /// Code failed on the way.
    Raised(ErrorCode, Box<Diagnostic>),
}

impl View {
    /// Everything that this browser has to hear of, in the order of a frame: viewdefs first, then
    /// variables by priority, parents before children.
    pub(crate) fn after_batch(
        &mut self,
        vm: &Vm,
        objects: &mut Objects,
        generation: &Generation,
    ) -> Vec<Outgoing> {
        let mut out = Vec::new();
        self.take_declared(vm, objects.account(), &mut out);
        self.let_go_of_ended(vm);
        self.take_title(vm);
        let mut frame = Frame::up_to(objects.account().frame());
        self.unfinished = false;
        for pass in 1..=MAX_PASSES {
            let unsettled = self.pass(vm, objects, generation, &mut frame);
            if pass > 1 {
                frame.coalesce();
            }
            if !unsettled {
                break;
            }
        }
        out.append(&mut frame.into_messages());
        self.with_viewdefs(generation, out)
    }

    /// Reads everything once. Says whether it has to be read again.
    fn pass(&mut self, vm: &Vm, objects: &mut Objects, generation: &Generation, frame: &mut Frame) -> bool {
        let mut unsettled = false;
        let mut place = 0;
        let allowed = self.allowed.clone();
        loop {
            let (at, value) = self.first_to_read(place, vm);
            let Some((earlier, variable)) = self.nodes.at(at) else { break };
            if frame.is_full() {
                // The rest follows in the next frame, as it is then, so that nothing has to be held.
                self.unfinished = true;
                break;
            }
            place = at + 1;
            let parent = variable.parent.and_then(|parent| earlier.get(parent));
            variable.hidden = variable.properties.inactive() || parent.is_some_and(|parent| parent.hidden);
            if variable.hidden {
                continue;
            }
            match variable.judge(earlier, &allowed, &mut self.refusals) {
                None => {}
                Some(Denied::Refused) => {
                    if !variable.is_refused() {
                        let why = variable.why(earlier, &allowed);
                        variable.refuse(why, frame);
                    }
                    continue;
                }
                Some(Denied::Aside) => {
                    variable.blank(frame);
                    continue;
                }
            }
            let wanted = variable.watched || variable.children > 0;
            if wanted && variable.access.readable() {
                let (mut lua_type, mut problem) = (None, variable.handler_problem());
                let grant = parent.map(|parent| &parent.grant);
                match variable.read(value, earlier, vm, objects, &allowed) {
                    Ok(mut reading) => {
                        unsettled |= reading.unsettled;
                        variable.grant.note_read(grant);
                        lua_type = reading.lua_type.take();
                        if let Some(diagnostic) = reading.failure.clone() {
                            problem = Some(Problem { kind: ProblemKind::Wrapper, diagnostic });
                        } else if self.is_developing && problem.is_none() {
                            problem = match &reading.value {
                                Value::Nil => variable.misspelt(parent, generation, &mut self.names),
                                _ => None,
                            };
                            let missing =
                                || variable.missing(parent, &reading.value, lua_type.as_ref(), generation);
                            problem = problem.or_else(missing);
                        }
                        variable.note(&reading, lua_type.as_ref(), &allowed);
                        variable.take(reading, frame);
                    }
                    Err(Unread::Nowhere(_)) if variable.grant.is_outdated(grant) => variable.blank(frame),
                    Err(Unread::Nowhere(why)) => {
                        variable.grant.note_read(grant);
                        let misspelt = variable.misspelt(parent, generation, &mut self.names);
                        problem = misspelt.or_else(|| Some(variable.path_problem(parent, &why, generation)));
                        variable.fail((ErrorCode::PathFailure, why), frame);
                    }
                    Err(Unread::Refused(why)) => {
                        problem = Some(variable.path_problem(parent, &why.1, generation));
                        variable.fail(why, frame);
                    }
                    Err(Unread::Raised(code, diagnostic)) => {
                        variable.fail((code, diagnostic.to_string()), frame);
                        problem = Some(Problem { kind: ProblemKind::Getter, diagnostic: *diagnostic });
                    }
                }
                variable.note_problem(problem, &mut self.problems);
                self.take_note(at, lua_type, vm);
            } else {
                variable.restore(frame);
            }
        }
        unsettled
    }

    /// What the window is called: the app's field `title`.
    fn take_title(&mut self, vm: &Vm) {
        let title = vm.app_title();
        let is_same = match &title {
            Some(title) => *title.as_bytes() == *self.title.as_bytes(),
            None => self.title.is_empty(),
        };
        if !is_same {
            let title: String = title.map(|title| title.to_string_lossy()).unwrap_or_default();
            let title: Box<str> = title.chars().take(MAX_TITLE).collect::<String>().into();
            if title != self.title {
                self.set_app_property("title", &title);
                self.title = title;
            }
        }
    }

    /// Puts the templates of types that are new to the browser, and those that changed, in front.
    fn with_viewdefs(&mut self, generation: &Generation, mut out: Vec<Outgoing>) -> Vec<Outgoing> {
        let types = out.iter().filter_map(|message| match message {
            Outgoing::Update { properties, .. } => properties.get("type").map(String::as_str),
            _ => None,
        });
        if let Some(json) = self.viewdefs.take_changed(types, generation) {
            self.problems.changed |= self.is_developing;
            let properties = Properties::from([("viewdefs".to_owned(), json)]);
            out.insert(0, Outgoing::Update { var_id: ROOT, value: None, properties });
        }
        out
    }
}

impl Variable {
    /// Its value, before the pass in which it is sent: something below it is written.
    pub(super) fn look_ahead(
        &mut self,
        earlier: Earlier<'_>,
        vm: &Vm,
        objects: &mut Objects,
        allowed: &Allowed,
    ) {
        if self.access.readable() {
            self.settled = false;
            let mut reading = self.read(None, earlier, vm, objects, allowed).unwrap_or_default();
            let lua_type = reading.lua_type.take();
            self.note(&reading, lua_type.as_ref(), allowed);
            self.value = reading.value;
        }
    }

    /// For what its children may ask for.
    fn note(&mut self, reading: &Reading, lua_type: Option<&LuaString>, allowed: &Allowed) {
        let is_table = reading.value.is_table();
        self.note_kind(lua_type.filter(|_| is_table), reading.is_list, is_table, allowed);
    }

    /// `value` is what its path leads to, if that is known.
    fn read(
        &mut self,
        value: Option<Value>,
        earlier: Earlier<'_>,
        vm: &Vm,
        objects: &mut Objects,
        allowed: &Allowed,
    ) -> Result<Reading, Unread> {
        self.looked = true;
        let budget = Budget { time: vm.budget().read, key: "session.budget.read" };
        let mut refusal = None;
        let read = vm.run(budget, |_| match self.look(value, earlier, vm, objects, allowed) {
            Ok(reading) => Ok(reading),
            Err(AccessError::Lua(error)) => Err(error),
            Err(AccessError::Path(description)) => {
                refusal = Some(Unread::Nowhere(description));
                Ok(Reading::default())
            }
            Err(AccessError::Unauthorized(description)) => {
                refusal = Some(Unread::Refused(unauthorized(description)));
                Ok(Reading::default())
            }
        });
        if objects.take_garbled() && !std::mem::replace(&mut self.garbled, true) {
            let (session, path) = (vm.name(), self.properties.get("path").unwrap_or_default());
            tracing::warn!(target: "lua", session, limited_by = session, "\"{path}\" has text that is not UTF-8; browsers get it with \u{fffd} in it");
        }
        if let Some(exceeded) = objects.take_exceeded() {
            let why = format!("the value is too large to be sent: {exceeded}");
            return Err(Unread::Refused((ErrorCode::Limit, why)));
        }
        match (read, refusal) {
            (Ok(reading), None) => Ok(reading),
            (Ok(_), Some(refusal)) => Err(refusal),
            (Err(failure), _) => {
                let code = handler::code(&failure, ErrorCode::PathFailure);
                Err(Unread::Raised(code, Box::new(failure.diagnostic)))
            }
        }
    }

    fn look(
        &mut self,
        value: Option<Value>,
        earlier: Earlier<'_>,
        vm: &Vm,
        objects: &mut Objects,
        allowed: &Allowed,
    ) -> Result<Reading, AccessError> {
        let value = match &self.path {
            _ if value.is_some() => value.unwrap_or_default(),
            None if self.id == ROOT => vm.app().map_or(Value::Nil, Value::Table),
            None => self.value.clone(),
            Some(path) => access::read(path, &|level| earlier.ancestor(self, level))?,
        };
        if self.properties.wrapped() || self.wrapping.is_some() {
            return Ok(self.look_wrapped(value, vm, objects)?);
        }
        let mut reading = Reading { value, ..Reading::default() };
        if self.watched {
            reading.encoded = match &self.sent {
                Some(sent) => objects.encode_unless(&reading.value, sent)?,
                None => Some(objects.encode(&reading.value)?),
            };
            let encoded = reading.encoded.as_ref().or(self.sent.as_ref());
            let object = encoded.is_some_and(|encoded| matches!(encoded, Encoded::Object(_)));
            let object = if object { reading.value.as_table() } else { None };
            (reading.type_name, reading.lua_type) = self.new_type(object, objects)?;
            reading.is_list = encoded.is_some_and(|encoded| matches!(encoded, Encoded::Array(_)));
        } else if let (Value::Table(table), false) = (&reading.value, allowed.is_open()) {
            reading.lua_type = objects.type_name(table)?;
            reading.is_list = reading.lua_type.is_none() && objects.is_array(table)?;
        }
        if let (Value::Table(table), None, false) = (&reading.value, &reading.lua_type, reading.is_list) {
            reading.is_list = value::is_empty_list(table)?;
        }
        Ok(reading)
    }

    /// The type is that of the wrapper: by it the browser finds the template for what the children show.
    fn look_wrapped(&mut self, value: Value, vm: &Vm, objects: &mut Objects) -> mlua::Result<Reading> {
        let present = self.wrapping.take();
        self.wrapping = Wrapping::wanted(present, self.id, &self.properties, vm)?;
        let mut encoded = match &self.wrapping {
            Some(wrapping) if wrapping.is_empty_list(&value)? => objects.empty_array()?,
            _ => objects.encode(&value)?,
        };
        let mut unsettled = false;
        if let Some(wrapping) = &mut self.wrapping {
            unsettled |= match value {
                Value::Nil => wrapping.rest()?,
                _ => wrapping.follow(&value, &mut encoded, &self.properties, vm, objects)?,
            };
            let before = self.properties.cost();
            unsettled |= wrapping.take_properties(&mut self.properties)?;
            let grown = self.properties.cost().saturating_sub(before);
            objects.within(self.charge.grow(grown))?;
        }
        let wrapper = self.wrapping.as_ref().and_then(|wrapping| wrapping.object());
        let object = match encoded {
            Encoded::Object(_) => value.as_table(),
            _ => None,
        };
        let (type_name, lua_type) = self.new_type(wrapper.or(object), objects)?;
        let is_list = match wrapper {
            Some(_) => self.wrapping.as_ref().is_some_and(|wrapping| wrapping.is_list()),
            None => matches!(encoded, Encoded::Array(_)),
        };
        let encoded = Some(encoded).filter(|encoded| self.sent.as_ref() != Some(encoded));
        let failure = self.wrapping.as_ref().and_then(|wrapping| wrapping.failure()).cloned();
        Ok(Reading { value, encoded, type_name, lua_type, is_list, unsettled, failure })
    }

    /// The type, if the browser has another; and as it is in Lua.
    fn new_type(
        &self,
        object: Option<&mlua::Table>,
        objects: &Objects,
    ) -> mlua::Result<(NewType, Option<LuaString>)> {
        let Some(name) = object.map(|object| objects.type_name(object)).transpose()?.flatten() else {
            return Ok((self.sent_type.is_some().then_some(None), None));
        };
        let same = self.sent_type.as_deref().is_some_and(|sent| *name.as_bytes() == *sent.as_bytes());
        Ok(((!same).then(|| Some(name.to_string_lossy().into())), Some(name)))
    }

    fn take(&mut self, reading: Reading, frame: &mut Frame) {
        self.value = reading.value;
        // A success ends an error: the browser is told even if the value is the same.
        let recovered = reading.failure.is_none() && self.error.take().is_some();
        if !self.watched {
            return;
        }
        let mut value = reading.encoded;
        if let Some(encoded) = &value {
            self.sent = Some(encoded.clone());
        } else if recovered {
            value.clone_from(&self.sent);
        }
        let mut properties = Properties::new();
        if let Some(type_name) = reading.type_name {
            properties.insert("type".into(), type_name.as_deref().unwrap_or_default().to_owned());
            self.sent_type = type_name;
        }
        let is_told = self.say(value, properties, frame);
        if let Some(failure) = reading.failure {
            if is_told {
                // For the browser an update ends the error.
                self.error = None;
            }
            let mut why = failure.to_string();
            cut(&mut why);
            self.say_error((ErrorCode::PathFailure, why), frame);
        }
    }

    fn fail(&mut self, mut error: Refused, frame: &mut Frame) {
        cut(&mut error.1);
        self.clear(frame);
        if self.watched {
            self.say_error(error, frame);
        }
    }

    /// The browser knows that it may not have it.
    fn is_refused(&self) -> bool {
        let is_told = self.error.as_ref().is_some_and(|error| error.0 == ErrorCode::Unauthorized);
        let is_shown = self.watched && self.access.readable();
        is_told && (!is_shown || self.sent == Some(Encoded::Null))
    }

    /// The browser may not have it, and is told so.
    fn refuse(&mut self, why: String, frame: &mut Frame) {
        if self.access.readable() {
            self.clear(frame);
        }
        self.say_error(unauthorized(why), frame);
    }

    /// The browser may no longer have it, and its page is about to learn why.
    fn blank(&mut self, frame: &mut Frame) {
        if self.access.readable() {
            self.clear(frame);
        }
    }

    /// What can't be read is told by an update without a value when it may be had again.
    fn restore(&mut self, frame: &mut Frame) {
        if !self.access.readable() && self.error.take().is_some() {
            frame.update(self.properties.priority("path"), self.id, None, Properties::new());
        }
    }

    /// Nothing stale is shown.
    fn clear(&mut self, frame: &mut Frame) {
        self.value = Value::Nil;
        self.forget_kind();
        if let Some(wrapping) = &mut self.wrapping {
            wrapping.stand_down();
        }
        if !self.watched {
            return;
        }
        let stale = self.sent.as_ref() != Some(&Encoded::Null);
        if stale {
            self.sent = Some(Encoded::Null);
        }
        self.say(stale.then_some(Encoded::Null), Properties::new(), frame);
    }

    fn say_error(&mut self, error: (ErrorCode, String), frame: &mut Frame) {
        if self.error.as_deref() != Some(&error) {
            let (code, description) = error.clone();
            frame.push(
                self.properties.priority("path"),
                Outgoing::Error { var_id: self.id, code, description },
            );
            self.error = Some(Box::new(error));
        }
    }

    /// An update for each priority, if there is something to say. The value has that of the path. Says whether
    /// there was.
    fn say(&mut self, value: Option<Encoded>, properties: Properties, frame: &mut Frame) -> bool {
        if value.is_none() && properties.is_empty() && self.properties.all_told() {
            return false;
        }
        let mut untold = self.properties.take_untold();
        let usual = self.properties.priority("path");
        if value.is_some() || !properties.is_empty() {
            untold.entry(usual).or_default().extend(properties);
        }
        let mut value = value;
        for (priority, properties) in untold {
            let value = if priority == usual { value.take() } else { None };
            frame.update(priority, self.id, value, properties);
        }
        true
    }
}
