//! Cases 1, 4 to 7 and 17 to 19: what code and values become.

use super::*;

/// A class in an upvalue, a local helper, a constant, a counter, and data, in plain Lua.
fn util(version: &str, extra: &str) -> String {
    format!(
        "local A = {{}} A.__index = A A.LIMIT = 10 A.counter = 0 A.hits = {{}} A.conf = {{ rate = 1 }}
local function helper() return '{version}' end
function A.new(n) return setmetatable({{ n = n }}, A) end
function A:hi() return helper() .. self.n end
{extra}
return A"
    )
}

const APP: &str = "local util = require 'util' local new = require('util').new
app = {} function app.make(n) return util.new(n) end function app.captured(n) return new(n) end
function app.limit() return util.LIMIT end U = util RUNS = (RUNS or 0) + 1";

#[test]
fn case_04_module_tables_keep_their_identity() {
    let mut site = Site::new(&[("main.lua", APP), ("util.lua", &util("v1", ""))]);
    site.eval("o1 = app.make('1')");
    for (n, extra) in
        [(2, "function A:extra() return 'e' end"), (3, "function A:extra() return 'e' end"), (4, "")]
    {
        site.good("util.lua", &util(&format!("v{n}"), extra));
        site.eval(&format!("o{n} = app.make('{n}') p{n} = app.captured('{n}')"));
        if n == 3 {
            assert_eq!(site.eval("return o1:extra() .. o2:extra()"), "ee");
        }
    }
    assert_eq!(
        site.eval("return o1:hi() .. o2:hi() .. p2:hi() .. o3:hi() .. p3:hi() .. o4:hi()"),
        "v41v42v42v43v43v44"
    );
    assert_eq!(site.eval("return tostring(o1.extra)"), "nil");
    assert_eq!(site.eval("return tostring(require 'util' == U) .. RUNS"), "true1");
    assert_eq!(site.eval("return tostring(getmetatable(o4) == U and getmetatable(o1) == U)"), "true");
}

#[test]
fn case_04_a_metatable_in_a_local_follows() {
    let module = |v: u32| {
        format!(
            "local M = {{}} local mt = {{ __index = M, __tostring = function(s) return 'T{v}' .. s.n end }}
function M.new(n) return setmetatable({{ n = n }}, mt) end function M:hi() return 'h{v}' end return M"
        )
    };
    let mut site = Site::new(&[("main.lua", "f = require 'f' a = f.new('a')"), ("f.lua", &module(1))]);
    site.good("f.lua", &module(2));
    site.eval("b = f.new('b')");
    site.good("f.lua", &module(3));
    assert_eq!(site.eval("return a:hi() .. b:hi() .. tostring(a) .. tostring(b)"), "h3h3T3aT3b");
}

