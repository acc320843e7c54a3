//! A glance over the variables that are as they were sent: nearly all of them, nearly always.
//!
//! The usual way to read a variable takes a dozen calls into Lua, each of which makes a handle of what it
//! returns. A glance follows paths and compares values on Lua's own stack, and makes none. It decides
//! nothing: at the first variable that is another, fails, or takes too long, it stops and hands over, and
//! what is to be said of that one is found out in the usual way.
//!
//! So that the values of variables can be reached there, a table of the state holds them: for each slot what
//! children start from, and the type that the browser knows.
//!
//! Safety of this file: [`Glance`] works within one protected call, by the rules of Lua's reference manual.
//! It uses places of the stack that it has filled, at most [`MAX_STEPS`] and five of the twenty that a C
//! function has; no Rust value that needs dropping is alive when Lua may raise an error, which unwinds
//! through here.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

use std::ffi::c_int;

use mlua::{
    LuaString, Value,
    ffi::{
        LUA_TFUNCTION, LUA_TNIL, LUA_TSTRING, LUA_TTABLE, lua_Integer, lua_State, lua_call, lua_geti,
        lua_getmetatable, lua_gettable, lua_insert, lua_next, lua_pop, lua_pushlstring, lua_pushnil,
        lua_rawequal, lua_rawgeti, lua_replace, lua_settop, lua_tolstring, lua_type,
    },
};

use super::{
    nodes::Node,
    path::Step,
    tree::View,
    variable::{Key, Variable},
};
use crate::lua::{Budget, Vm};
use crate::wire::Encoded;

/// Longer paths are read in the usual way.
const MAX_STEPS: usize = 6;
/// Where on the stack the table of values is.
const KNOWN: c_int = 1;

/// Where in that table a variable has what its children start from.
fn base(slot: u32) -> lua_Integer {
    lua_Integer::from(slot) * 2 + 1
}

/// And where its type, as the browser knows it.
fn type_of(slot: u32) -> lua_Integer {
    base(slot) + 1
}

impl View {
    /// The place of the first variable, from `place` on, that may be another than the browser has; and its
    /// value, if it was read on the way.
    pub(super) fn first_to_read(&mut self, place: usize, vm: &Vm) -> (usize, Option<Value>) {
        let list = self.nodes.list();
        let is_next = list.get(place).is_some_and(|(_, variable)| variable.may_be_passed());
        let Some(known) = self.known.as_ref().filter(|_| is_next) else { return (place, None) };
        let (mut at, mut found, is_open) = (place, false, self.allowed.is_open());
        // One budget for all of them. If it ends, the variable that was under way is read again with a budget
        // of its own.
        let budget = Budget { time: vm.budget().read, key: "session.budget.read" };
        let read = vm.run(budget, |lua| {
            let look = |l: *mut lua_State| {
                let mut glance = Glance { l, list, parent: 0, is_open };
                // SAFETY: see above; the closure is called with the table at the first place of the stack.
                unsafe {
                    loop {
                        match glance.look(at) {
                            Seen::Same => at += 1,
                            Seen::Unclear => {
                                lua_settop(l, 0);
                                return lua_pushnil(l);
                            }
                            Seen::Another => {
                                found = true;
                                lua_replace(l, KNOWN);
                                return lua_settop(l, KNOWN);
                            }
                        }
                    }
                }
            };
            // SAFETY: `look` holds nothing that has to be dropped when a Lua error unwinds through it.
            unsafe { lua.exec_raw::<Value>(known, look) }
        });
        (at, read.ok().filter(|_| found))
    }

    /// What is not there any more must not be kept alive.
    pub(super) fn let_go_of_ended(&mut self, vm: &Vm) {
        for slot in self.nodes.take_stale() {
            for place in [base(slot), type_of(slot)] {
                let _ = self.set(place, &Value::Nil, vm);
            }
        }
    }

    /// Takes note of a variable that was read in the usual way, for the next glance.
    pub(super) fn take_note(&mut self, place: usize, type_name: Option<LuaString>, vm: &Vm) {
        let Some((_, variable)) = self.nodes.list().get(place) else { return };
        let (slot, stands_for) = (variable.slot, variable.stands_for());
        let type_name = type_name.map_or(Value::Nil, Value::String);
        let noted =
            self.set(base(slot), &stands_for, vm).and_then(|()| self.set(type_of(slot), &type_name, vm));
        if let Some((_, variable)) = self.nodes.at(place) {
            variable.settled = noted.is_ok() && variable.is_plain();
        }
    }

    fn set(&mut self, place: lua_Integer, value: &Value, vm: &Vm) -> mlua::Result<()> {
        match &self.known {
            Some(known) => known.raw_set(place, value),
            None => self.known.insert(vm.lua().create_table()?).raw_set(place, value),
        }
    }
}

impl Variable {
    /// Whether it has changed can be told by the value of its path alone.
    fn is_plain(&self) -> bool {
        let is_followed = |step: &Step| matches!(step, Step::Field(_) | Step::Index(_) | Step::Call(_));
        let path = self.path.as_ref().filter(|path| path.steps.len() <= MAX_STEPS);
        // An array may have other elements, and be the same table.
        let is_comparable =
            !self.watched || self.sent.as_ref().is_some_and(|sent| !matches!(sent, Encoded::Array(_)));
        path.is_some_and(|path| path.steps.iter().all(is_followed))
            && is_comparable
            && self.error.is_none()
            && self.problem.is_none()
            && self.wrapping.is_none()
            && self.access.readable()
    }

