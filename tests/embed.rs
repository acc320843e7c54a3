//! Hot reload in Lua states that the program owns.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its helpers cannot go on"
)]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BudgetConfig, WatchConfig},
    embed::{EmbedError, Scripts, State, StateOptions},
    reload::{ReloadReport, ReloadStatus},
};
use mlua::{FromLuaMulti, Function, HookTriggers, Lua, UserData, UserDataMethods, VmState};
use tempfile::TempDir;

#[path = "../examples/embed.rs"]
#[allow(dead_code, reason = "a test has a main of its own")]
mod example;

/// Nothing takes so long.
const LIMIT: Duration = Duration::from_secs(20);

struct Site {
    dir: TempDir,
    scripts: Scripts,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let scripts = Scripts::watch(dir.path(), &WatchConfig::default()).unwrap();
        Self { dir, scripts }
    }

    fn save(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Saves, and lets the state take it up.
    fn reload(&self, state: &mut State, name: &str, text: &str) -> ReloadReport {
        self.save(name, text);
        wait(state)
    }

    fn attach(&self, lua: &Lua) -> State {
        let mut state = self.scripts.attach(lua).unwrap();
        state.run("main.lua").unwrap();
        state
    }
}

fn wait(state: &mut State) -> ReloadReport {
    state.wait(LIMIT).pop().expect("no report came")
}

fn eval<R: FromLuaMulti>(state: &State, code: &str) -> R {
    state.lua().load(code).eval().unwrap()
}

const APP: &str = "App = session:prototype('App', { n = 0 })
app = app or App:new { n = 7 }
function App:label() return 'old ' .. self.n end";

