//! What loads put into registries of other files: it is there once, keeps what it became, and leaves with its line.

use super::story::Story;

#[test]
fn handlers_of_two_files_in_one_list_keep_apart() {
    let mut story = Story::new(&[
        ("main.lua", r#"bus = require("bus") require("a") require("b")"#),
        (
            "bus.lua",
            r#"local M = { l = {} }
function M.on(f) M.l[#M.l + 1] = f end
function M.fire() local r = "" for _, f in ipairs(M.l) do r = r .. f() end return r end
return M"#,
        ),
        (
            "a.lua",
            r#"local bus = require("bus")
bus.on(function() return "a1" end)
bus.on(function() return "a2" end)"#,
        ),
        (
            "b.lua",
            r#"local bus = require("bus")
bus.on(function() return "b1" end)"#,
        ),
    ]);
    story.gives("bus.fire()", "a1a2b1");
    story.edit("a.lua", r#""a2""#, r#""A2""#);
    story.gives("bus.fire()", "a1A2b1");
    story.edits(&[("b.lua", r#""b1""#, r#""B1""#), ("a.lua", r#""a1""#, r#""A1""#)]);
    story.gives("bus.fire()", "A1A2B1");
    story.edit("bus.lua", "r .. f()", r#"r .. f() .. ".""#);
    story.gives("bus.fire()", "A1.A2.B1.");
    story.edit("a.lua", r#"bus.on(function() return "A1" end)"#, "");
    story.gives("bus.fire()", "A2.B1.");
    story.edit(
        "b.lua",
        "bus.on",
        r#"bus.on(function() return "B0" end)
bus.on"#,
    );
    story.gives("bus.fire()", "A2.B1.B0.");
}

#[test]
fn who_has_unsubscribed_stays_so() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local ev = require("ev")
local off = ev.on("x", function() return "x1" end)
function fire() return ev.fire("x") end
function stop() off() end"#,
        ),
        (
            "ev.lua",
            r#"local M = { h = {} }
function M.on(n, f) M.h[n] = M.h[n] or {} M.h[n][f] = true return function() M.h[n][f] = nil end end
function M.fire(n) local r = "" for f in pairs(M.h[n] or {}) do r = r .. f() end return r end
return M"#,
        ),
    ]);
    story.gives("fire()", "x1");
    story.edit("main.lua", r#""x1""#, r#""x2""#);
    story.gives("fire()", "x2");
    story.gives("stop() return fire()", "");
    story.edit("main.lua", r#""x2""#, r#""x3""#);
    story.gives("fire()", "");
}

#[test]
fn the_handle_of_a_job_is_that_of_the_job_that_runs() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local sched = require("sched")
local id = sched.every(5, function() return "t1" end)
function run() return sched.run() end
function cancel() sched.cancel(id) return sched.count() end"#,
        ),
        (
            "sched.lua",
            r#"local M = { jobs = {}, next = 1 }
function M.every(n, f) local id = M.next M.next = id + 1 M.jobs[id] = { n = n, f = f, runs = 0 } return id end
function M.cancel(id) M.jobs[id] = nil end
function M.run() local r = "" for id, j in pairs(M.jobs) do j.runs = j.runs + 1 r = r .. j.f() .. j.runs end return r end
function M.count() local n = 0 for _ in pairs(M.jobs) do n = n + 1 end return n end
return M"#,
        ),
    ]);
    story.gives("run()", "t11");
    story.edit("main.lua", r#""t1""#, r#""t2""#);
    story.gives("run()", "t22");
    story.gives(r#"require("sched").count()"#, "1");
    story.gives("cancel()", "0");
}

#[test]
fn a_system_that_is_registered_by_name_is_new_and_there_once() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local ecs = require("ecs")
ecs.component("pos", { x = 0, y = 0 })
ecs.system("move", { "pos" }, function(e) e.pos.x = e.pos.x + 1 return "m1" end)
local p = ecs.spawn { "pos" }
function tick() return ecs.tick(), p.pos.x, #ecs.entities, #ecs.order end"#,
        ),
        (
            "ecs.lua",
            r#"local M = { components = {}, systems = {}, order = {}, entities = {} }
function M.component(n, d) M.components[n] = d end
function M.system(n, needs, f) if not M.systems[n] then M.order[#M.order + 1] = n end M.systems[n] = { needs = needs, run = f } end
function M.spawn(cs) local e = {} for _, c in ipairs(cs) do e[c] = {} for k, v in pairs(M.components[c]) do e[c][k] = v end end M.entities[#M.entities + 1] = e return e end
function M.tick() local r = "" for _, n in ipairs(M.order) do for _, e in ipairs(M.entities) do r = r .. M.systems[n].run(e) end end return r end
return M"#,
        ),
    ]);
    story.gives("tick()", "m1 1 1 1");
    story.edit("main.lua", r#""m1""#, r#""m2""#);
    story.gives("tick()", "m2 2 1 1");
    story.edit("main.lua", "e.pos.x + 1", "e.pos.x + 10");
    story.gives("tick()", "m2 12 1 1");
    story.edit(
        "main.lua",
        "local p =",
        r#"ecs.system("draw", { "pos" }, function(e) return "d" end)
local p ="#,
    );
    story.gives("tick()", "m2d 22 1 2");
}

#[test]
fn what_is_added_to_an_object_that_stays_comes_into_its_lists() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local World = require("world")
world = World.new()
world:add("a", { update = function(self, dt) self.t = (self.t or 0) + dt return "u1:" .. self.t end })
function step() return world:step(1) end"#,
        ),
        (
            "world.lua",
            r#"local World = {} World.__index = World
function World.new() return setmetatable({ items = {}, names = {} }, World) end
function World:add(n, item) self.items[n] = item self.names[#self.names + 1] = n return self end
function World:step(dt) local r = "" for _, n in ipairs(self.names) do r = r .. self.items[n]:update(dt) end return r end
return World"#,
        ),
    ]);
    story.gives("step() return step()", "u1:2");
    story.edit("main.lua", r#""u1:""#, r#""u2:""#);
    story.gives("step()", "u2:3");
    story.edit("world.lua", "return r end", r#"return "<" .. r .. ">" end"#);
    story.gives("step()", "<u2:4>");
    story.edit(
        "main.lua",
        r#"world:add("a""#,
        r#"world:add("b", { update = function() return "b" end })
world:add("a""#,
    );
    story.gives("step()", "<u2:5b>");
}

#[test]
fn an_object_that_another_file_hands_out_stays() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local db = require("db")
local conn = db.connect("x")
function q() return conn:query() end
function same() return conn == require("db").connect("x") end"#,
        ),
        (
            "db.lua",
            r#"local pool = {}
local Conn = {} Conn.__index = Conn
function Conn:query() self.n = self.n + 1 return "q1:" .. self.n end
local M = {}
function M.connect(n) pool[n] = pool[n] or setmetatable({ n = 0 }, Conn) return pool[n] end
return M"#,
        ),
    ]);
    story.gives("q() return q()", "q1:2");
    story.edit("db.lua", r#""q1:""#, r#""q2:""#);
    story.gives("q(), same()", "q2:3 true");
    story.edit("main.lua", "return conn:query()", "return (conn:query())");
    story.gives("q(), same()", "q2:4 true");
    story.edit("main.lua", r#"connect("x")"#, r#"connect("y")"#);
    story.gives("q()", "q2:1");
}

#[test]
fn a_decorated_function_is_new_wherever_it_is_held() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local function traced(name, f) return function(...) calls = (calls or 0) + 1 return name .. ":" .. f(...) end end
M = {}
M.add = traced("add", function(a, b) return "v1" .. (a + b) end)
held = M.add"#,
    )]);
    story.gives("held(1, 2), calls", "add:v13 1");
    story.edit("main.lua", r#""v1""#, r#""v2""#);
    story.gives("held(1, 2), M.add(2, 2), calls", "add:v23 add:v24 3");
}

