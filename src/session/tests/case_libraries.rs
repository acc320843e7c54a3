//! Case 25: class libraries, with the mechanics of those that people use, and one of Debian's.

use std::fs;

use super::*;

/// A site with a library, a base class, a subclass of it in another file, and an object.
fn classes(library: &str, base: &str, sub: &str) -> Site {
    let main = "Base, Sub = require 'base', require 'sub' o = Sub(1)";
    Site::new(&[("main.lua", main), ("lib.lua", library), ("base.lua", base), ("sub.lua", sub)])
}

/// Methods come and go in the base, and the library is saved.
fn come_and_go(mut site: Site, library: &str, base: &str) {
    let with = |more: &str| base.replace("return Base", &format!("{more} return Base"));
    assert_eq!(site.eval("return o:hi() .. o:only()"), "hi1only1");
    site.good("base.lua", &with("function Base:more() return 'more' .. self.n end"));
    assert_eq!(site.eval("return o:more() .. Sub(2):more() .. o:hi()"), "more1more2hi1");
    site.good("base.lua", &with("function Base:more() return 'most' .. self.n end"));
    assert_eq!(site.eval("return o:more() .. Sub(2):more()"), "most1most2");
    site.good("base.lua", &base.replace("'hi'", "'hello'"));
    assert_eq!(site.eval("return tostring(o.more) .. tostring(Sub(2).more) .. o:hi()"), "nilnilhello1");
    site.good("lib.lua", &format!("{library} -- edited"));
    assert_eq!(site.eval("return o:hi() .. o:only() .. Sub(3):hi()"), "hello1only1hello3");
    assert_eq!(site.eval("return tostring(getmetatable(o) == getmetatable(Sub(4)))"), "true");
}

const BASE: &str = "local class = require 'lib' local Base = CLASS
function Base:INIT(n) self.n = n end function Base:hi() return 'hi' .. self.n end return Base";
const SUB: &str = "local class = require 'lib' local Base = require 'base' local Sub = CLASS
function Sub:only() return 'only' .. self.n end return Sub";

fn with(text: &str, class: &str, init: &str) -> String {
    text.replace("CLASS", class).replace("INIT", init)
}

#[test]
fn case_25_classes_that_extend_along_a_chain_of_indexes() {
    let library = "local Object = {} Object.__index = Object
function Object:new() end
function Object:extend() local c = {} for k, v in pairs(self) do if k:find('__') == 1 then c[k] = v end end
  c.__index = c c.super = self setmetatable(c, self) return c end
function Object:__call(...) local o = setmetatable({}, self) o:new(...) return o end
return Object";
    let base = with(BASE, "class:extend()", "new");
    come_and_go(classes(library, &base, &with(SUB, "Base:extend()", "")), library, &base);
}

#[test]
fn case_25_classes_that_copy_the_methods_of_their_parents() {
    let library = "local function include(to, from) for k, v in pairs(from) do if to[k] == nil then to[k] = v end end return to end
return function(parent) local c = include({}, parent or {}) c.__index = c
  return setmetatable(c, { __call = function(c, ...) local o = setmetatable({}, c) if c.init then c.init(o, ...) end return o end }) end";
    let base = with(BASE, "class()", "init");
    come_and_go(classes(library, &base, &with(SUB, "class(Base)", "")), library, &base);
}

#[test]
fn case_25_classes_that_hand_methods_on_when_they_are_declared() {
    let library = "local function propagate(c, k, f) rawset(c.__dict, k, f) for s in pairs(c.__subs) do if s.__own[k] == nil then propagate(s, k, f) end end end
return function(parent) local dict = {} dict.__index = dict
  local c = { __dict = dict, __own = {}, __subs = setmetatable({}, { __mode = 'k' }) }
  if parent then for k, f in pairs(parent.__dict) do if k ~= '__index' then rawset(dict, k, f) end end parent.__subs[c] = true end
  return setmetatable(c, { __index = dict, __newindex = function(c, k, f) c.__own[k] = f propagate(c, k, f) end,
    __call = function(c, ...) local o = setmetatable({}, c.__dict) o:init(...) return o end }) end";
    let base = with(BASE, "class()", "init");
    come_and_go(classes(library, &base, &with(SUB, "class(Base)", "")), library, &base);
}

#[test]
fn case_25_classes_of_penlight() {
    let Ok(library) = fs::read_to_string("/usr/share/lua/5.4/pl/class.lua") else {
        eprintln!("SKIPPED: Debian's lua-penlight is missing");
        return;
    };
    let base = with(BASE, "class()", "_init");
    come_and_go(classes(&library, &base, &with(SUB, "class(Base)", "")), &library, &base);
}
