//! A session driven by hand: what Lua developers and browsers can rely on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

mod address;
mod api;
mod bindings;
mod console;
// Debian's packages are for Lua 5.4.
#[cfg(not(feature = "lua55"))]
mod debian;
mod glance;
mod lists;
mod mistakes;
#[cfg(not(feature = "lua55"))]
mod native;
mod outside;
mod overridden;
mod problems;
mod programs;
mod quiet;
mod reading;
mod released_client;
mod story;
mod uploads;
mod wrapper_types;
mod wrappers;

use super::{
    SessionId, SessionSettings, batch::ReceivedBatch, client::ClientId, lua_session::LuaSession,
    outbox::Frame,
};
use crate::{
    config::{BindingRule, ByteSize, LuaConfig, ReloadScope, SessionConfig},
    reload::{Effects, Generation, Note, Outcome, Published, testing},
    wire::{Account, Charge},
};

mod case_calls;
mod case_collector;
mod case_definitions;
mod case_files;
mod case_hooks;
mod case_kinds;
mod case_libraries;
mod case_merge;
mod case_migration;
mod case_notes;
mod case_originals;
mod case_reach;
mod case_registries;
mod case_running;
mod case_source;
mod case_undo;
mod case_unedited;
mod case_whose;

/// What a session has for its browsers by default.
pub(super) fn account() -> Account {
    Account::new(SessionConfig::default().budget.browser.as_usize())
}

/// One frame of a browser, in one turn.
pub(super) fn receive(session: &mut LuaSession, client: ClientId, text: String) {
    let mut batch = ReceivedBatch::new(client, text, Charge::default(), oneshot::channel().0);
    assert!(session.receive(&mut batch, Instant::now() + Duration::from_secs(3600)));
}

