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

pub(super) const TIME: &str = "ran longer than 200ms (session.budget.handler)";
pub(super) const MEMORY: &str = "used more than 8MiB of memory (session.budget.memory)";

/// A session with small budgets whose main file has a function `attack`; its body begins on line 2.
pub(super) fn session(attack: &str) -> LuaSession {
    // On a busy machine, too, only what is to run out of time does.
    session_with(attack, Duration::from_secs(30))
}

pub(super) fn session_with(attack: &str, handler: Duration) -> LuaSession {
    session_as(attack, |settings| settings.session.budget.handler = handler)
}

pub(super) fn session_as(attack: &str, configure: impl FnOnce(&mut SessionSettings)) -> LuaSession {
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
        hub: None,
        published,
    };
    settings.session.budget.memory = ByteSize::mib(8);
    settings.session.budget.string = ByteSize::mib(1);
    configure(&mut settings);
    let id = SessionId::random().unwrap();
    let session =
        LuaSession::new(id, Arc::new(settings), super::tests::account(), Box::new(|| {}), Arc::new(()))
            .unwrap();
    assert_eq!(session.start_error(), None, "{main}");
    session
}

pub(super) fn attack(session: &mut LuaSession) -> Result<Value, Diagnostic> {
    session.with_lua(|lua| lua.globals().get::<Function>("attack")?.call(()))
}

/// Each of them ends soon with an error that has its line and says what is expected, leaves a session that
/// works, and gives its memory back.
pub(super) fn assert_beaten(attacks: &[(&str, &str)]) {
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

/// Each is true.
pub(super) fn assert_true(expressions: &[&str]) {
    for code in expressions {
        let mut session = session(&format!("return {code}"));
        assert_eq!(attack(&mut session), Ok(Value::Boolean(true)), "{code}");
    }
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
        "io.popen('id') == nil and os.getenv('PATH') == nil and os.execute('id') == nil and os.execute() == false",
        "os.remove('lua/main.lua') == nil and os.rename('lua/main.lua', 'x') == nil and io.tmpfile() == nil",
        "pcall(os.exit) == false and pcall(os.exit, 0, true) == false and pcall(os.tmpname) == false",
        "os.setlocale('de_DE') == nil and os.setlocale() == 'C'",
        "io.open('/etc/passwd') == nil and io.open('../etc/passwd') == nil and io.open('lua/../../x') == nil",
        "io.open('/proc/self/environ') == nil and io.open('.') == nil and io.open('') == nil and io.open('lua') == nil",
        "io.open('./lua/main.lua') ~= nil and io.open('lua/main.lua\\0') == nil and io.open('config/config.toml') == nil",
        "io.open('lua/new.lua', 'w') == nil and io.open('lua/main.lua', 'a') == nil and io.open('lua/main.lua', 'r+') == nil",
        "io.open('lua/main.lua'):write('x') == nil and pcall(io.output, 'x') == false and io.read() == nil",
        "pcall(io.lines, '/etc/passwd') == false and pcall(io.input, '/etc/passwd') == false",
        "loadfile('/etc/passwd') == nil and load(function() return '\\27Lua' end) == nil",
        "package.loadlib == nil and package.cpath == '' and package.searchpath('passwd', '/etc/?') == nil",
        "(function() package.path = '/etc/?;lua/../../?.lua;../?.lua' local ok = pcall(require, 'passwd') package.path = nil return not ok end)()",
        "(function() package.cpath = '/usr/lib/lua/5.4/?.so' local ok = pcall(require, 'lpeg') return not ok end)()",
        "getmetatable(io) == false and getmetatable(os) == false and getmetatable(package) == false",
        "debug.sethook == nil and debug.gethook == nil and debug.getregistry == nil and debug.getupvalue == nil",
        "debug.setupvalue == nil and debug.upvaluejoin == nil and debug.getlocal == nil and debug.setmetatable == nil",
        "debug.getmetatable == getmetatable and debug.getmetatable(io) == false and debug.setuservalue == nil and debug.debug == nil",
        "debug.getinfo(1, 'f').func == nil and debug.getinfo(print).func == nil",
        "pcall(debug.getinfo, 1, '>f') == false",
        "pcall(setmetatable, {}, {__gc = print}) == false",
        "pcall(collectgarbage, 'stop') == false and pcall(collectgarbage, 'generational') == false",
        "pcall(collectgarbage, 'setpause', 1000) == false and collectgarbage('count') > 0",
        "pcall(require, '../x') == false and pcall(require, '/etc/passwd') == false",
        "pcall(require, 'mod\\0') == false and pcall(require, '') == false and pcall(require, {}) == false",
        "pcall(require, '..') == false and pcall(require, 'a..b') == false and require('mod') == 'mod'",
        "pcall(dofile, 'x') == false and loadfile('x') == nil",
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

/// What is logged.
#[derive(Clone, Default)]
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<u8>>>);

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

pub(super) fn attack_text(session: &mut LuaSession) -> String {
    attack(session).unwrap().to_string().unwrap()
}

fn save_main(session: &mut LuaSession, text: &str) -> Outcome {
    let published = session.settings.published.clone();
    let next = Arc::new(testing::save(&published.generation(), &[("main.lua", Some(text))]));
    published.publish(next.clone());
    session.reload(&next).outcome
}
