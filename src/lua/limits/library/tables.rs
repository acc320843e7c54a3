//! `table.insert`, `remove`, `move`, `concat` and `sort` as Lua 5.4 has them, but for one thing: they count
//! their steps, and heed the deadline. Lua's own can't be interrupted, and metamethods may give a table any
//! length.

#![allow(unsafe_code, reason = "C functions, see `library`")]
// What `library` says of its functions holds for these, too.
#![allow(unsafe_op_in_unsafe_fn, reason = "they are made of such operations")]

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use mlua::ffi::{self, lua_Integer, lua_State, luaL_Buffer};

use super::{SLOT, integer, too_large};
use crate::lua::limits::deadline::{limits, now, spend};

const READ: u8 = 1;
const WRITE: u8 = 2;
const LENGTH: u8 = 4;
/// From so many elements on, a bad pivot is replaced by one chosen by chance.
const LARGE: lua_Integer = 100;
/// Of two texts that are compared, or one that is copied, so many bytes are one step.
const COMPARED: usize = 4;
const COPIED: usize = 16;
/// A number that becomes text.
const WRITTEN: usize = 20;

pub(super) unsafe extern "C-unwind" fn insert(state: *mut lua_State) -> c_int {
    let end = length(state, READ | WRITE).wrapping_add(1);
    let place = match ffi::lua_gettop(state) {
        2 => end,
        3 => {
            let place = ffi::luaL_checkinteger(state, 2);
            check(state, place >= 1 && place <= end, 2, c"position out of bounds");
            let mut at = end;
            while at > place {
                copy(state, (1, at - 1), (1, at));
                at -= 1;
            }
            place
        }
        _ => return ffi::luaL_error(state, c"wrong number of arguments to 'insert'".as_ptr()),
    };
    ffi::lua_seti(state, 1, place);
    0
}

pub(super) unsafe extern "C-unwind" fn remove(state: *mut lua_State) -> c_int {
    let size = length(state, READ | WRITE);
    let mut place = ffi::luaL_optinteger(state, 2, size);
    let is_within = place >= 1 && place.wrapping_sub(1) <= size;
    check(state, place == size || is_within, 2, c"position out of bounds");
    ffi::lua_geti(state, 1, place);
    while place < size {
        copy(state, (1, place + 1), (1, place));
        place += 1;
    }
    ffi::lua_pushnil(state);
    ffi::lua_seti(state, 1, place);
    1
}

pub(super) unsafe extern "C-unwind" fn move_(state: *mut lua_State) -> c_int {
    let first = ffi::luaL_checkinteger(state, 2);
    let last = ffi::luaL_checkinteger(state, 3);
    let to = ffi::luaL_checkinteger(state, 4);
    let target = if ffi::lua_isnoneornil(state, 5) != 0 { 1 } else { 5 };
    check_table(state, 1, READ);
    check_table(state, target, WRITE);
    if last >= first {
        if let Some(limits) = limits()
            && last.saturating_sub(first) >= integer(limits.memory / SLOT)
        {
            let message = c"table.move: more elements than fit into the memory (session.budget.memory)";
            ffi::luaL_error(state, message.as_ptr());
        }
        check(state, first > 0 || last < lua_Integer::MAX + first, 3, c"too many elements to move");
        let count = last - first + 1;
        check(state, to <= lua_Integer::MAX - count + 1, 4, c"destination wrap around");
        let is_apart = to > last || to <= first;
        if is_apart || (target != 1 && ffi::lua_compare(state, 1, target, ffi::LUA_OPEQ) == 0) {
            for at in 0..count {
                copy(state, (1, first + at), (target, to + at));
            }
        } else {
            for at in (0..count).rev() {
                copy(state, (1, first + at), (target, to + at));
            }
        }
    }
    ffi::lua_pushvalue(state, target);
    1
}

