//! What the source says decides: one case after the other.

use super::{
    case_source::{BUS, edit, site},
    *,
};

#[test]
fn case_24_what_a_load_registers_elsewhere_is_there_once() {
    let text = |v: u32| {
        format!(
            "local bus = require 'bus' local M = {{}}
function M.hear() return 'h{v}' end
bus.on(M.hear)
bus.on(function() return 'a{v}' end)
bus.on(function() return 'b{v}' end)
bus.once(M.hear)
bus.name('x', function() return 'n{v}' end)
bus.record(M.hear, 5)
return M"
        )
    };
    let files = [("main.lua", "m, bus = require 'm', require 'bus'"), ("bus.lua", BUS), ("m.lua", &text(1))];
    let mut site = Site::new(&files);
    site.eval("bus.on(function() return 'mine' end)");
    for v in 2..6 {
        site.good("m.lua", &text(v));
        assert_eq!(site.eval("return bus.fire()"), format!("h{v} a{v} b{v} mine h{v} n{v} h{v}5"));
    }
    site.good("bus.lua", &format!("{BUS} "));
    assert_eq!(site.eval("return bus.fire()"), "h5 a5 b5 mine h5 n5 h55");
    site.good("m.lua", &text(6).replace("bus.on(function() return 'a6' end)\n", ""));
    assert_eq!(site.eval("return bus.fire()"), "h6 b6 mine h6 n6 h65");
}

#[test]
fn case_24_a_wrap_of_another_modules_function_stays_one() {
    let u = |v: u32| format!("local U = {{}} function U.v() return 'u{v}' end return U");
    let m = |v: u32| {
        format!(
            "local u = require 'u' local orig = u.v u.v = function() return 'm{v}(' .. orig() .. ')' end return {{}}"
        )
    };
    let mut site =
        Site::new(&[("main.lua", "u = require 'u' require 'm'"), ("u.lua", &u(1)), ("m.lua", &m(1))]);
    assert_eq!(site.eval("return u.v()"), "m1(u1)");
    for v in 2..5 {
        site.good("m.lua", &m(v));
        assert_eq!(site.eval("return u.v()"), format!("m{v}(u{})", v - 1));
        site.good("u.lua", &u(v));
        assert_eq!(site.eval("return u.v()"), format!("m{v}(u{v})"));
    }
}

#[test]
fn case_24_when_a_wrap_leaves_the_source_what_it_wrapped_is_back() {
    let u = "local U = { say = { hi = function() return 'hi' end }, LIMIT = 3 } function U.v() return 'u' end return U";
    let wrap = "local u = require 'u' local orig, hi = u.v, u.say.hi
u.v = function() return 'm(' .. orig() .. ')' end
u.say.hi = function() return 'm(' .. hi() .. ')' end
u.LIMIT = 5
local before = speak
function speak(s) return 'm(' .. before(s) .. ')' end
local all = TOOLS.all
function TOOLS.all() return 'm(' .. all() .. ')' end
function TOOLS.mine() return 'mine' end
return {}";
    let main = "function speak(s) return s end
TOOLS = {} function TOOLS.all() return 'all' end
u = require 'u' require 'm'
function told() return table.concat({ u.v(), u.say.hi(), speak('x'), TOOLS.all(), tostring(TOOLS.mine ~= nil), u.LIMIT }, ' ') end";
    let mut site = Site::new(&[("main.lua", main), ("u.lua", u), ("m.lua", wrap)]);
    assert_eq!(site.eval("return told()"), "m(u) m(hi) m(x) m(all) true 5");
    site.good("m.lua", &format!("{wrap} "));
    assert_eq!(site.eval("return told()"), "m(u) m(hi) m(x) m(all) true 5");
    // A value that is no object is kept: `u.LIMIT` is not m's alone.
    site.good("m.lua", "return {}");
    assert_eq!(site.eval("return told()"), "u hi x all false 5");
    // They are their owners' again.
    site.good("u.lua", &u.replace("'u'", "'u2'").replace("'hi'", "'hi2'"));
    site.good("main.lua", &main.replace("return s end", "return s .. 2 end"));
    assert_eq!(site.eval("return told()"), "u2 hi2 x2 all false 5");
    site.good("m.lua", wrap);
    assert_eq!(site.eval("return told()"), "m(u2) m(hi2) m(x2) m(all) true 5");
}

