//! Data that a load writes by calls is what the last one wrote: it is kept until its author edits the call.

use super::story::Story;

#[test]
fn what_a_load_sets_by_calling_a_function_is_kept_unless_that_is_edited() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"love = love or {}
local player = require("player")
local t = 0
function love.load() player.x = 0 end
function love.update(dt) t = t + dt player:update(dt) end
function love.draw() return "d1:" .. player.x .. ":" .. t end
love.load()"#,
        ),
        (
            "player.lua",
            "local player = { x = 50, speed = 2 }
function player:update(dt) self.x = self.x + self.speed * dt end
return player",
        ),
    ]);
    story.gives("love.update(1) love.update(1) return love.draw()", "d1:4:2");
    story.edit("main.lua", r#""d1:""#, r#""d2:""#);
    story.gives("love.draw()", "d2:4:2");
    story.edit("player.lua", "speed = 2", "speed = 10");
    story.gives("love.update(1) return love.draw()", "d2:14:3");
}

#[test]
fn a_setting_of_another_file_is_kept_until_the_call_that_sets_it_is_edited() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local conf = require("conf")
conf.set("volume", 5)
function get(k) return conf.values[k] end"#,
        ),
        (
            "conf.lua",
            "local M = { values = {} }
function M.set(k, v) M.values[k] = v end
return M",
        ),
    ]);
    story.gives(r#"require("conf").values.volume = 9 return get("volume")"#, "9");
    story.edit("main.lua", "return conf.values[k]", "return (conf.values[k])");
    story.gives(r#"get("volume")"#, "9");
    story.edit("main.lua", r#"conf.set("volume", 5)"#, r#"conf.set("volume", 6)"#);
    story.gives(r#"get("volume")"#, "6");
    story.edit("main.lua", r#"conf.set("volume", 6)"#, r#"conf.set("volume", 6) conf.set("x", 1)"#);
    story.gives(r#"get("x")"#, "1");
    story.edit("main.lua", r#"conf.set("x", 1)"#, "");
    story.gives(r#"get("volume")"#, "6");
}

#[test]
fn a_setting_of_its_own_is_kept_until_the_call_that_sets_it_is_edited() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local settings = {}
local function set(k, v) settings[k] = v end
set("volume", 5)
function get(k) return settings[k] end
function put(k, v) settings[k] = v end"#,
    )]);
    story.gives(r#"put("volume", 9) return get("volume")"#, "9");
    story.edit("main.lua", "function get(k) return", "function get(k) return --[[x]]");
    story.gives(r#"get("volume")"#, "9");
    story.edit("main.lua", r#"set("volume", 5)"#, r#"set("volume", 6)"#);
    story.gives(r#"get("volume")"#, "6");
    story.edit(
        "main.lua",
        r#"set("volume", 6)"#,
        r#"set("volume", 6)
set("speed", 1)"#,
    );
    story.gives(r#"get("speed")"#, "1");
}

#[test]
fn globals_that_a_function_sets_when_the_file_loads_are_kept() {
    let mut story = Story::new(&[(
        "main.lua",
        "local function init() score = 0 level = 1 end
init()
function win() score = score + 10 level = level + 1 return score, level end",
    )]);
    story.gives("win()", "10 2");
    story.edit("main.lua", "score + 10", "score + 20");
    story.gives("win()", "30 3");
    story.edit("main.lua", "level = 1 end", "level = 5 end");
    story.gives("score, level", "0 5");
}

#[test]
fn numbers_that_another_file_gives_out_are_not_given_out_again() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local reg = require("reg")
local id = reg.new_id()
reg.names[#reg.names + 1] = "main"
table.insert(reg.list, { name = "main", id = id })
function show() return id, reg.next, #reg.names, #reg.list end"#,
        ),
        (
            "reg.lua",
            "local M = { next = 1, names = {}, list = {} }
function M.new_id() local n = M.next M.next = n + 1 return n end
return M",
        ),
    ]);
    story.gives("show()", "1 2 1 1");
    story.edit("main.lua", "return id, reg.next", "return id, (reg.next)");
    story.gives("show()", "1 2 1 1");
}

#[test]
fn entries_of_a_menu_of_another_file_are_there_once() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local menu = require("menu")
menu:add { label = "File" }
menu:add { label = "Edit" }
function show() local r = {} for i, x in ipairs(menu.items) do r[i] = x.label end return table.concat(r, ",") end"#,
        ),
        (
            "menu.lua",
            "local M = { items = {} }
function M:add(x) table.insert(self.items, x) end
return M",
        ),
    ]);
    story.gives("show()", "File,Edit");
    story.edit("main.lua", "r[i] = x.label", "r[i] = (x.label)");
    story.gives("show()", "File,Edit");
    story.edit("main.lua", r#""Edit""#, r#""Change""#);
    story.gives("show()", "File,Change");
    story.edit(
        "main.lua",
        r#"menu:add { label = "File" }"#,
        r#"menu:add { label = "File" }
menu:add { label = "View" }"#,
    );
    story.gives("show()", "File,Change,View");
}

#[test]
fn entries_of_its_own_menu_are_there_once_and_keep_what_they_became() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local menu = { items = {} }
function menu:add(x) table.insert(self.items, x) end
menu:add { label = "File" }
menu:add { label = "Edit" }
function show() local r = {} for i, x in ipairs(menu.items) do r[i] = x.label .. (x.n or "") end return table.concat(r, ",") end
function touch() menu.items[1].n = 5 end"#,
    )]);
    story.gives("touch() return show()", "File5,Edit");
    story.edit("main.lua", "r[i] = x.label", r#"r[i] = "" .. x.label"#);
    story.gives("show()", "File5,Edit");
    story.edit("main.lua", r#""Edit""#, r#""Change""#);
    story.gives("show()", "File5,Change");
    story.edit(
        "main.lua",
        r#"menu:add { label = "File" }"#,
        r#"menu:add { label = "File" }
menu:add { label = "View" }"#,
    );
    story.gives("show()", "File5,Change,View");
}

#[test]
fn a_list_that_several_files_fill_has_what_each_puts_there_once() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"require("a") require("b")
function show() return table.concat(require("list").l, ",") end"#,
        ),
        (
            "a.lua",
            r#"local l = require("list")
l.add("a1") l.add("a2")
local x = 1"#,
        ),
        (
            "b.lua",
            r#"local l = require("list")
l.add("b1")
local x = 1"#,
        ),
        (
            "list.lua",
            "local M = { l = {} }
function M.add(s) table.insert(M.l, s) end
return M",
        ),
    ]);
    story.gives("show()", "a1,a2,b1");
    story.edit("a.lua", "local x = 1", "local x = 2");
    story.gives("show()", "a1,a2,b1");
    story.edit("b.lua", r#""b1""#, r#""b2""#);
    story.gives("show()", "a1,a2,b2");
    story.edit("list.lua", "return M", "M.y = 1 return M");
    story.gives("show()", "a1,a2,b2");
    story.edit("a.lua", r#"l.add("a1")"#, "");
    story.gives("show()", "a2,b2");
}

#[test]
fn what_the_program_has_taken_out_does_not_come_back() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local q = require("q")
q.push("job1")
q.push("job2")
function take() return q.take() end
function show() return table.concat(q.jobs, ",") end"#,
        ),
        (
            "q.lua",
            "local M = { jobs = {} }
function M.push(j) table.insert(M.jobs, j) end
function M.take() return table.remove(M.jobs, 1) end
return M",
        ),
    ]);
    story.gives("take() return show()", "job2");
    story.edit("main.lua", "return q.take()", "return (q.take())");
    story.gives("show()", "job2");
}

