//! Lua's values and tables, read where they lie. `lua_next` finds the key that it gave last by its hash,
//! each time, and `lua_rawget` wants both on the stack first; to look at what user code holds is most of what
//! a reload costs. What is written here is the slot on top of the stack, places of lists of ours, and
//! the values of entries that are there.
//!
//! Safety of this file: as in `reload/mod.rs`; beyond that it relies on how Lua 5.4 lays out five of its
//! structures (`lobject.h` and `lstate.h`), which has been so in all of its releases. [`is_as_expected`] looks
//! at tables of each kind before the first session is made, and there is none if that is not so.
#![allow(unsafe_code, reason = "Lua's own structures: see above")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

use mlua::{
    Lua, Table,
    ffi::{
        lua_Integer, lua_State, lua_getmetatable, lua_next, lua_pop, lua_pushboolean, lua_pushnil,
        lua_pushstring, lua_pushvalue, lua_rawequal, lua_rawget, lua_rawset, lua_settop, lua_topointer,
        luaL_checkstack,
    },
};

use super::entries::Entries;

/// The kinds of values, variants among them, without the bit that says that they are collected.
const KIND: u8 = 0x3F;
/// Of these, what values of all variants have in common.
const BASIC: u8 = 0x0F;
const BOOLEAN: u8 = 1;
const LIGHT_USERDATA: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const TABLE: u8 = 5;
const FUNCTION: u8 = 6;
const COROUTINE: u8 = 8;
pub(super) const INTEGER: u8 = 3;
const FLOAT: u8 = 3 | 1 << 4;
/// A function of Lua code; others are of C.
const LUA_FUNCTION: u8 = FUNCTION | COLLECTED;
const LONG_STRING: u8 = 4 | 1 << 4;
/// The bit that says that a value is collected.
const COLLECTED: u8 = 1 << 6;
/// In a table's mark: the collector has been through it, and has to be told of what is put into it.
const IS_DONE: u8 = 1 << 5;
/// In a table's flags: the limit of its array is a hint, and not its size.
const IS_HINT: u8 = 1 << 7;

/// A value as it lies in a table or on the stack: `TValue`. It holds nothing: whoever keeps it sees to it
/// that Lua does, too.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub(super) bits: u64,
    pub(super) kind: u8,
}

/// What a reload tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Table,
    Function,
    Coroutine,
    Other,
}

/// `Node`.
#[repr(C)]
pub(super) struct Node {
    pub(super) bits: u64,
    pub(super) kind: u8,
    pub(super) key_kind: u8,
    next: i32,
    pub(super) key_bits: u64,
}

/// `Table`.
#[repr(C)]
pub(super) struct RawTable {
    gc: *const c_void,
    kind: u8,
    marked: u8,
    flags: u8,
    log_of_nodes: u8,
    limit: u32,
    pub(super) array: *mut Raw,
    nodes: *mut Node,
    last_free: *const Node,
    metatable: *const RawTable,
}

/// The beginning of `TString`.
#[repr(C)]
struct Text {
    gc: *const c_void,
    kind: u8,
    marked: u8,
    extra: u8,
    short_length: u8,
    hash: u32,
}

/// The beginning of `lua_State`.
#[repr(C)]
struct State {
    gc: *const c_void,
    kind: u8,
    marked: u8,
    status: u8,
    allow_hook: u8,
    calls: u16,
    top: *mut Raw,
}

impl Raw {
    pub(super) const FALSE: Self = Self { bits: 0, kind: BOOLEAN };
    pub(super) const TRUE: Self = Self { bits: 0, kind: BOOLEAN | 1 << 4 };
    pub(super) const NIL: Self = Self { bits: 0, kind: 0 };

    pub(super) fn of(integer: lua_Integer) -> Self {
        Self { bits: integer.cast_unsigned(), kind: INTEGER }
    }

    pub(super) fn of_table(table: *const RawTable) -> Self {
        Self { bits: table.expose_provenance() as u64, kind: TABLE | COLLECTED }
    }

