//! Functions of Lua's library that could take a thread, or the memory, before any hook looks, and what stands in
//! place of each or in front of it.
//!
//! | file | what it does |
//! |---|---|
//! | this one | the list; results that would be too large are refused |
//! | `library/tables.rs` | functions of `table`, which heed the deadline |
//! | `library/loading.rs` | `load`, which does as well |
//! | `library/coroutines.rs` | `coroutine.wrap` and `close`, for what the deadline has ended |
//! | `library/counted.rs` | counts the calls of those that take some hundredths of a second |
//! | `pattern/` | functions of `string` that take a pattern |
//!
//! They are C functions: a wrapper in Lua would stand in every session's memory, cost a call, and hide the name
//! of the function and the line of the caller from error messages. A test goes through all that a session has.

#![allow(unsafe_code, reason = "C functions, see above")]
// One reason stands for all of them: each is called by Lua, on the thread that runs the state, with its
// arguments on the stack, and keeps nothing that would have to be dropped when an error leaves by a long jump.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

mod coroutines;
mod counted;
mod loading;
mod tables;

use std::{
    ffi::{CStr, c_int},
    slice,
    sync::OnceLock,
};

use mlua::{
    Lua,
    ffi::{self, lua_CFunction, lua_State},
};

use super::{
    deadline::{exceeds, limits, used},
    pattern,
};

/// Bytes of a slot in a table: no table that fits into the memory has more elements than this allows.
const SLOT: usize = 16;
/// The most that `string.format` makes of a number: `%99.99f` of the largest.
const NUMBER: usize = 512;
/// The most that one byte of a format of `os.date` becomes: Lua has 250 for two.
const DATE: usize = 125;

/// A function of ours in place of one of the library.
struct Guard {
    library: &'static CStr,
    name: &'static CStr,
    ours: lua_CFunction,
    /// Where the one of the library is kept, if it is still called.
    original: Option<&'static Original>,
}

/// A function of Lua's own. The same in every state.
struct Original(OnceLock<lua_CFunction>);

impl Original {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn note(&self, function: Option<lua_CFunction>) {
        if let Some(function) = function {
            let _ = self.0.set(function);
        }
    }

    /// In the same frame: its errors name the function and the caller as ever.
    unsafe fn call(&self, state: *mut lua_State) -> c_int {
        match self.0.get() {
            Some(function) => function(state),
            None => 0,
        }
    }
}

static REP: Original = Original::new();
static PACK: Original = Original::new();
static FORMAT: Original = Original::new();
static OS_DATE: Original = Original::new();
static SETMETATABLE: Original = Original::new();

const fn ours(library: &'static CStr, name: &'static CStr, ours: lua_CFunction) -> Guard {
    Guard { library, name, ours, original: None }
}

const fn before(
    library: &'static CStr,
    name: &'static CStr,
    ours: lua_CFunction,
    original: &'static Original,
) -> Guard {
    Guard { library, name, ours, original: Some(original) }
}

static GUARDS: [Guard; 19] = [
    ours(c"string", c"find", pattern::find),
    ours(c"string", c"match", pattern::match_),
    ours(c"string", c"gmatch", pattern::gmatch),
    ours(c"string", c"gsub", pattern::gsub),
    ours(c"table", c"concat", tables::concat),
    ours(c"table", c"insert", tables::insert),
    ours(c"table", c"move", tables::move_),
    ours(c"table", c"remove", tables::remove),
    ours(c"table", c"sort", tables::sort),
    ours(c"debug", c"setmetatable", debug_setmetatable),
    before(c"string", c"rep", rep, &REP),
    before(c"string", c"pack", pack, &PACK),
    before(c"string", c"format", format, &FORMAT),
    before(c"os", c"date", date, &OS_DATE),
    before(c"utf8", c"codes", counted::codes, &counted::CODES),
    before(c"_G", c"load", loading::load, &loading::LOAD),
    before(c"_G", c"next", counted::next, &counted::NEXT),
    before(c"_G", c"pairs", counted::pairs, &counted::PAIRS),
    before(c"_G", c"setmetatable", setmetatable, &SETMETATABLE),
];

/// Without these, a coroutine that the deadline has ended could go on for ever.
static COROUTINES: [Guard; 2] = [
    ours(c"coroutine", c"wrap", coroutines::wrap),
    before(c"coroutine", c"close", coroutines::close, &coroutines::CLOSE),
];

