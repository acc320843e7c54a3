//! What runs in between: the hook, and what follows a collection of garbage. Where a script is.
#![allow(unsafe_code, reason = "see the first page of `frame`")]

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use mlua::{
    Lua,
    ffi::{self, lua_State},
};

use super::{Frame, Raise, Stack, guarded::guarded};

/// What is called every so many instructions of a script. Its frame has no values.
pub(in crate::lua) trait Hook {
    /// # Errors
    /// They are raised in the script.
    fn look(frame: Frame<'_>) -> Result<(), Raise>;
}

unsafe extern "C-unwind" fn hook<H: Hook>(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    let stack = Stack::empty(state);
    if let Err(raise) = guarded(|| H::look(Frame(&stack))) {
        // SAFETY: Lua calls hooks on the thread that runs the state. The Rust code has returned.
        unsafe { raise.out(&stack) }
    }
}

impl Frame<'_> {
    /// Whether there is a hook, whoever has set it.
    #[inline]
    pub(in crate::lua) fn has_hook(self) -> bool {
        // SAFETY: looking raises no errors.
        unsafe { ffi::lua_gethook(self.0.state).is_some() }
    }

    /// Every how many instructions the hook looks.
    pub(in crate::lua) fn hook_period(self) -> c_int {
        // SAFETY: as above.
        unsafe { ffi::lua_gethookcount(self.0.state) }
    }

    /// From here on the hook looks at what the coroutine does that runs here.
    pub(in crate::lua) fn set_hook<H: Hook>(self, period: c_int) {
        // SAFETY: setting a hook raises no errors.
        unsafe { ffi::lua_sethook(self.0.state, Some(hook::<H>), ffi::LUA_MASKCOUNT, period.max(1)) }
    }

    pub(in crate::lua) fn remove_hook(self) {
        // SAFETY: as above.
        unsafe { ffi::lua_sethook(self.0.state, None, 0, 0) }
    }

    /// File and line of the innermost of the first so many functions that has lines: code of ours has none.
    pub(in crate::lua) fn line<R>(self, depth: c_int, take: impl FnOnce(&[u8], c_int) -> R) -> Option<R> {
        for level in 0..depth {
            let mut about = MaybeUninit::<ffi::lua_Debug>::zeroed();
            // SAFETY: neither function raises errors or allocates with these options, and all zeroes are a valid
            // `lua_Debug`.
            let about = unsafe {
                if ffi::lua_getstack(self.0.state, level, about.as_mut_ptr()) == 0
                    || ffi::lua_getinfo(self.0.state, c"Sl".as_ptr(), about.as_mut_ptr()) == 0
                {
                    return None;
                }
                about.assume_init_ref()
            };
            if about.currentline > 0 {
                // SAFETY: Lua ends it with a zero byte.
                let file = unsafe { CStr::from_ptr(about.short_src.as_ptr()) };
                return Some(take(file.to_bytes(), about.currentline));
            }
        }
        None
    }
}

/// The main coroutine of a state, which it keeps alive.
#[derive(Debug)]
pub(in crate::lua) struct Main {
    lua: Lua,
    state: *mut lua_State,
}

// SAFETY: the pointer is used with the lock of its state held.
unsafe impl Send for Main {}

impl Main {
    /// # Errors
    /// The state has no memory left.
    pub(in crate::lua) fn of(lua: &Lua) -> mlua::Result<Self> {
        let mut state = std::ptr::null_mut();
        // SAFETY: it leaves nothing on the stack, and raises no errors.
        unsafe {
            lua.exec_raw::<()>((), |l| {
                ffi::lua_rawgeti(l, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_MAINTHREAD);
                state = ffi::lua_tothread(l, -1);
                ffi::lua_settop(l, -2);
            })?;
        }
        Ok(Self { lua: lua.clone(), state })
    }

    /// Looks at it, while nobody else runs the state.
    pub(in crate::lua) fn look<R>(&self, look: impl FnOnce(Frame<'_>) -> R) -> R {
        // mlua's own way to hold the lock without a call into Lua.
        self.lua.exec_raw_lua(|_| look(Frame(&Stack::empty(self.state))))
    }
}

/// Has it called after each collection of garbage, from now on. Its frame has no values.
///
/// # Errors
/// The state has no memory left.
pub(in crate::lua) fn on_collection<C: Hook>(lua: &Lua) -> mlua::Result<()> {
    // Nobody holds the object: each collection finds it.
    let watch = |l: *mut lua_State| {
        // SAFETY: a protected call with room for three values. Nothing has to be dropped.
        unsafe {
            ffi::lua_createtable(l, 0, 0);
            ffi::lua_createtable(l, 0, 1);
            ffi::lua_pushcclosure(l, collected::<C>, 0);
            ffi::lua_setfield(l, -2, c"__gc".as_ptr());
            ffi::lua_setmetatable(l, -2);
            ffi::lua_settop(l, 0);
        }
    };
    // SAFETY: as above.
    unsafe { lua.exec_raw::<()>((), watch) }
}

unsafe extern "C-unwind" fn collected<C: Hook>(state: *mut lua_State) -> c_int {
    // Errors have nowhere to go from a finalizer.
    let _ = guarded(|| C::look(Frame(&Stack::empty(state))));
    // SAFETY: Lua calls a finalizer with its object.
    unsafe {
        // For the next collection.
        if ffi::lua_getmetatable(state, 1) != 0 {
            ffi::lua_setmetatable(state, 1);
        }
    }
    0
}
