//! Cases 4 to 6 and 18 in the corners that the walks have to reach: metatables, keys, weak tables, functions
//! behind functions.

use super::*;

#[test]
fn case_04_a_metatable_that_others_share_follows() {
    let module = |v: u32| format!("return setmetatable({{}}, {{ __call = function() return {v} end }})");
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm' shared = setmetatable({}, getmetatable(m))"),
        ("m.lua", &module(1)),
    ]);
    for v in 2..4 {
        site.good("m.lua", &module(v));
        assert_eq!(site.eval("return m() .. ' ' .. shared()"), format!("{v} {v}"));
    }
}

#[test]
fn case_04_objects_that_a_load_puts_into_tables_of_others_follow() {
    let module = |v: u32| {
        format!(
            "local Item = {{}} Item.__index = Item
function Item:v() return {v} end
function Item.__tostring() return 's{v}' end
function Item.new() return setmetatable({{}}, Item) end
world[#world + 1] = Item.new()
return Item"
        )
    };
    let mut site = Site::new(&[("main.lua", "world = world or {} require 'item'"), ("item.lua", &module(1))]);
    for v in 2..5 {
        site.good("item.lua", &module(v));
        // What the load puts there is there once.
        site.eval("world[#world + 1] = require('item').new()");
    }
    assert_eq!(
        site.eval("local t = {} for i, o in ipairs(world) do t[i] = o:v() .. tostring(o) assert(getmetatable(o) == require('item')) end return table.concat(t, ' ')"),
        "4s4 4s4 4s4 4s4"
    );
}

#[test]
fn case_06_values_of_a_class_that_functions_capture_too_are_kept() {
    let module = |v: u32| {
        format!(
            "local Class = {{ made = 0 }} Class.__index = Class
function Class.new() Class.made = Class.made + 1 return setmetatable({{}}, Class) end
return {{ make = function() return Class.new(), {v} end, parts = {{ deep = {{ Class = Class }} }} }}"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", &module(1))]);
    site.eval("m.make()");
    site.good("m.lua", &module(2));
    assert_eq!(site.eval("m.make() return m.parts.deep.Class.made"), "2");
}

#[test]
fn case_18_a_function_that_another_module_passes_on_is_repointed() {
    let module = |v: u32| format!("return function() return {v} end");
    let mut site = Site::new(&[
        ("main.lua", "require 'pkg.alias'"),
        ("pkg/alias.lua", "return require 'f'"),
        ("f.lua", &module(1)),
    ]);
    site.good("f.lua", &module(2));
    assert_eq!(site.eval("return require('pkg/alias')()"), "2");
}

