---@meta
-- What the Lua language server knows of `session`. Nothing loads this file, and running it changes
-- nothing. The documentation of lua-hotloader tells more.

---What objects have in common: the fields they start with, and their methods. Base your class on it in the lines
---above `session:prototype`, and the editor knows each name that is misspelt:
---
---    ---@class (exact) App: Prototype
---    ---@field clicks integer
---    local App = session:prototype("App", { clicks = 0 })
---@class Prototype
---@field type string its name, by which views are found
---@field mutate? fun(self: table, changes: PrototypeChanges) brings an old object up to fields that were edited
local Prototype = {}

---Makes an object.
---@generic T
---@param self T
---@param instance? table
---@return T
function Prototype:new(instance) end

---@class PrototypeChanges
---@field added string[] names of the fields that are new
---@field removed table<string, any> fields that are gone, with the value they had

---What a method gets that `ui-upload` binds. All of it comes from the browser.
---@class Upload
---@field name string as the file is called there, without a directory
---@field type string such as "text/csv"; may be empty
---@field size integer bytes
---@field content string the bytes: all of them, or those of a piece with `?stream`
---@field at? integer with `?stream`: bytes that came before
---@field last? boolean with `?stream`: whether this is the last piece

---@alias LogLevel "error" | "warn" | "info" | "debug" | "trace"

---The session: one browser's state. Its tabs share it.
---@class Session
---@field reloading boolean true while saved files run, and while objects are migrated
---@field url string where the page is, below the session's own address: a path, with a query if there is one; "/" at first
local Session = {}

---The prototype of that name. The first call makes it; later ones give the same table, with what the
---source says now.
---@param name string dots are allowed
---@param init? table fields that every object starts with; EMPTY declares one that starts as nil
---@param base? table the prototype it is based on; if none is given, the one named "Object" if there is one
---@return any prototype of the class that is declared above it
function Session:prototype(name, init, base) end

---Forgets a prototype. Objects of it stay as they are.
---@param name string
---@param children? boolean likewise every prototype whose name begins with `name` and a dot
function Session:removePrototype(name, children) end

---Makes a table an object of a prototype. `Prototype:new` does so.
---@generic T
---@param prototype T
---@param instance? table a new one if it is left out
---@return T
function Session:create(prototype, instance) end

---Makes an object the application: variable 1, what the page shows. Calling it again is harmless.
---@param object table
---@param properties? table<string, string | number | boolean> of variable 1
---@return integer id 1
function Session:createAppVariable(object, properties) end

---The application; nil as long as there is none.
---@return any
function Session:getApp() end

---Leads the session's browsers to another address below the session's own. Back and forward lead through what was
---visited, and `session.url` follows.
---@param path string begins with a slash; may have a query
function Session:navigate(path) end

---Makes a variable that every browser of the session gets, beside those it makes itself.
---@param parent integer | table | nil the id or the object of a variable of the session
---@param object? table what it shows; nil if the properties have a path
---@param properties? table<string, string | number | boolean>
---@return integer id below zero
function Session:createVariable(parent, object, properties) end

---Ends a variable of `createVariable`, and those below it. An unknown one is none to end.
---@param which integer | table its id or its object
function Session:destroyVariable(which) end

---Lets a page's own scripts ask for these paths of a prototype's objects, beside what its viewdefs bind. What
---a file exposed goes when the file runs again, or is gone.
---@param prototype table | string a prototype, or its name
---@param paths string[] as in viewdefs; with `?access=r` after it, one can only be shown
function Session:expose(prototype, paths) end

---Calls a function once, after some time.
---@param callback fun()
---@param ms? number
---@return integer handle
---@overload fun(self: Session, object: table, method: string, ms?: number): integer
function Session:setTimeout(callback, ms) end

---Calls a function again and again. With an object and a method's name, the method is looked up at each
---tick.
---@param callback fun()
---@param ms? number at least 10
---@return integer handle
---@overload fun(self: Session, object: table, method: string, ms?: number): integer
function Session:setInterval(callback, ms) end

---Calls a function as soon as what runs now has ended.
---@param callback fun()
---@return integer handle
function Session:setImmediate(callback) end

---@param handle? integer an unknown one is none to end
function Session:clearTimeout(handle) end

---@param handle? integer an unknown one is none to end
function Session:clearInterval(handle) end

---@param handle? integer an unknown one is none to end
function Session:clearImmediate(handle) end

---Calls a function for each message of a topic. One that is made while a file loads belongs to that version of it.
---@param topic string parts with dots between them; `*` stands for any one part, a last `>` for one or more
---@param callback fun(value: any, topic: string)
---@return integer handle
function Session:subscribe(topic, callback) end

---@param handle? integer an unknown one is none to end
function Session:unsubscribe(handle) end

---Tells all sessions that have subscribed, this one included. Who is not there does not hear it.
---@param topic string
---@param value any as JSON can write it
function Session:publish(topic, value) end

---Writes to the server's log.
---@param level LogLevel
---@param message any
function Session:log(level, message) end

---Forgets a module, so that the next `require` runs it again.
---@param name string
function Session:unloadModule(name) end

---Forgets all modules of a directory.
---@param dir string below the Lua directory
function Session:unloadDirectory(dir) end

---Begins anew in a new state, under the same id. The browsers render anew.
function Session:restart() end

---What is to go on at another server, or after a restart: a site defines it. Nil: nothing.
---@return any data what JSON can have
---@return any version of its form
function Session:snapshot() end

---The session goes on here: called after main.lua, if the site defines it.
---@param data any what `snapshot` gave
---@param version any
function Session:restore(data, version) end

---@type Session
session = session

---Stands for nil in the fields of a prototype: declared, and nil at first.
---@class EMPTY
---@type EMPTY
EMPTY = EMPTY