    /// What is on top of the stack.
    pub(super) unsafe fn top(l: *mut lua_State) -> Self {
        unsafe { *top(l) }
    }

    /// What is at that index.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> Self {
        unsafe {
            lua_pushvalue(l, index);
            Self::pop(l)
        }
    }

    /// The same, and it is no longer there.
    pub(super) unsafe fn pop(l: *mut lua_State) -> Self {
        unsafe {
            let value = *top(l);
            lua_pop(l, 1);
            value
        }
    }

    /// That string, which Lua has as long as it has it: it is not held.
    pub(super) unsafe fn text(l: *mut lua_State, text: &CStr) -> Self {
        unsafe {
            lua_pushstring(l, text.as_ptr());
            Self::pop(l)
        }
    }

    pub(super) fn is_nil(self) -> bool {
        self.kind & BASIC == 0
    }

    /// Neither nil nor false.
    pub(super) fn is_true(self) -> bool {
        !self.is_nil() && self.kind & KIND != BOOLEAN
    }

    /// A table, a function or a coroutine, or what a program has made of its own: not a number or string, say.
    pub(super) fn is_object(self) -> bool {
        self.kind & BASIC > STRING
    }

    pub(super) fn is_string(self) -> bool {
        self.kind & BASIC == STRING
    }

    pub(super) fn class(self) -> Class {
        match self.kind & BASIC {
            TABLE => Class::Table,
            FUNCTION => Class::Function,
            COROUTINE => Class::Coroutine,
            _ => Class::Other,
        }
    }

    /// Whether Lua's `type` says the same of both.
    pub(super) fn has_type_of(self, other: Self) -> bool {
        const USERDATA: u8 = 7;
        let name = |kind| if kind & BASIC == LIGHT_USERDATA { USERDATA } else { kind & BASIC };
        name(self.kind) == name(other.kind)
    }

    pub(super) fn is_function(self) -> bool {
        self.class() == Class::Function
    }

    /// Of C: nothing of the user's can be in it.
    pub(super) fn is_c_function(self) -> bool {
        self.is_function() && self.kind != LUA_FUNCTION
    }

    /// What tells an object from all others that are there.
    pub(super) fn identity(self) -> usize {
        self.bits as usize
    }

    /// 0 for anything else.
    pub(super) fn integer(self) -> lua_Integer {
        if self.kind & KIND == INTEGER { self.bits.cast_signed() } else { 0 }
    }

    pub(super) fn table(self) -> Option<*const RawTable> {
        (self.kind & KIND == TABLE).then(|| ptr::with_exposed_provenance(self.bits as usize))
    }

    /// Whether it is the very same. Of two long strings that are equal it may say that they are not, and of
    /// a number that is none that it is the same as itself.
    pub(super) fn is(self, other: Self) -> bool {
        // Of nil and of booleans the bits are anything.
        self.kind == other.kind && (matches!(self.kind & BASIC, 0 | BOOLEAN) || self.bits == other.bits)
    }

    /// What tells it from other values, but for long strings.
    pub(super) fn bit_pattern(self) -> (u8, u64) {
        let has_bits = !matches!(self.kind & BASIC, 0 | BOOLEAN);
        (self.kind, if has_bits { self.bits } else { 0 })
    }

    /// What `rawequal` says.
    pub(super) unsafe fn equals(self, l: *mut lua_State, other: Self) -> bool {
        let basic = self.kind & BASIC;
        if basic != other.kind & BASIC || !matches!(basic, NUMBER | STRING) {
            return self.is(other);
        }
        if self.is(other) && self.kind & KIND != FLOAT {
            return true;
        }
        unsafe {
            self.push(l);
            other.push(l);
            let equal = lua_rawequal(l, -1, -2) != 0;
            lua_pop(l, 2);
            equal
        }
    }

    /// On top of the stack, where there has to be room.
    pub(super) unsafe fn push(self, l: *mut lua_State) {
        unsafe {
            lua_pushnil(l);
            top(l).write(self);
        }
    }
}

/// The slot on top of the stack.
pub(super) unsafe fn top(l: *mut lua_State) -> *mut Raw {
    unsafe { (*l.cast::<State>()).top.sub(1) }
}