    /// Nothing is to be done about it, if it has its old value.
    fn may_be_passed(&self) -> bool {
        let properties = &self.properties;
        let is_told = properties.all_told() && !properties.wrapped() && !properties.inactive();
        self.settled && !self.hidden && is_told && (self.watched || self.children > 0)
    }
}

enum Seen {
    /// It has its old value.
    Same,
    /// Its value, which is on top of the stack, is or may be another.
    Another,
    /// The usual way has to find out.
    Unclear,
}

struct Glance<'a> {
    l: *mut lua_State,
    list: &'a [Node],
    /// Where the last parent was: mostly it is that of the next one, too.
    parent: usize,
    /// Browsers may ask for anything.
    is_open: bool,
}

impl<'a> Glance<'a> {
    fn parent(&mut self, key: Key) -> Option<&'a Variable> {
        if self.list.get(self.parent).is_none_or(|(found, _)| *found != key) {
            self.parent = self.list.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        }
        self.list.get(self.parent).map(|(_, parent)| &**parent)
    }

    /// Leaves what it has looked at on the stack, above the table of values.
    unsafe fn look(&mut self, place: usize) -> Seen {
        let Some((_, variable)) = self.list.get(place) else { return Seen::Unclear };
        let (Some(path), Some(parent)) = (&variable.path, variable.parent) else { return Seen::Unclear };
        let Some(parent) = self.parent(parent).filter(|parent| !parent.hidden) else { return Seen::Unclear };
        if !variable.may_be_passed() || !variable.grant.holds_below(&parent.grant) {
            return Seen::Unclear;
        }
        // SAFETY: see at the top.
        unsafe {
            lua_settop(self.l, KNOWN);
            lua_rawgeti(self.l, KNOWN, base(parent.slot));
            for step in &path.steps {
                if !self.step(step) {
                    return Seen::Unclear;
                }
            }
            let kind = lua_type(self.l, -1);
            if kind == LUA_TFUNCTION {
                return Seen::Unclear;
            }
            lua_rawgeti(self.l, KNOWN, base(variable.slot));
            let is_same = lua_rawequal(self.l, -1, -2) != 0;
            lua_pop(self.l, 1);
            if is_same && (kind != LUA_TTABLE || self.is_unseen(variable) || self.is_same_object(variable)) {
                Seen::Same
            } else {
                Seen::Another
            }
        }
    }

    /// From the value on top of the stack to that of the step. Says whether there is one.
    unsafe fn step(&self, step: &Step) -> bool {
        // SAFETY: see at the top. The names are alive as long as the variables.
        unsafe {
            if lua_type(self.l, -1) != LUA_TTABLE {
                return false;
            }
            match step {
                Step::Field(name) => self.get(name),
                Step::Index(index) => {
                    lua_geti(self.l, -1, index + 1);
                }
                Step::Call(name) => {
                    self.get(name);
                    if lua_type(self.l, -1) != LUA_TFUNCTION {
                        return false;
                    }
                    lua_insert(self.l, -2);
                    lua_call(self.l, 1, 1);
                }
                Step::CallWith(_) | Step::Parent => return false,
            }
            true
        }
    }

    /// The field of the table on top of the stack, by way of its metatables.
    unsafe fn get(&self, name: &str) {
        // SAFETY: see at the top.
        unsafe {
            lua_pushlstring(self.l, name.as_ptr().cast(), name.len());
            lua_gettable(self.l, -2);
        }
    }

    /// Neither it nor what is below it depends on its type.
    fn is_unseen(&self, variable: &Variable) -> bool {
        !variable.watched && (variable.children == 0 || self.is_open)
    }

    /// Whether the table on top of the stack, which was sent as an object, still is one of that type.
    unsafe fn is_same_object(&self, variable: &Variable) -> bool {
        // SAFETY: see at the top.
        unsafe {
            self.get("type");
            lua_rawgeti(self.l, KNOWN, type_of(variable.slot));
            let is_same = lua_rawequal(self.l, -1, -2) != 0;
            let has_type = lua_type(self.l, -1) != LUA_TNIL;
            lua_pop(self.l, 2);
            is_same && (has_type || self.has_fields())
        }
    }

    /// Whether a field of the table on top of the stack makes it an object and no array.
    unsafe fn has_fields(&self) -> bool {
        // SAFETY: see at the top. The key is not converted: it is a string.
        unsafe {
            if lua_getmetatable(self.l, -1) != 0 {
                lua_pop(self.l, 1);
                return false;
            }
            lua_pushnil(self.l);
            while lua_next(self.l, -2) != 0 {
                lua_pop(self.l, 1);
                if lua_type(self.l, -1) == LUA_TSTRING
                    && lua_tolstring(self.l, -1, std::ptr::null_mut()).cast::<u8>().read() != b'_'
                {
                    lua_pop(self.l, 1);
                    return true;
                }
            }
            false
        }
    }
}