#[test]
fn case_04_a_local_class_that_only_methods_capture_follows() {
    let main = |v: u32| {
        format!(
            "local Account = {{}} Account.__index = Account
function Account.new(n) return setmetatable({{ n = n }}, Account) end
function Account:show() return 'v{v}:' .. self.n end
accounts = accounts or {{ Account.new(1) }}
function open(n) accounts[#accounts + 1] = Account.new(n) end"
        )
    };
    let mut site = Site::new(&[("main.lua", &main(1))]);
    for v in 2..5 {
        site.eval(&format!("open({v})"));
        site.good("main.lua", &main(v));
    }
    assert_eq!(
        site.eval(
            "local t = {} for i, a in ipairs(accounts) do t[i] = a:show() end return table.concat(t, ' ')"
        ),
        "v4:1 v4:2 v4:3 v4:4"
    );
}

/// The way of middleclass: methods are copied into a dictionary of each class and of its subclasses.
const CLASS: &str = r"
local function index_of(dict, super) return function(_, k) local v = dict[k] if v == nil and super then return super[k] end return v end end
local function propagate(class, name, f)
  class.__dict[name] = f
  for sub in pairs(class.subclasses) do if rawget(sub.__declared, name) == nil then propagate(sub, name, f) end end
end
local function declare(class, name, f) class.__declared[name] = f propagate(class, name, f) end
return function(name, super)
  local dict = {} dict.__index = dict
  local class = { name = name, super = super, static = {}, __dict = dict, __declared = {}, subclasses = setmetatable({}, { __mode = 'k' }) }
  setmetatable(class.static, { __index = index_of(dict, super and super.static) })
  setmetatable(class, { __index = class.static, __newindex = declare, __tostring = function() return 'class ' .. name end,
    __call = function(c, ...) local o = setmetatable({ class = c }, c.__dict) if o.initialize then o:initialize(...) end return o end })
  if super then
    for k, f in pairs(super.__dict) do if k ~= '__index' then propagate(class, k, f) end end
    super.subclasses[class] = true
  end
  return class
end";

#[test]
fn case_04_classes_of_a_library_and_their_subclasses_in_other_files_follow() {
    let animal = |v: u32, more: &str| {
        format!(
            "local class = require 'class' local Animal = class('Animal') Animal.static.count = 0
function Animal:initialize(n) self.n = n end function Animal:speak() return 'a{v}' .. self.n end
function Animal.static.kind() return 'kind{v}' end {more} return Animal"
        )
    };
    let dog = |v: u32| {
        format!(
            "local Animal = require 'animal' local Dog = require('class')('Dog', Animal)
function Dog:bark() return 'd{v}' .. self:speak() end return Dog"
        )
    };
    let main = "Animal, Dog = require 'animal', require 'dog' rex = Dog('rex')";
    let mut site = Site::new(&[
        ("class.lua", CLASS),
        ("main.lua", main),
        ("animal.lua", &animal(1, "")),
        ("dog.lua", &dog(1)),
    ]);
    assert_eq!(site.eval("return rex:bark()"), "d1a1rex");
    site.eval("Animal.static.count = 5");
    site.good("animal.lua", &animal(2, ""));
    site.eval("fido = Dog('fido')");
    site.good("dog.lua", &dog(2));
    site.good("animal.lua", &animal(3, ""));
    site.good("dog.lua", &dog(3));
    assert_eq!(
        site.eval("return rex:bark() .. ' ' .. fido:bark() .. ' ' .. Animal.kind()"),
        "d3a3rex d3a3fido kind3"
    );
    assert_eq!(
        site.eval("return Animal.static.count .. tostring(Dog.super == Animal) .. tostring(Animal)"),
        "5trueclass Animal"
    );
    assert_eq!(site.eval("collectgarbage() collectgarbage() local n = 0 for sub in pairs(Animal.subclasses) do n = n + 1 assert(sub == Dog) end return n"), "1");
}

#[test]
fn case_04_a_class_in_a_registry_of_another_file_follows() {
    let part = |v: u32| {
        format!(
            "local Health = {{}} Health.__index = Health
function Health.new() return setmetatable({{}}, Health) end function Health:show() return 'h{v}' end
require('registry').add('Health', Health)"
        )
    };
    let registry = "local R, all = {}, {} function R.add(name, class) all[name] = class end function R.get(name) return all[name] end return R";
    let mut site = Site::new(&[
        ("main.lua", "require 'health' get = require('registry').get a = get('Health').new()"),
        ("registry.lua", registry),
        ("health.lua", &part(1)),
    ]);
    site.good("health.lua", &part(2));
    site.eval("b = get('Health').new()");
    site.good("health.lua", &part(3));
    assert_eq!(site.eval("return a:show() .. b:show() .. get('Health').new():show()"), "h3h3h3");
}

#[test]
fn case_05_captured_functions_follow() {
    let module = |v: u32| {
        format!(
            "local M = {{}} function M.greet() return 'g{v}' end function M.tick() ticks = (ticks or '') .. '{v}' end return M"
        )
    };
    let main = "local greet = require('m').greet
local handlers = { on = require('m').greet }
function say() return greet() .. handlers.on() end
holder = setmetatable({}, { __index = { deep = { fn = greet } } })
timer = session:setInterval(require('m').tick, 10)";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &module(1))]);
    for v in 2..4 {
        site.good("m.lua", &module(v));
        assert_eq!(site.eval("return say() .. holder.deep.fn()"), format!("g{v}g{v}g{v}"));
    }
    site.session.vm.fire(1).unwrap();
    assert_eq!(site.eval("return ticks"), "3");
    assert_eq!(site.notes(), Vec::<String>::new());
}

#[test]
fn case_05_what_keeps_its_old_body_is_named() {
    let module = |v: u32| {
        format!(
            "local M = {{}}
function M.start() session:setTimeout(function() return {v} end, 1000) end
function M.object() local o = {{}} function o.hi() return 'o{v}' end return o end
function M.co() return coroutine.create(function() coroutine.yield({v}) end) end
return M"
        )
    };
    let main =
        "m = require 'm' function go() m.start() m.start() o = m.object() c = m.co() coroutine.resume(c) end";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &module(1))]);
    site.eval("go()");
    site.good("m.lua", &module(2));
    assert_eq!(site.eval("return o.hi()"), "o1");
    let mut notes = site.notes();
    notes.sort();
    assert_eq!(
        notes,
        [
            "1 function still runs the previous version of lua/m.lua:3",
            "1 suspended coroutine still runs the previous version of lua/m.lua:4",
            "2 timers still run the previous version of lua/m.lua:2",
        ]
    );
    site.good("main.lua", &format!("{main} "));
    assert_eq!(site.notes(), Vec::<String>::new(), "said by the reload that caused it");
}