#[test]
fn case_24_a_wrap_and_what_it_wraps_may_be_edited_in_one_save() {
    let wrap = "local before = speak function speak(s) return 'm(' .. before(s) .. ')' end return {}";
    let main = "function speak(s) return s end require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", wrap)]);
    assert_eq!(site.eval("return speak('x')"), "m(x)");
    let edited = main.replace("return s", "return s .. 2");
    site.save(&[("main.lua", Some(&edited)), ("m.lua", Some("return {}"))]);
    assert_eq!(site.eval("return speak('x')"), "x2");
}

#[test]
fn case_22_pointers_among_siblings_are_what_they_were() {
    let text = "local M = { en = { hi = 'hello' }, de = { hi = 'hallo' } } -- 0
M.locale = M.en
function M.idle() return 'idle1' end function M.run() return 'run1' end
M.handler = M.idle
local state = M.idle function M.go() state = M.run end function M.now() return state() end
CURRENT = M.en
return M";
    let mut site = site(text);
    site.eval("m.locale = m.de m.handler = m.run m.go() CURRENT = m.de held = m.run");
    let text = text.replace("run1", "run2").replace("idle1", "idle2");
    site.good("m.lua", &text);
    assert_eq!(
        site.eval("return m.locale.hi .. m.en.hi .. m.de.hi .. m.handler() .. m.now() .. m.idle() .. held()"),
        "hallohellohallorun2run2idle2run2"
    );
    assert_eq!(site.eval("return tostring(CURRENT == m.de and m.locale == m.de)"), "true");
    edit(&mut site, &text, "'hallo'", "'servus'");
    assert_eq!(site.eval("return m.locale.hi .. m.en.hi"), "servushello");
}

#[test]
fn case_22_pointers_among_tables_of_functions_and_fields_of_prototypes() {
    let text = "local M = { menu = { draw = function() return 'menu1' end }, game = { draw = function() return 'game1' end } }
M.current = M.menu
P = session:prototype('P', { fast = { v = 1 }, slow = { v = 2 } }) P.mode = P.fast
return M";
    let mut site = site(text);
    site.eval("m.current = m.game P.mode = P.slow");
    site.good("m.lua", &text.replace("menu1", "menu2").replace("game1", "game2").replace("v = 2", "v = 3"));
    assert_eq!(
        site.eval("return m.current.draw() .. m.menu.draw() .. P.mode.v .. tostring(P.mode == P.slow)"),
        "game2menu23true"
    );
}