impl RawTable {
    /// The table at that index.
    pub(super) unsafe fn at(l: *mut lua_State, index: c_int) -> *const Self {
        unsafe { lua_topointer(l, index).cast() }
    }

    pub(super) unsafe fn metatable(this: *const Self) -> *const Self {
        unsafe { (*this).metatable }
    }

    /// Whether a value may be written into it past Lua: the collector has not been through it.
    pub(super) unsafe fn is_open(this: *const Self) -> bool {
        unsafe { (*this).marked & IS_DONE == 0 }
    }

    /// Its values from key 1 on that lie one after the other: of a list that was made by appending, all.
    pub(super) unsafe fn list<'a>(this: *const Self) -> &'a [Raw] {
        unsafe {
            let table = &*this;
            let is_size = table.flags & IS_HINT == 0 || table.limit == 0;
            let size = if is_size { table.limit } else { table.limit.next_power_of_two() };
            if size == 0 { &[] } else { slice::from_raw_parts(table.array, size as usize) }
        }
    }

    pub(super) unsafe fn nodes(this: *const Self) -> *mut [Node] {
        unsafe { ptr::slice_from_raw_parts_mut((*this).nodes, 1 << (*this).log_of_nodes) }
    }

    /// Where the entry with that key is, among the nodes. `None`: it is not there. `Err`: the key is none that
    /// is looked for here.
    unsafe fn node(this: *const Self, key: Raw) -> Result<Option<*mut Node>, OtherKey> {
        unsafe {
            let size = 1_u32 << (*this).log_of_nodes;
            let by_address = |bits: u64| bits as u32 % ((size - 1) | 1);
            let at = match key.kind & BASIC {
                STRING if key.kind & KIND != LONG_STRING => {
                    let text: *const Text = ptr::with_exposed_provenance(key.bits as usize);
                    (*text).hash & (size - 1)
                }
                LIGHT_USERDATA.. if key.kind & BASIC != NUMBER && key.kind & BASIC != STRING => {
                    by_address(key.bits)
                }
                _ => return Err(OtherKey),
            };
            let mut node = (*this).nodes.add(at as usize);
            loop {
                if (*node).key_kind == key.kind && (*node).key_bits == key.bits {
                    return Ok(Some(node));
                }
                match (*node).next {
                    0 => return Ok(None),
                    next => node = node.offset(next as isize),
                }
            }
        }
    }

    /// The value under that key; nil if there is none.
    pub(super) unsafe fn get(this: *const Self, l: *mut lua_State, key: Raw) -> Raw {
        unsafe {
            match Self::node(this, key) {
                Ok(None) => Raw::NIL,
                Ok(Some(node)) => Raw { bits: (*node).bits, kind: (*node).kind },
                Err(OtherKey) => {
                    Raw::of_table(this).push(l);
                    key.push(l);
                    lua_rawget(l, -2);
                    let value = Raw::top(l);
                    lua_pop(l, 2);
                    value
                }
            }
        }
    }

    /// The value of a field of ours, or of any other name.
    pub(super) unsafe fn field(this: *const Self, l: *mut lua_State, name: &CStr) -> Raw {
        unsafe { Self::get(this, l, Raw::text(l, name)) }
    }

    /// Puts it under that key. Raises an error if a new entry finds no memory; what the table held before
    /// under the key is held by nobody then.
    pub(super) unsafe fn set(this: *const Self, l: *mut lua_State, key: Raw, value: Raw) {
        unsafe {
            // An entry that has a value stays where it is, and is none that Lua knows to be missing.
            if !value.is_nil()
                && Self::is_open(this)
                && let Ok(Some(node)) = Self::node(this, key)
                && (*node).kind & BASIC != 0
            {
                ((*node).bits, (*node).kind) = (value.bits, value.kind);
                return;
            }
            Raw::of_table(this).push(l);
            key.push(l);
            value.push(l);
            lua_rawset(l, -3);
            lua_pop(l, 1);
        }
    }
}