#[test]
fn names_of_classes_that_a_library_lists_are_there_once() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local Animal = require("animal")
Dog = Animal:extend("Dog")
function Dog:speak() return Animal.speak(self) .. "woof1" end
d = Dog:new { name = "rex" }"#,
        ),
        (
            "animal.lua",
            r#"local Animal = { kinds = {} }
Animal.__index = Animal
function Animal:extend(name)
  local c = {} c.__index = c
  self.kinds[#self.kinds + 1] = name
  return setmetatable(c, { __index = self, __call = function(k, ...) return k:new(...) end })
end
function Animal:new(o) return setmetatable(o or {}, self) end
function Animal:speak() return self.name .. "1:" end
return Animal"#,
        ),
    ]);
    story.gives(r#"d:speak(), #require("animal").kinds"#, "rex1:woof1 1");
    story.edit("main.lua", "woof1", "woof2");
    story.gives(r#"d:speak(), #require("animal").kinds"#, "rex1:woof2 1");
    story.edit("animal.lua", r#""1:""#, r#""2:""#);
    story.gives(r#"d:speak(), #require("animal").kinds"#, "rex2:woof2 1");
    story.edit(
        "main.lua",
        "Dog = Animal",
        r#"Cat = Animal:extend("Cat")
Dog = Animal"#,
    );
    story.gives(r#"d:speak(), #require("animal").kinds, getmetatable(d) == Dog"#, "rex2:woof2 2 true");
}

#[test]
fn what_a_dispose_hook_has_undone_is_done_again() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local reg = require("reg")
reg.count = reg.count + 1
reg.add("main")
hot.dispose(function() reg.count = reg.count - 1 reg.names = {} end)
function show() return reg.count, #reg.names end"#,
        ),
        (
            "reg.lua",
            "local M = { count = 0, names = {} }
function M.add(n) table.insert(M.names, n) end
return M",
        ),
    ]);
    story.gives("show()", "1 1");
    story.edit("main.lua", "return reg.count", "return (reg.count)");
    story.gives("show()", "1 1");
}