/// A site in memory, one session of it, and a browser.
struct Site {
    published: Arc<Published>,
    session: LuaSession,
    client: ClientId,
    frames: mpsc::Receiver<Frame>,
    /// Of the last save.
    effects: Effects,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| {})
    }

    fn with(files: &[(&str, &str)], configure: impl FnOnce(&mut SessionSettings)) -> Self {
        let published = Arc::new(Published::default());
        let files: Vec<_> = files.iter().map(|&(name, text)| (name, Some(text))).collect();
        published.publish_good(Arc::new(testing::save(&Generation::default(), &files)));
        let mut settings = SessionSettings {
            session: SessionConfig::default(),
            lua: LuaConfig::default(),
            scope: ReloadScope::Loaded,
            bindings: BindingRule::Any,
            refused: Default::default(),
            hub: None,
            published: published.clone(),
        };
        settings.lua.hotload = true;
        settings.session.budget.load = Duration::from_millis(200);
        settings.session.budget.memory = ByteSize::mib(8);
        configure(&mut settings);
        let id = SessionId::random().unwrap();
        let mut session =
            LuaSession::new(id, Arc::new(settings), account(), Box::new(|| {}), Arc::new(())).unwrap();
        let (outbox, frames) = mpsc::channel(64);
        let client = ClientId::next();
        session.attach(client, outbox);
        session.after_unit();
        Self { published, session, client, frames, effects: Effects::default() }
    }

    /// The same session, seen by a second browser.
    fn another_browser(mut self) -> Self {
        let (outbox, frames) = mpsc::channel(64);
        (self.client, self.frames) = (ClientId::next(), frames);
        self.session.attach(self.client, outbox);
        self
    }

    fn save(&mut self, files: &[(&str, Option<&str>)]) -> Outcome {
        let generation = Arc::new(testing::save(&self.published.generation(), files));
        self.published.publish(generation.clone());
        let outcome = self.session.reload(&generation);
        self.effects = outcome.effects;
        self.session.refresh_now();
        self.session.after_unit();
        outcome.outcome
    }

    /// Saves a file that has to be taken.
    #[track_caller]
    fn good(&mut self, name: &str, text: &str) {
        match self.save_one(name, text) {
            Outcome::Applied { .. } => {}
            other => panic!("expected a reload, got {other:?}"),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.effects.notes.iter().map(Note::to_string).collect()
    }

    fn save_one(&mut self, name: &str, text: &str) -> Outcome {
        self.save(&[(name, Some(text))])
    }

    fn failure(&mut self, name: &str, text: &str) -> (String, bool) {
        match self.save_one(name, text) {
            Outcome::Kept { diagnostic, exhausted } => (diagnostic.to_string(), exhausted),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    fn send(&mut self, messages: Value) -> Vec<Value> {
        let batch = json!({ "userEvent": true, "messages": messages }).to_string();
        receive(&mut self.session, self.client, batch);
        self.session.after_unit();
        self.received()
    }

    fn received(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Ok(frame) = self.frames.try_recv() {
            match serde_json::from_slice(frame.bytes()).unwrap() {
                Value::Array(frame) => messages.extend(frame),
                other => panic!("a frame has to be an array: {other}"),
            }
        }
        messages
    }

    fn show(&mut self, id: i64, path: &str) -> Vec<Value> {
        let create =
            json!({"type": "create", "data": {"id": id, "parentId": 1, "properties": {"path": path}}});
        self.send(json!([create]))
    }

    fn eval(&mut self, code: &str) -> String {
        let run = self.session.with_lua(|lua| lua.load(code).eval::<mlua::Value>());
        run.unwrap().to_string().unwrap()
    }
}

fn values(messages: &[Value], id: i64) -> Vec<Value> {
    let update = |message: &&Value| message["type"] == "update" && message["data"]["varId"] == id;
    messages.iter().filter(update).filter_map(|message| message["data"].get("value").cloned()).collect()
}

const COUNTER: &str = r#"
App = session:prototype("App", { n = 0 })
function App:label() return "n=" .. self.n end
function App:add() self.n = self.n + 1 end
session:createAppVariable(App:new())
"#;

#[test]
fn case_01_an_edited_method_runs_at_once_and_the_state_stays() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    assert_eq!(values(&site.show(2, "label()"), 2), ["n=0"]);
    site.show(3, "add()?access=action");
    let click = json!([{"type": "update", "data": {"varId": 3, "value": null}}]);
    assert_eq!(values(&site.send(click.clone()), 2), ["n=1"]);
    let outcome = site.save_one("main.lua", &COUNTER.replace("n=", "count "));
    assert!(matches!(outcome, Outcome::Applied { .. }));
    let frames: Vec<_> = std::iter::from_fn(|| site.frames.try_recv().ok()).collect();
    assert_eq!(frames.len(), 1, "one frame: {frames:?}");
    let messages: Vec<Value> = serde_json::from_slice(frames[0].bytes()).unwrap();
    assert_eq!(values(&messages, 2), ["count 1"]);
    assert_eq!(messages.last().unwrap()["data"]["status"], "ok");
    assert_eq!(values(&site.send(click), 2), ["count 2"]);
}

#[test]
fn case_03_a_runtime_error_half_way_undoes_everything() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.show(2, "label()");
    let bad = r#"
        stray = 1
        App.label = nil
        session:getApp().n = 99
        session:prototype("Other", {})
        session:setInterval(function() end, 20)
        table.insert(package.loaded, 1)
        local nothing = nil
        nothing.field = 1
    "#;
    let (message, exhausted) = site.failure("main.lua", bad);
    assert!(message.starts_with("lua/main.lua:9: "), "{message}");
    assert!(!exhausted);
    assert_eq!(values(&site.received(), 2), Vec::<Value>::new());
    assert_eq!(site.eval("return tostring(stray) .. tostring(session.reloading)"), "nilfalse");
    assert_eq!(site.eval("return session:getApp():label()"), "n=0");
    assert_eq!(site.eval("return #package.loaded"), "0");
    assert_eq!(site.session.vm.next_timer(), None);
    let outcome = site.save_one("main.lua", &COUNTER.replace("n=", "mended "));
    assert!(matches!(outcome, Outcome::Applied { .. }));
    assert_eq!(values(&site.received(), 2), ["mended 0"]);
}

