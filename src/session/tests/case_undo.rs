//! Cases 2, 3, 11 and 12, and the nevers: all of it or none of it.

use super::*;

#[test]
fn case_03_a_runtime_error_undoes_globals_methods_data_timers_and_upvalues() {
    let main = "App = session:prototype('App', { n = 0 }) function App:click() self.n = self.n + 1 end
local hidden, deep = 1, { list = { 'a' } }
function get() return hidden .. #deep.list end function set(v) hidden = v deep.list[#deep.list + 1] = v end
X = 1 obj = obj or setmetatable({}, { __index = { v = 1 } }) old = old or {}
function App:mutate() mutated = true end
if not session:getApp() then session:createAppVariable(App:new()) end
session:setInterval(function() fired = true end, 1000)";
    let mut site = Site::new(&[("main.lua", main)]);
    site.eval("session:getApp():click() App.n = 7");
    let bad = format!("set(9) print('half way') {main} X = 2 Y = 3 string.hax = 1 App.n = 'half' App.click = nil session:getApp().n = 1000
getmetatable(obj).__index.v = 2 setmetatable(old, {{}}) session:prototype('Q', {{}}) session:prototype('App', {{ m = 1 }})
session:clearInterval(1) session:setInterval(function() end, 20) hot.dispose(function() disposed = true end) hot.data.half = 1
local nothing = nil
nothing.field = 1");
    let (message, _) = site.failure("main.lua", &bad);
    assert!(message.starts_with("lua/main.lua:11: "), "{message}");
    site.session.vm.fire(1).unwrap();
    assert_eq!(site.eval("return tostring(fired)"), "true");
    assert_eq!(
        site.eval("return X .. tostring(rawget(_G, 'Y')) .. get() .. obj.v .. tostring(getmetatable(old))"),
        "1nil111nil"
    );
    assert_eq!(site.eval("return type(App.click) .. session:getApp().n .. App.n .. tostring(App.m) .. tostring(session.reloading)"), "function17nilfalse");
    assert_eq!(site.eval("return tostring(hot.data) .. tostring(disposed)"), "nilnil");
    assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(1));
    site.good("main.lua", &format!("{main} "));
    assert_eq!(
        site.eval("return tostring(disposed) .. session:getApp().n .. tostring(mutated) .. App.n"),
        "nil1nil7"
    );
}

#[test]
fn case_03_beyond_the_limit_code_is_undone_and_the_report_says_so() {
    let main = "function f() return 1 end big = big or {} for i = #big + 1, 25000 do big[i] = {} end";
    let mut site =
        Site::with(&[("main.lua", main)], |settings| settings.session.budget.load = Duration::from_secs(5));
    site.good("main.lua", &main.replace("return 1", "return 2"));
    assert_eq!(
        site.notes()[0],
        "the session has more than 20000 tables: if this had failed, code would be as before and data not"
    );
    site.failure("main.lua", "function f() return 3 end error('no')");
    assert_eq!(site.eval("return f()"), "2");
}

#[test]
fn case_06_beyond_the_limit_an_edited_value_is_taken_and_no_other() {
    let main = "local M = { limit = 10, count = 0, big = {} } for i = 1, 25000 do M.big[i] = {} end
function M.f() return 1 end m = M";
    let mut site =
        Site::with(&[("main.lua", main)], |settings| settings.session.budget.load = Duration::from_secs(5));
    site.eval("m.count = 7");
    site.good("main.lua", &main.replace("limit = 10", "limit = 20"));
    assert!(site.notes()[0].contains("more than 20000 tables"), "{:?}", site.notes());
    assert_eq!(site.eval("return m.limit .. ' ' .. m.count"), "20 7");
}