#[test]
fn case_06_values_of_a_module_are_compared_with_what_the_source_set() {
    let main = "U = require 'util' conf = U.conf function limit() return U.LIMIT end";
    let mut site = Site::new(&[("main.lua", main), ("util.lua", &util("v1", ""))]);
    site.eval("U.counter = 5 U.conf.rate = 9 U.hits[1] = 'x' U.mine = 'run time'");
    site.good("util.lua", &util("v2", ""));
    assert_eq!(site.eval("return U.counter .. conf.rate .. U.hits[1] .. U.mine"), "59xrun time");
    site.good("util.lua", &util("v3", "").replace("LIMIT = 10", "LIMIT = 20"));
    assert_eq!(site.eval("return limit() .. ' ' .. U.counter .. conf.rate"), "20 59");
    site.good("util.lua", &util("v4", "").replace("rate = 1", "rate = 4"));
    assert_eq!(
        site.eval("return U.conf.rate .. tostring(U.conf == conf) .. U.counter .. limit()"),
        "4true510"
    );
    site.good("util.lua", &util("v5", "").replace("A.counter = 0", ""));
    assert_eq!(site.eval("return tostring(U.counter)"), "nil");
}

fn plain(v: &str, extra: &str) -> String {
    format!(
        "Person = {{}} Person.__index = Person
function Person.new(n) return setmetatable({{ n = n, hp = 10 }}, Person) end
function Person:hi() return '{v}' .. self.n end
score = 0 SPEED = 10 items = {{}} hero = Person.new('hero') kept = kept or {{ 1 }}
function helper() return '{v}' end
{extra}"
    )
}

#[test]
fn case_06_globals_follow_the_same_rule() {
    let mut site = Site::new(&[("main.lua", &plain("v1", "function old() end data = 7"))]);
    site.eval("a = Person.new('a') P, H = Person, hero score = 42 items[1] = 'sword' hero.hp = 3");
    site.good("main.lua", &plain("v2", ""));
    assert_eq!(site.eval("return tostring(old) .. data"), "nil7", "a function that left goes, data stays");
    site.eval("b = Person.new('b')");
    site.good("main.lua", &plain("v3", "").replace("SPEED = 10", "SPEED = 20"));
    assert_eq!(site.eval("return a:hi() .. b:hi() .. hero:hi() .. helper()"), "v3av3bv3herov3");
    assert_eq!(site.eval("return tostring(P == Person) .. tostring(H == hero)"), "truetrue");
    assert_eq!(site.eval("return score .. items[1] .. hero.hp .. ' ' .. SPEED"), "42sword3 20");
    site.good("main.lua", &plain("v4", "").replace("Person.new('hero')", "Person.new('villain')"));
    assert_eq!(site.eval("return hero:hi() .. hero.hp .. tostring(H == hero)"), "v4villain10true");
}