#[test]
fn what_a_load_writes_into_hot_data_is_what_it_says() {
    let mut story = Story::new(&[(
        "main.lua",
        "hot.data.loads = (hot.data.loads or 0) + 1
local n = hot.data.loads
local function bump() hot.data.b = (hot.data.b or 0) + 1 end
bump()
function get() return hot.data.loads, hot.data.b end",
    )]);
    story.gives("get()", "1 1");
    story.edit("main.lua", "return hot.data.loads", "return (hot.data.loads)");
    story.gives("get()", "2 2");
}

#[test]
fn what_a_class_has_counted_goes_on() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local Widget = { count = 0, all = {} }
Widget.__index = Widget
function Widget.new(name)
  Widget.count = Widget.count + 1
  local w = setmetatable({ name = name, id = Widget.count }, Widget)
  Widget.all[name] = w
  return w
end
function Widget:label() return self.name .. self.id end
root = Widget.new("root")
child = Widget.new("child")
W = Widget"#,
    )]);
    story.gives("root:label(), child:label(), W.count", "root1 child2 2");
    story.edit("main.lua", "self.name .. self.id", r#"self.name .. ":" .. self.id"#);
    story.gives("root:label(), child:label(), W.count, W.all.root == root", "root:1 child:2 2 true");
    story.gives(r#"W.new("third").id"#, "3");
    story.edit("main.lua", r#"child = Widget.new("child")"#, "");
    story.gives("W.count, root:label()", "3 root:1");
}

#[test]
fn a_grid_that_a_function_of_the_file_fills_is_kept() {
    let mut story = Story::new(&[(
        "main.lua",
        "local grid = {}
local function reset() for y = 1, 3 do grid[y] = {} for x = 1, 3 do grid[y][x] = 0 end end end
reset()
function set(x, y, v) grid[y][x] = v end
function get(x, y) return grid[y][x] end",
    )]);
    story.gives("set(2, 2, 5) return get(2, 2)", "5");
    story.edit("main.lua", "return grid[y][x]", "return grid[y][x] + 0");
    story.gives("get(2, 2)", "5");
}

#[test]
fn settings_that_a_function_made_of_defaults_are_kept() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local defaults = { a = 1, b = { c = 2 } }
local conf = {}
local function merge(t, d) for k, v in pairs(d) do if type(v) == "table" then t[k] = t[k] or {} merge(t[k], v) elseif t[k] == nil then t[k] = v end end end
merge(conf, defaults)
function get() return conf.a, conf.b.c end
function set(v) conf.a = v end"#,
    )]);
    story.gives("set(9) return get()", "9 2");
    story.edit("main.lua", "function set", "--[[x]] function set");
    story.gives("get()", "9 2");
}

#[test]
fn what_the_program_has_unregistered_stays_so() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local hs = {}
local function on(n, f) hs[n] = f end
local list = {}
local function each(f) list[#list + 1] = f end
on("a", function() return "a1" end)
each(function() return "l1" end)
function off(n) hs[n] = nil list = {} end
function show() return hs.a and hs.a(), #list end"#,
    )]);
    story.gives("show()", "a1 1");
    story.gives(r#"off("a") return show()"#, "nil 0");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives("show()", "nil 0");
}

#[test]
fn a_job_that_was_done_is_not_done_again() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local q = {}
local function defer(f) q[#q + 1] = f end
local done = 0
local function task() done = done + 1 return "t1:" .. done end
defer(task)
function pump() local f = table.remove(q, 1) return f and f() end"#,
    )]);
    story.gives("pump()", "t1:1");
    story.edit("main.lua", r#""t1:""#, r#""t2:""#);
    story.gives("pump()", "nil");
}