pub(super) unsafe extern "C-unwind" fn concat(state: *mut lua_State) -> c_int {
    let last = length(state, READ);
    let mut size = 0;
    let separator = ffi::luaL_optlstring(state, 2, c"".as_ptr(), &raw mut size);
    let mut at = ffi::luaL_optinteger(state, 3, 1);
    let last = ffi::luaL_optinteger(state, 4, last);
    let most = limits().map_or(usize::MAX, |limits| limits.string);
    let mut buffer = MaybeUninit::<luaL_Buffer>::uninit();
    let buffer = buffer.as_mut_ptr();
    ffi::luaL_buffinit(state, buffer);
    while at <= last {
        ffi::lua_geti(state, 1, at);
        match ffi::lua_type(state, -1) {
            ffi::LUA_TSTRING => spend(state, 1 + (ffi::lua_rawlen(state, -1) + size) / COPIED),
            ffi::LUA_TNUMBER => spend(state, WRITTEN + size / COPIED),
            _ => {
                let kind = ffi::luaL_typename(state, -1);
                let message = c"invalid value (%s) at index %I in table for 'concat'";
                ffi::luaL_error(state, message.as_ptr(), kind, at);
            }
        }
        ffi::luaL_addvalue(buffer);
        if at < last {
            ffi::luaL_addlstring(buffer, separator, size);
        }
        if ffi::luaL_bufflen(buffer) > most {
            too_large(state, c"table.concat", most);
        }
        if at == last {
            break;
        }
        at += 1;
    }
    ffi::luaL_pushresult(buffer);
    1
}

pub(super) unsafe extern "C-unwind" fn sort(state: *mut lua_State) -> c_int {
    let count = length(state, READ | WRITE);
    if count > 1 {
        check(state, count < lua_Integer::from(c_int::MAX), 1, c"array too big");
        if ffi::lua_isnoneornil(state, 2) == 0 {
            ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        }
        ffi::lua_settop(state, 2);
        sort_part(state, 1, count, 0);
    }
    0
}

/// Lua's quicksort, step by step: what an order function is called with, and when it is called invalid, is
/// what scripts are used to.
unsafe fn sort_part(state: *mut lua_State, mut low: lua_Integer, mut high: lua_Integer, mut chance: u64) {
    while low < high {
        ffi::lua_geti(state, 1, low);
        ffi::lua_geti(state, 1, high);
        if is_less(state, -1, -2) {
            set_both(state, low, high);
        } else {
            ffi::lua_pop(state, 2);
        }
        if high - low == 1 {
            return;
        }
        let mut pivot = middle(low, high, chance);
        ffi::lua_geti(state, 1, pivot);
        ffi::lua_geti(state, 1, low);
        if is_less(state, -2, -1) {
            set_both(state, pivot, low);
        } else {
            ffi::lua_pop(state, 1);
            ffi::lua_geti(state, 1, high);
            if is_less(state, -1, -2) {
                set_both(state, pivot, high);
            } else {
                ffi::lua_pop(state, 2);
            }
        }
        if high - low == 2 {
            return;
        }
        ffi::lua_geti(state, 1, pivot);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_geti(state, 1, high - 1);
        set_both(state, pivot, high - 1);
        pivot = partition(state, low, high);
        let smaller;
        if pivot - low < high - pivot {
            sort_part(state, low, pivot - 1, chance);
            smaller = pivot - low;
            low = pivot + 1;
        } else {
            sort_part(state, pivot + 1, high, chance);
            smaller = high - pivot;
            high = pivot - 1;
        }
        if (high - low) / 128 > smaller {
            chance = now();
        }
    }
}

fn middle(low: lua_Integer, high: lua_Integer, chance: u64) -> lua_Integer {
    if high - low < LARGE || chance == 0 {
        return low + (high - low) / 2;
    }
    let quarter = (high - low) / 4;
    low + quarter + lua_Integer::try_from(chance >> 1).unwrap_or(0) % (quarter * 2)
}