#[test]
fn case_06_globals_that_are_set_through_the_table_follow_the_same_rule() {
    let main = |limit: u32, f: &str| {
        format!("_G.LIMIT = {limit} _G.counter = 0 rawset(_G, 'conf', {{ rate = 1 }}) {f} require 'm'")
    };
    let m = "_G.inner = 0 rawset(_G, 'list', {})";
    let f = "function _G.gone() end";
    let mut site = Site::new(&[("main.lua", &main(10, f)), ("m.lua", m)]);
    site.eval("counter = 5 conf.rate = 9 LIMIT = 11 inner = 3 list[1] = 'x' held = conf");
    site.good("main.lua", &main(10, &format!("{f} other = 1")));
    let state =
        "return LIMIT .. counter .. conf.rate .. inner .. #list .. type(gone) .. tostring(held == conf)";
    assert_eq!(site.eval(state), "115931functiontrue");
    site.good("main.lua", &main(20, ""));
    assert_eq!(site.eval(state), "205931niltrue");
    assert!(matches!(
        site.save(&[("main.lua", Some(&main(21, ""))), ("m.lua", Some("_G.inner = 0 _G.list = { 1, 2 }"))]),
        Outcome::Applied { .. }
    ));
    assert_eq!(site.eval(state), "215933niltrue", "what the program has added stays");
}

#[test]
fn case_06_a_global_function_that_another_file_has_taken_over_stays() {
    let mut site = Site::new(&[
        ("main.lua", "require 'a' require 'b'"),
        ("a.lua", "function shared() return 'a' end"),
        ("b.lua", "function shared() return 'b' end"),
    ]);
    site.good("a.lua", "x = 1");
    assert_eq!(site.eval("return shared()"), "b");
}

#[test]
fn case_06_functions_see_the_globals_themselves_after_the_run() {
    let mut site = Site::new(&[(
        "main.lua",
        "env = _ENV function set(v) new = v end function get() return new end function same() return _ENV == _G end",
    )]);
    site.eval("set(5) env.other = 6");
    assert_eq!(site.eval("return tostring(rawget(_G, 'other')) .. tostring(same())"), "6true");
    assert_eq!(site.eval("return tostring(rawget(_G, 'new')) .. get() .. tostring(env.new)"), "555");
    site.good("main.lua", "env = _ENV function set(v) new = v end function get() return 'now ' .. new end");
    assert_eq!(site.eval("return get()"), "now 5");
}

