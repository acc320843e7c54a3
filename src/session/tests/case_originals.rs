//! What takes the place of something of Lua: its library, its environments.

use super::story::Story;

#[test]
fn a_function_of_the_library_is_back_when_its_patch_leaves() {
    let mut story = Story::new(&[(
        "main.lua",
        "local old = math.floor
math.floor = function(x) return old(x) + 100 end",
    )]);
    story.gives("math.floor(1.5)", "101");
    story.edit("main.lua", "+ 100", "+ 200");
    story.gives("math.floor(1.5)", "201");
    story.edit("main.lua", "math.floor = function(x) return old(x) + 200 end", "");
    story.gives("math.floor(1.5)", "1");
}

#[test]
fn a_patch_that_is_a_function_of_its_own_leaves_too() {
    let mut story = Story::new(&[(
        "main.lua",
        "local floor = math.floor
function math.floor(x) return floor(x) + 1 end
n = math.floor(1.5)",
    )]);
    story.gives("math.floor(1.5)", "2");
    story.edit("main.lua", "function math.floor(x) return floor(x) + 1 end", "");
    story.gives("math.floor(1.5)", "1");
}

#[test]
fn a_global_of_the_library_is_back() {
    let mut story = Story::new(&[("main.lua", r#"function print(...) return "mine" end"#)]);
    story.gives("print()", "mine");
    story.edit("main.lua", r#""mine""#, r#""yours""#);
    story.gives("print()", "yours");
    story.edit("main.lua", r#"function print(...) return "yours" end"#, "");
    story.gives(r#"type(print), print("x")"#, "function");
}

#[test]
fn a_function_of_the_library_that_took_the_place_of_another_is_not_taken_for_it() {
    let mut story = Story::new(&[("main.lua", "string.upper = string.lower\nfunction f() return 1 end")]);
    story.gives("('Ab'):upper()", "ab");
    story.edit("main.lua", "return 1", "return 2");
    story.gives("('Ab'):upper(), f()", "ab 2");
    story.edit("main.lua", "string.upper = string.lower", "");
    story.gives("('Ab'):upper()", "AB");
}

#[test]
fn what_was_added_to_the_library_leaves() {
    let mut story = Story::new(&[(
        "main.lua",
        "function table.keys(t) local r = {} for k in pairs(t) do r[#r + 1] = k end return r end
table.copy = function(t) local r = {} for k, v in pairs(t) do r[k] = v end return r end",
    )]);
    story.gives("#table.keys { a = 1 }, table.copy { a = 2 }.a", "1 2");
    story.edit(
        "main.lua",
        "table.copy = function(t) local r = {} for k, v in pairs(t) do r[k] = v end return r end",
        "",
    );
    story.gives("table.copy, #table.keys { a = 1 }", "nil 1");
}

#[test]
fn environments_of_every_form_have_the_new_functions() {
    let mut story = Story::new(&[
        ("main.lua", r#"a, b, c, d = require("a"), require("b"), require("c"), require("d")"#),
        (
            "a.lua",
            r#"local M = setmetatable({}, { __index = _G })
local _ENV = M
n = 0
function up() n = n + 1 return "1", n end
return M"#,
        ),
        (
            "b.lua",
            r#"local M = {}
setmetatable(M, { __index = _G })
_ENV = M
n = 0
function up() n = n + 1 return "1", n end
return M"#,
        ),
        (
            "c.lua",
            r#"local _ENV = setmetatable({}, { __index = _G })
n = 0
function up() n = n + 1 return "1", n end
return _ENV"#,
        ),
        (
            "d.lua",
            r#"local env = { tostring = tostring }
do local _ENV = env
  n = 0
  function up() n = n + 1 return "1", n end
end
return env"#,
        ),
    ]);
    story.gives("a.up() b.up() c.up() d.up() return a.n, b.n, c.n, d.n", "1 1 1 1");
    story.edits(&[
        ("a.lua", r#""1""#, r#""2""#),
        ("b.lua", r#""1""#, r#""2""#),
        ("c.lua", r#""1""#, r#""2""#),
        ("d.lua", r#""1""#, r#""2""#),
    ]);
    story.gives("a.up()", "2 2");
    story.gives("b.up()", "2 2");
    story.gives("c.up()", "2 2");
    story.gives("d.up()", "2 2");
}

#[test]
fn a_module_that_is_its_own_environment_has_the_new_functions() {
    let mut story = Story::new(&[
        ("main.lua", r#"m = require("m")"#),
        (
            "m.lua",
            "local M = {}
local _ENV = setmetatable(M, { __index = _G })
n = 0
function up() n = n + 1 return n end
return M",
        ),
    ]);
    story.gives("m.up() m.up() return m.n", "2");
    story.edit("m.lua", "return n end", "return n * 10 end");
    story.gives("m.up(), m.n", "30 3");
}