/// What Lua 5.5 has beyond these.
#[cfg(feature = "lua55")]
static NEW: &[Guard] = &[before(c"table", c"create", create, &CREATE)];
#[cfg(not(feature = "lua55"))]
static NEW: &[Guard] = &[];

#[cfg(feature = "lua55")]
static CREATE: Original = Original::new();

/// Room for that many elements is taken at once.
#[cfg(feature = "lua55")]
unsafe extern "C-unwind" fn create(state: *mut lua_State) -> c_int {
    let slots = |at| usize::try_from(ffi::lua_tointegerx(state, at, std::ptr::null_mut())).unwrap_or(0);
    let size = slots(1).saturating_add(slots(2).saturating_mul(2)).saturating_mul(SLOT);
    if let Some(limits) = limits()
        && used(state).saturating_add(size) > limits.memory
        && exceeds(state, limits.memory.saturating_sub(size))
    {
        ffi::luaL_error(state, c"not enough memory".as_ptr());
    }
    CREATE.call(state)
}

/// Puts them into a state in which nothing of the user has run.
pub(in crate::lua) fn guard(lua: &Lua) -> mlua::Result<()> {
    put(lua, GUARDS.iter().chain(counted::COUNTED).chain(NEW))?;
    guard_coroutines(lua)
}

/// What a state needs that has a deadline, and a library that is left as it is. Who has taken the functions out of
/// it before goes without.
pub(in crate::lua) fn guard_coroutines(lua: &Lua) -> mlua::Result<()> {
    put(lua, COROUTINES.iter())
}

/// What the state has not, or has as a function of its own in Lua, is passed over.
fn put<'a>(lua: &Lua, guards: impl Iterator<Item = &'a Guard>) -> mlua::Result<()> {
    // SAFETY: as above; the stack is left as it was.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for guard in guards {
                if ffi::lua_getglobal(state, guard.library.as_ptr()) == ffi::LUA_TTABLE {
                    ffi::lua_getfield(state, -1, guard.name.as_ptr());
                    let function = ffi::lua_tocfunction(state, -1);
                    ffi::lua_pop(state, 1);
                    if function.is_some() {
                        if let Some(original) = guard.original {
                            original.note(function);
                        }
                        ffi::lua_pushcfunction(state, guard.ours);
                        ffi::lua_setfield(state, -2, guard.name.as_ptr());
                    }
                }
                ffi::lua_pop(state, 1);
            }
        })
    }
}

unsafe extern "C-unwind" fn rep(state: *mut lua_State) -> c_int {
    let mut is_number = 0;
    let times = ffi::lua_tointegerx(state, 2, &raw mut is_number);
    let (Some(limits), Some(one), Ok(times)) = (limits(), length(state, 1), usize::try_from(times)) else {
        return REP.call(state);
    };
    if is_number == 0 {
        return REP.call(state);
    }
    let separator = length(state, 3).unwrap_or(0);
    if one + separator == 0 {
        // Lua would count to `times` all the same.
        ffi::lua_pushstring(state, c"".as_ptr());
        return 1;
    }
    let size = one.saturating_mul(times).saturating_add(separator.saturating_mul(times.saturating_sub(1)));
    if size > limits.string {
        too_large(state, c"string.rep", limits.string);
    }
    // Said here because Lua's own "not enough memory" comes without file and line.
    if used(state).saturating_add(size) > limits.memory && exceeds(state, limits.memory.saturating_sub(size))
    {
        ffi::luaL_error(state, c"not enough memory".as_ptr());
    }
    REP.call(state)
}

/// Fields of a fixed size are filled up: a short format makes a string of any length.
unsafe extern "C-unwind" fn pack(state: *mut lua_State) -> c_int {
    if let Some(limits) = limits().filter(|_| ffi::lua_type(state, 1) == ffi::LUA_TSTRING) {
        let format = text(state, 1);
        if fixed_size(format).saturating_add(format.len()) > limits.string {
            too_large(state, c"string.pack", limits.string);
        }
    }
    PACK.call(state)
}