#[test]
fn case_23_dispose_runs_before_the_new_version_in_the_old_world() {
    let text = "local bus = require 'bus' local function hear() return 'h1' end
bus.on(hear)
hot.dispose(function() ORDER = (ORDER or '') .. 'dispose' .. #bus.list for i, f in ipairs(bus.list) do if f == hear then table.remove(bus.list, i) end end end)
hot.accept(function() ORDER = (ORDER or '') .. 'accept' .. #bus.list end)
WAS = #bus.list
return {}";
    let files = [("main.lua", "m, bus = require 'm', require 'bus'"), ("bus.lua", BUS), ("m.lua", text)];
    let mut site = Site::new(&files);
    site.good("m.lua", &text.replace("h1", "h2"));
    assert_eq!(site.eval("return ORDER .. bus.fire()"), "dispose1accept1h2");
    site.failure("m.lua", &format!("{} error('no')", text.replace("return {}", "")));
    assert_eq!(site.eval("return ORDER .. bus.fire()"), "dispose1accept1h2", "undone with the rest");
}

#[test]
fn case_23_an_interval_that_accept_starts_belongs_to_that_version() {
    let text = "hot.accept(function() session:setInterval(function() end, 1000) end) return {} -- 0";
    let mut site = site(text);
    for n in 1..5 {
        site.good("m.lua", &text.replace("-- 0", &format!("-- {n}")));
        assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(1));
    }
}

#[test]
fn case_26_environments_are_those_of_plain_lua() {
    let own = "local M = {} local _ENV = M n = 0 function up() n = n + 1 return n end function v() return 1 end return M";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", own)]);
    site.eval("m.up() m.up()");
    site.good("m.lua", &own.replace("return 1", "return 2"));
    assert_eq!(site.eval("return m.up() .. m.v() .. tostring(rawget(_G, 'up'))"), "32nil");
    let strict = "setmetatable(_G, { __newindex = function(t, k, v) rawset(t, k, v) NEW = k end, __index = function(_, k) error('undefined ' .. k, 2) end }) FIRST = 1";
    let mut site = Site::new(&[("main.lua", strict)]);
    assert_eq!(
        site.eval("local ok, why = pcall(function() return nothing end) return tostring(ok) .. why:match('undefined.*')"),
        "falseundefined nothing"
    );
    site.good("main.lua", &strict.replace("FIRST = 1", "FIRST = 2"));
    assert_eq!(site.eval("return tostring(pcall(function() return nothing end)) .. FIRST"), "false2");
}

#[test]
fn case_06_statements_that_compute_keys_are_one_definition() {
    let text = "local M = { t = {} } for i = 1, 3 do M['k' .. i] = i * 2 M.t[i] = i end return M";
    let mut site = site(text);
    site.eval("m.k1 = 100 m.t[2] = 50");
    let text = edit(&mut site, text, "return M", "M.x = 1 return M");
    assert_eq!(site.eval("return m.k1 .. ' ' .. m.k2 .. m.t[2]"), "100 450");
    edit(&mut site, &text, "i * 2", "i * 3");
    assert_eq!(site.eval("return m.k1 .. m.k2 .. m.k3"), "369");
}

#[test]
fn case_07_private_data_keyed_by_weak_tables_and_enums_survive() {
    let text = "local private = setmetatable({}, { __mode = 'k' }) local State = { IDLE = {}, BUSY = {} }
local M = {} M.State = State
function M.new() local o = {} private[o] = { n = 1, state = State.IDLE } return o end
function M.get(o) return private[o].n .. (private[o].state == State.IDLE and 'idle' or 'busy') end return M";
    let mut site = site(text);
    site.eval("o = m.new() idle = m.State.IDLE");
    edit(&mut site, text, ".. (", ".. '!' .. (");
    assert_eq!(site.eval("return m.get(o) .. tostring(idle == m.State.IDLE)"), "1!idletrue");
}

#[test]
fn case_08_a_timer_whose_line_was_passed_over_goes_on_and_one_whose_line_left_ends() {
    let text = "local M = {}
function M.tick() TICKS = (TICKS or '') .. '1' end
if not session.reloading then
  session:setInterval(M.tick, 10)
end
session:setInterval(M, 'tick', 20)
return M";
    let mut site = site(text);
    let count = |site: &Site| site.session.vm.state(|state| state.timers.len());
    assert_eq!(count(&site), Some(2));
    let text = edit(&mut site, text, "'1'", "'2'");
    let text = edit(&mut site, &text, "local M = {}", "-- a line more\nlocal M = {}");
    assert_eq!(count(&site), Some(2));
    site.session.vm.fire(1).unwrap();
    assert_eq!(site.eval("return TICKS"), "2");
    let text =
        edit(&mut site, &text, "if not session.reloading then\n  session:setInterval(M.tick, 10)\nend\n", "");
    assert_eq!(count(&site), Some(1));
    edit(&mut site, &text, "session:setInterval(M, 'tick', 20)", "");
    assert_eq!(count(&site), Some(0));
}

#[test]
fn case_08_a_handle_that_is_kept_somewhere_is_that_of_the_timer_that_runs() {
    let text = "local M = {} M.timer = session:setInterval(function() end, 10) function M.stop() session:clearInterval(M.timer) end return M";
    let mut site = site(text);
    edit(&mut site, text, "return M", "M.x = 1 return M");
    site.eval("m.stop()");
    assert_eq!(site.session.vm.state(|state| state.timers.len()), Some(0));
}

#[test]
fn case_15_a_module_that_becomes_a_directory_goes_on_under_its_name() {
    let text = |v: u32| {
        format!("local M = {{ n = 0 }} function M.up() M.n = M.n + 1 return M.n .. 'v{v}' end return M")
    };
    let mut site = site(&text(1));
    site.eval("m.up() held = m.up");
    let outcome = site.save(&[("m.lua", None), ("m/init.lua", Some(&text(2)))]);
    assert!(matches!(&outcome, Outcome::Applied { files } if *files == ["lua/m/init.lua"]), "{outcome:?}");
    assert_eq!(site.eval("return held() .. m.up() .. tostring(require 'm' == m)"), "2v23v2true");
    assert_eq!(site.notes(), Vec::<String>::new());
    site.save(&[("m/init.lua", None), ("m.lua", Some(&text(3)))]);
    assert_eq!(site.eval("return held() .. tostring(require 'm' == m)"), "4v3true");
}

#[test]
fn case_12_sessions_with_other_histories_end_equal() {
    let text = |v: u32, n: u32| {
        format!(
            "local count = {n} local M = {{ n = {n} }} function M.up() count = count + 1 M.n = M.n + 1 return {v} end function M.all() return count .. ' ' .. M.n end return M"
        )
    };
    let saves = [text(2, 0), text(3, 5), text(4, 5)];
    let mut all = site(&text(1, 0));
    let mut some = site(&text(1, 0));
    for site in [&mut all, &mut some] {
        site.eval("m.up()");
    }
    for save in &saves {
        all.good("m.lua", save);
    }
    // The same without the one between: it was busy, or its load failed.
    some.good("m.lua", &saves[2]);
    assert_eq!(all.eval("return m.all() .. m.up()"), some.eval("return m.all() .. m.up()"));
}

#[test]
fn case_05_a_loop_in_a_wrapped_coroutine_is_named() {
    let text = |v: u32| {
        format!(
            "local M = {{}} M.step = coroutine.wrap(function()\n  while true do coroutine.yield({v}) end\nend) return M"
        )
    };
    let mut site = site(&text(1));
    site.eval("m.step()");
    site.good("m.lua", &text(2));
    site.eval("m.step()");
    let main = "local co = coroutine.wrap(function() while true do coroutine.yield(require('m').v()) end end) function step() return co() end";
    let module = |v: u32| {
        format!(
            "local M = {{}} function M.loop() while true do coroutine.yield({v}) end end function M.v() return {v} end M.go = nil return M"
        )
    };
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &module(1))]);
    site.eval("step() inner = coroutine.wrap(require('m').loop) inner()");
    site.good("m.lua", &module(2));
    assert_eq!(site.notes(), ["1 suspended coroutine still runs the previous version of lua/m.lua:1"]);
    assert_eq!(site.eval("return step() .. inner()"), "21");
}