#[test]
fn case_02_a_file_that_does_not_compile_reaches_no_session() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.show(2, "label()");
    assert_eq!(
        site.failure("main.lua", "function x(").0,
        "lua/main.lua:1: <name> or '...' expected near <eof>"
    );
    assert_eq!(site.received(), Vec::<Value>::new());
    let click = site.show(3, "n");
    assert_eq!(values(&click, 3), [0]);
}

#[test]
fn what_is_saved_with_a_file_that_does_not_compile_waits_for_it() {
    let mut site = Site::new(&[("main.lua", "words = require 'words'"), ("words.lua", "return 'alpha'")]);
    site.save(&[("main.lua", Some("function x(")), ("words.lua", Some("return 'beta'"))]);
    assert_eq!(site.eval("return package.loaded.words"), "alpha");
    assert!(matches!(site.save_one("other.lua", "function x("), Outcome::Kept { .. }), "the same set again");
    site.save_one("main.lua", "words = require('words')");
    assert_eq!(site.eval("return words"), "beta");
}

#[test]
fn a_file_that_does_not_compile_and_runs_nowhere_holds_nobody_up() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.save_one("lazy.lua", "function x(");
    assert!(matches!(site.save_one("main.lua", &COUNTER.replace("n=", "N=")), Outcome::Applied { .. }));
}

#[test]
fn an_endless_loop_costs_its_budget_and_is_undone() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    let began = Instant::now();
    let (message, exhausted) =
        site.failure("main.lua", "x = 1\nwhile true do pcall(function() x = x + 1 end) end");
    assert!(message.starts_with("lua/main.lua:2: ran longer than 200ms (session.budget.load)"), "{message}");
    assert!(exhausted);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(site.eval("return x"), "nil");
    assert_eq!(values(&site.show(2, "label()"), 2), ["n=0"]);
}

#[test]
fn a_memory_bomb_is_undone_and_its_memory_comes_back() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    let before = site.session.used_memory();
    for bomb in [
        "local t = {}\nwhile true do t[#t + 1] = {} end",
        "local s = 'x'\nwhile true do s = s .. s end",
        "local t = {}\nwhile true do t[#t + 1] = ('x'):rep(1000000) .. #t end",
    ] {
        let (message, exhausted) = site.failure("main.lua", bomb);
        assert!(message.contains("lua/main.lua"), "{message}");
        assert!(message.contains("session.budget.memory"), "{message}");
        assert!(exhausted);
    }
    let after = site.session.used_memory();
    assert!(after < before + 64 * 1024, "{before} bytes before, {after} after");
    assert_eq!(values(&site.show(2, "label()"), 2), ["n=0"]);
}

#[test]
fn garbage_waits_while_a_crowd_of_sessions_waits_for_a_thread_but_not_for_ever() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    for _ in 0..3 {
        site.session.upkeep.collect_at = Some(Instant::now());
        site.session.wake(true);
        assert!(site.session.upkeep.collect_at.is_some_and(|at| at > Instant::now()));
    }
    site.session.upkeep.collect_at = Some(Instant::now());
    site.session.wake(true);
    assert_eq!(site.session.upkeep.collect_at, None);
}

#[test]
fn case_04_a_module_keeps_its_table_and_its_values() {
    let util = "local M = { limit = 10, count = 0, conf = { rate = 1 } }\nfunction M.up() M.count = M.count + 1 return M.count end\nfunction M.gone() end\nreturn M";
    let main = "local util = require 'util'\nfunction up() return util.up() end\nU = util";
    let mut site = Site::new(&[("main.lua", main), ("util.lua", util)]);
    assert_eq!(site.eval("U.conf.rate = 9 return up()"), "1");
    let second = util.replace("M.count + 1", "M.count + 10").replace("function M.gone() end\n", "");
    site.save_one("util.lua", &second);
    assert_eq!(
        site.eval("return up() .. ' ' .. U.count .. ' ' .. tostring(U.gone) .. ' ' .. U.conf.rate"),
        "11 11 nil 9"
    );
    let third = second.replace("+ 10", "+ 100").replace("limit = 10", "limit = 20");
    site.save_one("util.lua", &third);
    assert_eq!(
        site.eval("return up() .. ' ' .. U.limit .. ' ' .. tostring(require 'util' == U)"),
        "111 20 true"
    );
}