/// A key that is no object, and no short string.
struct OtherKey;

/// Room on Lua's stack for more than any function of C of ours has there; an error if there is no memory for it.
pub(super) unsafe fn make_room(l: *mut lua_State) {
    unsafe { luaL_checkstack(l, 30, ptr::null()) }
}

/// Value `i` of such a list, counted from 1; nil beyond its end.
pub(super) fn nth(list: &[Raw], i: lua_Integer) -> Raw {
    let at = usize::try_from(i).ok().and_then(|i| i.checked_sub(1));
    at.and_then(|at| list.get(at)).copied().unwrap_or(Raw::NIL)
}

/// Values `from` to `to` of such a list; none if it does not go that far.
pub(super) fn part(list: &[Raw], from: lua_Integer, to: lua_Integer) -> &[Raw] {
    let place = |i: lua_Integer| usize::try_from(i).unwrap_or(0);
    list.get(place(from - 1)..place(to)).unwrap_or_default()
}

/// Whether both are the same text.
pub(super) unsafe fn same_text(a: *const c_char, b: *const c_char) -> bool {
    unsafe { a == b || !a.is_null() && !b.is_null() && CStr::from_ptr(a) == CStr::from_ptr(b) }
}

/// Tables of each form: with a list, whole or with a gap, which makes the limit a hint; with keys and values of
/// all types; one that is empty, and one that was emptied.
const SAMPLES: &str = "
    local mixed = setmetatable({ 1, 2.5, true, false, 'five', print, {}, short = 'x' }, {})
    mixed[mixed], mixed[1.5], mixed[true], mixed[print] = coroutine.create(print), -1, ('long'):rep(20), function() end
    mixed[function() end], mixed[coroutine.create(print)], mixed[false], mixed[100] = 1, 2, 3, 4
    local hinted = { 1, 2, 3, 4, 5, 6, 7, 8 }
    for i = 8, 4, -1 do hinted[i] = nil end
    local emptied = { a = 1, b = 2 }
    emptied.a, emptied.b = nil, nil
    local names = {}
    for i = 1, 100 do names['name ' .. i], names[('long name ' .. i):rep(10)] = i, -i end
    return { {}, mixed, hinted, { #hinted }, emptied, names }";

/// Whether Lua's tables and its stack are laid out as this file has it.
pub(super) fn is_as_expected(lua: &Lua) -> mlua::Result<bool> {
    let look = |table: Table| {
        // SAFETY: the table is the only argument, and one value is left on the stack.
        unsafe { lua.exec_raw::<bool>(table, |l| has_expected_entries(l)) }
    };
    let samples: Vec<Table> = lua.load(SAMPLES).eval()?;
    samples.into_iter().try_fold(true, |is_good, table| Ok(look(table)? && is_good))
}

/// Goes through the table at index 1 in both ways, looks each entry up, and leaves only whether all agree.
unsafe fn has_expected_entries(l: *mut lua_State) {
    const TABLE: c_int = 1;
    unsafe {
        let metatable: *const c_void =
            if lua_getmetatable(l, TABLE) == 0 { ptr::null() } else { lua_topointer(l, -1) };
        lua_settop(l, TABLE);
        let table = RawTable::at(l, TABLE);
        let mut is_good = RawTable::metatable(table).cast() == metatable;
        is_good = is_good && Raw::top(l).is(Raw::of_table(table));
        let mut entries = Entries::at(l, TABLE);
        lua_pushnil(l);
        while is_good && lua_next(l, TABLE) != 0 {
            let (value, key) = (*top(l), *top(l).sub(1));
            is_good = entries.take().is_some_and(|entry| entry.0.is(key) && entry.1.is(value));
            is_good = is_good && RawTable::get(table, l, key).is(value);
            value.push(l);
            is_good = is_good && lua_rawequal(l, -1, -2) != 0;
            lua_pop(l, 2);
        }
        is_good = is_good && entries.take().is_none();
        is_good = is_good && RawTable::field(table, l, c"nobody has this").is_nil();
        lua_settop(l, 0);
        lua_pushboolean(l, c_int::from(is_good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_laid_out_as_expected() {
        assert!(is_as_expected(&Lua::new()).unwrap());
    }

    #[test]
    fn values_are_equal_as_lua_has_it() {
        let lua = Lua::new();
        let values = "local long = ('long'):rep(20)
            local values = { 1, 1.0, 2, 0 / 0, 'a', 'b', long, ('long'):rep(20), true, false, print, type, {}, {} }
            local equal = {}
            for i = 1, #values do
                for k = 1, #values do equal[#equal + 1] = rawequal(values[i], values[k]) end
            end
            return values, equal";
        let (values, equal): (Table, Vec<bool>) = lua.load(values).eval().unwrap();
        let look = |l| {
            // SAFETY: the table is at index 1, and nothing is left on the stack.
            unsafe {
                let list = RawTable::list(RawTable::at(l, 1));
                let list = &list[..mlua::ffi::lua_rawlen(l, 1)];
                let all = list.iter().flat_map(|a| list.iter().map(|b| a.equals(l, *b)));
                assert_eq!(all.collect::<Vec<_>>(), equal);
                lua_settop(l, 0);
            }
        };
        // SAFETY: it leaves nothing on the stack.
        unsafe { lua.exec_raw::<()>(values, look).unwrap() };
    }

    #[test]
    fn entries_are_set_whether_they_are_there_or_not() {
        let lua = Lua::new();
        let table: Table = lua.load("return { a = 1, b = 2, 3 }").eval().unwrap();
        let go = |l| {
            // SAFETY: the table is at index 1, and nothing is left on the stack.
            unsafe {
                let table = RawTable::at(l, 1);
                RawTable::set(table, l, Raw::text(l, c"a"), Raw::of(10));
                RawTable::set(table, l, Raw::text(l, c"b"), Raw::NIL);
                RawTable::set(table, l, Raw::text(l, c"c"), Raw::of(30));
                RawTable::set(table, l, Raw::of(1), Raw::of(40));
                lua_settop(l, 0);
            }
        };
        // SAFETY: it leaves nothing on the stack.
        unsafe { lua.exec_raw::<()>(&table, go).unwrap() };
        let of = |key: &str| table.raw_get::<Option<i64>>(key).unwrap();
        assert_eq!((of("a"), of("b"), of("c")), (Some(10), None, Some(30)));
        assert_eq!(table.raw_get::<i64>(1).unwrap(), 40);
    }

    #[test]
    fn what_is_set_is_held_by_the_table_though_the_collector_has_been_through_it() {
        let go = |l| {
            // SAFETY: the table stays at index 1; each new one is on the stack until it is in there.
            unsafe {
                mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCGEN, 0, 0);
                for _ in 0..3 {
                    mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCCOLLECT);
                }
                let (table, name) = (RawTable::at(l, 1), Raw::text(l, c"a"));
                assert!(!RawTable::is_open(table), "it is an old one");
                for i in 1..=1000 {
                    mlua::ffi::lua_createtable(l, 1, 0);
                    mlua::ffi::lua_pushinteger(l, i);
                    mlua::ffi::lua_rawseti(l, -2, 1);
                    let value = Raw::top(l);
                    RawTable::set(table, l, name, value);
                    lua_pop(l, 1);
                    mlua::ffi::lua_gc(l, mlua::ffi::LUA_GCSTEP, 0);
                    // It would lie where the one before was.
                    mlua::ffi::lua_createtable(l, 1, 0);
                    lua_pop(l, 1);
                    RawTable::get(table, l, name).push(l);
                    mlua::ffi::lua_rawgeti(l, -1, 1);
                    assert_eq!(mlua::ffi::lua_tointeger(l, -1), i);
                    lua_pop(l, 2);
                }
                lua_settop(l, 0);
            }
        };
        let lua = Lua::new();
        let table: Table = lua.load("return { a = {} }").eval().unwrap();
        // SAFETY: it leaves nothing on the stack.
        unsafe { lua.exec_raw::<()>(&table, go).unwrap() };
    }
}