#[test]
fn case_10_an_object_made_again_stays_the_one_that_others_hold() {
    let text = "local Board = {} Board.__index = Board Board.all = Board.all or {}
function Board.new() local b = setmetatable({ moves = 0 }, Board) table.insert(Board.all, b) return b end
function Board:move() self.moves = self.moves + 1 return self.moves end
local M = { Board = Board } M.board = Board.new() return M";
    let mut site = site(text);
    site.eval("held = m.board held:move()");
    site.good("m.lua", &text.replace("moves = 0", "moves = 0, score = 0"));
    assert_eq!(site.eval("return held:move() .. tostring(held == m.board) .. #m.Board.all"), "2true1");
}

#[test]
fn a_file_that_ends_early_hands_over_its_locals_too() {
    let text = "local n = 0 local M = {} function M.up() n = n + 1 return n end
if EARLY then return M end
function M.late() return n end
return M";
    for early in ["EARLY = true", ""] {
        let mut site = Site::new(&[("main.lua", &format!("{early} m = require 'm'")), ("m.lua", text)]);
        site.eval("m.up()");
        edit(&mut site, text, "return n end\nif", "return n * 10 end\nif");
        assert_eq!(site.eval("return m.up()"), "20");
    }
}

#[test]
fn case_07_locals_in_blocks_and_those_that_others_took_the_name_of_are_kept() {
    let text = "local M = {}
do
  local hits, seen = 0, { last = 'none', size = 1 }
  local function note(x) seen.last = x hits = hits + 1 end
  function M.hit(x) note(x) return hits .. seen.last .. seen.size end
  function M.hits() return hits end
end
local n = 0 function M.a() n = n + 1 return n end
local n = 10 function M.b() n = n + 1 return n end
return M";
    let mut site = site(text);
    site.eval("m.hit('x') m.a() m.b() hit = m.hit");
    let text = edit(&mut site, text, "return hits ..", "return hits .. '!' ..");
    assert_eq!(
        site.eval("return m.hit('y') .. m.hits() .. ' ' .. m.a() .. ' ' .. m.b() .. hit('z')"),
        "2!y12 2 123!z1"
    );
    let text = edit(&mut site, &text, "size = 1", "size = 5");
    assert_eq!(site.eval("return m.hit('w')"), "4!w5");
    let text = edit(&mut site, &text, "local hits, seen = 0,", "local hits, seen = 50,");
    assert_eq!(site.eval("return m.hit('v')"), "51!v5");
    edit(&mut site, &text, "local n = 0", "local n = 100");
    assert_eq!(site.eval("return m.a() .. ' ' .. m.b()"), "101 13");
}