#[test]
fn an_edited_method_reaches_objects_that_stay_the_same_with_what_they_know() {
    let site = Site::new(&[("main.lua", APP)]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    eval::<()>(&state, "app.n = 8; before = app");
    let report = site.reload(&mut state, "main.lua", &APP.replace("old", "new"));
    assert_eq!(report.status, ReloadStatus::Ok);
    assert_eq!(report.ran.len(), 1);
    assert_eq!(eval::<String>(&state, "return app:label()"), "new 8");
    assert!(eval::<bool>(&state, "return app == before"));
    assert!(state.update().is_empty(), "nothing was saved");
    assert_eq!(state.generation(), 2);
}

#[test]
fn a_syntax_error_changes_nothing_and_says_where() {
    let site = Site::new(&[("main.lua", APP)]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    let report = site.reload(&mut state, "main.lua", "function x(\n");
    assert_eq!(report.status, ReloadStatus::Failed);
    let error = &report.errors[0].diagnostic;
    assert!(error.position().ends_with("main.lua:1"), "{error}");
    assert_eq!(error.excerpt[0].text, "function x(");
    assert!(report.to_string().starts_with("[hot] ERROR "), "{report}");
    assert!(report.to_string().contains("> 1 | function x("), "{report}");
    assert_eq!(eval::<String>(&state, "return app:label()"), "old 7");
}

struct Counter(usize);

impl UserData for Counter {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("up", |_, counter, ()| {
            counter.0 += 1;
            Ok(counter.0)
        });
    }
}

#[test]
fn after_a_runtime_error_globals_of_the_program_and_its_userdata_are_as_they_were() {
    let site = Site::new(&[("main.lua", APP)]);
    let lua = Lua::new();
    lua.globals().set("counter", Counter(0)).unwrap();
    lua.load("game = { level = 3, on_hit = function() return 'mine' end }").exec().unwrap();
    let mut state = site.attach(&lua);
    let bad = "App, app, fresh = nil, nil, 1
counter:up()
counter, game.level, game.on_hit, print = nil, 4, nil, nil
session:setInterval(function() end, 10)
error('half-way')";
    let report = site.reload(&mut state, "main.lua", bad);
    let error = &report.errors[0].diagnostic;
    assert!(error.to_string().ends_with("main.lua:5: half-way"), "{error}");
    assert_eq!(eval::<String>(&state, "return app:label()"), "old 7");
    assert_eq!(eval::<String>(&state, "return game.level .. game.on_hit()"), "3mine");
    assert!(eval::<bool>(&state, "return fresh == nil and print ~= nil and not session.reloading"));
    // What happened inside the userdata is the program's own.
    assert_eq!(eval::<usize>(&state, "return counter:up()"), 2);
    assert!(state.next_timer().is_none());
}

#[test]
fn a_module_is_the_same_table_over_three_saves() {
    let site = Site::new(&[
        ("util.lua", "local M = { count = 0 } function M.word() return 0 end return M"),
        ("main.lua", "util = require 'util' local word = util.word function captured() return word() end"),
    ]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    eval::<()>(&state, "first = util; util.count = 5");
    for n in 1..=3 {
        let text = format!("local M = {{ count = 0 }} function M.word() return {n} end return M");
        site.reload(&mut state, "util.lua", &text);
        assert!(eval::<bool>(&state, "return first == util and first == require 'util'"));
        let words = eval::<Vec<usize>>(&state, "return { util.word(), captured(), util.count }");
        assert_eq!(words, [n, n, 5]);
    }
}

#[test]
fn states_on_threads_of_their_own_get_the_same_edit() {
    let site = Site::new(&[("main.lua", "function version() return 1 end")]);
    let lua = [Lua::new(), Lua::new(), Lua::new(), Lua::new()];
    let mut paused: Vec<_> = lua.iter().map(|lua| site.attach(lua)).collect();
    let states = paused.split_off(2);
    site.save("main.lua", "function version() return 2 end");
    let owners = states.into_iter().map(|mut state| {
        thread::spawn(move || {
            wait(&mut state);
            eval::<usize>(&state, "return version()")
        })
    });
    for owner in owners.collect::<Vec<_>>() {
        assert_eq!(owner.join().unwrap(), 2);
    }
    // Their owner never lets them, and the others did not wait for them.
    for state in &paused {
        assert_eq!(eval::<usize>(state, "return version()"), 1);
    }
}

#[test]
fn saves_between_two_updates_are_taken_up_together() {
    let site = Site::new(&[
        ("a.lua", "return { n = 1 }"),
        ("b.lua", "return { n = 1 }"),
        ("main.lua", "a, b = require 'a', require 'b'"),
    ]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    // It is told after the other.
    let witness = Lua::new();
    let mut witness = site.attach(&witness);
    for (file, generation) in [("a.lua", 2), ("b.lua", 3)] {
        site.save(file, "return { n = 2 }");
        wait(&mut witness);
        assert_eq!(witness.generation(), generation);
    }
    let reports = state.update();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].ran.len(), 2);
    assert_eq!(eval::<Vec<usize>>(&state, "return { a.n, b.n }"), [2, 2]);
}

#[test]
fn a_start_that_fails_changes_nothing_and_is_tried_again_with_each_save() {
    let site = Site::new(&[("main.lua", "a = 1\nsession:setTimeout(print, 0)\nmissing()")]);
    let lua = Lua::new();
    let mut state = site.scripts.attach(&lua).unwrap();
    let error = state.run("main.lua").unwrap_err();
    let diagnostic = error.diagnostic().unwrap();
    assert!(diagnostic.position().ends_with("main.lua:3"), "{error}");
    assert!(error.to_string().contains("> 3 | missing()"), "{error}");
    assert!(eval::<bool>(&state, "return a == nil"));
    assert!(state.next_timer().is_none());
    assert_eq!(site.reload(&mut state, "main.lua", "missing()").status, ReloadStatus::Failed);
    let report = site.reload(&mut state, "main.lua", "a = session.reloading");
    assert_eq!((report.status, report.ran.len()), (ReloadStatus::Ok, 1));
    assert!(eval::<bool>(&state, "return a == false"));
    // It has run.
    eval::<()>(&state, "a = 2");
    state.run("main.lua").unwrap();
    assert_eq!(eval::<usize>(&state, "return a"), 2);
}

#[test]
fn what_is_in_the_state_stays_the_programs_own() {
    let site = Site::new(&[("main.lua", "theirs = require 'theirs'")]);
    let lua = Lua::new();
    let hooked = Arc::new(AtomicUsize::new(0));
    let count = hooked.clone();
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| {
        count.fetch_add(1, Relaxed);
        Ok(VmState::Continue)
    })
    .unwrap();
    lua.gc_stop();
    lua.set_memory_limit(1 << 30).unwrap();
    let setup = "package.preload.theirs = function() return 'theirs' end ui = 'mine' own_print = print";
    lua.load(setup).exec().unwrap();
    let mut state = site.attach(&lua);
    site.reload(&mut state, "main.lua", "theirs = require 'theirs' .. '!'");
    assert!(!lua.gc_is_running());
    assert_eq!(lua.set_memory_limit(0).unwrap(), 1 << 30);
    let before = hooked.load(Relaxed);
    let same = "return theirs == 'theirs!' and ui == 'mine' and print == own_print and io.open ~= nil \
                and os.execute ~= nil and debug == nil and package.preload ~= nil";
    assert!(eval::<bool>(&state, same));
    assert!(hooked.load(Relaxed) > before, "the hook is still the program's");
    let error = lua.load("require 'nowhere'").exec().unwrap_err().to_string();
    assert!(error.contains("neither nowhere.lua nor nowhere/init.lua"), "{error}");
}