/// Bytes of all `c123` in a format of `string.pack`. The other options that have a number after them are of
/// 16 bytes at most.
fn fixed_size(format: &[u8]) -> usize {
    let mut fields = format.split(|&byte| byte == b'c');
    fields.next();
    fields.fold(0, |sum: usize, field| {
        let digits = field.iter().take_while(|byte| byte.is_ascii_digit());
        let size =
            digits.fold(0, |n: usize, &digit| n.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
        sum.saturating_add(size)
    })
}

/// How long the text will be is known when it is made. Until then: no longer than this.
unsafe extern "C-unwind" fn format(state: *mut lua_State) -> c_int {
    if let Some(limits) = limits().filter(|_| ffi::lua_type(state, 1) == ffi::LUA_TSTRING) {
        let format = text(state, 1);
        let quotes = memchr::memmem::find(format, b"%q").is_some();
        let mut size = format.len();
        for at in 2..=ffi::lua_gettop(state) {
            size = size.saturating_add(match ffi::lua_type(state, at) {
                // A byte may become `\\255`.
                ffi::LUA_TSTRING if quotes => ffi::lua_rawlen(state, at).saturating_mul(4),
                ffi::LUA_TSTRING => ffi::lua_rawlen(state, at),
                _ => NUMBER,
            });
        }
        if size > limits.string {
            could_be_too_large(state, c"string.format", limits.string);
        }
    }
    FORMAT.call(state)
}

unsafe extern "C-unwind" fn date(state: *mut lua_State) -> c_int {
    if let Some(limits) = limits().filter(|_| ffi::lua_type(state, 1) == ffi::LUA_TSTRING)
        && ffi::lua_rawlen(state, 1).saturating_mul(DATE) > limits.string
    {
        could_be_too_large(state, c"os.date", limits.string);
    }
    OS_DATE.call(state)
}

/// A finalizer runs where no deadline can stop it.
unsafe extern "C-unwind" fn setmetatable(state: *mut lua_State) -> c_int {
    if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        if ffi::lua_rawget(state, 2) != ffi::LUA_TNIL {
            ffi::luaL_error(state, c"__gc is not available in a session; use __close".as_ptr());
        }
        ffi::lua_pop(state, 1);
    }
    SETMETATABLE.call(state)
}

/// The prelude's. Lua looks for a finalizer when a metatable is set and never again; so here it finds none,
/// even if the user put one into a metatable that was set before.
unsafe extern "C-unwind" fn debug_setmetatable(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 2);
    let mut finalizer = ffi::LUA_TNIL;
    if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        finalizer = ffi::lua_rawget(state, 2);
    }
    let set_finalizer = |value| {
        ffi::lua_pushstring(state, c"__gc".as_ptr());
        ffi::lua_pushvalue(state, value);
        ffi::lua_rawset(state, 2);
    };
    if finalizer != ffi::LUA_TNIL {
        ffi::lua_pushnil(state);
        set_finalizer(4);
    }
    ffi::lua_pushvalue(state, 2);
    ffi::lua_setmetatable(state, 1);
    if finalizer != ffi::LUA_TNIL {
        set_finalizer(3);
    }
    ffi::lua_settop(state, 1);
    1
}

/// Bytes of an argument that is text; a number has few.
unsafe fn length(state: *mut lua_State, at: c_int) -> Option<usize> {
    match ffi::lua_type(state, at) {
        ffi::LUA_TSTRING => Some(ffi::lua_rawlen(state, at)),
        ffi::LUA_TNUMBER => Some(1),
        _ => None,
    }
}

/// An argument that is a string.
unsafe fn text<'a>(state: *mut lua_State, at: c_int) -> &'a [u8] {
    let mut length = 0;
    let text = ffi::lua_tolstring(state, at, &raw mut length);
    slice::from_raw_parts(text.cast(), length)
}

fn integer(number: usize) -> ffi::lua_Integer {
    ffi::lua_Integer::try_from(number).unwrap_or(ffi::lua_Integer::MAX)
}

/// Does not return.
unsafe fn too_large(state: *mut lua_State, function: &'static CStr, most: usize) {
    let message = c"%s: the result would be larger than %d KiB (session.budget.string)";
    ffi::luaL_error(state, message.as_ptr(), function.as_ptr(), kib(most));
}

/// Does not return.
unsafe fn could_be_too_large(state: *mut lua_State, function: &'static CStr, most: usize) {
    let message = c"%s: the result could be larger than %d KiB (session.budget.string)";
    ffi::luaL_error(state, message.as_ptr(), function.as_ptr(), kib(most));
}

fn kib(bytes: usize) -> c_int {
    c_int::try_from(bytes / 1024).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_fixed_size_in_a_format_are_added_up() {
        for (format, size) in
            [("", 0), ("c10", 10), ("<i4c100zc1", 101), ("c", 0), ("s1c99999999999999999999c1", usize::MAX)]
        {
            assert_eq!(fixed_size(format.as_bytes()), size, "{format}");
        }
    }
}