#[test]
fn case_11_a_batch_runs_dependencies_first_and_is_undone_as_a_whole() {
    let mut site = Site::new(&[
        ("main.lua", "require 'a'\nfunction order() return table.concat(ORDER, ' ') end ORDER = {}"),
        ("a.lua", "local b = require 'b'\nA = b.value"),
        ("b.lua", "return { value = 1 }"),
    ]);
    let note = |name: &str, rest: &str| format!("ORDER[#ORDER + 1] = '{name}'\n{rest}");
    let (a, b) = (note("a", "A = require('b').value"), note("b", "return { value = 2 }"));
    site.save(&[("a.lua", Some(&a)), ("b.lua", Some(&b))]);
    assert_eq!(site.eval("return order() .. A"), "b a2");
    let bad = note("a", "error('no')");
    let outcome = site.save(&[("a.lua", Some(&bad)), ("b.lua", Some("return { value = 3 }"))]);
    assert!(matches!(outcome, Outcome::Kept { .. }));
    assert_eq!(site.eval("return require('b').value"), "2");
    // What failed is tried again with the next batch.
    let mended = a.replace(".value", ".value + 10");
    assert!(matches!(site.save_one("a.lua", &mended), Outcome::Applied { files } if files.len() == 2));
    assert_eq!(site.eval("return require('b').value .. ' ' .. A"), "3 13");
}

#[test]
fn case_08_a_file_that_starts_an_interval_has_exactly_one() {
    let main = "ticks = 0\nsession:setInterval(function() ticks = ticks + 1 end, 10) -- 0";
    let mut site = Site::new(&[("main.lua", main)]);
    for n in 1..5 {
        site.save_one("main.lua", &main.replace("-- 0", &format!("-- {n}")));
    }
    let timers = site.session.vm.state(|state| state.timers.len());
    assert_eq!(timers, Some(1));
}

#[test]
fn case_13_a_file_that_was_not_loaded_is_not_run_unless_the_scope_is_all() {
    let files = [("main.lua", ""), ("lazy.lua", "LAZY = 1")];
    let mut site = Site::new(&files);
    assert!(matches!(site.save_one("lazy.lua", "LAZY = 2"), Outcome::NothingToRun));
    assert_eq!(site.eval("return LAZY"), "nil");
    assert_eq!(site.eval("require 'lazy' return LAZY"), "2");
    let mut site = Site::with(&files, |settings| settings.scope = ReloadScope::All);
    site.save_one("lazy.lua", "LAZY = 3");
    assert_eq!(site.eval("return LAZY"), "3");
}

#[test]
fn case_16_a_module_has_one_identity_and_a_circular_require_ends() {
    let mut site = Site::new(&[
        ("main.lua", ""),
        ("a/b.lua", "RUNS = (RUNS or 0) + 1 return {}"),
        ("pkg/init.lua", "return 'pkg'"),
        ("x.lua", "require 'y' return 'x'"),
        ("y.lua", "require 'x' return 'y'"),
    ]);
    assert_eq!(site.eval("return tostring(require 'a.b' == require 'a/b') .. RUNS"), "true1");
    assert_eq!(
        site.eval("package.loaded['a.b'] = nil package.loaded['a/b'] = nil require 'a.b' return RUNS"),
        "2"
    );
    assert_eq!(site.eval("return require 'pkg' .. require 'x'"), "pkgx");
    for name in ["../x", "/x", "x\\0", ""] {
        assert_eq!(site.eval(&format!("return pcall(require, '{name}')")), "false", "{name}");
    }
    assert_eq!(
        site.eval("return select(2, pcall(require, 'none'))"),
        "module 'none' not found: the Lua directory has neither none.lua nor none/init.lua"
    );
}

#[test]
fn a_session_whose_main_file_failed_starts_when_it_is_mended() {
    let mut site = Site::new(&[("main.lua", "\nerror('at start')")]);
    assert_eq!(site.session.start_error().unwrap().position(), "lua/main.lua:2");
    assert_eq!(site.received()[0]["data"]["errors"][0]["message"], "at start");
    assert!(matches!(site.save_one("main.lua", COUNTER), Outcome::Applied { .. }));
    assert_eq!(site.received()[0]["type"], "restart");
    assert_eq!(values(&site.show(2, "label()"), 2), ["n=0"]);
}

