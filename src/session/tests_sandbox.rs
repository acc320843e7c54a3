//! What a bad script can do to its session: get an error that says where, and nothing else.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mlua::{Function, Value};

use super::{SessionId, SessionSettings, lua_session::LuaSession};
use crate::{
    config::{BindingRule, ByteSize, LuaConfig, ReloadScope, SessionConfig},
    reload::{Diagnostic, Generation, Outcome, Published, testing},
};

const TIME: &str = "ran longer than 200ms (session.budget.handler)";
const MEMORY: &str = "used more than 8MiB of memory (session.budget.memory)";

/// A session with small budgets whose main file has a function `attack`; its body begins on line 2.
fn session(attack: &str) -> LuaSession {
    // On a busy machine, too, only what is to run out of time does.
    session_with(attack, Duration::from_secs(30))
}

fn session_with(attack: &str, handler: Duration) -> LuaSession {
    session_as(attack, |settings| settings.session.budget.handler = handler)
}

fn session_as(attack: &str, configure: impl FnOnce(&mut SessionSettings)) -> LuaSession {
    session_of(&format!("function attack()\n{attack}\nend\n"), configure)
}

/// The same with another main file.
pub(super) fn session_of(main: &str, configure: impl FnOnce(&mut SessionSettings)) -> LuaSession {
    let published = Arc::new(Published::default());
    let files = [("main.lua", Some(main)), ("mod.lua", Some("return 'mod'"))];
    published.publish_good(Arc::new(testing::save(&Generation::default(), &files)));
    let mut settings = SessionSettings {
        session: SessionConfig::default(),
        lua: LuaConfig::default(),
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Any,
        refused: Default::default(),
        published,
    };
    settings.session.budget.memory = ByteSize::mib(8);
    settings.session.budget.string = ByteSize::mib(1);
    configure(&mut settings);
    let id = SessionId::random().unwrap();
    let session = LuaSession::new(id, Arc::new(settings), super::tests::account(), Box::new(|| {})).unwrap();
    assert_eq!(session.start_error(), None, "{main}");
    session
}

pub(super) fn attack(session: &mut LuaSession) -> Result<Value, Diagnostic> {
    session.with_lua(|lua| lua.globals().get::<Function>("attack")?.call(()))
}

/// Each of them ends soon with an error that has its line and says what is expected, leaves a session that
/// works, and gives its memory back.
fn assert_beaten(attacks: &[(&str, &str)]) {
    for (code, expected) in attacks {
        let handler = if *expected == TIME { Duration::from_millis(200) } else { Duration::from_secs(30) };
        let mut session = session_with(code, handler);
        // Long enough for a hook that was left in its hurry to show.
        let probe = "local n = 0 for i = 1, 2000 do n = n + select('#', pcall(error, 'x')) end return n";
        let works = |session: &mut LuaSession| {
            let result = session.with_lua(|lua| lua.load(probe).eval::<i64>());
            for _ in 0..8 {
                // Each halves Lua's table of short strings.
                session.vm.collect_garbage();
            }
            (result, session.used_memory())
        };
        let (_, before) = works(&mut session);
        let began = Instant::now();
        let error = attack(&mut session).expect_err(code);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{code} took {took:?}");
        assert!(error.message.contains(expected), "{code}: {error}");
        let lines = 2..2 + u32::try_from(code.lines().count()).unwrap();
        let is_here = error.file == "lua/main.lua" && error.line.is_some_and(|line| lines.contains(&line));
        let is_loaded = error.position() == "[string \"while true do end\"]:1";
        assert!(is_here || is_loaded, "{code}: {error:?}");
        // What an attack has kept is alive, and above the budget next to nothing can run.
        session.with_lua(|lua| lua.load("KEEP = nil").exec()).unwrap();
        session.vm.collect_garbage();
        let (result, after) = works(&mut session);
        assert_eq!(result, Ok(4000), "{code}");
        assert!(after < before + 64 * 1024, "{code}: {before} bytes before, {after} after");
    }
}

fn assert_beaten_by_time(attacks: &[&str]) {
    assert_beaten(&attacks.iter().map(|code| (*code, TIME)).collect::<Vec<_>>());
}

