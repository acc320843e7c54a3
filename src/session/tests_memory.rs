//! The limits on memory: a script that takes more gets an error that says where.

use super::{lua_session::LuaSession, tests_sandbox::*};

fn assert_beaten_by_memory(attacks: &[&str]) {
    assert_beaten(&attacks.iter().map(|code| (*code, MEMORY)).collect::<Vec<_>>());
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