#[test]
fn case_07_file_level_locals_are_values_like_any_other() {
    let module = |v: u32| {
        format!(
            "local M = {{}}\n\nlocal count = 0\nlocal cache, LIMIT = {{}}, 10\nfunction M.up() count = count + 1 cache[count] = {v} return count + LIMIT end\nfunction M.same() return count, cache end\nreturn M"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm' _, cache = m.same()"), ("m.lua", &module(1))]);
    site.eval("for i = 1, 7 do m.up() end");
    site.good("m.lua", &module(2));
    assert_eq!(site.notes(), Vec::<String>::new());
    assert_eq!(site.eval("local n, c = m.same() return n .. #c .. tostring(c == cache)"), "77true");
    assert_eq!(site.eval("return m.up() .. m.same() .. cache[8]"), "1882", "all functions share it");
    site.good("m.lua", &module(3).replace("count = 0", "count = 5").replace("{}, 10", "{}, 20"));
    assert_eq!(site.eval("return m.up() .. m.same() .. #cache"), "2668");
}

#[test]
fn case_17_a_circular_require_sees_whole_tables_on_reload() {
    let b = |v: u32| format!("local a = require 'a' return {{ n = 'b{v}', a = a }}");
    let mut site = Site::new(&[
        ("main.lua", "A = require 'a'"),
        ("a.lua", "local b = require 'b' return { n = 'a', b = b }"),
        ("b.lua", &b(1)),
    ]);
    assert_eq!(site.eval("return tostring(A.b.a)"), "true", "unfinished at first");
    site.good("b.lua", &b(2));
    assert_eq!(site.eval("return tostring(A.b.a == A) .. A.b.n"), "trueb2");
    site.save(&[("a.lua", Some("local b = require 'b' return { n = 'a2', b = b }")), ("b.lua", Some(&b(3)))]);
    assert_eq!(site.eval("return A.n .. A.b.n .. tostring(A.b.a == A)"), "a2b3true");
}

#[test]
fn case_18_a_module_that_returns_a_function_is_repointed() {
    let main = "local make = require 'make' function new(n) return make(n) end RUNS = (RUNS or 0) + 1";
    let module = |v: u32| format!("return function(n) return {{ n = n, v = {v} }} end");
    let mut site = Site::new(&[("main.lua", main), ("make.lua", &module(1))]);
    for v in 2..4 {
        site.good("make.lua", &module(v));
        assert_eq!(site.eval("return new(1).v .. require('make')(1).v .. RUNS"), format!("{v}{v}1"));
    }
}

#[test]
fn case_18_dependents_of_a_plain_value_run_again_in_the_same_batch() {
    let files = [
        ("main.lua", "require 'a' require 'other'"),
        ("a.lua", "local words = require 'words' A = words .. '!'"),
        ("other.lua", "OTHER = (OTHER or 0) + 1"),
        ("words.lua", "return 'alpha'"),
    ];
    let mut site = Site::new(&files);
    let Outcome::Applied { files } = site.save_one("words.lua", "return 'beta'") else { panic!() };
    assert_eq!(files, ["lua/words.lua", "lua/a.lua"]);
    assert_eq!(site.eval("return A .. OTHER"), "beta!1");
    assert_eq!(site.notes(), ["lua/a.lua ran again: it took what lua/words.lua returns when it loaded"]);
    site.save_one("words.lua", "return { 'gamma' }");
    assert_eq!(site.eval("return A"), "beta!", "the dependent fails, so all of it is undone");
}

#[test]
fn case_18_dependents_run_again_when_the_type_changes() {
    let mut site = Site::new(&[
        ("main.lua", "local m = require 'm' function get() return type(m) == 'table' and m.x or m end"),
        ("m.lua", "return 1"),
    ]);
    site.good("m.lua", "return { x = 2 }");
    assert_eq!(site.eval("return get()"), "2");
    assert_eq!(site.notes(), ["lua/main.lua ran again: it took what lua/m.lua returns when it loaded"]);
}

#[test]
fn case_19_who_copied_when_it_was_loaded_runs_again() {
    let files = [
        (
            "main.lua",
            "local util = require 'util'\nlocal L = util.LIMIT * 2\nfunction twice() return L end\nrequire 'b'",
        ),
        ("b.lua", "local util = require 'util'\nfunction limit() return util.LIMIT end"),
        ("util.lua", "return { LIMIT = 10, RATE = 1 }"),
    ];
    let mut site = Site::new(&files);
    site.good("util.lua", "return { LIMIT = 20, RATE = 1 }");
    assert_eq!(site.eval("return twice() .. limit()"), "4020");
    assert_eq!(site.notes(), ["lua/main.lua ran again: it took LIMIT from lua/util.lua when it loaded"]);
    site.good("util.lua", "return { LIMIT = 20, RATE = 2 }");
    assert_eq!(site.notes(), Vec::<String>::new());
}

#[test]
fn never_does_the_private_debug_library_reach_user_code() {
    let main = "D = debug return setmetatable({}, { __index = function(_, k) return k end })";
    let mut site = Site::new(&[("main.lua", main)]);
    for n in 0..2 {
        assert_eq!(
            site.eval(
                "local n = 0 for _ in pairs(debug) do n = n + 1 end return tostring(debug.setupvalue) .. n"
            ),
            "nil3"
        );
        assert_eq!(
            site.eval("return tostring(hot.R) .. tostring(session.R) .. tostring(getmetatable(hot))"),
            "nilnilfalse"
        );
        site.good("main.lua", &format!("{main} -- {n}"));
    }
}
