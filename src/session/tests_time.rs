//! The limits on time: whatever a script does, it ends with its budget.

use std::time::Duration;

use super::tests_sandbox::*;

fn assert_beaten_by_time(attacks: &[&str]) {
    assert_beaten(&attacks.iter().map(|code| (*code, TIME)).collect::<Vec<_>>());
}

#[test]
fn loops_end_whatever_catches_their_error() {
    assert_beaten_by_time(&[
        "while true do end",
        "repeat until false",
        "::again:: goto again",
        "for i = 1, math.huge do end",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(error, 'x') end",
        "local function f() while true do pcall(f) end end f()",
        "local function f() pcall(f) return 1 + f() end f()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "xpcall(error, function() while true do end end)",
        "while true do pcall(pcall, pcall, error) end",
        "while true do load('while true do end')() end",
        "while true do load(function() while true do end end) end",
        "while true do load(function() return ' ' end) end",
        "while true do pcall(require, 'none') end",
    ]);
}

#[test]
fn coroutines_do_not_escape() {
    assert_beaten_by_time(&[
        "coroutine.wrap(function() while true do end end)()",
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
        "while true do local co = coroutine.wrap(function() pcall(function() while true do end end) end) pcall(co) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "local function f() return coroutine.wrap(f)() end while true do pcall(f) end",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.yield() end)\n\
         coroutine.resume(co) coroutine.close(co)",
        "local co = coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end)\n\
         co()",
        "local co = coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) (('x'):gsub('.', function() while true do end end)) end)\n\
         co()",
        "local t = {} for i = 1, 1000 do t[i] = coroutine.wrap(function() while true do pcall(function() for j = 1, 1e6 do coroutine.yield() end end) end end) end\n\
         while true do for i = 1, #t do pcall(t[i]) end end",
    ]);
}

#[test]
fn an_interrupted_coroutine_of_an_earlier_unit_is_not_closed_any_more() {
    let mut session = session_with(
        "if CO then assert(not coroutine.close(CO)) return end\n\
         CO = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end)\n\
         coroutine.resume(CO) while true do end",
        Duration::from_millis(200),
    );
    assert!(attack(&mut session).unwrap_err().message.contains(TIME));
    attack(&mut session).unwrap();
}