#[test]
fn limits_hold_where_they_are_asked_for() {
    let site = Site::new(&[("main.lua", "x = 1")]);
    let lua = Lua::new();
    let budget = BudgetConfig { load: Duration::from_millis(50), ..BudgetConfig::default() };
    let options = StateOptions { budget: Some(budget), ..StateOptions::default() };
    let mut state = site.scripts.attach_with(&lua, options).unwrap();
    state.run("main.lua").unwrap();
    let report = site.reload(&mut state, "main.lua", "x = 2\nwhile true do end");
    let error = &report.errors[0].diagnostic;
    assert!(error.position().ends_with("main.lua:2"), "{error}");
    assert!(report.offer_restart);
    assert_eq!(eval::<usize>(&state, "return x"), 1);
}

#[test]
fn limits_hold_in_what_a_coroutine_would_close() {
    let site = Site::new(&[("main.lua", "x = 1")]);
    let lua = Lua::new();
    let budget = BudgetConfig { load: Duration::from_millis(50), ..BudgetConfig::default() };
    let options = StateOptions { budget: Some(budget), ..StateOptions::default() };
    let mut state = site.scripts.attach_with(&lua, options).unwrap();
    state.run("main.lua").unwrap();
    let body = "local c <close> = setmetatable({}, { __close = function() while true do end end }) while true do end";
    for ends in [
        format!("coroutine.wrap(function() {body} end)()"),
        format!(
            "local co = coroutine.create(function() {body} end) pcall(coroutine.resume, co) coroutine.close(co)"
        ),
    ] {
        let report = site.reload(&mut state, "main.lua", &format!("x = 2 {ends} while true do end"));
        let error = &report.errors[0].diagnostic;
        assert!(error.message.contains("ran longer than 50ms"), "{error}");
        assert_eq!(eval::<usize>(&state, "return x"), 1);
    }
    // What has not been ended by the deadline is closed as ever.
    let closes = "closed = 0 local co = coroutine.create(function()
        local c <close> = setmetatable({}, { __close = function() closed = closed + 1 end }) coroutine.yield() end)
        coroutine.resume(co) coroutine.close(co)
        pcall(coroutine.wrap(function()
            local c <close> = setmetatable({}, { __close = function() closed = closed + 1 end }) error('x') end))";
    site.reload(&mut state, "main.lua", closes);
    assert_eq!(eval::<usize>(&state, "return closed"), 2);
}

#[test]
fn a_sandboxed_state_is_as_those_of_the_server() {
    let site = Site::new(&[(
        "main.lua",
        "reached = io.open('/etc/passwd') or os.execute('true') or package.loadlib x = 1",
    )]);
    let mut state = site.scripts.sandboxed(StateOptions::default()).unwrap();
    state.run("main.lua").unwrap();
    assert!(eval::<bool>(&state, "return reached == nil"));
    site.reload(&mut state, "main.lua", "x = 2");
    assert_eq!(eval::<usize>(&state, "return x"), 2);
}

