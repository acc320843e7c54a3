use mlua::StdLib;

use super::*;
use crate::{config::ByteSize, lua::limits::library};

fn limited(mib: u64) -> (Lua, Deadline) {
    let lua = frame::new_state(StdLib::ALL);
    let budget = BudgetConfig { memory: ByteSize::mib(mib), ..BudgetConfig::default() };
    let deadline = Deadline::install(&lua, &budget).unwrap();
    (lua, deadline)
}

fn budget(ms: u64) -> Budget {
    Budget { time: Duration::from_millis(ms), key: "k" }
}

fn run(code: &str) -> (mlua::Result<()>, bool, Duration) {
    let (lua, deadline) = limited(64);
    library::guard(&lua).unwrap();
    let began = std::time::Instant::now();
    let outer = deadline.start(budget(50));
    let result = lua.load(code).set_name("@a.lua").exec();
    (result, deadline.end(outer), began.elapsed())
}

fn assert_ended(code: &str) {
    let (result, expired, took) = run(code);
    let error = result.unwrap_err().to_string();
    assert!(expired, "{code}: {error}");
    assert!(error.contains("a.lua:"), "{error}");
    assert!(took < Duration::from_secs(2), "{code} took {took:?}");
}

#[test]
fn an_endless_loop_ends_with_its_file_and_line() {
    assert_ended("\n\nwhile true do end");
    assert!(run("\n\nwhile true do end").0.unwrap_err().to_string().contains("a.lua:3: ran too long"));
}

#[test]
fn a_loop_that_catches_every_error_ends_too() {
    assert_ended("while true do pcall(function() while true do end end) end");
    assert_ended("while true do pcall(error, 'x') end");
    assert_ended("local function f() while true do pcall(f) end end f()");
}

#[test]
fn a_coroutine_does_not_escape() {
    assert_ended(
        "local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) while true do pcall(co) end",
    );
    assert_ended(
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
    );
}

#[test]
fn the_next_unit_of_work_has_its_whole_budget() {
    let (lua, deadline) = limited(64);
    let outer = deadline.start(budget(1));
    lua.load("while true do end").exec().unwrap_err();
    assert!(deadline.end(outer));
    let outer = deadline.start(budget(60_000));
    lua.load("for i = 1, 100000 do pcall(error) end").exec().unwrap();
    assert!(!deadline.end(outer));
}

#[test]
fn garbage_does_not_count() {
    let (lua, deadline) = limited(16);
    let outer = deadline.start(budget(60_000));
    // Left to itself, Lua collects when as much again as is alive has been allocated.
    let keep = "local t = {} for i = 1, 100 do t[i] = ('x'):rep(100000) .. i end";
    let churn = "for i = 1, 100000 do local s = ('y'):rep(1000) .. i end return #t";
    lua.load(format!("{keep}\n{churn}")).exec().unwrap();
    assert!(!deadline.end(outer));
}

#[test]
fn memory_running_out_is_told_with_file_and_line() {
    let (lua, deadline) = limited(4);
    let outer = deadline.start(budget(60_000));
    let error = lua.load("local t = {}\nwhile true do t[#t + 1] = {} end").set_name("@a.lua").exec();
    let error = error.unwrap_err().to_string();
    assert!(!deadline.end(outer));
    assert!(error.contains("a.lua:2: not enough memory"), "{error}");
}

#[test]
fn what_is_closed_in_a_coroutine_that_was_stopped_is_stopped_too() {
    let endless = "setmetatable({}, { __close = function() while true do end end })";
    assert_ended(&format!(
        "local f = coroutine.wrap(function() local x <close> = {endless} while true do end end) f()"
    ));
    assert_ended(&format!(
        "local co = coroutine.create(function() local x <close> = {endless} while true do end end)\n\
             pcall(coroutine.resume, co) coroutine.close(co) while true do end"
    ));
}

#[test]
fn each_of_many_coroutines_is_hurried() {
    let endless =
        "coroutine.wrap(function() while true do pcall(function() for i = 1, 1e9 do end end) end end)";
    assert_ended(&format!(
        "local function inner() pcall({endless}) end\nwhile true do pcall(function() inner() for i = 1, 1e5 do end end) end"
    ));
}

#[test]
fn a_run_within_a_run_ends_with_the_outer_one_at_the_latest() {
    let (lua, deadline) = limited(64);
    let outer = deadline.start(budget(1));
    let inner = deadline.start(budget(60_000));
    lua.load("while true do end").exec().unwrap_err();
    assert!(deadline.end(inner));
    lua.load("while true do end").exec().unwrap_err();
    assert!(deadline.end(outer));
}

/// How often the hook of the state is called, in instructions; 0: there is none.
fn period(lua: &Lua) -> c_int {
    let look = |frame: Frame<'_>| if frame.has_hook() { frame.hook_period() } else { 0 };
    Main::of(lua).unwrap().look(look)
}

#[test]
fn the_hook_is_there_while_something_runs_and_no_longer() {
    let (lua, deadline) = limited(64);
    assert_eq!(period(&lua), 0);
    let outer = deadline.start(budget(1));
    let inner = deadline.start(budget(1));
    lua.load("while true do end").exec().unwrap_err();
    assert!(deadline.end(inner));
    assert_eq!(period(&lua), PERIOD);
    let _ = deadline.end(outer);
    assert_eq!(period(&lua), 0);
}

#[test]
fn a_coroutine_of_an_earlier_run_is_ended_too() {
    let (lua, deadline) = limited(64);
    let outer = deadline.start(budget(60_000));
    lua.load("co = coroutine.wrap(function() coroutine.yield() while true do end end) co()").exec().unwrap();
    assert!(!deadline.end(outer));
    let outer = deadline.start(budget(1));
    lua.load("co()").exec().unwrap_err();
    assert!(deadline.end(outer));
}