#[test]
fn metamethods_and_callbacks_end_too() {
    let endless = "function() while true do end end";
    let metamethod = |event: &str, code: &str| {
        format!("local a, b = setmetatable({{}}, {{{event} = {endless}}}), setmetatable({{}}, {{}}) {code}")
    };
    let attacks = [
        metamethod("__index", "return a.x"),
        metamethod("__newindex", "a.x = 1"),
        metamethod("__eq", "return a == b"),
        metamethod("__lt", "return a < b"),
        metamethod("__le", "return a <= b"),
        metamethod("__concat", "return a .. b"),
        metamethod("__len", "return #a"),
        metamethod("__call", "return a()"),
        metamethod("__unm", "return -a"),
        metamethod("__add", "return a + b"),
        metamethod("__tostring", "return tostring(a)"),
        metamethod("__tostring", "return string.format('%s', a)"),
        metamethod("__tostring", "print(a)"),
        metamethod("__tostring", "error(a)"),
        metamethod("__pairs", "for _ in pairs(a) do end"),
        metamethod("__index", "return table.concat(a, '', 1, 2)"),
        metamethod("__index", "return table.unpack(a, 1, 2)"),
        metamethod("__newindex", "table.insert(a, 1)"),
        metamethod("__close", "do local x <close> = a end"),
        metamethod("__close", "for _ in function() return nil end, nil, nil, a do end"),
        metamethod("__close", "local x <close> = a error('x')"),
        format!("table.sort({{3, 2, 1}}, {endless})"),
        format!("return (('x'):gsub('.', {endless}))"),
        format!("return (('x'):gsub('.', setmetatable({{}}, {{__index = {endless}}})))"),
        "for _ in string.gmatch(('x'):rep(1e6), '') do pcall(error) end for _ in next, {1} do while true do end end".to_owned(),
    ];
    assert_beaten_by_time(&attacks.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn patterns_end_with_their_time() {
    assert_beaten_by_time(&[
        "return ('a'):rep(60000):find(('a*'):rep(4) .. 'b')",
        "local s = (' '):rep(900000) .. 'x' return (s:gsub('%s+$', ''))",
        "return ('a'):rep(900000):match('.-.-.-b')",
        "for _ in (' '):rep(900000):gmatch('%s+x') do end",
        "return (('('):rep(900000):gsub('%b()', ''))",
        "return ('x'):rep(900000):find('(.-)%1b')",
        "return (('x'):rep(900000):gsub('(x-)x', ('%1'):rep(400000)))",
        "return (('x'):rep(900000):find('x*[' .. ('a'):rep(500000) .. ']'))",
        "local s = ('a'):rep(60000) while true do pcall(s.find, s, 'a-a-a-b') end",
        "local s = ('a'):rep(60000) while true do s:find('a-a-b') end",
        "local s = ('a'):rep(60000) coroutine.wrap(function() while true do pcall(s.match, s, 'a*a*a*b') end end)()",
        "table.sort({ 1, 2 }, function() return ('a'):rep(60000):find('a*a*a*b') end)",
    ]);
    assert_true(&[
        "('ab'):rep(40000):find('a*b*ab') == 1",
        "('a'):rep(65537):find('a*a*a*b', 1, true) == nil",
        "('a=b, c=d'):gsub('(%w+)=(%w+)', '%2=%1') == 'b=a, d=c'",
        "('key = value'):match('^%s*(%S+)%s*=%s*(.-)%s*$') == 'key'",
        "('x'):rep(1000000):gsub('x', 'y') == ('y'):rep(1000000)",
    ]);
    assert_beaten(&[
        ("return ('x'):find(nil)", "bad argument #1 to 'find' (string expected, got nil)"),
        ("return string.gsub('x')", "bad argument #2 to 'gsub' (string expected, got no value)"),
        ("return ('('):rep(50):find(('('):rep(50))", "too many captures"),
        ("return ('x'):rep(300000):find(('x?'):rep(300000))", "pattern too complex"),
    ]);
}

#[test]
fn functions_of_tables_end_with_their_time_whatever_length_is_claimed() {
    let long = "local long = setmetatable({}, { __len = function() return 1 << 60 end })";
    let empty = "local empty = setmetatable({}, { __index = setmetatable({}, { __index = table.concat }) })";
    let texts = "local s, t = ('x'):rep(1 << 20), {} for i = 1, 20000 do t[i] = s end";
    let ints = "local t = {} for i = 1, 200000 do t[i] = i * 7919 % 200003 end";
    let attacks = [
        format!("{long} table.insert(long, 1, 0)"),
        format!("{long} table.remove(long, 1)"),
        format!("{empty} return table.concat(empty, '', 1, math.maxinteger)"),
        format!("{texts} table.sort(t)"),
        format!("{ints} while true do table.sort(t, function(a, b) return a > b end) table.sort(t) end"),
        format!("{ints} while true do pcall(table.sort, t, math.ult) pcall(table.sort, t, rawequal) end"),
        format!("{ints} while true do table.insert(t, 1, 0) table.remove(t, 1) end"),
        format!("{ints} while true do table.move(t, 1, #t, 2) end"),
        format!("{ints} while true do pcall(table.concat, t, ',') end"),
        "load('x = ' .. ('a and '):rep(150000) .. 'a')".to_owned(),
        "load('if a then ' .. ('elseif a then '):rep(70000) .. 'end')".to_owned(),
        "while true do load(('a = a '):rep(100000)) end".to_owned(),
    ];
    assert_beaten_by_time(&attacks.iter().map(String::as_str).collect::<Vec<_>>());
    assert_beaten(&[
        ("table.move({}, 1, 1e12, 2)", "table.move: more elements than fit into the memory"),
        ("return table.unpack({}, 1, 1e8)", "too many results to unpack"),
        ("return ('x'):rep(1e6):byte(1, -1)", ""),
        ("return select('#', table.unpack({}, 1, 1e6 + 1))", "too many results to unpack"),
    ]);
    assert_true(&["table.move({1, 2, 3}, 1, 3, 2)[4] == 3"]);
}

#[test]
fn recursion_ends_in_lua_and_in_c() {
    assert_beaten(&[
        ("local function f() return 1 + f() end f()", ""),
        ("local function f() return (('x'):gsub('.', f)) end f()", "overflow"),
        (
            "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
            "overflow",
        ),
        (
            "local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x",
            "'__index' chain too long",
        ),
        ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "'__index' chain too long"),
        (
            "local m = {} m.__tostring = function(t) return tostring(t) end tostring(setmetatable({}, m))",
            "overflow",
        ),
        ("local function f() table.sort({1, 2, 3}, f) end f()", "overflow"),
        ("assert(load('return ' .. ('('):rep(1000) .. '1' .. (')'):rep(1000)))", "overflow"),
        ("assert(load(('do '):rep(1000) .. ('end '):rep(1000)))", "overflow"),
        ("assert(load('return ' .. ('{'):rep(1000)))", "overflow"),
        ("assert(load('x = ' .. ('a.'):rep(100000) .. 'b ='))", "unexpected symbol"),
        ("local function f() return coroutine.wrap(f)() end f()", "overflow"),
    ]);
}
