//! The values of a frame, as they are counted here: what is not there is not taken.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    cell::{Cell, UnsafeCell},
    ffi::c_int,
    mem::MaybeUninit,
};

use mlua::ffi::{self, lua_State, luaL_Buffer};

/// What is known of the frame of a call.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) state: *mut lua_State,
    /// So many values at the bottom stay as they are.
    pub(super) given: Cell<c_int>,
    /// How many values there are.
    pub(super) height: Cell<c_int>,
    /// For how many there is room.
    pub(super) room: Cell<c_int>,
    /// Of the values that stay, one that is known to be a table.
    pub(super) table: Cell<c_int>,
    /// Of the last comparison, or length.
    pub(super) answer: Cell<i64>,
    pub(super) buffer: UnsafeCell<MaybeUninit<luaL_Buffer>>,
    /// The height at which the buffer can be used; 0: there is none.
    pub(super) level: Cell<c_int>,
}

impl Stack {
    /// # Safety
    /// A C function that runs in that state has been called by Lua, and is not left while the stack is used.
    #[inline(always)]
    pub(super) unsafe fn of_function(state: *mut lua_State) -> Self {
        // SAFETY: the caller's.
        let height = unsafe { ffi::lua_gettop(state) };
        Self::new(state, height)
    }

    /// Without values: nothing but the state itself can be looked at.
    #[inline(always)]
    pub(super) fn empty(state: *mut lua_State) -> Self {
        Self::new(state, 0)
    }

    #[inline(always)]
    pub(super) fn new(state: *mut lua_State, height: c_int) -> Self {
        Self {
            state,
            given: Cell::new(height),
            height: Cell::new(height),
            room: Cell::new(height + ffi::LUA_MINSTACK),
            table: Cell::new(0),
            answer: Cell::new(0),
            buffer: UnsafeCell::new(MaybeUninit::uninit()),
            level: Cell::new(0),
        }
    }

    /// The place of that value, if there is one.
    #[inline(always)]
    pub(super) fn find(&self, at: c_int) -> Option<c_int> {
        let height = self.height.get();
        let place = if at < 0 { height + 1 + at } else { at };
        (1 <= place && place <= height).then_some(place)
    }

    /// There is no such value, or none that may be taken.
    #[cold]
    pub(super) unsafe fn misused(&self) -> ! {
        // SAFETY: the caller's: no Rust code is under way.
        unsafe {
            ffi::luaL_error(
                self.state,
                c"a function of the server is wrong: it takes a value that is not there".as_ptr(),
            );
        }
        std::process::abort()
    }

    /// The place of a value.
    #[inline(always)]
    pub(super) unsafe fn place(&self, at: c_int) -> c_int {
        match self.find(at) {
            Some(place) => place,
            // SAFETY: the caller's.
            None => unsafe { self.misused() },
        }
    }

    /// An argument that was a table stays one: it is asked once.
    #[inline(always)]
    pub(super) unsafe fn is_table(&self, at: c_int) -> bool {
        if at == self.table.get() {
            return true;
        }
        // SAFETY: the caller's: there is that value.
        let is_table = unsafe { ffi::lua_type(self.state, at) } == ffi::LUA_TTABLE;
        if is_table && at <= self.given.get() {
            self.table.set(at);
        }
        is_table
    }

    /// There will be so many values more.
    #[inline(always)]
    pub(super) unsafe fn make_room(&self, more: c_int) {
        let height = self.height.get();
        if height + more > self.room.get() {
            // SAFETY: the caller's.
            unsafe { ffi::luaL_checkstack(self.state, more, std::ptr::null()) };
            self.room.set(height + more);
        }
    }

    #[inline(always)]
    pub(super) fn grow(&self, by: c_int) {
        self.height.set(self.height.get() + by);
    }

    /// So many values from the top will be taken.
    #[inline(always)]
    pub(super) unsafe fn take(&self, count: c_int) {
        let left = self.height.get() - count;
        if count < 0 || left < self.given.get() {
            // SAFETY: the caller's.
            unsafe { self.misused() }
        }
        self.height.set(left);
    }

    /// All values above the arguments go.
    pub(super) unsafe fn clear(&self) {
        let given = self.given.get();
        if self.height.get() != given {
            // SAFETY: the caller's; there are at least as many.
            unsafe { ffi::lua_settop(self.state, given) };
            self.height.set(given);
        }
    }

    /// A buffer that is begun, with so many values above it.
    #[inline(always)]
    pub(super) unsafe fn buffer(&self, above: c_int) -> *mut ffi::luaL_Buffer {
        let level = self.level.get();
        if level == 0 || self.height.get() != level + above {
            // SAFETY: the caller's.
            unsafe { self.misused() }
        }
        self.buffer.get().cast()
    }
}