#[test]
fn a_method_that_its_own_bus_holds_is_new() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local Obj = {} Obj.__index = Obj
local bus = { h = {} }
function bus.on(n, o, m) bus.h[n] = { o = o, m = m } end
function Obj.new() local o = setmetatable({ n = 0 }, Obj) bus.on("t", o, Obj.tick) return o end
function Obj:tick() self.n = self.n + 1 return "T1:" .. self.n end
obj = Obj.new()
function fire() local h = bus.h.t return h.m(h.o) end"#,
    )]);
    story.gives("fire()", "T1:1");
    story.edit("main.lua", r#""T1:""#, r#""T2:""#);
    story.gives("fire(), obj.n", "T2:2 2");
}

#[test]
fn what_is_set_by_key_is_taken_where_it_is_edited() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local t = {}
local function def(k, v) t[k] = v end
def(1, "one") def(2, "two") def("x", "ex")
function get(k) return t[k] end
function set(k, v) t[k] = v end"#,
    )]);
    story.gives(r#"set(2, "zwei") return get(1), get(2), get("x")"#, "one zwei ex");
    story.edit("main.lua", "function get", "--[[]] function get");
    story.gives(r#"get(1), get(2), get("x")"#, "one zwei ex");
    story.edit("main.lua", r#""ex""#, r#""EX""#);
    story.gives(r#"get(1), get(2), get("x")"#, "one zwei EX");
    story.edit("main.lua", r#"def(2, "two")"#, r#"def(2, "deux")"#);
    story.gives(r#"get(1), get("x")"#, "one EX");
}

#[test]
fn what_a_file_registers_that_loads_for_the_first_time_is_there() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"for _, name in ipairs(require("plugins")) do require(name) end
function show() return table.concat(require("reg").names, ","), #require("reg").hooks end"#,
        ),
        ("plugins.lua", r#"return { "p1" }"#),
        ("reg.lua", "return { names = {}, hooks = {} }"),
        (
            "p1.lua",
            r#"local reg = require("reg")
local function add(n) reg.names[#reg.names + 1] = n end
add("one")
reg.hooks[#reg.hooks + 1] = function() end"#,
        ),
        (
            "p2.lua",
            r#"local reg = require("reg")
local function add(n) reg.names[#reg.names + 1] = n end
add("two")
reg.hooks[#reg.hooks + 1] = function() end"#,
        ),
    ]);
    story.gives("show()", "one 1");
    story.edit("plugins.lua", r#""p1""#, r#""p1", "p2""#);
    story.gives("show()", "one,two 2");
    story.edit("p2.lua", r#""two""#, r#""zwei""#);
    story.gives("show()", "one,zwei 2");
}

#[test]
fn objects_of_a_class_that_a_load_makes_are_there_once_and_keep_what_they_became() {
    let mut story = Story::new(&[
        ("main.lua", r#"local Window = require("window")
Window.new("a", function() return "a1" end)
Window.new("b", function() return "b1" end)
function show() local r = {} for i, w in ipairs(Window.all) do w.n = w.n + 1 r[i] = w.title .. w.draw() .. w.n end return table.concat(r, " ") end"#),
        ("window.lua", "local Window = { all = {} } Window.__index = Window
function Window.new(title, draw) local w = setmetatable({ title = title, draw = draw, n = 0 }, Window) Window.all[#Window.all + 1] = w return w end
return Window"),
    ]);
    story.gives("show()", "aa11 bb11");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives("show()", "aa22 bb12");
    story.edit(
        "main.lua",
        r#"Window.new("b""#,
        r#"Window.new("c", function() return "c1" end)
Window.new("b""#,
    );
    story.gives("show()", "aa23 bb13 cc11");
    story.edit("main.lua", r#""b""#, r#""B""#);
    story.gives("show()", "aa24 Bb14 cc12");
    story.edit("main.lua", r#"Window.new("c", function() return "c1" end)"#, "");
    story.gives("show()", "aa25 Bb15");
}

#[test]
fn so_are_objects_without_a_function_of_their_own() {
    let mut story = Story::new(&[
        ("main.lua", r#"local Window = require("window")
Window.new("a") Window.new("b")
function show() local r = {} for i, w in ipairs(Window.all) do w.n = w.n + 1 r[i] = w.title .. w.n end return table.concat(r, " ") end"#),
        ("window.lua", "local Window = { all = {} } Window.__index = Window
function Window.new(title) local w = setmetatable({ title = title, n = 0 }, Window) Window.all[#Window.all + 1] = w return w end
return Window"),
    ]);
    story.gives("show()", "a1 b1");
    story.edit("main.lua", "return table.concat", r#"return "" .. table.concat"#);
    story.gives("show()", "a2 b2");
    story.edit("main.lua", r#"Window.new("b")"#, r#"Window.new("b") Window.new("c")"#);
    story.gives("show()", "a3 b3 c1");
    story.edit("main.lua", r#"Window.new("a")"#, "");
    story.gives("show()", "b4 c2");
}

#[test]
fn a_callback_leaves_and_the_thing_that_had_it_stays() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local ui = require("ui")
ui.get("ok").onClick = function() return "c1" end
ui.hook(ui.get("no"), function() return "n1" end)
function show() return ui.all[1].id, ui.all[1].onClick and ui.all[1].onClick(), #ui.all, ui.all[2].cb and ui.all[2].cb() end"#,
        ),
        (
            "ui.lua",
            r#"local M = { all = { { id = "ok" }, { id = "no" } } }
function M.get(id) for _, w in ipairs(M.all) do if w.id == id then return w end end end
function M.hook(w, f) w.cb = f M.last = w end
return M"#,
        ),
    ]);
    story.gives("show()", "ok c1 2 n1");
    story.edit("main.lua", r#""c1""#, r#""c2""#);
    story.gives("show()", "ok c2 2 n1");
    story.edit("main.lua", r#"ui.hook(ui.get("no"), function() return "n1" end)"#, "");
    story.gives("show()", "ok c2 2 nil");
}