#[test]
fn case_04_a_class_behind_functions_of_functions_and_as_a_key_follows() {
    let module = |v: u32| {
        format!(
            "local Class = {{}} Class.__index = Class function Class.v() return {v} end
local of = {{ [Class] = {v} }}
local function inner() return Class end
local function outer() return inner end
return {{ Class = Class, chain = function() return outer()() end, find = function(c) return of[c] end }}"
        )
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", &module(1))]);
    for v in 2..4 {
        site.good("m.lua", &module(v));
    }
    assert_eq!(
        site.eval("return tostring(m.chain() == m.Class) .. m.find(m.Class) .. m.chain().v()"),
        "true33"
    );
}

#[test]
fn case_04_a_table_that_becomes_a_prototype_loses_the_methods_that_left_its_file() {
    let text = |prototype: &str, version: &str, extra: &str| {
        format!("T = T or {{}} {prototype} function T.a() return '{version}' end {extra} take = T.a")
    };
    let mut site = Site::new(&[("main.lua", &text("", "v1", "function T.b() end"))]);
    site.eval("kept = { T.a }");
    site.good("main.lua", &text("session:prototype('T', T)", "v2", ""));
    assert_eq!(site.eval("return T.a() .. kept[1]() .. tostring(T.b)"), "v2v2nil");
    site.good("main.lua", &text("session:prototype('T', T)", "v3", "function T.c() end"));
    site.good("main.lua", &text("session:prototype('T', T)", "v4", ""));
    assert_eq!(site.eval("return T.a() .. kept[1]() .. tostring(T.c)"), "v4v4nil");
}

#[test]
fn case_05_what_weak_tables_and_lists_with_gaps_hold_follows() {
    const MAIN: &str = "weak = weak or setmetatable({}, { __mode = 'kv' }) gaps = gaps or {}
local M = require 'm' weak[1], weak.f, weak[M] = M.f, M.f, M.f
gaps[1], gaps[2], gaps[3], gaps[5], gaps[1.5], gaps[true], gaps[-1] = 1, M.f, M.f, M.f, M.f, M.f, M.f
gaps[3] = nil gaps[('long'):rep(20)] = M.f";
    let module = |version: &str| format!("local M = {{}} function M.f() return '{version}' end return M");
    let mut site = Site::new(&[("main.lua", MAIN), ("m.lua", &module("1"))]);
    site.good("m.lua", &module("2"));
    let look = "return weak[1]() .. weak.f() .. weak[require 'm']() .. gaps[2]() .. gaps[5]() .. gaps[1.5]()
.. gaps[true]() .. gaps[-1]() .. gaps[('long'):rep(20)]() .. tostring(gaps[3])";
    assert_eq!(site.eval(look), "222222222nil");
}

#[test]
fn case_06_a_long_string_that_is_set_unseen_keeps_what_it_became() {
    let main = |n: u32| {
        format!("-- {n}\nlocal M = require 'm' rawset(_G, 'text', ('long'):rep(20)) nan = 0 / 0 return M")
    };
    let module = |n: u32| format!("return {{ n = {n} }}");
    let mut site = Site::new(&[("main.lua", &main(0)), ("m.lua", &module(0))]);
    site.eval("text = 'other'");
    for n in 1..4 {
        site.good("m.lua", &module(n));
        assert_eq!(site.eval("return text .. require('m').n"), format!("other{n}"));
    }
    site.good("main.lua", &main(1));
    assert_eq!(site.eval("return text .. tostring(nan ~= nan)"), "othertrue");
}

#[test]
fn case_05_what_another_file_made_is_no_new_version_of_what_had_its_name() {
    let module = |f: &str| format!("local M = {{}} {f} return M");
    let own = "function M.f() return 'own' end function M.p() return 'own' end";
    let mut site = Site::new(&[
        ("main.lua", "m = require 'm'"),
        ("m.lua", &module(own)),
        ("other.lua", "return { f = function() return 'other' end }"),
    ]);
    site.eval("require 'other' kept = { m.f, m.p }");
    site.good("m.lua", &module("M.f = require('other').f M.p = tostring"));
    assert_eq!(site.eval("return m.f() .. m.p(7) .. kept[1]() .. kept[2]()"), "other7ownown");
    site.good("other.lua", "return { f = function() return 'newer' end }");
    assert_eq!(site.eval("return m.f() .. kept[1]()"), "newerown");
}

#[test]
fn case_04_a_metatable_that_a_load_gives_to_an_object_of_before_is_the_one_that_stays() {
    let module = |v: u32, more: &str| {
        format!("local M = {{ mt = {{ __tostring = function() return 'v{v}' end }} }} {more} return M")
    };
    let mut site = Site::new(&[("main.lua", "m = require 'm' o = {}"), ("m.lua", &module(1, ""))]);
    site.good("m.lua", &module(2, "setmetatable(o, M.mt)"));
    site.good("m.lua", &module(3, ""));
    assert_eq!(site.eval("return tostring(o) .. tostring(getmetatable(o) == m.mt)"), "v3true");
}

#[test]
fn case_04_a_class_that_is_a_key_of_its_module_is_one_key() {
    let class = |v: u32| format!("local Class = {{}} function Class.v() return {v} end");
    // In what is returned, and in what is there already.
    for (first, put) in [("", "[Class] = V"), ("if U then U[Class] = V end", "")] {
        let module = |v: u32| {
            format!("{} {first} return {{ Class = Class, {put} }}", class(v)).replace('V', &v.to_string())
        };
        let mut site = Site::new(&[("main.lua", "U = require 'm'"), ("m.lua", &module(1))]);
        for v in 2..4 {
            site.good("m.lua", &module(v));
            let look = "local keys = 0 for _ in pairs(U) do keys = keys + 1 end
return U[U.Class] .. U.Class.v() .. keys";
            assert_eq!(site.eval(look), format!("{v}{v}2"), "{first}{put}");
        }
    }
}

#[test]
fn case_05_what_is_only_a_key_follows_and_is_undone() {
    let module = |v: u32| format!("local M = {{}} function M.f() return {v} end return M");
    let main = "m = m or require 'm' set = set or { [{ f = m.f, n = 1 }] = true }";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &module(1))]);
    site.good("m.lua", &module(2));
    site.failure("main.lua", &format!("{main} next(set).n = 2 error('no')"));
    assert_eq!(site.eval("local key = next(set) return key.f() .. key.n"), "21");
}

#[test]
fn case_05_what_a_load_puts_in_the_place_of_an_old_function_stays() {
    let module =
        |v: u32, more: &str| format!("local M = {{}} function M.f() return 'v{v}' end {more} return M");
    let main = "m = require 'm' kept = { m.f, m.f }";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &module(1, ""))]);
    site.good("m.lua", &module(2, "kept[1] = tostring"));
    assert_eq!(site.eval("return kept[1](7) .. kept[2]()"), "7v2");
}
