//! Scripts that put functions of theirs in place of the library, or metamethods where code of ours comes by:
//! it must not call them. They would get what is ours, and run without limits.

use super::*;

/// Notes whoever calls a function of the library, `require` excepted.
const OVERRIDING: &str = "
called = {}
local next, type, rawset, left = next, type, rawset, { require = true }
local functions = {}
for _, library in next, { _G, string, table, math, coroutine, utf8 } do
  for name, real in next, library do
    if type(real) == 'function' and not left[name] then functions[#functions + 1] = { library, name, real } end
  end
end
for i = 1, #functions do
  local library, name, real = functions[i][1], functions[i][2], functions[i][3]
  rawset(library, name, function(...)
    called[#called + 1] = name
    return real(...)
  end)
end
require 'm'
";

const TIMER: &str = "session:setInterval(function() end, 1000)";

/// A bit of everything that has code of ours.
fn module(v: u32) -> String {
    format!(
        "local grown = {{}} local count = 0
fresh_{v} = {v}
Person = session:prototype('Person', {{ name = '', field_{v} = {{}} }})
function Person:mutate() migrated = {v} end
person = person or Person:new()
{TIMER}
hot.dispose(function() end) hot.accept(function() end)
function add() count = count + 1 grown[count] = v end
return {{ v = {v}, list = {{ {v} }}, f = function() return {v}, grown end }}"
    )
}

#[test]
fn what_is_put_in_place_of_the_library_is_never_called_by_us() {
    let mut site = Site::new(&[("main.lua", OVERRIDING), ("m.lua", &module(1))]);
    site.save(&[("n.lua", Some("return { n = true }"))]);
    for v in 2..6 {
        // As after a pause: all that a reload needs is loaded anew.
        site.session.vm.forget_reload();
        site.eval("add()");
        site.good("m.lua", &module(v));
        site.session.vm.forget_reload();
        site.failure(
            "m.lua",
            &format!("{} local broken = nil .. ''", module(9).replace("return", "local _ =")),
        );
        site.good("m.lua", &format!("{} -- again", module(v)));
    }
    site.session.vm.forget_reload();
    site.eval("session:prototype('lua.ViewList') n = require 'n' session:unloadModule('n')");
    site.eval("session:createVariable(nil, { a = 1 }, { path = 'a' })");
    site.show(1, "person");
    assert_eq!(
        site.eval("local all = '' for i = 1, #called do all = all .. ' ' .. called[i] end return all"),
        ""
    );
    assert_eq!(site.eval("return fresh_5 .. migrated"), "55");
}

/// Values that say so if anybody compares them.
const COMPARED: &str = "
local eq = { __eq = function() compared = (compared or 0) + 1 return false end }
function value() return setmetatable({}, eq) end
local guarded = value()
function keep() return guarded end
shared = setmetatable({}, value())
m = require 'm'
package.loaded.m = value()
";

#[test]
fn no_metamethod_runs_while_a_reload_is_undone_or_a_file_is_let_go() {
    let mut site = Site::new(&[("main.lua", COMPARED), ("m.lua", "return value()")]);
    let failing = "setmetatable(shared, value()) package.loaded.m = value() error 'no'";
    site.failure("m.lua", failing);
    assert_eq!(site.eval("return tostring(compared)"), "nil");
    let without = COMPARED.replace("m = require 'm'", "");
    site.save(&[("main.lua", Some(&without)), ("m.lua", None)]);
    assert!(site.notes().iter().any(|note| note.contains("m.lua")), "{:?}", site.notes());
    assert_eq!(site.eval("return tostring(compared)"), "nil");
}