fn assert_beaten_by_memory(attacks: &[&str]) {
    assert_beaten(&attacks.iter().map(|code| (*code, MEMORY)).collect::<Vec<_>>());
}

/// Each is true.
fn assert_true(expressions: &[&str]) {
    for code in expressions {
        let mut session = session(&format!("return {code}"));
        assert_eq!(attack(&mut session), Ok(Value::Boolean(true)), "{code}");
    }
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
fn an_interrupted_coroutine_of_an_earlier_unit_is_closed_within_the_budget() {
    let mut session = session_with(
        "if CO then coroutine.close(CO) return end\n\
         CO = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end)\n\
         coroutine.resume(CO) while true do end",
        Duration::from_millis(200),
    );
    assert!(attack(&mut session).unwrap_err().message.contains(TIME));
    assert!(attack(&mut session).unwrap_err().message.contains(TIME));
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
fn memory_bombs_say_where() {
    assert_beaten_by_memory(&[
        "local t = {} while true do t[#t + 1] = {} end",
        "KEEP = {} while true do KEEP[#KEEP + 1] = {} end",
        "local s = 'x'\nwhile true do s = s .. s end",
        "local s = 'xyz'\nwhile true do s = s .. s .. s end",
        "local s = ('x'):rep(1000)\nfor i = 1, 1000 do s = s .. s end",
        "local t = {}\nwhile true do t[#t + 1] = ('x'):rep(100000) .. #t end",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) t[#t + 1] = {} end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} while true do t = {t, t, t, ('x'):rep(1000) .. tostring(t)} end",
        "local t = {} while true do t[#t + 1] = function() return t end end",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        "local t = {} while true do t[#t + 1] = coroutine.wrap(function() end) end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
        "return (('x'):rep(60000):gsub('x', ('y'):rep(1000)))",
        "local f = {} while true do f[#f + 1] = load('return ' .. #f) end",
    ]);
}

#[test]
fn strings_larger_than_their_budget_are_refused() {
    const STRING: &str = "would be larger than 1024 KiB (session.budget.string)";
    assert_beaten(&[
        ("return ('x'):rep(1e9)", STRING),
        ("return string.rep('x', 1e6, 'y')", STRING),
        ("return string.rep('', 1e9, 'y')", STRING),
        ("return string.rep('xyz', math.maxinteger)", STRING),
        ("local t = {} for i = 1, 20 do t[i] = ('x'):rep(100000) end return table.concat(t)", STRING),
        (
            "local x = ('x'):rep(1000) local t = {} for i = 1, 2000 do t[i] = x end return table.concat(t, ',')",
            STRING,
        ),
        ("local t = {} for i = 1, 200 do t[i] = 1 end return table.concat(t, ('x'):rep(10000))", STRING),
        ("return string.pack('c100000000', 'x')", STRING),
        ("return ('c600000'):rep(3):pack('x', 'y', 'z')", STRING),
    ]);
    assert_true(&[
        "(''):rep(1e15) == ''",
        "('x'):rep(-1) == ''",
        "('x'):rep(3, ',') == 'x,x,x'",
        "string.rep(12, '2') == '1212'",
        "string.pack('>I2c3z', 258, 'a', 'b') == '\\1\\2a\\0\\0b\\0'",
        "#('x'):rep(1024 * 1024) == 1024 * 1024",
        "table.concat({}) == ''",
        "table.concat({1, 'b', 3.5}, '-', 2, 3) == 'b-3.5'",
        "table.concat({'a', 'b'}, ', ', 1, 1) == 'a'",
        "table.concat(setmetatable({}, {__len = function() return 2 end, __index = function(_, i) return 'v' .. i end})) == 'v1v2'",
        "select(2, pcall(table.concat, {{}})):find('invalid value %(table%) at index 1 ') ~= nil",
    ]);
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
fn what_could_become_too_large_is_refused() {
    const COULD: &str = "the result could be larger than 1024 KiB (session.budget.string)";
    assert_beaten(&[
        ("return ('%99.99f'):rep(3000):format(table.unpack({}, 1, 3000))", COULD),
        ("local s = ('x'):rep(600000) return ('%.1s%.1s'):format(s, s)", COULD),
        ("return ('%q'):format(('\\0'):rep(300000))", COULD),
        ("return os.date(('%c'):rep(5000))", COULD),
        (
            "return string.pack((' '):rep(1e6) .. 'c100000', 'x')",
            "string.pack: the result would be larger than",
        ),
        ("debug.getinfo(1, ('S'):rep(1e5))", "debug.getinfo: more than 20 fields"),
    ]);
    assert_true(&[
        "('%5.1f|%s|%q'):format(1.25, ('x'):rep(10), 'a\\n') == '  1.2|xxxxxxxxxx|\"a\\\\\\n\"'",
        "#('%s'):format(('x'):rep(1000000)) == 1000000 and os.date('!%Y', 0) == '1970'",
        "debug.getinfo(1, 'nSlu').currentline == 2",
        "load('return ' .. ('1 + '):rep(5000) .. '1')() == 5001 and select(2, load('x = = 1', '=c')) ~= nil",
        "load('return x', 'c', 't', { x = true })() and load((' '):rep(2000) .. 'return true')()",
        "(function() local n = 0 for p, c in utf8.codes('a\\u{e4}b') do n = n * 1000 + c end return n end)() == 97228098",
        "pcall(function() for _ in utf8.codes('\\x80') do end end) == false",
        "(function() for p, c in utf8.codes('\\u{7fffffff}', true) do return c end end)() == 0x7fffffff",
    ]);
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

#[test]
fn odd_error_objects_are_told_with_their_line() {
    assert_beaten(&[
        ("error({code = 7})", "table: "),
        ("error(setmetatable({}, {__tostring = function() return 'told' end}))", "told"),
        ("error(setmetatable({}, {__tostring = function() error('worse') end}))", ""),
        (
            "error(setmetatable({}, {__tostring = function() return {} end}))",
            "'__tostring' must return a string",
        ),
        ("error(setmetatable({}, {__name = 'MyError'}))", "MyError: "),
        ("error(nil)", "nil"),
        ("error()", "nil"),
        ("error(7)", "7"),
        ("error(true)", "true"),
        ("error('plain', 0)", "plain"),
        ("error(print)", "function: "),
        ("error(('x'):rep(1e6))", "xxx"),
        ("error('\\xff\\0')", ""),
        ("coroutine.wrap(error)({})", "table: "),
    ]);
}

#[test]
fn bytecode_is_not_taken() {
    assert_true(&[
        "load('\\27Lua') == nil",
        "load(function() return '\\27Lua' end) == nil",
        "load('\\27Lua', 'c', 'b') == nil",
        "load('\\27Lua', 'c', 'bt', {}) == nil",
        "string.dump == nil",
        "load('return x', 'c', 'b', { x = true })()",
        "load('return x ~= nil', 'c', 'b', nil) ~= nil",
    ]);
}

#[test]
fn what_lies_outside_cannot_be_reached() {
    assert_true(&[
        "getmetatable('') == false",
        "pcall(setmetatable, '', {}) == false",
        "pcall(function() getmetatable('').__index = {} end) == false",
        "io == nil and os.exit == nil and os.getenv == nil and os.execute == nil and os.remove == nil",
        "os.tmpname == nil and os.rename == nil and os.setlocale == nil",
        "package.cpath == nil and package.path == nil and package.loadlib == nil",
        "package.searchers == nil and package.preload == nil and package.searchpath == nil",
        "debug.sethook == nil and debug.gethook == nil and debug.getregistry == nil and debug.getupvalue == nil",
        "debug.setupvalue == nil and debug.upvaluejoin == nil and debug.getlocal == nil and debug.setmetatable == nil",
        "debug.getmetatable == nil and debug.setuservalue == nil and debug.debug == nil",
        "debug.getinfo(1, 'f').func == nil and debug.getinfo(print).func == nil",
        "pcall(debug.getinfo, 1, '>f') == false",
        "pcall(setmetatable, {}, {__gc = print}) == false",
        "pcall(collectgarbage, 'stop') == false and pcall(collectgarbage, 'generational') == false",
        "pcall(collectgarbage, 'setpause', 1000) == false and collectgarbage('count') > 0",
        "pcall(require, '../x') == false and pcall(require, '/etc/passwd') == false",
        "pcall(require, 'mod\\0') == false and pcall(require, '') == false and pcall(require, {}) == false",
        "pcall(require, '..') == false and pcall(require, 'a..b') == false and require('mod') == 'mod'",
        "pcall(dofile, 'x') == false and pcall(loadfile, 'x') == false",
        "(function() local _ENV = { } return setmetatable == nil end)()",
        "load('return _ENV', 'x', 't', {})() ~= _G",
        "(function() _G.setmetatable, _G.pcall, _G.error = nil, nil, nil return session ~= nil end)()",
    ]);
}

#[test]
fn a_finalizer_does_not_come_in_by_the_back_door() {
    let mut session = session(
        "local mt = {} local o = setmetatable({}, mt) mt.__gc = finalizer\n\
         session:prototype('P', o, mt) session:prototype('Q', {}, {__gc = finalizer})\n\
         return mt.__gc ~= nil",
    );
    let ran = Arc::new(Mutex::new(false));
    let note = ran.clone();
    let install = move |lua: &mlua::Lua| {
        let finalizer = lua.create_function(move |_, ()| {
            *note.lock().unwrap() = true;
            Ok(())
        })?;
        lua.globals().set("finalizer", finalizer)
    };
    session.with_lua(install).unwrap();
    assert_eq!(attack(&mut session), Ok(Value::Boolean(true)), "what the user has put there stays");
    // Prototypes live as long as their session.
    drop(session);
    assert!(!*ran.lock().unwrap());
}

#[test]
fn dates_of_any_format_come_back() {
    for format in ["%c", "%Ez", "%", "%Q", "%E", "%O", "%5", "!%c", "*t", "!*t", "%\0", "%Ex", "%Od"] {
        let mut session = session("return true");
        let code = format!("return type(select(2, pcall(os.date, {format:?}, 0)))").replace("\\0", "\\0");
        let kind = session.with_lua(|lua| lua.load(code).eval::<String>()).unwrap();
        assert!(["string", "table"].contains(&kind.as_str()), "{format}: {kind}");
    }
    assert_true(&[
        "pcall(os.date, '*t', math.maxinteger) == false",
        "pcall(os.date, '%c', 1 << 60) == false",
        "pcall(os.time, {year = 1 << 60, month = 1, day = 1}) == false",
        "type(os.clock()) == 'number' and os.difftime(2, 1) == 1",
    ]);
}

#[test]
fn timers_are_limited_in_number() {
    for code in [
        "while true do session:setTimeout(print, 1e9) end",
        "while true do session:setImmediate(print) end",
        "for i = 1, 1001 do session:setInterval(print, 0) end",
    ] {
        let mut session = session(code);
        let error = attack(&mut session).unwrap_err();
        assert_eq!(error.position(), "lua/main.lua:2", "{error}");
        assert_eq!(error.message, "too many timers: session.budget.timers is 1000");
        assert_eq!(session.vm.state(|state| state.timers.len()), Some(1000));
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_flood_of_lines_is_dropped_and_a_long_one_is_cut() {
    let log = Lines::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let mut session = session("print(('x'):rep(1e6)) for i = 1, 1e4 do print(i) end return true");
    tracing::subscriber::with_default(subscriber, || {
        assert_eq!(attack(&mut session), Ok(Value::Boolean(true)));
        // Nobody prints any more; the session wakes to say what it dropped.
        while session.vm.dropped_lines_due().is_some() {
            let due = session.after_unit().unwrap().expect("it has something to say");
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            session.wake(false);
        }
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // Twice as many, should a second begin meanwhile.
    assert!((200..410).contains(&log.lines().count()), "{} lines", log.lines().count());
    let dropped: u64 = log
        .split(" lines dropped: more than 200 in a second (session.budget.log_lines)")
        .filter_map(|before| before.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    let told = log.lines().filter(|line| !line.contains("lines dropped")).count() as u64;
    assert_eq!(told + dropped, 10_001);
    assert!(log.len() < 100_000, "{} bytes", log.len());
}

#[test]
fn memory_that_runs_short_is_told_once_until_there_is_more() {
    let mut session =
        session("KEEP = KEEP or {} for i = 1, 2 do KEEP[#KEEP + 1] = ('x'):rep(65536 - 40) .. #KEEP end");
    let log = Lines::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let (outbox, mut frames) = tokio::sync::mpsc::channel(64);
    session.attach(super::ClientId::next(), outbox);
    let told = |what: &str| String::from_utf8_lossy(&log.0.lock().unwrap()).matches(what).count();
    let (high, full) = ("WARN lua: the session uses ", "none of it is garbage");
    tracing::subscriber::with_default(subscriber, || {
        let fill = |session: &mut LuaSession, bytes: usize| {
            while session.used_memory() < bytes {
                attack(session).unwrap();
                session.vm.collect_garbage();
            }
            for _ in 0..3 {
                session.vm.memory.forget_last_look();
                session.after_unit();
            }
        };
        fill(&mut session, 6 << 20);
        assert_eq!((told(high), told(full)), (0, 0));
        fill(&mut session, 7 << 20);
        assert_eq!((told(high), told(full)), (1, 0));
        fill(&mut session, 8_050_000);
        assert_eq!((told(high), told(full)), (1, 1));
        let frame: serde_json::Value = serde_json::from_slice(frames.try_recv().unwrap().bytes()).unwrap();
        assert_eq!(frame[0]["data"]["offerRestart"], true);
        assert!(frames.try_recv().is_err(), "told once");
        session.with_lua(|lua| lua.load("KEEP = nil collectgarbage()").exec()).unwrap();
        fill(&mut session, 0);
        fill(&mut session, 7 << 20);
        assert_eq!((told(high), told(full)), (2, 1));
        // Garbage is no reason.
        session.with_lua(|lua| lua.load("KEEP = nil collectgarbage()").exec()).unwrap();
        fill(&mut session, 0);
        let garbage = "for i = 1, 100 do local s = ('x'):rep(65000) .. i end";
        session.with_lua(|lua| lua.load(garbage).exec()).unwrap();
        fill(&mut session, 0);
        assert_eq!((told(high), told(full)), (2, 1));
    });
}

#[test]
fn a_file_that_runs_again_ends_too_and_so_does_what_it_leaves_behind() {
    const SPIN: &str = "while true do end";
    let attacks = [
        SPIN.to_owned(),
        format!("coroutine.wrap(function() {SPIN} end)()"),
        format!("require 'mod' {SPIN}"),
        format!("require 'mod' package.loaded.mod = nil require 'mod' {SPIN}"),
        format!("pcall(require, 'missing') {SPIN}"),
        format!("pcall(function() {SPIN} end) {SPIN}"),
    ];
    let hot = |settings: &mut SessionSettings| {
        settings.lua.hotload = true;
        settings.session.budget.load = Duration::from_millis(300);
    };
    for attack in attacks {
        let mut session = session_as("return 'good'", hot);
        let came = save_main(&mut session, &format!("function attack() return 'bad' end\n{attack}"));
        let Outcome::Kept { diagnostic, exhausted: true } = came else { panic!("{attack}: {came:?}") };
        assert!(diagnostic.message.contains("session.budget.load"), "{attack}: {diagnostic}");
        assert!(diagnostic.line >= Some(2), "{attack}: {diagnostic}");
        // Nothing is looked at any longer, and what is called is looked at again.
        assert_eq!(attack_text(&mut session), "good", "{attack}");
    }
    let traps = [
        "setmetatable(package.loaded, { __index = spin, __newindex = spin })",
        "setmetatable(_G, { __index = spin, __newindex = spin })",
        "return setmetatable({}, { __index = spin, __newindex = spin, __eq = spin, __len = spin })",
    ];
    for trap in traps {
        let mut session = session_as("return 'good'", hot);
        for n in 0..3 {
            let text =
                format!("function attack() return 'new {n}' end\nlocal function spin() {SPIN} end {trap}");
            let came = save_main(&mut session, &text);
            assert!(matches!(came, Outcome::Applied { .. }), "{trap}: {came:?}");
            assert_eq!(attack_text(&mut session), format!("new {n}"), "{trap}");
        }
    }
}

fn attack_text(session: &mut LuaSession) -> String {
    attack(session).unwrap().to_string().unwrap()
}

fn save_main(session: &mut LuaSession, text: &str) -> Outcome {
    let published = session.settings.published.clone();
    let next = Arc::new(testing::save(&published.generation(), &[("main.lua", Some(text))]));
    published.publish(next.clone());
    session.reload(&next).outcome
}
