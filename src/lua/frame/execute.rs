//! Does what Lua was told to do.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{
    Stack,
    next::{Op, Ops},
};

impl Stack {
    #[inline]
    pub(super) unsafe fn do_all(&self, ops: &Ops<'_>) {
        for op in ops.list() {
            // SAFETY: the caller's.
            unsafe { self.run(op) };
        }
    }

    /// # Safety
    /// No Rust code is under way in the frame, and nothing of it has to be dropped.
    #[inline]
    unsafe fn run(&self, op: &Op<'_>) {
        let l = self.state;
        // SAFETY: the caller's. Each makes sure that the values are there that it names or takes, that these are none
        // of the arguments, and that there is room for what it pushes.
        unsafe {
            match *op {
                Op::Nothing => {}
                Op::Pop(count) => {
                    self.take(count);
                    ffi::lua_settop(l, -count - 1);
                }
                Op::Clear => {
                    if self.level.get() != 0 {
                        self.misused();
                    }
                    self.clear();
                }
                Op::Nil => {
                    self.make_room(1);
                    ffi::lua_pushnil(l);
                    self.grow(1);
                }
                Op::Boolean(boolean) => {
                    self.make_room(1);
                    ffi::lua_pushboolean(l, c_int::from(boolean));
                    self.grow(1);
                }
                Op::Integer(integer) => {
                    self.make_room(1);
                    ffi::lua_pushinteger(l, integer);
                    self.grow(1);
                }
                Op::Text(text) => {
                    self.make_room(1);
                    ffi::lua_pushlstring(l, text.as_ptr().cast(), text.len());
                    self.grow(1);
                }
                Op::Function(function) => {
                    self.make_room(1);
                    ffi::lua_pushcclosure(l, function.0, 0);
                    self.grow(1);
                }
                Op::Copy(at) => {
                    let at = self.place(at);
                    self.make_room(1);
                    ffi::lua_pushvalue(l, at);
                    self.grow(1);
                }
                Op::Swap => {
                    self.take(2);
                    ffi::lua_rotate(l, -2, 1);
                    self.grow(2);
                }
                Op::Replace(at) => {
                    let at = self.place(at);
                    if at <= self.given.get() {
                        self.misused();
                    }
                    self.take(1);
                    ffi::lua_copy(l, -1, at);
                    ffi::lua_settop(l, -2);
                }
                Op::Pin(number) => {
                    // Number 0 would be the registry.
                    if number == 0 || self.height.get() != self.given.get() {
                        self.misused();
                    }
                    self.make_room(1);
                    ffi::lua_pushvalue(l, ffi::lua_upvalueindex(c_int::from(number)));
                    self.grow(1);
                    self.given.set(self.height.get());
                }
                Op::SetUpvalue(number) => {
                    let at = ffi::lua_upvalueindex(c_int::from(number));
                    if ffi::lua_type(l, at) != ffi::LUA_TNUMBER {
                        self.misused();
                    }
                    self.take(1);
                    ffi::lua_copy(l, -1, at);
                    ffi::lua_settop(l, -2);
                }
                Op::Closure(function, values) => {
                    let values = c_int::from(values);
                    self.take(values);
                    self.make_room(1);
                    ffi::lua_pushcclosure(l, function.0, values);
                    self.grow(1);
                }
                Op::NewCoroutine(at) => {
                    let at = self.place(at);
                    self.make_room(2);
                    let coroutine = ffi::lua_newthread(l);
                    ffi::lua_pushvalue(l, at);
                    ffi::lua_xmove(l, coroutine, 1);
                    self.grow(1);
                }
                Op::TableLike(at, names) => self.check_table(at, names),
                Op::Length(at) => {
                    let at = self.place(at);
                    self.make_room(1);
                    self.answer.set(ffi::luaL_len(l, at));
                }
                Op::Get(at, key) => {
                    let at = self.place(at);
                    self.make_room(1);
                    ffi::lua_geti(l, at, key);
                    self.grow(1);
                }
                Op::RawGet(at, key) => {
                    let at = self.place(at);
                    self.make_room(1);
                    if self.is_table(at) {
                        ffi::lua_rawgeti(l, at, key);
                    } else {
                        ffi::lua_pushnil(l);
                    }
                    self.grow(1);
                }
                Op::Field(at, name) => {
                    let at = self.place(at);
                    self.make_room(1);
                    ffi::lua_pushlstring(l, name.as_ptr().cast(), name.len());
                    ffi::lua_gettable(l, at);
                    self.grow(1);
                }
                Op::Index(at) => {
                    let at = self.place(at);
                    self.take(1);
                    ffi::lua_gettable(l, at);
                    self.grow(1);
                }
                Op::RawIndex(at) => {
                    let at = self.place(at);
                    self.take(1);
                    if ffi::lua_type(l, at) == ffi::LUA_TTABLE {
                        ffi::lua_rawget(l, at);
                    } else {
                        ffi::lua_settop(l, -2);
                        ffi::lua_pushnil(l);
                    }
                    self.grow(1);
                }
                Op::Set(at, key) => {
                    let at = self.place(at);
                    self.take(1);
                    ffi::lua_seti(l, at, key);
                }
                Op::SetBoth(at, one, other) => {
                    let at = self.place(at);
                    self.take(2);
                    ffi::lua_seti(l, at, one);
                    ffi::lua_seti(l, at, other);
                }
                Op::RawSet(at) => {
                    let at = self.place(at);
                    self.take(2);
                    if ffi::lua_type(l, at) != ffi::LUA_TTABLE {
                        self.misused();
                    }
                    ffi::lua_rawset(l, at);
                }
                Op::Move { of, from, into, to } => {
                    let (source, target) = (self.place(of.into()), self.place(into.into()));
                    self.make_room(1);
                    ffi::lua_geti(l, source, from);
                    ffi::lua_seti(l, target, to);
                }
                Op::SetMetatable(at) => {
                    let at = self.place(at);
                    self.take(1);
                    if !matches!(ffi::lua_type(l, -1), ffi::LUA_TTABLE | ffi::LUA_TNIL) {
                        self.misused();
                    }
                    ffi::lua_setmetatable(l, at);
                }
                Op::Call { arguments, results } => {
                    if arguments < 0 || results < 0 {
                        self.misused();
                    }
                    self.take(arguments + 1);
                    self.make_room(results);
                    ffi::lua_call(l, arguments, results);
                    self.grow(results);
                }
                Op::Less(a, b) => {
                    let (a, b) = (self.place(a), self.place(b));
                    self.answer.set(ffi::lua_compare(l, a, b, ffi::LUA_OPLT).into());
                }
                Op::LessBy { order, a, b } => {
                    let (order, a, b) = (self.place(order), self.place(a), self.place(b));
                    self.make_room(3);
                    for value in [order, a, b] {
                        ffi::lua_pushvalue(l, value);
                    }
                    ffi::lua_call(l, 2, 1);
                    self.answer.set(ffi::lua_toboolean(l, -1).into());
                    ffi::lua_settop(l, -2);
                }
                Op::Equal(a, b) => {
                    let (a, b) = (self.place(a), self.place(b));
                    self.answer.set(ffi::lua_compare(l, a, b, ffi::LUA_OPEQ).into());
                }
                Op::Buffer => {
                    if self.level.get() != 0 {
                        self.misused();
                    }
                    // For the buffer itself, which is moved to a place on the stack when it becomes large.
                    self.make_room(4);
                    ffi::luaL_buffinit(l, self.buffer.get().cast());
                    self.height.set(ffi::lua_gettop(l));
                    // What is in it is used up from there on, also by `take`.
                    self.level.set(self.height.get());
                    self.given.set(self.height.get());
                }
                Op::Add(text) => {
                    let buffer = self.buffer(0);
                    if !text.is_empty() {
                        ffi::luaL_addlstring(buffer, text.as_ptr().cast(), text.len());
                    }
                }
                Op::AddTop => {
                    let buffer = self.buffer(1);
                    if !matches!(ffi::lua_type(l, -1), ffi::LUA_TSTRING | ffi::LUA_TNUMBER) {
                        self.misused();
                    }
                    self.height.set(self.level.get());
                    ffi::luaL_addvalue(buffer);
                }
                Op::Finish => {
                    ffi::luaL_pushresult(self.buffer(0));
                    self.level.set(0);
                    self.height.set(ffi::lua_gettop(l));
                }
            }
        }
    }

    /// As Lua's own library finds out what it can take for a table.
    unsafe fn check_table(&self, at: c_int, names: &[&CStr]) {
        let l = self.state;
        // SAFETY: the caller's. An argument that is not there has no metatable, and is no table.
        unsafe {
            if ffi::lua_type(l, at) == ffi::LUA_TTABLE {
                return;
            }
            ffi::luaL_checkstack(l, 2, std::ptr::null());
            if at >= 1 && ffi::lua_getmetatable(l, at) != 0 {
                let has = |name: &&CStr| {
                    ffi::lua_pushstring(l, name.as_ptr());
                    let has = ffi::lua_rawget(l, -2) != ffi::LUA_TNIL;
                    ffi::lua_settop(l, -2);
                    has
                };
                let behaves = names.iter().all(has);
                ffi::lua_settop(l, -2);
                if behaves {
                    return;
                }
            }
            ffi::luaL_checktype(l, at, ffi::LUA_TTABLE);
        }
    }
}