/// Puts what is less than the pivot, which is on top of the stack and second to last, before it.
unsafe fn partition(state: *mut lua_State, low: lua_Integer, high: lua_Integer) -> lua_Integer {
    let (mut i, mut j) = (low, high - 1);
    loop {
        loop {
            i += 1;
            ffi::lua_geti(state, 1, i);
            if !is_less(state, -1, -2) {
                break;
            }
            if i == high - 1 {
                ffi::luaL_error(state, c"invalid order function for sorting".as_ptr());
            }
            ffi::lua_pop(state, 1);
        }
        loop {
            j -= 1;
            ffi::lua_geti(state, 1, j);
            if !is_less(state, -3, -1) {
                break;
            }
            if j < i {
                ffi::luaL_error(state, c"invalid order function for sorting".as_ptr());
            }
            ffi::lua_pop(state, 1);
        }
        if j < i {
            ffi::lua_pop(state, 1);
            set_both(state, high - 1, i);
            return i;
        }
        set_both(state, i, j);
    }
}

unsafe fn is_less(state: *mut lua_State, one: c_int, other: c_int) -> bool {
    if ffi::lua_type(state, 2) == ffi::LUA_TFUNCTION {
        spend(state, 1);
        ffi::lua_pushvalue(state, 2);
        // One further down, since the function is on top; then two.
        ffi::lua_pushvalue(state, one - 1);
        ffi::lua_pushvalue(state, other - 2);
        ffi::lua_call(state, 2, 1);
        let is_less = ffi::lua_toboolean(state, -1) != 0;
        ffi::lua_pop(state, 1);
        return is_less;
    }
    let is_text = |at| ffi::lua_type(state, at) == ffi::LUA_TSTRING;
    let bytes = if is_text(one) && is_text(other) {
        ffi::lua_rawlen(state, one).min(ffi::lua_rawlen(state, other))
    } else {
        0
    };
    spend(state, 1 + bytes / COMPARED);
    ffi::lua_compare(state, one, other, ffi::LUA_OPLT) != 0
}

/// The topmost to the first place, the one below it to the second.
unsafe fn set_both(state: *mut lua_State, one: lua_Integer, other: lua_Integer) {
    ffi::lua_seti(state, 1, one);
    ffi::lua_seti(state, 1, other);
}

/// From a place in the table at a place of the stack to another.
unsafe fn copy(state: *mut lua_State, from: (c_int, lua_Integer), to: (c_int, lua_Integer)) {
    spend(state, 1);
    ffi::lua_geti(state, from.0, from.1);
    ffi::lua_seti(state, to.0, to.1);
}

/// Of the first argument, which has to be a table or to behave like one in so far.
unsafe fn length(state: *mut lua_State, uses: u8) -> lua_Integer {
    check_table(state, 1, uses | LENGTH);
    ffi::luaL_len(state, 1)
}

unsafe fn check_table(state: *mut lua_State, at: c_int, uses: u8) {
    if ffi::lua_type(state, at) == ffi::LUA_TTABLE {
        return;
    }
    let mut pushed = ffi::lua_getmetatable(state, at);
    let mut behaves = pushed == 1;
    for (needed, name) in [(READ, c"__index"), (WRITE, c"__newindex"), (LENGTH, c"__len")] {
        if behaves && uses & needed != 0 {
            pushed += 1;
            ffi::lua_pushstring(state, name.as_ptr());
            behaves = ffi::lua_rawget(state, -pushed) != ffi::LUA_TNIL;
        }
    }
    if behaves {
        ffi::lua_pop(state, pushed);
    } else {
        ffi::luaL_checktype(state, at, ffi::LUA_TTABLE);
    }
}

