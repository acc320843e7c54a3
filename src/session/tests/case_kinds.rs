//! What users of other hot reloaders have reported, kind by kind, with examples that are not those of the rules.

use super::{
    case_source::{edit, site},
    *,
};

#[track_caller]
fn assert_eval(site: &mut Site, code: &str, expected: &str) {
    assert_eq!(site.eval(&format!("return {code}")), expected, "{code}");
}

#[test]
fn initialisers_of_locals_globals_and_prototypes_are_not_run_anew() {
    let text = "local seed = math.random(1e9)
local born = { at = os.clock(), by = tostring({}) }
BOOT = os.time() + math.random()
Ticket = session:prototype('Ticket', { opened = os.clock(), code = math.random(1e9) })
local M = {} function M.all() return seed .. born.at .. born.by .. BOOT .. Ticket.opened .. Ticket.code end return M";
    let mut site = site(text);
    site.eval("t = Ticket:new() was, own = m.all(), t.code");
    let text = edit(&mut site, text, "return M", "function M.more() end return M");
    edit(&mut site, &text, "local M = {}", "-- another comment\nlocal M = {}");
    assert_eval(&mut site, "tostring(m.all() == was and t.code == own)", "true");
}

#[test]
fn an_initialiser_that_asks_another_file_is_not_run_anew_when_either_is_saved() {
    let counter = "local n = 0 return { take = function() n = n + 1 return 'id' .. n end } -- 1";
    let text =
        "local counter = require 'counter' local M = { key = counter.take() } local mine = counter.take()
function M.mine() return M.key .. mine end return M";
    let mut site = Site::new(&[("main.lua", "m = require 'm'"), ("counter.lua", counter), ("m.lua", text)]);
    edit(&mut site, text, "return M.key", "return '!' .. M.key");
    site.good("counter.lua", &counter.replace("-- 1", "-- 2"));
    assert_eval(&mut site, "m.mine()", "!id1id2");
}

#[test]
fn sentinels_with_metatables_and_symbols_that_a_function_makes_stay_the_same() {
    let text = "local M = {} M.NULL = setmetatable({}, { __tostring = function() return 'null1' end })
local Symbol = {} Symbol.__index = Symbol
local function symbol(name) return setmetatable({ name = name }, Symbol) end
M.RED, M.GREEN = symbol 'red', symbol 'green'
local names = { [M.RED] = 'rot', [M.GREEN] = 'gruen' }
function M.name(color) return names[color] end
function M.is_null(v) return v == M.NULL end return M";
    let mut site = site(text);
    site.eval("null, red = m.NULL, m.RED held = { color = m.GREEN }");
    let text = edit(&mut site, text, "null1", "null2");
    edit(&mut site, &text, "return names[color]", "return names[color] .. '!'");
    assert_eval(
        &mut site,
        "tostring(null) .. tostring(m.is_null(null)) .. m.name(red) .. m.name(held.color)",
        "null2truerot!gruen!",
    );
}

#[test]
fn an_enum_compares_equal_in_files_and_objects_that_took_it_before_it_grew() {
    let text = "local Mode = { IDLE = {}, BUSY = {} } return Mode";
    let user = "local Mode = require 'm' local M = { mode = Mode.IDLE } local busy = Mode.BUSY
function M.go() M.mode = busy end function M.is_busy() return M.mode == Mode.BUSY end return M";
    let mut site = Site::new(&[
        ("main.lua", "m, user = require 'm', require 'user'"),
        ("m.lua", text),
        ("user.lua", user),
    ]);
    site.eval("user.go() task = { [m.BUSY] = 1 }");
    site.good("m.lua", &text.replace("BUSY = {}", "WAITING = {}, BUSY = {}"));
    assert_eval(&mut site, "tostring(user.is_busy()) .. task[m.BUSY] .. type(m.WAITING)", "true1table");
    site.good("user.lua", &user.replace("return M.mode ==", "return  M.mode == "));
    assert_eval(&mut site, "tostring(user.is_busy())", "true");
}