#[test]
fn case_21_a_template_rides_in_the_frame_of_its_lua_change() {
    let mut site = Site::new(&[("main.lua", COUNTER), ("App.DEFAULT.html", "<template>1</template>")]);
    let messages = site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    let viewdefs = &messages[0]["data"]["properties"]["viewdefs"];
    assert_eq!(viewdefs, r#"{"App.DEFAULT":"<template>1</template>"}"#);
    assert_eq!(messages[1]["data"]["properties"]["type"], "App");
    site.save(&[
        ("App.DEFAULT.html", Some("<template>2</template>")),
        ("main.lua", Some(&COUNTER.replace("n=", "m="))),
    ]);
    let messages = site.received();
    assert_eq!(messages[0]["data"]["properties"]["viewdefs"], r#"{"App.DEFAULT":"<template>2</template>"}"#);
}

#[test]
fn only_what_changed_is_sent_and_the_writer_hears_no_echo() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.show(2, "n");
    site.show(3, "label()");
    assert_eq!(site.send(json!([])), Vec::<Value>::new());
    let messages = site.send(json!([{"type": "update", "data": {"varId": 2, "value": 5}}]));
    assert_eq!((values(&messages, 2).len(), values(&messages, 3)), (0, vec![json!("n=5")]));
}

#[test]
fn errors_stay_with_their_variable_until_the_next_success() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    let code = |messages: &[Value]| {
        messages
            .iter()
            .filter(|m| m["type"] == "error")
            .map(|m| m["data"]["code"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(code(&site.show(2, "nothing.there")), ["path-failure"]);
    assert_eq!(code(&site.send(json!([]))), Vec::<Value>::new());
    site.eval("session:getApp().nothing = { there = 7 }");
    assert_eq!(values(&site.send(json!([])), 2), [7]);
    assert_eq!(code(&site.show(3, "_private")), ["unauthorized"]);
    assert_eq!(code(&site.show(4, "label")), ["unauthorized"]);
    assert_eq!(code(&site.show(2, "n")), ["bad-message"]);
    assert_eq!(code(&site.send(json!([{"type": "watch", "data": {"varId": 77}}]))), ["not-found"]);
    assert_eq!(code(&site.send(json!([{"type": "zap"}]))), ["bad-message"]);
}

#[test]
fn a_destroyed_variable_takes_its_children_along() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.show(2, "n");
    site.send(json!([{"type": "create", "data": {"id": 3, "parentId": 2, "properties": {"path": ".."}}}]));
    let messages = site.send(json!([{"type": "destroy", "data": {"varId": 2}}]));
    let gone: Vec<_> = messages.iter().map(|message| message["data"]["varId"].clone()).collect();
    assert_eq!(gone, [3, 2]);
}

#[test]
fn what_escapes_a_sandbox_is_not_there() {
    let mut site = Site::new(&[("main.lua", "")]);
    for name in [
        "io.popen('ls')",
        "os.execute('ls')",
        "os.getenv('PATH')",
        "package.loadlib",
        "string.dump",
        "debug.sethook",
        "debug.getregistry",
        "debug.setupvalue",
    ] {
        assert_eq!(site.eval(&format!("return ({name})")), "nil", "{name}");
    }
    for code in [
        "dofile('x')",
        "os.exit()",
        "setmetatable({}, {__gc = print})",
        "collectgarbage('stop')",
        "('x'):rep(1e9)",
    ] {
        assert_eq!(site.eval(&format!("return (pcall(function() {code} end))")), "false", "{code}");
    }
    assert_eq!(site.eval("return load('\\27Lua')"), "nil");
    assert_eq!(site.eval("return load('return x', 'c', 'b', { x = 7 })()"), "7");
    assert_eq!(site.eval("local ok, m = xpcall(error, function(e) return e .. '!' end, 'x') return m"), "x!");
}