#[test]
fn an_interval_of_a_script_that_was_saved_often_fires_once() {
    let text = "fired = fired or 0 session:setInterval(function() fired = fired + 1 end, 10) --";
    let site = Site::new(&[("main.lua", text)]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    for n in 0..3 {
        site.reload(&mut state, "main.lua", &format!("{text} {n}"));
    }
    eval::<()>(&state, "fired = 0");
    while Instant::now() < state.next_timer().unwrap() {
        thread::yield_now();
    }
    assert!(state.fire_timers().is_empty());
    // A time that was missed is not made up for, so a machine that is late counts one, too.
    assert!(eval::<usize>(&state, "return fired") <= 2);
    site.reload(&mut state, "main.lua", "session:setTimeout(function() missing() end, 0)");
    while Instant::now() < state.next_timer().unwrap() {
        thread::yield_now();
    }
    let errors = state.fire_timers();
    assert!(errors[0].position().ends_with("main.lua:1"), "{errors:?}");
}

#[test]
fn a_script_may_ask_for_a_state_that_begins_anew() {
    let site = Site::new(&[("main.lua", "x = 1")]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    assert!(!state.wants_restart());
    state.call(|lua| lua.load("hot.restart()").exec()).unwrap();
    assert!(state.wants_restart());
    assert!(!state.wants_restart());
}

#[test]
fn an_error_of_a_call_says_where() {
    let site = Site::new(&[("main.lua", "function f()\n  missing()\nend")]);
    let lua = Lua::new();
    let mut state = site.attach(&lua);
    let call = |lua: &Lua| lua.globals().get::<Function>("f")?.call::<()>(());
    let error = state.call(call).unwrap_err();
    assert!(error.to_string().contains("> 2 |   missing()"), "{error}");
}

#[test]
fn what_cannot_be_attached_is_refused_with_the_reason() {
    let site = Site::new(&[]);
    let lua = Lua::new();
    lua.globals().set("hot", 1).unwrap();
    let error = site.scripts.attach(&lua).unwrap_err();
    assert!(matches!(error, EmbedError::GlobalTaken { name: "hot" }), "{error}");
    lua.globals().raw_remove("hot").unwrap();
    let mut state = site.scripts.attach(&lua).unwrap();
    assert!(matches!(site.scripts.attach(&lua).unwrap_err(), EmbedError::Attached));
    let error = state.run("main.lua").unwrap_err();
    assert!(error.to_string().starts_with("main.lua: there is no such file"), "{error}");
}

#[tokio::test]
async fn an_async_program_uses_the_runtime_it_has() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("main.lua"), "x = 1").unwrap();
    let settings = WatchConfig::default();
    let error = Scripts::watch(dir.path(), &settings).unwrap_err();
    assert!(matches!(error, EmbedError::InsideRuntime { .. }), "{error}");
    let scripts = Scripts::start(dir.path(), &settings).await.unwrap();
    assert!(matches!(scripts.barrier().unwrap_err(), EmbedError::InsideRuntime { .. }));
    let lua = Lua::new();
    let mut state = scripts.attach(&lua).unwrap();
    state.run("main.lua").unwrap();
    fs::write(dir.path().join("main.lua"), "x = 2").unwrap();
    scripts.loader().watch().barrier().await.unwrap();
    assert!(!scripts.health().backends.is_empty());
    let state = tokio::task::spawn_blocking(move || {
        wait(&mut state);
        state
    });
    assert_eq!(eval::<usize>(&state.await.unwrap(), "return x"), 2);
}

#[test]
fn without_the_scripts_a_state_goes_on_with_the_code_it_has() {
    let Site { dir, scripts } = Site::new(&[("main.lua", "x = 1")]);
    let lua = Lua::new();
    let mut state = scripts.attach(&lua).unwrap();
    state.run("main.lua").unwrap();
    drop(scripts);
    fs::write(dir.path().join("main.lua"), "x = 2").unwrap();
    assert!(state.update().is_empty());
    drop(state);
    assert!(lua.load("return x == 1 and require 'main' ~= nil").eval::<bool>().unwrap());
}

#[test]
fn the_example_plays_on_while_its_scripts_are_edited() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/embed");
    let dir = TempDir::new().unwrap();
    for file in ["main.lua", "ball.lua"] {
        fs::copy(source.join(file), dir.path().join(file)).unwrap();
    }
    let (lines, shown) = mpsc::channel();
    let place = dir.path().to_owned();
    let game = thread::spawn(move || {
        let frames = 2000;
        example::play(&place, frames, |line| lines.send(line.to_owned()).unwrap()).unwrap();
    });
    let seen = |what: &str| {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = shown.recv_timeout(left).unwrap_or_else(|_| panic!("{what:?} was never shown"));
            if line.contains(what) {
                return line;
            }
        }
    };
    let edit = |file: &str, old: &str, new: &str| {
        let text = fs::read_to_string(source.join(file)).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        fs::write(dir.path().join(file), text.replace(old, new)).unwrap();
    };
    let before = seen("o").find('o').unwrap();
    edit("ball.lua", "\"o\"", "\"*\"");
    assert!(seen("*").find('*').unwrap() > before, "the balls go on from where they were");
    edit("ball.lua", "self.x + self.speed", "self.x + nothing.speed");
    let line = seen("ball.lua:6: ");
    assert!(line.contains("> 6 |"), "{line}");
    edit("main.lua", "screen:put", "screen:quit() screen:put");
    edit("ball.lua", "\"o\"", "\"+\"");
    seen("+");
    game.join().unwrap();
}

#[test]
fn the_example_is_short() {
    let lines = include_str!("../examples/embed.rs").lines().count();
    assert!(lines < 80, "{lines} lines");
}
