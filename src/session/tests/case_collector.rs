//! What a reload knows of objects, it knows by where they lie: none may come to lie where one was that is still
//! known, however often the collector runs in between.

use mlua::state::{GcGenParams, GcMode};

use super::*;

/// A class whose load lets go of what it has just made, collects, and makes as much again.
fn class(version: u32) -> String {
    format!(
        "local util = require 'util'
local LIMITS = {{ low = {version}, high = 10 }}
local function helper(n) return n + LIMITS.low end
local Item = {{ version = {version} }} Item.__index = Item
function Item.new(n) return setmetatable({{ n = n }}, Item) end
function Item:value() return helper(self.n) end
function Item:gone_{version}() return LIMITS end
do
  local dropped = setmetatable({{ Item.new, helper, {{}}, function() return LIMITS end }}, {{}})
  dropped = nil
  Item.twice = function() return helper end
  Item.twice = nil
end
collectgarbage() collectgarbage()
churn({version})
return Item"
    )
}

/// Runs before the class, and its functions are what the class captures.
fn util(version: u32) -> String {
    format!(
        "local M = {{ parts = {{ f = function() return {version} end }} }}
function M.get() return {version} end
M.unused_{version} = function() return M end
M['unused_{version}'] = nil
collectgarbage()
return M"
    )
}

const MAIN: &str = "
registry = registry or {}
-- Tables and functions to lie where others were, in tables that were there before.
function churn(version)
  for i = 1, 300 do
    registry[i] = registry[i] or { i = i }
    local keep = { i = i, version = version }
    registry[i].object, registry[i].get = keep, function() return keep.i end
    registry[i].class = setmetatable({}, { __index = function(_, key) return key .. i end })
  end
  for i = 301, 600 do registry[i] = { i = i, get = function() return i end } end
  collectgarbage()
  for i = 301, 600 do registry[i] = nil end
  collectgarbage()
end
local Item, u = require 'item', require 'util'
items = items or { Item.new(1), Item.new(2) }
held, got = Item.value, u.get
function total() return items[1]:value() + held(items[2]) + got() + u.parts.f() end";

fn saves_with_collections(mut site: Site) {
    for version in 2..30 {
        let (item, util) = (class(version), util(version));
        let files = match version % 3 {
            0 => vec![("item.lua", Some(item.as_str()))],
            _ => vec![("item.lua", Some(item.as_str())), ("util.lua", Some(util.as_str()))],
        };
        let of_util = if version % 3 == 0 { version - 1 } else { version };
        assert!(matches!(site.save(&files), Outcome::Applied { .. }), "{version}");
        assert_eq!(site.eval("return total()"), (3 + 2 * version + 2 * of_util).to_string());
        let check = "for i = 1, 300 do
            local one = registry[i]
            assert(one.i == i and one.object.i == i and one.get() == i and one.class.x == 'x' .. i)
        end
        collectgarbage()
        return registry[1].object.version .. ' ' .. #registry";
        assert_eq!(site.eval(check), format!("{version} 300"));
        let methods = "local n = 0 for _ in pairs(getmetatable(items[1])) do n = n + 1 end return n";
        assert_eq!(site.eval(methods), "5", "what has left the source is gone");
    }
    // A load that fails after all that leaves nothing of itself.
    let failing = format!("{} error 'late'", class(99).trim_end_matches("return Item"));
    site.failure("item.lua", &failing);
    assert_eq!(site.eval("return total() .. ' ' .. registry[7].object.version"), "119 29");
}

#[test]
fn collections_in_the_middle_of_a_reload_change_nothing() {
    saves_with_collections(Site::new(&[("main.lua", MAIN), ("item.lua", &class(1)), ("util.lua", &util(1))]));
}

#[test]
fn nor_do_they_with_a_generational_collector() {
    let mut site = Site::new(&[("main.lua", MAIN), ("item.lua", &class(1)), ("util.lua", &util(1))]);
    let generational = GcMode::Generational(GcGenParams::default());
    let before = site.session.with_lua(|lua| Ok(lua.gc_set_mode(generational))).unwrap();
    assert!(matches!(before, GcMode::Incremental(_)), "{before:?}");
    saves_with_collections(site);
}
