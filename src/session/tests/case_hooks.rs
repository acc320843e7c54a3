//! Cases 8 and 10, and hot.*: what happens around the run of a file.

use super::*;

#[test]
fn case_08_exactly_one_timer_after_ten_saves() {
    let main = "handle = session:setInterval(function() ticks = (ticks or 0) + 1 end, 10) -- 0";
    let mut site = Site::new(&[("main.lua", main)]);
    for n in 1..11 {
        site.good("main.lua", &main.replace("-- 0", &format!("-- {n}")));
        assert_eq!(site.effects.timers_replaced, 1);
    }
    assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(1));
    assert_eq!(site.eval("return handle"), "11", "and the handle is its own");
}

#[test]
fn case_08_a_method_is_looked_up_at_each_tick() {
    let main = "A = session:prototype('A', {}) function A:tick() n = 1 end a = a or A:new() t = t or session:setInterval(a, 'tick', 10)";
    let mut site = Site::new(&[
        ("main.lua", "require 'a' t = session:setInterval(a, 'tick', 10)"),
        ("a.lua", &main.replace("t = t or session:setInterval(a, 'tick', 10)", "")),
    ]);
    site.good(
        "a.lua",
        &main.replace("n = 1", "n = 2").replace("t = t or session:setInterval(a, 'tick', 10)", ""),
    );
    site.session.vm.fire(1).unwrap();
    assert_eq!(site.eval("return n"), "2");
}

#[test]
fn case_10_an_unguarded_app_is_harmless() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.eval("app = session:getApp() app:add()");
    site.good("main.lua", &format!("{COUNTER} "));
    assert_eq!(site.eval("return tostring(session:getApp() == app) .. app.n"), "true1");
}

const HOOKS: &str = "hot.data.count = (hot.data.count or 0) + 1 N = N and N + 1 or 1
hot.dispose(function(data) disposed = (disposed or '') .. data.count end)
hot.accept(function(exports) accepted = (accepted or '') .. exports.v end)
local M = { v = 1 } function M.data() return hot.data.count end return M";

#[test]
fn hot_data_survives_and_dispose_and_accept_run_once_for_each_good_reload() {
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", HOOKS)]);
    assert_eq!(site.eval("return N .. tostring(disposed) .. tostring(accepted)"), "1nilnil");
    site.good("m.lua", &HOOKS.replace("v = 1", "v = 2"));
    assert_eq!(
        site.eval("return N .. disposed .. accepted .. m.data()"),
        "2122",
        "the old one disposes before the new one runs"
    );
    site.failure("m.lua", &format!("{} error('no')", HOOKS.replace("return M", "")));
    assert_eq!(site.eval("return m.data() .. disposed .. accepted"), "212");
    site.good("m.lua", &HOOKS.replace("v = 1", "v = 3"));
    assert_eq!(site.eval("return N .. disposed .. accepted"), "31223");
}

#[test]
fn a_hook_that_fails_is_told_and_undoes_nothing() {
    let mut site = Site::new(&[("main.lua", "hot.dispose(function() error('d') end)")]);
    site.good("main.lua", "X = 1\nhot.accept(function() error('a') end)");
    assert_eq!(site.eval("return X .. tostring(session.reloading)"), "1false");
    assert_eq!(
        site.notes(),
        [
            "lua/main.lua: hot.dispose failed: lua/main.lua:1: d",
            "lua/main.lua: hot.accept failed: lua/main.lua:2: a"
        ]
    );
}

#[test]
fn hot_invalidate_runs_the_dependents_again() {
    let module =
        |v: u32| format!("hot.accept(function() hot.invalidate('shape changed') end) return {{ v = {v} }}");
    let mut site =
        Site::new(&[("main.lua", "local m = require 'm' RUNS = (RUNS or 0) + 1"), ("m.lua", &module(1))]);
    site.good("m.lua", &module(2));
    assert_eq!(site.eval("return RUNS .. tostring(session.reloading)"), "2false");
    assert!(
        site.notes().iter().any(|note| note
            == "lua/m.lua called hot.invalidate: shape changed: ran again what requires it: lua/main.lua"),
        "{:?}",
        site.notes()
    );
}

#[test]
fn hooks_are_inert_when_hot_loading_is_off() {
    let mut site = Site::with(&[("main.lua", "m = require 'm'"), ("m.lua", HOOKS)], |settings| {
        settings.lua.hotload = false
    });
    assert_eq!(site.eval("hot.invalidate('x') return N .. m.data()"), "11");
}

#[test]
fn session_reloading_is_true_while_files_run_and_objects_migrate() {
    let main = |fields: &str| {
        format!(
            "P = session:prototype('P', {{ {fields} }}); (function() FLAG = session.reloading end)() function P:mutate() MFLAG = session.reloading end o = o or P:new()"
        )
    };
    let mut site = Site::new(&[("main.lua", &main(""))]);
    assert_eq!(site.eval("return tostring(FLAG)"), "false");
    site.good("main.lua", &main("x = 1"));
    assert_eq!(
        site.eval("return tostring(FLAG) .. tostring(MFLAG) .. tostring(session.reloading)"),
        "truetruefalse"
    );
}

#[test]
fn an_unloaded_module_disposes_of_what_it_holds() {
    let m = "hot.data.n = 7 hot.dispose(function(data) GONE = (GONE or '') .. data.n end) return {}";
    let mut site = Site::new(&[("main.lua", "m = require 'parts.m'"), ("parts/m.lua", m)]);
    assert_eq!(site.eval("session:unloadModule('parts.m') return GONE"), "7");
    assert_eq!(site.eval("require 'parts.m' session:unloadDirectory('parts') return GONE"), "77");
    assert_eq!(site.eval("session:unloadDirectory('parts') return GONE"), "77");
}

#[test]
fn a_hook_that_fails_when_its_module_is_unloaded_keeps_nobody_from_going_on() {
    let m = "hot.dispose(function() error('no') end) hot.dispose(function() GONE = true end)";
    let mut site = Site::new(&[("main.lua", "require 'm'"), ("m.lua", m)]);
    assert_eq!(site.eval("session:unloadModule('m') return tostring(GONE)"), "true");
}

#[test]
fn what_a_failed_save_unloads_is_not_disposed_of() {
    let m = "hot.dispose(function() GONE = (GONE or 0) + 1 end) return {}";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", m)]);
    let unloads = "session:unloadModule('m') ";
    site.failure("main.lua", &format!("{unloads} error('late')"));
    assert_eq!(site.eval("return tostring(GONE)"), "nil");
    site.good("main.lua", &format!("{unloads} during = tostring(GONE)"));
    assert_eq!(site.eval("return during .. GONE"), "nil1", "not before the commit");
}