#[test]
fn objects_see_an_edit_of_nested_settings_and_of_records_that_they_hold() {
    let text = "local M = { window = { size = { w = 1, h = 2 }, title = 'a' }, levels = { { enemies = { 'bat' } }, { enemies = { 'rat' } } } }
function M.open() return { size = M.window.size, level = M.levels[2] } end return M";
    let mut site = site(text);
    site.eval("view = m.open() view.size.h = 20");
    let text = edit(&mut site, text, "w = 1", "w = 10");
    edit(&mut site, &text, "'rat'", "'rat', 'cat'");
    assert_eval(
        &mut site,
        "view.size.w .. ' ' .. view.size.h .. table.concat(view.level.enemies, ',')",
        "10 20rat,cat",
    );
}

#[test]
fn who_took_a_part_of_edited_data_into_a_local_of_another_file_sees_the_edit() {
    let text = "return { prices = { tea = 1, milk = 2 } }";
    let shop = "local prices = require('m').prices local M = { sold = 0 }
function M.sell(what) M.sold = M.sold + prices[what] return M.sold end return M";
    let mut site = Site::new(&[
        ("main.lua", "m, shop = require 'm', require 'shop'"),
        ("m.lua", text),
        ("shop.lua", shop),
    ]);
    site.eval("shop.sell('tea')");
    site.good("m.lua", &text.replace("tea = 1", "tea = 10, mate = 5"));
    assert_eval(&mut site, "shop.sell('tea') .. ' ' .. shop.sell('mate')", "11 16");
}

#[test]
fn private_data_of_objects_in_a_weak_table_of_another_file_is_kept() {
    let secrets = "local store = setmetatable({}, { __mode = 'k' }) local S = {}
function S.set(o, v) store[o] = v end function S.get(o) return store[o] end return S";
    let text = "local secrets = require 'secrets' P = session:prototype('P', { n = 1 })
function P:hide(v) secrets.set(self, v) end function P:show() return secrets.get(self) end return P";
    let mut site = Site::new(&[("main.lua", "require 'm'"), ("secrets.lua", secrets), ("m.lua", text)]);
    site.eval("p = P:new() p:hide('x')");
    site.good("secrets.lua", &secrets.replace("return store[o] end", "return store[o] .. 1 end"));
    site.good("m.lua", &text.replace("n = 1", "n = 1, more = 2"));
    assert_eval(&mut site, "p:show() .. p.more", "x12");
}

#[test]
fn a_cache_with_weak_values_goes_on_and_stays_weak() {
    let text = "local cache = setmetatable({}, { __mode = 'v' }) local M = {}
function M.get(k) cache[k] = cache[k] or { k = k } return cache[k] end
function M.count() local n = 0 for _ in pairs(cache) do n = n + 1 end return n end return M";
    let mut site = site(text);
    site.eval("a = m.get('a') m.get('b')");
    edit(&mut site, text, "return n end", "return 'n' .. n end");
    site.session.vm.collect_garbage();
    assert_eval(&mut site, "tostring(m.get('a') == a) .. m.count()", "truen1");
}

#[test]
fn functions_that_are_keys_of_a_signal_are_disconnected_by_their_new_version() {
    let signal = "local S = { slots = {} } function S.connect(f, n) S.slots[f] = n end function S.cut(f) S.slots[f] = nil end
function S.emit() local sum = '' for f, n in pairs(S.slots) do sum = sum .. f(n) end return sum end return S";
    let text = |v: u32| {
        format!(
            "local signal = require 'signal' local M = {{}} function M.hear(n) return 'h{v}' .. n end
signal.connect(M.hear, 5) function M.stop() signal.cut(M.hear) end return M"
        )
    };
    let mut site = Site::new(&[
        ("main.lua", "m, signal = require 'm', require 'signal'"),
        ("signal.lua", signal),
        ("m.lua", &text(1)),
    ]);
    site.eval("kept = m.hear");
    site.good("m.lua", &text(2));
    assert_eval(&mut site, "signal.emit()", "h25");
    site.good("signal.lua", &signal.replace("f(n) end", "f(n) .. '.' end"));
    assert_eval(&mut site, "signal.emit()", "h25.");
    site.eval("signal.cut(kept)");
    assert_eval(&mut site, "signal.emit()", "");
}