#[test]
fn case_11_what_a_file_requires_anew_runs_before_it() {
    let mut site = Site::new(&[
        ("main.lua", "require 'a' require 'b'"),
        ("a.lua", "return {}"),
        ("b.lua", "return { v = 1 }"),
    ]);
    site.save(&[
        ("a.lua", Some("A = require('b').v RUNS = (RUNS or 0) + 1 return {}")),
        ("b.lua", Some("RUNS_B = (RUNS_B or 0) + 1 return { v = 2 }")),
    ]);
    assert_eq!(
        site.eval("return A .. ' ' .. RUNS .. RUNS_B"),
        "2 11",
        "b ran first although it was loaded later, and each once"
    );
}

#[test]
fn case_11_a_failed_set_is_tried_again_with_the_next_save_only() {
    let mut site = Site::new(&[
        ("main.lua", "require 'a' require 'b'"),
        ("a.lua", "return 1"),
        ("b.lua", "return 1"),
        ("c.lua", ""),
    ]);
    site.failure("a.lua", "while true do end");
    let (again, began) = (site.published.generation(), Instant::now());
    let outcome = site.session.reload(&again);
    assert!(matches!(outcome.outcome, Outcome::Kept { .. }));
    assert!(began.elapsed() < Duration::from_millis(100), "it is not run again");
    site.save_one("b.lua", "return 2");
    assert_eq!(site.eval("return require 'b'"), "1");
    site.good("a.lua", "return 2");
    assert_eq!(site.eval("return require('a') + require('b')"), "4");
}

#[test]
fn case_20_a_restart_is_offered_after_three_failures_in_a_row_or_exhaustion() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    for n in 1..4 {
        site.failure("main.lua", &format!("error('{n}')"));
        assert_eq!(site.effects.offer_restart, n == 3);
    }
    site.good("main.lua", &format!("{COUNTER} "));
    site.failure("main.lua", "error('one')");
    assert!(!site.effects.offer_restart, "counted anew after a good one");
    site.failure("main.lua", "while true do end");
    assert!(site.effects.offer_restart);
}

#[test]
fn case_20_a_script_can_ask_for_a_new_state() {
    let mut site = Site::new(&[("main.lua", COUNTER)]);
    site.eval("session:getApp():add() mark = 1 session:restart()");
    site.session.after_unit();
    assert_eq!(site.eval("return tostring(mark) .. session:getApp().n"), "nil0");
    assert_eq!(site.received()[0]["type"], "restart");
    site.eval("mark = 1 hot.restart()");
    site.session.after_unit();
    assert_eq!(site.eval("return tostring(mark)"), "nil");
}

