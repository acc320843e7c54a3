//! What the source says decides: rules 1 to 7.

use super::*;

/// Saves a module after what `replace` names was replaced in it.
pub(super) fn edit(site: &mut Site, text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    let edited = text.replacen(from, to, 1);
    site.good("m.lua", &edited);
    edited
}

pub(super) fn site(module: &str) -> Site {
    Site::new(&[("main.lua", "m = require 'm'"), ("m.lua", module)])
}

pub(super) const BUS: &str = "local B = { list = {}, set = {}, named = {}, records = {} }
function B.on(f) B.list[#B.list + 1] = f end
function B.once(f) B.set[f] = true end
function B.name(name, f) B.named[name] = f end
function B.record(f, priority) table.insert(B.records, { fn = f, priority = priority }) end
function B.fire() local t = {}
  for _, f in ipairs(B.list) do t[#t + 1] = f() end
  for f in pairs(B.set) do t[#t + 1] = f() end
  for _, f in pairs(B.named) do t[#t + 1] = f() end
  for _, r in ipairs(B.records) do t[#t + 1] = r.fn() .. r.priority end
  return table.concat(t, ' ') end
return B";

#[test]
fn rule_3_what_an_initializer_would_give_this_time_is_of_no_matter() {
    let text = "local ids = require 'ids' local M = { started = os.clock(), id = ids.next(), secret = math.random() }
M.items = { { id = ids.next() } } local token = ids.next() function M.token() return token end return M";
    let ids = "local n, M = 0, {} function M.next() n = n + 1 return n end return M";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("ids.lua", ids), ("m.lua", text)]);
    site.eval("was = { m.started, m.id, m.secret, m.items, m.items[1].id, m.token() }");
    let same = "return tostring(m.started == was[1] and m.id == was[2] and m.secret == was[3] and m.items == was[4] and m.items[1].id == was[5] and m.token() == was[6])";
    let text = edit(&mut site, text, "return M", "function M.new() end return M");
    assert_eq!(site.eval(same), "true");
    site.good("ids.lua", &ids.replace("n + 1", "n + 10"));
    assert_eq!(site.eval(same), "false", "plain data that an edited function makes is made again");
    assert!(site.notes().iter().any(|note| note.contains("was made again")), "{:?}", site.notes());
    assert!(text.contains("M.new"));
}

#[test]
fn rule_4_edited_data_is_seen_by_whoever_holds_the_table() {
    let text = "local M = { types = { orc = { hp = 10, loot = { 'gold', 'axe' } } } }
function M.spawn() return { type = M.types.orc } end return M";
    let mut site = site(text);
    site.eval("orc = m.spawn() m.types.orc.seen = 3");
    let text = edit(&mut site, text, "hp = 10", "hp = 20");
    assert_eq!(
        site.eval("return orc.type.hp .. orc.type.seen .. tostring(orc.type == m.types.orc)"),
        "203true"
    );
    edit(&mut site, &text, "'axe'", "'bow', 'arrow'");
    assert_eq!(site.eval("return table.concat(orc.type.loot, ' ')"), "gold bow arrow");
}

#[test]
fn rule_4_records_belong_together_by_their_source() {
    let text = "local M = { cards = {\n  { name = 'a', n = 0 },\n  { name = 'b', n = 0 },\n} } return M";
    let mut site = site(text);
    site.eval("b = m.cards[2] b.n = 7 m.cards[3] = { name = 'mine', n = 1 }");
    let all =
        "local t = {} for i, c in ipairs(m.cards) do t[i] = c.name .. c.n end return table.concat(t, ' ')";
    let text = edit(&mut site, text, "{ name = 'a'", "{ name = 'new', n = 9 },\n  { name = 'a'");
    assert_eq!(site.eval(all), "new9 a0 b7 mine1");
    let text = edit(&mut site, &text, "  { name = 'a', n = 0 },\n", "");
    assert_eq!(site.eval(all), "new9 b7 mine1");
    let text = edit(&mut site, &text, "name = 'b'", "name = 'B'");
    assert_eq!(site.eval(&format!("assert(m.cards[2] == b) {all}")), "new9 B7 mine1");
    let swapped = text.replace(
        "  { name = 'new', n = 9 },\n  { name = 'B', n = 0 },",
        "  { name = 'B', n = 0 },\n  { name = 'new', n = 9 },",
    );
    site.good("m.lua", &swapped);
    assert_eq!(site.eval(all), "B7 new9 mine1");
}

#[test]
fn rule_5_what_left_the_source_leaves_the_program() {
    let text = "local M = setmetatable({ a = 1, b = 2 }, { __index = function() return 'meta' end })
function M.f() end string.shout = function(s) return s:upper() .. '!' end return M";
    let mut site = site(text);
    site.eval("m.a = 5 m.mine = 1");
    assert_eq!(site.eval("return ('x'):shout() .. m.nothing"), "X!meta");
    let text = edit(&mut site, text, "a = 1, ", "");
    assert_eq!(site.eval("return m.a .. m.b .. m.mine"), "meta21");
    let text = edit(&mut site, &text, "function M.f() end", "");
    let text = edit(&mut site, &text, "string.shout = function(s) return s:upper() .. '!' end", "");
    assert_eq!(site.eval("return m.f .. tostring(string.shout)"), "metanil");
    site.good(
        "m.lua",
        &text.replace("setmetatable({ b = 2 }, { __index = function() return 'meta' end })", "{ b = 2 }"),
    );
    assert_eq!(site.eval("return tostring(getmetatable(m)) .. m.b"), "nil2");
}

#[test]
fn rule_7_who_copied_methods_when_it_was_loaded_has_the_new_ones() {
    let base = |more: &str| format!("local B = {{}} function B.hi() return 'hi' end {more} return B");
    let sub = "local B = require 'base' local S = {} for k, v in pairs(B) do S[k] = v end S.n = 0 function S.up() S.n = S.n + 1 return S.n end return S";
    let mut site = Site::new(&[("main.lua", "m = require 'sub'"), ("base.lua", &base("")), ("sub.lua", sub)]);
    site.eval("m.up()");
    site.good("base.lua", &base("function B.bye() return 'bye' end"));
    assert_eq!(site.eval("return m.hi() .. m.bye() .. m.up()"), "hibye2");
    site.good("base.lua", &base(""));
    assert_eq!(site.eval("return m.hi() .. tostring(m.bye) .. m.up()"), "hinil3");
}

#[test]
fn a_file_that_the_parser_of_definitions_does_not_take_is_edited_as_a_whole() {
    let chain = " + x".repeat(3000);
    let text = format!("local x = 1 local M = {{ n = x{chain} }} function M.f() return 1 end return M");
    let mut site = site(&text);
    site.eval("m.n = 5 f, was = m.f, m");
    site.good("m.lua", &text.replace("return 1", "return 2"));
    assert_eq!(site.eval("return f() .. tostring(was == m) .. m.n"), "2true3001");
    assert!(
        site.notes().iter().any(|note| note.starts_with("lua/m.lua counts as edited as a whole")),
        "{:?}",
        site.notes()
    );
}

#[test]
fn rule_5_a_base_and_a_new_of_ones_own_leave_with_the_source() {
    let text = "Base = session:prototype('Base', {}) function Base:hi() return 'base' end
P = session:prototype('P', { n = 1 }, Base) function P:new(o) o = session:create(self, o) o.own = true return o end return P";
    let mut site = site(text);
    site.eval("p = P:new()");
    assert_eq!(site.eval("return p:hi() .. tostring(p.own)"), "basetrue");
    let text = edit(&mut site, text, "{ n = 1 }, Base)", "{ n = 1 })");
    assert_eq!(site.eval("return tostring(p.hi) .. p.n"), "nil1");
    edit(&mut site, &text, "function P:new(o) o = session:create(self, o) o.own = true return o end ", "");
    assert_eq!(site.eval("return tostring(P:new().own) .. P:new().n"), "nil1");
}

#[test]
fn rule_6_a_registration_whose_line_left_ends() {
    let text = "local bus = require 'bus' local M = {} function M.hear() return 'h' end
bus.on(M.hear)
return M";
    let files = [("main.lua", "m, bus = require 'm', require 'bus'"), ("bus.lua", BUS), ("m.lua", text)];
    let mut site = Site::new(&files);
    assert_eq!(site.eval("return bus.fire()"), "h");
    site.good("m.lua", &text.replace("bus.on(M.hear)\n", ""));
    assert_eq!(site.eval("return bus.fire()"), "");
}

#[test]
fn rule_3_a_local_namespace_with_a_counter_keeps_it() {
    let text =
        "local C = { made = 0, MAX = 3 } local function next_id() C.made = C.made + 1 return C.made end
local M = {} function M.id() return next_id() .. '/' .. C.MAX end return M";
    let mut site = site(text);
    site.eval("m.id() m.id()");
    let text = edit(&mut site, text, "'/'", "' of '");
    assert_eq!(site.eval("return m.id()"), "3 of 3");
    let text = edit(&mut site, &text, "MAX = 3", "MAX = 9");
    assert_eq!(site.eval("return m.id()"), "4 of 9");
    edit(&mut site, &text, "made = 0", "made = 100");
    assert_eq!(site.eval("return m.id()"), "101 of 9");
}

#[test]
fn ten_thousand_definitions_and_two_hundred_locals_are_taken_within_the_budget() {
    let fields: String = (0..10_000).map(|n| format!("M.f{n} = {n} ")).collect();
    let globals: String = (0..2_000).map(|n| format!("g{n} = {n} ")).collect();
    let locals: String = (0..190).map(|n| format!("local l{n} = {n} ")).collect();
    let uses: String = (0..190).map(|n| format!("l{n} = l{n} + 1 ")).collect();
    let text =
        format!("local M = {{}} {fields} {globals} {locals} function M.up() {uses} return l189 end return M");
    let mut site = site(&text);
    site.eval("m.up() m.f5000, g1000 = 'five', 'one'");
    let text = edit(&mut site, &text, "return l189", "return -l189");
    assert_eq!(site.eval("return m.up() .. m.f5000 .. g1000"), "-191fiveone");
    edit(&mut site, &text, "M.f5000 = 5000", "M.f5000 = 5001");
    assert_eq!(site.eval("return m.f5000 .. m.f4999 .. g1000"), "50014999one");
}

#[test]
fn names_of_our_own_are_names_like_any_other() {
    let text = "local capture, made, locals, R, P, L = 0, 0, 0, 0, 0, 0
local function use() capture = capture + 1 return capture + made + locals + R + P + L end
return { capture = use, made = made, ['end'] = 1, [true] = 2, [1.5] = 3 }";
    let mut site = site(text);
    site.eval("m.capture()");
    edit(&mut site, text, "made = made", "made = made, more = 1");
    assert_eq!(site.eval("return m.capture() .. m['end'] .. m[true] .. m[1.5]"), "2123");
}

#[test]
fn comments_at_the_end_and_bytes_that_are_no_text_change_nothing() {
    for end in ["return M -- the end", "return M --[[ the\n end ]]", "return (M);", "return M;-- x", "-- all"]
    {
        let text =
            format!("-- \u{e9}\nM = M or {{}} local n = 0 function M.up() n = n + 1 return n end {end}");
        let mut site = Site::new(&[("main.lua", "require 'm' m = M"), ("m.lua", &text)]);
        site.eval("m.up()");
        site.good("m.lua", &text.replace("return n end", "return -n end"));
        assert_eq!(site.eval("return m.up()"), "-2", "{end}");
    }
}

#[test]
fn rule_2_functions_are_exchanged_in_all_tables_whatever_their_number() {
    let text = |v: u32| format!("local M = {{}} function M.f() return {v} end return M");
    let mut site = site(&text(1));
    site.eval(
        "all = {} for i = 1, 30000 do all[i] = { at = { f = m.f, call = function() return m.f() end } } end",
    );
    for v in 2..4 {
        site.good("m.lua", &text(v));
        let look = "local n = 0 for _, one in ipairs(all) do n = n + one.at.f() end return n // 30000 .. ' ' .. n % 30000";
        assert_eq!(site.eval(look), format!("{v} 0"));
    }
}

#[test]
fn rule_4_elements_that_are_functions_or_names_of_something_are_elements_like_others() {
    let text = "local M = {} local function a() return 'a' end local function b() return 'b' end
M.steps = { a, b, function() return 'c' end, 'text' } return M";
    let mut site = site(text);
    let all = "local t = {} for i, s in ipairs(m.steps) do t[i] = type(s) == 'function' and s() or s end return table.concat(t)";
    assert_eq!(site.eval(all), "abctext");
    let text = edit(&mut site, text, "{ a, b,", "{ b, a,");
    assert_eq!(site.eval(all), "bactext");
    let text = edit(&mut site, &text, "return 'a'", "return 'A'");
    assert_eq!(site.eval(all), "bActext");
    let text = edit(&mut site, &text, "return 'c'", "return 'C'");
    assert_eq!(site.eval(all), "bACtext");
    edit(&mut site, &text, "'text'", "'more', 'text'");
    assert_eq!(site.eval(all), "bACmoretext");
}

#[test]
fn rule_1_edits_reach_what_is_made_of_them_through_files_and_functions() {
    let cfg = "local C = { BASE = 10, OTHER = 1 } return C";
    let mid = "local cfg = require 'cfg' local Mid = { twice = cfg.BASE * 2, other = cfg.OTHER } return Mid";
    let top = "local mid = require 'mid' local M = { n = 0, four = mid.twice * 2 } local function double(x) return x * 2 end
M.eight = double(M.four) return M";
    let files = [("main.lua", "m = require 'm'"), ("cfg.lua", cfg), ("mid.lua", mid), ("m.lua", top)];
    let mut site = Site::new(&files);
    site.eval("m.n = 7 require('mid').other = 99");
    let values = "return m.four .. ' ' .. m.eight .. ' ' .. m.n .. ' ' .. require('mid').other";
    assert_eq!(site.eval(values), "40 80 7 99");
    site.good("cfg.lua", &cfg.replace("10", "20"));
    assert_eq!(site.eval(values), "80 160 7 99");
    site.good("m.lua", &top.replace("return x * 2 end", "return x * 3 end"));
    assert_eq!(site.eval(values), "80 240 7 99");
}

#[test]
fn rule_3_what_a_program_has_made_of_a_name_is_not_taken_for_a_sibling() {
    let text = "local M = { a = { v = 1 }, b = { v = 2 }, list = {} }
M.first = M.a
local cache, sentinel = {}, {}
function M.put(k) cache[k] = sentinel end
function M.has(k) return cache[k] == sentinel end
function M.swap() M.a, M.b = M.b, M.a end
return M";
    let mut site = site(text);
    site.eval("m.swap() m.put('x') m.list[1] = m.a m.list = { 'own', m.b } a, b = m.a, m.b");
    let text = edit(&mut site, text, "function M.put(k)", "function M.put(k, v)");
    assert_eq!(
        site.eval(
            "return tostring(m.a == a and m.b == b and m.list[2] == b and m.first == b and m.has('x'))"
        ),
        "true"
    );
    // The table that the source made as M.a is the one whose v is edited, whatever its name is now.
    edit(&mut site, &text, "a = { v = 1 }", "a = { v = 5 }");
    assert_eq!(site.eval("return a.v .. b.v .. m.first.v"), "255");
}