#[test]
fn methods_that_are_keys_to_their_objects_follow() {
    let text = |v: u32| {
        format!(
            "local M = {{ owner = {{}} }} local A, B = {{ name = 'a' }}, {{ name = 'b' }}
function A.call() return 'a{v}' end function B.call() return 'b{v}' end
M.owner[A.call], M.owner[B.call] = A, B
function M.all() local t = {{}} for f, o in pairs(M.owner) do t[#t + 1] = f() .. o.name end table.sort(t) return table.concat(t, ' ') end return M"
        )
    };
    let mut site = site(&text(1));
    for v in 2..4 {
        site.good("m.lua", &text(v));
        assert_eval(&mut site, "m.all()", &format!("a{v}a b{v}b"));
    }
}

#[test]
fn a_generator_that_runs_counts_on_and_its_old_body_is_named() {
    let text = "local M = {} function M.numbers() return coroutine.wrap(function() local n = 0 while true do n = n + 1 coroutine.yield(n) end end) end return M";
    let mut site = site(text);
    site.eval("next_number = m.numbers() next_number()");
    edit(&mut site, text, "n = n + 1", "n = n + 10");
    assert_eval(&mut site, "next_number() .. ' ' .. m.numbers()()", "2 10");
    assert!(site.notes().iter().any(|note| note.contains("lua/m.lua:1")), "{:?}", site.notes());
}

#[test]
fn a_loop_that_a_file_starts_when_it_loads_goes_on_where_it_was() {
    let text =
        "local M = { at = 0 } local function walk() while true do M.at = M.at + 1 coroutine.yield() end end
M.step = coroutine.wrap(walk) function M.go() M.step() return M.at end return M";
    let mut site = site(text);
    site.eval("m.go() m.go() step = m.step");
    edit(&mut site, text, "return M.at end", "return 'at' .. M.at end");
    assert_eval(&mut site, "m.go() .. tostring(step == m.step)", "at3true");
}

#[test]
fn the_timer_of_a_widget_lives_as_long_as_the_widget() {
    let text = "local M = { open = {} } function M:tick() self.n = (self.n or 0) + 1 end
function M.show(name) local w = setmetatable({}, { __index = M }) w.timer = session:setInterval(w, 'tick', 10) M.open[name] = w return w end
function M.hide(name) session:clearInterval(M.open[name].timer) M.open[name] = nil end return M";
    let mut site = site(text);
    let count = |site: &Site| site.session.vm.state(|state| state.timers.len());
    site.eval("clock, other = m.show('clock'), m.show('other')");
    let text = edit(&mut site, text, "(self.n or 0) + 1", "(self.n or 0) + 5");
    assert_eq!(count(&site), Some(2));
    site.session.vm.fire(1).unwrap();
    assert_eval(&mut site, "clock.n", "5");
    site.eval("m.hide('clock')");
    edit(&mut site, &text, "return M", "M.version = 2 return M");
    assert_eq!(count(&site), Some(1));
}

#[test]
fn a_method_added_to_a_base_reaches_a_chain_of_three_and_those_that_copied() {
    let base = |more: &str| {
        format!(
            "local A = {{}} A.__index = A function A.new(c) return setmetatable({{}}, c) end {more} return A"
        )
    };
    let files = [
        ("main.lua", "A, B, C, D = require 'base', require 'b', require 'c', require 'd'"),
        ("base.lua", &base("")),
        ("b.lua", "local A = require 'base' local B = setmetatable({}, A) B.__index = B return B"),
        ("c.lua", "local B = require 'b' local C = setmetatable({}, { __index = B }) C.__index = C return C"),
        ("d.lua", "local D = {} for k, v in pairs(require 'base') do D[k] = v end D.__index = D return D"),
    ];
    let mut site = Site::new(&files);
    site.eval("b, c, d = B.new(B), C.new(C), D.new(D)");
    site.good("base.lua", &base("function A:hi() return 'hi' end"));
    assert_eval(&mut site, "b:hi() .. c:hi() .. d:hi()", "hihihi");
    site.good("base.lua", &base(""));
    assert_eval(&mut site, "tostring(b.hi) .. tostring(c.hi) .. tostring(d.hi)", "nilnilnil");
}

#[test]
fn local_namespaces_keep_what_they_have_counted() {
    let text = "local stats = { hits = { total = 0, by = {} }, limit = 3 }
local log = {} log.lines = {} log.count = 0
local M = {} function M.hit(who) local h = stats.hits h.total = h.total + 1 h.by[who] = (h.by[who] or 0) + 1 log.count = log.count + 1 log.lines[log.count] = who end
function M.show() return stats.hits.total .. stats.hits.by.me .. stats.limit .. log.count .. #log.lines end return M";
    let mut site = site(text);
    site.eval("m.hit('me') m.hit('me')");
    let text = edit(&mut site, text, "limit = 3", "limit = 4");
    let text = edit(&mut site, &text, "return stats.hits.total", "return '!' .. stats.hits.total");
    assert_eval(&mut site, "m.show()", "!22422");
    edit(&mut site, &text, "total = 0", "total = 100");
    assert_eval(&mut site, "m.show()", "!1002422");
}

#[test]
fn a_record_put_in_front_takes_nothing_from_those_behind_it() {
    let text = "local M = { routes = {\n  { path = '/a', hits = 0, go = function() return 'A' end },\n  { path = '/b', hits = 0, go = function() return 'B' end },\n} }
local tabs = { { 'one', { n = 1 } }, { 'two', { n = 2 } } } function M.tabs() return tabs end return M";
    let mut site = site(text);
    site.eval("b, two = m.routes[2], m.tabs()[2] b.hits = 9 two[2].n = 20 go = b.go");
    let text = edit(
        &mut site,
        text,
        "  { path = '/a'",
        "  { path = '/new', hits = 1, go = function() return 'N' end },\n  { path = '/a'",
    );
    edit(&mut site, &text, "{ 'one'", "{ 'zero', { n = 0 } }, { 'one'");
    assert_eval(
        &mut site,
        "m.routes[1].go() .. m.routes[3].path .. m.routes[3].hits .. tostring(m.routes[3] == b) .. go()",
        "N/b9trueB",
    );
    assert_eval(
        &mut site,
        "m.tabs()[1][1] .. m.tabs()[3][2].n .. tostring(m.tabs()[3] == two)",
        "zero20true",
    );
}

#[test]
fn a_module_becomes_a_directory_and_a_file_again() {
    let text = |v: u32| {
        format!("local M = {{ n = 0 }} function M.up() M.n = M.n + 1 return M.n .. '{v}' end return M")
    };
    let with_part = "local part = require 'm.part' local M = { n = 0 } function M.up() M.n = M.n + 1 return M.n .. part.mark end return M";
    let mut site = site(&text(1));
    site.eval("m.up() kept = m");
    let saved = site.save(&[
        ("m.lua", None),
        ("m/init.lua", Some(with_part)),
        ("m/part.lua", Some("return { mark = '!' }")),
    ]);
    assert!(matches!(saved, Outcome::Applied { .. }), "{saved:?}");
    assert_eval(&mut site, "m.up() .. tostring(require 'm' == kept)", "2!true");
    let saved = site.save(&[("m.lua", Some(&text(3))), ("m/init.lua", None), ("m/part.lua", None)]);
    assert!(matches!(saved, Outcome::Applied { .. }), "{saved:?}");
    assert_eval(&mut site, "m.up() .. tostring(require 'm' == kept)", "33true");
}

#[test]
fn a_base_that_is_set_by_a_statement_leaves_with_it() {
    let text = "local Base = { hi = function() return 'base' end } Base.__index = Base
local Sub = {}\nSub.__index = Sub\nsetmetatable(Sub, Base)\nlocal M = { Sub = Sub }\nM.opts = {}\nsetmetatable(M.opts, { __index = { deep = 1 } })\nreturn M";
    let mut site = site(text);
    site.eval("o = setmetatable({ n = 1 }, m.Sub) m.opts.mine = 2");
    assert_eval(&mut site, "o.hi() .. m.opts.deep", "base1");
    let text = edit(&mut site, text, "setmetatable(Sub, Base)\n", "");
    assert_eval(&mut site, "tostring(o.hi) .. o.n .. m.opts.deep", "nil11");
    edit(&mut site, &text, "setmetatable(M.opts, { __index = { deep = 1 } })\n", "");
    assert_eval(&mut site, "tostring(m.opts.deep) .. m.opts.mine", "nil2");
}

#[test]
fn helpers_in_the_library_are_edited_and_leave_with_their_lines() {
    let text = "function string.trim(s) return (s:gsub('^%s+', '')) end\ntable.last = function(t) return t[#t] end\nmath.clamp = function(x) return x < 0 and 0 or x end\nreturn {}";
    let mut site = site(text);
    site.eval("trim = string.trim");
    let text = edit(&mut site, text, "(s:gsub('^%s+', ''))", "(s:gsub('^%s+', '')) .. '!'");
    assert_eval(
        &mut site,
        "('  a'):trim() .. trim(' b') .. table.last({ 1, 2 }) .. math.clamp(-1)",
        "a!b!20",
    );
    let text = edit(&mut site, &text, "table.last = function(t) return t[#t] end\n", "");
    edit(&mut site, &text, "function string.trim(s) return (s:gsub('^%s+', '')) .. '!' end\n", "");
    assert_eval(&mut site, "tostring(table.last) .. tostring(('x').trim) .. math.clamp(3)", "nilnil3");
    assert_eval(&mut site, "('a'):upper() .. #table.pack(1, 2)", "A2");
}

#[test]
fn a_handler_under_a_name_and_one_in_a_list_of_an_object_are_there_once() {
    let text = |v: u32| {
        format!(
            "local M = {{}} function M:hear() return '{v}' .. self.n end M.n = 0
door.on.open = function() return 'open{v}' end
door.all[#door.all + 1] = {{ M, 'hear' }}
door.all[#door.all + 1] = {{ door, function() return 'f{v}' end }} return M"
        )
    };
    let main = "door = { on = {}, all = {} } function door.fire() local t = { door.on.open() }
for _, h in ipairs(door.all) do t[#t + 1] = type(h[2]) == 'string' and h[1][h[2]](h[1]) or h[2]() end return table.concat(t, ' ') end
m = require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &text(1))]);
    site.eval("m.n = 7");
    for v in 2..4 {
        site.good("m.lua", &text(v));
        assert_eval(&mut site, "door.fire()", &format!("open{v} {v}7 f{v}"));
    }
}

#[test]
fn records_of_functions_without_a_name_are_there_once_whatever_their_order_and_end_with_their_lines() {
    let text = "hub.on('open', function() return 'open1' end)
hub.on('close', function() return 'close1' end)
hub.on('close', function() return 'again1' end)
return {}";
    let main = "hub = { list = {} } function hub.on(name, f) table.insert(hub.list, { name = name, call = f }) end
function hub.fire(name) local t = {} for _, r in ipairs(hub.list) do if r.name == name then t[#t + 1] = r.call() end end return table.concat(t, ' ') end
m = require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", text)]);
    site.eval("hub.on('close', function() return 'mine' end)");
    let text = edit(&mut site, text, "close1", "close2");
    let text = edit(&mut site, &text, "open1", "open2");
    assert_eval(
        &mut site,
        "hub.fire('open') .. ' ' .. hub.fire('close') .. #hub.list",
        "open2 close2 again1 mine4",
    );
    edit(&mut site, &text, "hub.on('open'", "hub.on('opened'");
    assert_eval(&mut site, "hub.fire('open') .. hub.fire('opened') .. #hub.list", "open24");
}

#[test]
fn a_timer_of_a_widget_that_the_file_makes_is_one_and_ends_with_the_widgets_line() {
    let text = |v: u32| {
        format!(
            "local W = {{}} function W:tick() TICKS = (TICKS or '') .. '{v}' end
function W.new() local w = setmetatable({{}}, {{ __index = W }}) session:setInterval(w, 'tick', 10) return w end
local M = {{}}\nM.clock = W.new()\nreturn M"
        )
    };
    let mut site = site(&text(1));
    let count = |site: &Site| site.session.vm.state(|state| state.timers.len());
    site.eval("clock = m.clock");
    for v in 2..4 {
        site.good("m.lua", &text(v));
        assert_eq!(count(&site), Some(1));
        let far = Instant::now() + Duration::from_secs(100);
        let due = site.session.vm.take_due_timer(far).unwrap();
        site.session.vm.fire(due).unwrap();
    }
    assert_eval(&mut site, "TICKS .. tostring(clock == m.clock)", "23true");
    site.good("m.lua", &text(4).replace("M.clock = W.new()\n", ""));
    assert_eq!(count(&site), Some(0));
}

#[test]
fn a_patch_of_a_global_function_stays_one() {
    let text = |v: u32| {
        format!("local before = speak speak = function(s) return '{v}' .. before(s) end return {{}}")
    };
    let main = "function speak(s) return s end require 'm'";
    let mut site = Site::new(&[("main.lua", main), ("m.lua", &text(1))]);
    for v in 2..5 {
        site.good("m.lua", &text(v));
        assert_eval(&mut site, "speak('x')", &format!("{v}x"));
    }
}
