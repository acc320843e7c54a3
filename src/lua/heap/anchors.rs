//! The stack that holds the values, and the time in which they may be worked with.
#![allow(unsafe_code, reason = "see the first page of `heap`")]

use std::cell::{Cell, RefCell};

use mlua::{FromLuaMulti, IntoLuaMulti, Lua, Thread, ffi};

use super::{Heap, STACK, State, Value, index};

/// Where the values are held.
#[derive(Debug)]
pub(in crate::lua) struct Anchors {
    thread: Thread,
    /// Coroutines that are full. Each but the first lies in the last slot of the one before it.
    pub(super) full: RefCell<Vec<State>>,
    /// The one that is being filled; null: the first.
    pub(super) last: Cell<State>,
    /// How many values there are in it.
    pub(super) length: Cell<u32>,
    /// How many it has room for.
    pub(super) room: Cell<u32>,
}

// SAFETY: the pointers are of coroutines of one Lua state, are only used with that state's lock held, in `open`, and
// lie in a coroutine that `thread` holds.
unsafe impl Send for Anchors {}

/// No memory limit and no collector, until it is dropped.
struct Undisturbed<'a> {
    lua: &'a Lua,
    limit: usize,
    collects: bool,
}

impl<'a> Undisturbed<'a> {
    fn new(lua: &'a Lua) -> mlua::Result<Self> {
        let limit = lua.set_memory_limit(0)?;
        let collects = lua.gc_is_running();
        if collects {
            lua.gc_stop();
        }
        Ok(Self { lua, limit, collects })
    }
}

impl Drop for Undisturbed<'_> {
    fn drop(&mut self) {
        let _ = self.lua.set_memory_limit(self.limit);
        if self.collects {
            self.lua.gc_restart();
        }
    }
}

impl Anchors {
    /// # Errors
    /// The state has no memory for them.
    pub(in crate::lua) fn new(lua: &Lua) -> mlua::Result<Self> {
        // SAFETY: it leaves the new coroutine on the stack, and nothing else.
        let thread: Thread = unsafe {
            lua.exec_raw((), |state| {
                ffi::lua_newthread(state);
            })?
        };
        let last = Cell::new(std::ptr::null_mut());
        Ok(Self { thread, full: RefCell::default(), last, length: Cell::new(0), room: Cell::new(0) })
    }

    /// How many values are held.
    pub(in crate::lua) fn len(&self) -> u32 {
        u32::try_from(self.full.borrow().len()).unwrap_or(u32::MAX).saturating_mul(STACK) + self.length.get()
    }

    /// Works with values of the state: those that it is given, and what it finds. What it hands back is returned.
    ///
    /// # Errors
    /// The state has another allocator than mlua's; the arguments or the result cannot be converted.
    pub(in crate::lua) fn open<R: FromLuaMulti>(
        &self,
        lua: &Lua,
        arguments: impl IntoLuaMulti,
        work: impl FnOnce(Heap<'_>, &[Value]) -> Value,
    ) -> mlua::Result<R> {
        let undisturbed = Undisturbed::new(lua)?;
        let limit = undisturbed.limit;
        let run = |state: State| {
            // SAFETY: the coroutine is the first argument, which mlua has found to be of this state. The others go to
            // where values are held, for which `reserve` has made room.
            unsafe {
                if self.last.get().is_null() {
                    self.last.set(ffi::lua_tothread(state, 1));
                }
                let heap = Heap { anchors: self, lua, state, limit };
                let count = ffi::lua_gettop(state) - 1;
                let l = heap.reserve(count);
                ffi::lua_xmove(state, l, count);
                let values: Vec<Value> = (0..count).map(|_| heap.keep_next()).collect();
                let result = work(heap, &values);
                ffi::lua_settop(state, 0);
                let l = heap.reserve(0);
                heap.push(l, result);
                ffi::lua_xmove(l, state, 1);
            }
        };
        // SAFETY: `run` raises no errors: see above.
        unsafe { lua.exec_raw((&self.thread, arguments), run) }
    }

    /// Lets go of all values but the first `length`.
    pub(in crate::lua) fn truncate(&self, lua: &Lua, length: u32) {
        let run = |state: State| {
            // SAFETY: as in `open`; the coroutine has at least as many values, or gets nils.
            unsafe {
                let first = ffi::lua_tothread(state, 1);
                let is_first = self.full.borrow().is_empty();
                self.full.borrow_mut().clear();
                self.last.set(first);
                let length = if is_first {
                    length.min(self.length.get())
                } else {
                    // What is known is the room of another one.
                    self.room.set(0);
                    length.min(STACK)
                };
                self.length.set(length);
                ffi::lua_settop(first, index(length) - 1);
                ffi::lua_settop(state, 0);
            }
        };
        // SAFETY: making a stack shorter raises no errors.
        let _ = unsafe { lua.exec_raw::<()>(&self.thread, run) };
    }
}