#[test]
fn entities_that_a_load_spawns_in_another_file_keep_what_they_became() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local E = require("entities")
E.spawn("orc", { hp = 10, think = function(self) return "think1 " .. self.hp end })
E.spawn("elf", { hp = 5, think = function(self) return "elf1 " .. self.hp end })
function hit(n) E.all[n].hp = E.all[n].hp - 1 return E.all[n]:think(), E.all[n].id, E.count end"#,
        ),
        (
            "entities.lua",
            "local M = { all = {}, count = 0 }
function M.spawn(n, e) M.all[n] = e M.count = M.count + 1 e.id = M.count return e end
return M",
        ),
    ]);
    story.gives(r#"hit("orc")"#, "think1 9 1 2");
    story.edit("main.lua", r#""think1 ""#, r#""think2 ""#);
    story.gives(r#"hit("orc")"#, "think2 8 1 2");
    story.edit("main.lua", "hp = 10", "hp = 20");
    story.gives(r#"hit("orc")"#, "think2 19 1 4");
}

#[test]
fn what_a_load_nests_deeply_is_gone_through_and_kept() {
    let mut story = Story::new(&[(
        "main.lua",
        "local chain = {}
local function build(n) local at = chain for i = 1, n do at.next = { f = function() return i end } at = at.next end at.n = n end
build(5000)
function last() local at = chain while at.next do at = at.next end return at end
function label() return 'a' .. last().n end",
    )]);
    story.gives("last().n", "5000");
    story.edit("main.lua", "'a'", "'b'");
    story.gives("label()", "b5000");
}

#[test]
fn a_listener_that_the_program_has_taken_out_of_a_set_of_the_file_stays_out() {
    let mut story = Story::new(&[(
        "main.lua",
        "local set = {}
local function on(f) set[f] = true return function() set[f] = nil end end
local off = on(function() return 'one' end)
on(function() return 'two' end)
function fire() local r = {} for f in pairs(set) do r[#r + 1] = f() end table.sort(r) return table.concat(r, ' ') end
function stop() off() end",
    )]);
    story.gives("fire()", "one two");
    story.edit("main.lua", "'two'", "'zwei'");
    story.gives("fire()", "one zwei");
    story.gives("stop() return fire()", "zwei");
    story.edit("main.lua", "'zwei'", "'drei'");
    story.gives("fire()", "drei");
}

#[test]
fn thousands_of_records_are_matched_in_their_order() {
    let mut story = Story::new(&[
        (
            "main.lua",
            "local list = require 'list'
local own = {}
local function add(t, n) t[#t + 1] = { n = n, f = function() return 'a' .. n end, hits = 0 } end
for n = 1, 3000 do list[#list + 1] = { n = n, f = function() return 'x1' .. n end, hits = 0 } end
for n = 1, 3000 do add(own, n) end
function hit(n) list[n].hits = list[n].hits + 1 return list[n].f(), list[n].hits, #list, #own end",
        ),
        ("list.lua", "return {}"),
    ]);
    story.gives("hit(2500)", "x12500 1 3000 3000");
    story.edit("main.lua", "'x1'", "'x2'");
    story.gives("hit(2500)", "x22500 2 3000 3000");
}

#[test]
fn what_a_dispose_hook_has_taken_out_of_the_files_own_table_is_there_again() {
    let mut story = Story::new(&[(
        "main.lua",
        "local handlers = {}
local function on(name, f) handlers[name] = f end
on('a', function() return 'a1' end)
hot.dispose(function() handlers.a = nil end)
function fire() return handlers.a and handlers.a() end",
    )]);
    story.gives("fire()", "a1");
    story.edit("main.lua", "a1", "a2");
    story.gives("fire()", "a2");
}

#[test]
fn what_a_file_writes_that_counts_as_edited_as_a_whole_stands() {
    let sum = " + 1".repeat(2000);
    let main =
        format!("local reg = require 'reg'\nreg.names[#reg.names + 1] = 'one' n = 1{sum}\nreturn {{}}");
    let mut site = super::Site::new(&[("main.lua", &main), ("reg.lua", "return { names = {} }")]);
    site.good("main.lua", &main.replace("'one'", "'two'"));
    assert_eq!(site.eval("return require('reg').names[2]"), "two");
}