#[test]
fn case_07_a_local_that_comes_or_goes_is_no_matter_to_the_others() {
    let text = "local a = 1 local M = {} function M.a() a = a + 1 return a end return M";
    let mut site = site(text);
    site.eval("m.a()");
    let text = edit(&mut site, text, "local M", "local b = 7 local M");
    let text = edit(&mut site, &text, "return a end", "b = b + 1 return a .. b end");
    assert_eq!(site.eval("return m.a()"), "38");
    let text = edit(&mut site, &text, "b = b + 1 return a .. b end", "return a end");
    assert_eq!(site.eval("return m.a()"), "4");
    edit(&mut site, &text, "local b = 7 ", "");
    assert_eq!(site.eval("return m.a()"), "5");
}

#[test]
fn case_03_what_a_load_did_to_the_library_is_undone() {
    let mut site = site("return {}");
    let breaks = "string.shout = function() return 'x' end table.insert = nil string.rep = function() return 'mine' end math.huge = 0 error('no')";
    site.failure("m.lua", breaks);
    assert_eq!(
        site.eval(
            "return tostring(string.shout) .. type(table.insert) .. ('a'):rep(2) .. tostring(math.huge > 1)"
        ),
        "nilfunctionaatrue"
    );
}

#[test]
fn case_11_locals_that_one_file_took_are_put_back_when_another_fails() {
    let text = "local n = 0 local M = {} function M.up() n = n + 1 return n end return M";
    let main = "m = require 'm' local own = 5 function get() return own end function set(v) own = v end";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", text)]);
    site.eval("m.up() set(9)");
    let edited = text.replace("local n = 0", "local n = 100").replace("n + 1", "n + 10");
    let fails = format!("{} error('late')", main.replace("own = 5", "own = 6"));
    site.save(&[("m.lua", Some(&edited)), ("main.lua", Some(&fails))]);
    assert_eq!(site.eval("return m.up() .. ' ' .. get()"), "2 9");
    site.save(&[("main.lua", Some(&main.replace("own = 5", "own = 6")))]);
    assert_eq!(site.eval("return m.up() .. ' ' .. get()"), "110 6");
}

#[test]
fn case_18_a_module_that_returns_a_call_keeps_what_it_returned() {
    let text = "local function make() local n = 0 return { up = function() n = n + 1 return n end, v = 1 } end return setmetatable(make(), {})";
    let mut site = site(text);
    site.eval("m.up() held = m");
    site.good("m.lua", &format!("-- a comment\n{text}"));
    assert_eq!(site.eval("return m.up() .. tostring(require 'm' == held)"), "2true");
    let scalar = "local N = 5 return N * 2";
    let mut site =
        Site::new(&[("main.lua", "local m = require 'm' function get() return m end"), ("m.lua", scalar)]);
    site.good("m.lua", &format!("{scalar} -- a comment"));
    assert_eq!(site.notes(), Vec::<String>::new());
    site.good("m.lua", &scalar.replace("N = 5", "N = 6"));
    assert_eq!(site.eval("return get()"), "12");
}