#[test]
fn never_are_old_versions_retained() {
    let text = |n: u32| {
        format!("local M = {{ n = {n}, list = {{ 1, 2, 3 }} }} M.__index = M local count = 0
function M.new() count = count + 1 return setmetatable({{}}, M) end function M:hi() return count + {n} end
G = {{ f = function() return M end }} function global() return M.hi() end
Proto = session:prototype('Proto', {{ tags = {{}} }}) function Proto:m() return {n} end
session:setInterval(function() return M end, 1000) hot.dispose(function() return M end) hot.accept(function() return M end)
return M")
    };
    let mut site = Site::new(&[
        (
            "main.lua",
            "m = require 'm' local hi = m.hi function call() return hi() end objects = { m.new(), Proto:new() }",
        ),
        ("m.lua", &text(0)),
    ]);
    let used = |site: &mut Site| {
        site.session.vm.collect_garbage();
        site.session.vm.collect_garbage();
        site.session.used_memory()
    };
    for n in 1..20 {
        site.good("m.lua", &text(n));
    }
    let before = used(&mut site);
    for n in 20..220 {
        site.good("m.lua", &text(n));
    }
    let after = used(&mut site);
    // A file that makes objects runs again with it, and a table of many short-lived keys grows before it shrinks.
    assert!(after < before + 200 * 512, "{} bytes a reload", (after.saturating_sub(before)) / 200);
}

#[test]
fn case_12_a_file_may_fail_in_one_session_only() {
    let files = [("main.lua", "function v() return 1 end")];
    let (mut a, mut b) = (Site::new(&files), Site::new(&files));
    b.eval("poor = true");
    let edit = "if poor then error('not here') end function v() return 2 end";
    a.good("main.lua", edit);
    b.failure("main.lua", edit);
    assert_eq!(a.eval("return v()") + &b.eval("return v()"), "21");
}

#[test]
fn never_does_a_browser_see_a_change_before_commit() {
    let mut site = Site::new(&[("main.lua", COUNTER), ("late.lua", "return 1")]);
    site.show(2, "n");
    site.eval("require 'late'");
    site.save(&[
        ("main.lua", Some(&format!("{COUNTER} session:getApp().n = 5"))),
        ("late.lua", Some("error('late')")),
    ]);
    assert_eq!(values(&site.received(), 2), Vec::<Value>::new());
}

#[test]
fn a_file_that_loops_after_it_required_another_changed_one_is_ended_too() {
    let mut site =
        Site::new(&[("main.lua", "require 'x' require 'y'"), ("x.lua", ""), ("y.lua", "return {}")]);
    let x = "require 'y' while true do end";
    match site.save(&[("x.lua", Some(x)), ("y.lua", Some("return { 1 }"))]) {
        Outcome::Kept { exhausted, .. } => assert!(exhausted),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn an_upvalue_that_two_functions_share_is_undone_though_one_of_them_was_replaced() {
    let main = "local n = 1 function get() return n end function set(v) n = v end kept = { get }";
    let mut site = Site::new(&[("main.lua", main)]);
    site.failure("main.lua", &format!("set(5) {main} local nothing = nil nothing.field = 1"));
    assert_eq!(site.eval("return get() .. kept[1]()"), "11");
}

#[test]
fn a_reload_is_undone_if_its_commit_fails() {
    let text = |v: u32| {
        format!("X = {v} function v() return {v} end session:setInterval(function() end, 1000) print({v})")
    };
    let mut site = Site::new(&[("main.lua", &text(1))]);
    site.good("main.lua", &text(2));
    let host: mlua::Table = site.session.vm.prelude().raw_get("host").unwrap();
    // As a bug of ours would do it: in the middle of the work.
    let fails = site.session.vm.lua().create_function(|_, ()| Err::<(), _>(mlua::Error::runtime("broken")));
    host.raw_set("clear_timer", fails.unwrap()).unwrap();
    let (message, exhausted) = site.failure("main.lua", &text(3));
    assert!(message.contains("broken") && !exhausted, "{message}");
    assert_eq!(site.eval("return X .. v() .. tostring(session.reloading)"), "22false");
    assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(1));
}

#[test]
fn what_a_failed_save_is_the_first_to_use_is_there_for_the_next() {
    let uses = "session:createVariable(1, {}, { path = 'x' }) session:removePrototype('none')";
    let mut site = Site::new(&[("main.lua", &format!("{COUNTER}\nsession:setTimeout(print, 60000)"))]);
    site.failure("main.lua", &format!("{COUNTER}\n{uses}\nerror('half way')"));
    site.good("main.lua", &format!("{COUNTER}\n{uses}"));
    assert_eq!(
        site.eval("return type(session.destroyVariable) .. type(session.unloadModule)"),
        "functionfunction"
    );
}

#[test]
fn what_a_failed_save_registered_with_its_own_file_is_gone() {
    let main = "local on = {} local function add(name, f) on[name] = f end
add('a', function() return 'a1' end)
function call(name) return on[name] and on[name]() end";
    let mut site = Site::new(&[("main.lua", main)]);
    let broken = main.replace("a1", "a2") + "\nadd('b', function() return 'b' end)\nerror('half way')";
    site.failure("main.lua", &broken);
    assert_eq!(site.eval("return call('a') .. tostring(call('b'))"), "a1nil");
    site.good("main.lua", &main.replace("a1", "a3"));
    assert_eq!(site.eval("return call('a') .. tostring(call('b'))"), "a3nil");
}
