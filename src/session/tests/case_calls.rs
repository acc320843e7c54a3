//! Code that a file hands to others by calls: handlers, commands, routes. No definition names it, so it is found by
//! where the load put it.

use super::story::Story;

#[test]
fn handlers_that_a_file_registers_with_itself_are_new_come_and_leave() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local handlers = {}
local function on(n, f) handlers[n] = f end
on("a", function() return "a1" end)
function fire(n) local h = handlers[n] return h and h() end"#,
    )]);
    story.gives(r#"fire("a")"#, "a1");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives(r#"fire("a")"#, "a2");
    story.edit(
        "main.lua",
        "function fire",
        r#"on("b", function() return "b1" end)
function fire"#,
    );
    story.gives(r#"fire("a"), fire("b")"#, "a2 b1");
    story.edit("main.lua", r#"on("a", function() return "a2" end)"#, "");
    story.gives(r#"fire("a"), fire("b")"#, "nil b1");
}

#[test]
fn a_bus_within_the_file_has_each_handler_once_and_those_of_the_program_stay() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local handlers = {}
local function on(n, f) handlers[n] = handlers[n] or {} table.insert(handlers[n], f) end
local function off(n, f) for i, h in ipairs(handlers[n]) do if h == f then table.remove(handlers[n], i) end end end
local hits = 0
on("x", function(v) hits = hits + v return "a1" end)
on("x", function(v) return "b1" end)
on("y", function(v) return "c1" end)
function emit(n, v) local r = "" for _, h in ipairs(handlers[n] or {}) do r = r .. h(v) end return r, hits end
function add(n) on(n, function() return "rt" end) end"#,
    )]);
    story.gives(r#"emit("x", 2)"#, "a1b1 2");
    story.gives(r#"add("x") return emit("x", 1)"#, "a1b1rt 3");
    story.edit("main.lua", r#""b1""#, r#""b2""#);
    story.gives(r#"emit("x", 1)"#, "a1b2rt 4");
    story.edit(
        "main.lua",
        r#"on("y", function(v) return "c1" end)"#,
        r#"on("y", function(v) return "c1" end) on("x", function() return "d1" end)"#,
    );
    story.gives(r#"emit("x", 1)"#, "a1b2rtd1 5");
    story.gives(r#"emit("y", 1)"#, "c1 5");
    story.edit("main.lua", r#"on("x", function(v) return "b2" end)"#, "");
    story.gives(r#"emit("x", 1)"#, "a1rtd1 6");
}

#[test]
fn a_list_that_a_function_of_the_file_fills_has_the_new_functions() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local handlers = {}
local function on(f) handlers[#handlers + 1] = f end
on(function() return "a1" end)
function fire() local r = "" for _, h in ipairs(handlers) do r = r .. h() end return r end"#,
    )]);
    story.gives("fire()", "a1");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives("fire()", "a2");
    story.edit(
        "main.lua",
        "function fire",
        r#"on(function() return "b1" end)
function fire"#,
    );
    story.gives("fire()", "a2b1");
    story.edit("main.lua", r#"on(function() return "a2" end)"#, "");
    story.gives("fire()", "b1");
}

#[test]
fn what_a_record_of_a_function_has_counted_stays() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local jobs = {}
local function every(n, f) jobs[#jobs + 1] = { n = n, f = f, due = 0 } end
every(5, function() return "x1" end)
every(7, function() return "y1" end)
function run() local r = "" for _, j in ipairs(jobs) do j.due = j.due + j.n r = r .. j.f() .. j.due .. " " end return r end"#,
    )]);
    story.gives(r#"(run():gsub(" ", "_"))"#, "x15_y17_");
    story.edit("main.lua", r#""x1""#, r#""x2""#);
    story.gives(r#"(run():gsub(" ", "_"))"#, "x210_y114_");
    story.edit("main.lua", "every(7", "every(8");
    story.gives(r#"(run():gsub(" ", "_"))"#, "x215_y122_");
    story.edit("main.lua", r#"every(5, function() return "x2" end)"#, "");
    story.gives(r#"(run():gsub(" ", "_"))"#, "y130_");
}

#[test]
fn routes_keep_their_hits_come_and_leave() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local app = { routes = {} }
function app:get(path, f) self.routes[#self.routes + 1] = { path = path, f = f, hits = 0 } end
app:get("/", function() return "home1" end)
app:get("/about", function() return "about1" end)
function req(p) for _, r in ipairs(app.routes) do if r.path == p then r.hits = r.hits + 1 return r.f(), r.hits end end return 404 end"#,
    )]);
    story.gives(r#"req("/")"#, "home1 1");
    story.edit("main.lua", r#""home1""#, r#""home2""#);
    story.gives(r#"req("/")"#, "home2 2");
    story.edit(
        "main.lua",
        r#"app:get("/about","#,
        r#"app:get("/new", function() return "new" end)
app:get("/about","#,
    );
    story.gives(r#"req("/new")"#, "new 1");
    story.gives(r#"req("/")"#, "home2 3");
    story.gives(r#"req("/about")"#, "about1 1");
    story.edit("main.lua", r#"app:get("/new", function() return "new" end)"#, "");
    story.gives(r#"req("/new")"#, "404");
    story.gives(r#"req("/about")"#, "about1 2");
}

/// `command` is what registers one.
fn commands_are_edited(story: &mut Story, command: &str) {
    story.gives(r#"exec("look")"#, "dark1 1 look around");
    story.edit("main.lua", r#""dark1""#, r#""dark2""#);
    story.gives(r#"exec("look")"#, "dark2 2 look around");
    story.edit("main.lua", r#""look around""#, r#""look about""#);
    story.gives(r#"exec("look")"#, "dark2 3 look about");
    let sit = format!(r#"{command}("sit", "sit down", function(c) return "ok" end)"#);
    story.edit("main.lua", "function exec", &format!("{sit}\nfunction exec"));
    story.gives(r#"exec("sit")"#, "ok 0 sit down");
    story.gives(r#"exec("look")"#, "dark2 4 look about");
    let go = format!(r#"{command}("go", "walk", function(c) c.used = c.used + 1 return "north1" end)"#);
    story.edit("main.lua", &go, "");
    story.gives(r#"exec("go")"#, "?");
    story.gives(r#"exec("look")"#, "dark2 5 look about");
}

#[test]
fn commands_by_name_keep_what_they_counted_and_take_what_is_edited() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local commands = {}
local function command(name, help, run) commands[name] = { help = help, run = run, used = 0 } end
command("look", "look around", function(c) c.used = c.used + 1 return "dark1" end)
command("go", "walk", function(c) c.used = c.used + 1 return "north1" end)
function exec(n) local c = commands[n] if not c then return "?" end return c.run(c), c.used, c.help end"#,
    )]);
    commands_are_edited(&mut story, "command");
}

#[test]
fn commands_in_a_registry_of_another_file_do_so_too() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local c = require("commands")
c.add("look", "look around", function(c) c.used = c.used + 1 return "dark1" end)
c.add("go", "walk", function(c) c.used = c.used + 1 return "north1" end)
function exec(n) local s = c.all[n] if not s then return "?" end return s.run(s), s.used, s.help end"#,
        ),
        (
            "commands.lua",
            "local M = { all = {} }
function M.add(n, help, run) M.all[n] = { help = help, run = run, used = 0 } end
return M",
        ),
    ]);
    commands_are_edited(&mut story, "c.add");
}

/// Another file, and two handlers that are registered with it.
const TWO_HANDLERS: [(&str, &str); 2] = [
    (
        "main.lua",
        r#"local bus = require("bus")
bus.set("x", function() return "x1" end)
bus.set("y", function() return "y1" end)"#,
    ),
    (
        "bus.lua",
        "local M = { h = {} }
function M.set(n, f) M.h[n] = f end
return M",
    ),
];

#[test]
fn a_handler_that_is_registered_by_another_name_leaves_the_old_one() {
    let mut story = Story::new(&TWO_HANDLERS);
    story.gives(r#"require("bus").h.y()"#, "y1");
    story.edit("main.lua", r#"bus.set("y""#, r#"bus.set("z""#);
    story.gives(r#"require("bus").h.y, require("bus").h.z(), require("bus").h.x()"#, "nil y1 x1");
}

#[test]
fn a_handler_whose_line_left_is_gone_from_another_file() {
    let mut story = Story::new(&TWO_HANDLERS);
    story.gives(r#"require("bus").h.x()"#, "x1");
    story.edit("main.lua", r#""x1""#, r#""x2""#);
    story.gives(r#"require("bus").h.x(), require("bus").h.y()"#, "x2 y1");
    story.edit("main.lua", r#"bus.set("y", function() return "y1" end)"#, "");
    story.gives(r#"require("bus").h.x(), require("bus").h.y"#, "x2 nil");
}

#[test]
fn functions_without_a_name_that_are_keys_are_there_once() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local sig = require("sig")
sig.connect(function() return "a1" end)
function fire() return sig.fire() end"#,
        ),
        (
            "sig.lua",
            r#"local M = { slots = {} }
function M.connect(f) M.slots[f] = true end
function M.fire() local r = "" for f in pairs(M.slots) do r = r .. f() end return r end
return M"#,
        ),
    ]);
    story.gives("fire()", "a1");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives("fire()", "a2");
}

#[test]
fn handlers_of_an_object_that_the_file_made_are_new_come_and_leave() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local Emitter = require("emitter")
local e = Emitter.new()
e:on("a", function() return "1" end)
function fire() return e:emit("a") end
E = e"#,
        ),
        (
            "emitter.lua",
            r#"local Emitter = {} Emitter.__index = Emitter
function Emitter.new() return setmetatable({ h = {}, n = 0 }, Emitter) end
function Emitter:on(n, f) self.h[n] = self.h[n] or {} table.insert(self.h[n], f) end
function Emitter:emit(n) self.n = self.n + 1 local r = "" for _, f in ipairs(self.h[n] or {}) do r = r .. f() end return r .. self.n end
return Emitter"#,
        ),
    ]);
    story.gives("fire()", "11");
    story.edit("main.lua", r#""1""#, r#""2""#);
    story.gives("fire()", "22");
    story.edit(
        "main.lua",
        "function fire",
        r#"e:on("a", function() return "z" end)
function fire"#,
    );
    story.gives("fire()", "2z3");
    story.edit("emitter.lua", "return r .. self.n", r#"return r .. "/" .. self.n"#);
    story.gives("fire()", "2z/4");
    story.edit("main.lua", r#"e:on("a", function() return "2" end)"#, "");
    story.gives("fire()", "z/5");
}

#[test]
fn handlers_that_a_function_of_the_file_registers_are_new() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local reg = {}
local function add(n, f) reg[n] = f end
local function setup()
  add("a", function() return "a1" end)
  add("b", function() return "b1" end)
end
setup()
function call(n) return reg[n] and reg[n]() end"#,
    )]);
    story.gives(r#"call("a")"#, "a1");
    story.edit("main.lua", r#""a1""#, r#""a2""#);
    story.gives(r#"call("a"), call("b")"#, "a2 b1");
    story.edit(
        "main.lua",
        r#"add("b", function() return "b1" end)"#,
        r#"add("b", function() return "b1" end) add("c", function() return "c1" end)"#,
    );
    story.gives(r#"call("a"), call("c")"#, "a2 c1");
}

#[test]
fn classes_that_a_function_of_the_file_makes_come_with_their_methods() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local classes = {}
local function class(name) local c = { name = name } c.__index = c classes[name] = c return c end
local A = class("A")
function A:hi() return "A1" end
local B = class("B")
function B:hi() return "B1" end
obj = setmetatable({}, A)
function make(n) return setmetatable({}, classes[n]) end"#,
    )]);
    story.gives(r#"obj:hi(), make("B"):hi()"#, "A1 B1");
    story.edit("main.lua", r#""A1""#, r#""A2""#);
    story.gives(r#"obj:hi(), make("A"):hi()"#, "A2 A2");
    story.edit(
        "main.lua",
        "obj = setmeta",
        r#"local C = class("C")
function C:hi() return "C1" end
obj = setmeta"#,
    );
    story.gives(r#"make("C"):hi(), obj:hi()"#, "C1 A2");
}

#[test]
fn a_state_that_a_method_adds_comes_and_the_one_in_force_stays() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"Game = require("game")
g = Game.new()"#,
        ),
        (
            "game.lua",
            r#"local Game = {} Game.__index = Game
Game.States = {}
function Game:addState(name) self.States[name] = self.States[name] or {} return self.States[name] end
local Menu = Game:addState("Menu")
local Play = Game:addState("Play")
function Menu:draw() return "menu1" end
function Play:draw() return "play1" .. self.score end
function Game.new() return setmetatable({ state = "Menu", score = 0 }, Game) end
function Game:goto_(name) self.state = name end
function Game:draw() return self.States[self.state].draw(self) end
return Game"#,
        ),
    ]);
    story.gives(r#"g:goto_("Play") g.score = 4 return g:draw()"#, "play14");
    story.edit("game.lua", r#""play1""#, r#""play2""#);
    story.gives("g:draw(), g.state", "play24 Play");
    story.edit(
        "game.lua",
        r#"local Play = Game:addState("Play")"#,
        r#"local Pause = Game:addState("Pause")
local Play = Game:addState("Play")
function Pause:draw() return "pause" end"#,
    );
    story.gives(r#"g:goto_("Pause") return g:draw()"#, "pause");
    story.gives(r#"g:goto_("Play") return g:draw()"#, "play24");
}

#[test]
fn a_record_that_a_method_made_and_a_local_names_is_one_and_keeps_its_clicks() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local ui = { widgets = {}, focus = 0 }
function ui:button(text, cb) local b = { text = text, cb = cb, clicks = 0 } self.widgets[#self.widgets + 1] = b return b end
local ok = ui:button("OK", function(b) b.clicks = b.clicks + 1 return "ok1" end)
ui:button("Cancel", function(b) b.clicks = b.clicks + 1 return "no1" end)
function click(i) local b = ui.widgets[i] return b.cb(b), b.clicks, b.text end
function count() return #ui.widgets end
function same() return ui.widgets[1] == ok end"#,
    )]);
    story.gives("click(1) click(2) return click(1)", "ok1 2 OK");
    story.edit("main.lua", r#""ok1""#, r#""ok2""#);
    story.gives("click(1)", "ok2 3 OK");
    story.gives("click(2)", "no1 2 Cancel");
    story.gives("same(), count()", "true 2");
    story.edit("main.lua", r#""no1""#, r#""no2""#);
    story.gives("click(2)", "no2 3 Cancel");
    story.gives("same(), count()", "true 2");
}

#[test]
fn an_object_of_which_only_functions_are_edited_keeps_its_data() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local B = require("b")
app = B.app("x"):route("/", function() return "r1" end):route("/b", function() return "b1" end)
function call(p) app.hits = app.hits + 1 return app.routes[p](), app.hits end"#,
        ),
        (
            "b.lua",
            "local B = {} B.__index = B
function B.app(n) return setmetatable({ name = n, routes = {}, hits = 0 }, B) end
function B:route(p, f) self.routes[p] = f return self end
return B",
        ),
    ]);
    story.gives(r#"call("/")"#, "r1 1");
    story.edit("main.lua", r#""r1""#, r#""r2""#);
    story.gives(r#"call("/")"#, "r2 2");
    story.edit("main.lua", r#":route("/b""#, r#":route("/c", function() return "c1" end):route("/b""#);
    story.gives(r#"call("/c")"#, "c1 1");
    story.gives(r#"call("/")"#, "r2 2");
}

#[test]
fn a_method_of_one_object_is_new_and_leaves_with_its_line() {
    let mut story = Story::new(&[
        (
            "main.lua",
            r#"local Player = require("player")
p = Player.new("bob")
function p:greet() return "hi1 " .. self.name end"#,
        ),
        (
            "player.lua",
            r#"local P = {} P.__index = P
function P.new(n) return setmetatable({ name = n, hp = 3 }, P) end
function P:greet() return "base" end
return P"#,
        ),
    ]);
    story.gives("p.hp = 1 return p:greet()", "hi1 bob");
    story.edit("main.lua", r#""hi1 ""#, r#""hi2 ""#);
    story.gives("p:greet(), p.hp", "hi2 bob 1");
    story.edit("main.lua", r#"function p:greet() return "hi2 " .. self.name end"#, "");
    story.gives("p:greet(), p.hp", "base 1");
}

#[test]
fn functions_that_a_loop_makes_are_new_wherever_they_are_held_and_leave() {
    let mut story = Story::new(&[(
        "main.lua",
        r#"local M = { vals = { a = 1, b = 2 } }
for _, name in ipairs { "a", "b" } do
  M["get_" .. name] = function() return "v" .. M.vals[name] end
end
M2 = M
function hold() held = M.get_a list = { M.get_b } end"#,
    )]);
    story.gives("hold() M2.vals.a = 5 return held(), M2.get_b()", "v5 v2");
    story.edit("main.lua", r#""v" .."#, r#""w" .."#);
    story.gives("held(), M2.get_a(), M2.get_b(), list[1]()", "w5 w5 w2 w2");
    story.edit("main.lua", r#"{ "a", "b" } do"#, r#"{ "a" } do"#);
    story.gives("held(), M2.get_a(), M2.get_b", "w5 w5 nil");
}