unsafe fn check(state: *mut lua_State, is_so: bool, argument: c_int, otherwise: &'static CStr) {
    if !is_so {
        ffi::luaL_argerror(state, argument, otherwise.as_ptr());
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;

    /// Both do the same to tables of their own, and give the same, errors included.
    const COMPARE: &str = "
local ours, original = ...
local function shown(t, n)
  local parts = {}
  for i = 0, n + 3 do parts[#parts + 1] = tostring(rawget(t, i)) end
  return table.concat(parts, ',')
end
local function values(n, kind)
  local t = {}
  for i = 1, n do
    local v = math.random(n)
    if kind == 'text' then v = ('k'):rep(v % 5) .. v elseif kind == 'mixed' and v % 7 == 0 then v = v + 0.5 end
    t[i] = v
  end
  return t
end
local orders = {
  false, function(a, b) return a > b end, function(a, b) return a < b end,
  function() return true end, function(a, b) return a <= b end, function() return false end,
  function(a, b) if a == 3 then error('three') end return a < b end,
}
local seed = 0
local function both(name, n, kind, ...)
  seed = seed + 1
  local results = {}
  for i, library in ipairs { ours, original } do
    math.randomseed(seed)
    local t = values(n, kind)
    local r = table.pack(pcall(library[name], t, ...))
    for j = 1, r.n do if r[j] == t then r[j] = 'the table' else r[j] = tostring(r[j]):gsub([[to '[%w.?]+']], '') end end
    results[i] = table.concat(r, ' ') .. ' ' .. shown(t, n)
  end
  assert(results[1] == results[2], name .. ': ' .. results[1] .. ' / ' .. results[2])
end
for round = 1, 2000 do
  local n = math.random(0, 12)
  local place = math.random(-2, 15)
  both('insert', n, 'mixed', place, 'new')
  both('insert', n, 'mixed', 'new')
  both('insert', n, 'mixed', 1, 2, 3)
  both('remove', n, 'mixed', place)
  both('remove', n, 'mixed')
  both('move', n, 'mixed', place, math.random(-2, 15), math.random(-2, 15))
  both('concat', n, 'mixed', ', ', math.random(0, 3), math.random(0, 13))
  both('concat', n, 'text')
  for _, order in ipairs(orders) do both('sort', n, 'mixed', order or nil) end
  both('sort', n, 'text')
end
for _, n in ipairs { 99, 100, 101, 128, 1000 } do
  for _, order in ipairs(orders) do both('sort', n, 'mixed', order or nil) end
end
both('move', 3, 'mixed', 1, 3, 2, 'x')
both('move', 3, 'mixed', math.mininteger, math.maxinteger, 1)
both('move', 3, 'mixed', 1, 3, math.maxinteger)
both('concat', 3, 'mixed', {})
both('sort', 3, 'mixed', 1)
local proxy = function()
  local inner = { 3, 1, 2 }
  return setmetatable({}, { __len = function() return #inner end, __index = inner, __newindex = function(_, k, v) inner[k] = v end }), inner
end
for _, library in ipairs { ours, original } do
  local p, inner = proxy()
  library.sort(p)
  library.insert(p, 2, 9)
  assert(library.concat(p, ',') == '1,9,2,3' and library.remove(p, 1) == 1 and #inner == 3)
  for _, bad in ipairs { 1, 'x', print } do
    assert(not pcall(library.insert, bad, 1) and not pcall(library.sort, bad) and not pcall(library.concat, bad))
  end
end
return true";

    #[test]
    fn they_do_to_tables_what_those_of_lua_do() {
        let lua = Lua::new();
        let original: mlua::Table = lua.globals().get("table").unwrap();
        let ours = lua.create_table().unwrap();
        let functions: [(_, ffi::lua_CFunction); 5] =
            [("insert", insert), ("remove", remove), ("move", move_), ("concat", concat), ("sort", sort)];
        for (name, function) in functions {
            // SAFETY: Lua calls it as it calls its own.
            ours.set(name, unsafe { lua.create_c_function(function).unwrap() }).unwrap();
        }
        assert!(lua.load(COMPARE).call::<bool>((ours, original)).unwrap());
    }
}
