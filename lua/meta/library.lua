---@meta
-- What is another in a session than in plain Lua 5.4. Nothing loads this file, and running it changes
-- nothing. What the language server must not take for granted (`io`, and the rest of `os`, `debug` and
-- `package`) is turned off in .luarc.json.

---@class Os
local Os = {}

---@param date? table
---@return integer
function Os.time(date) end

---@return number seconds of processor time
function Os.clock() end

---@param format? string
---@param time? integer
---@return string | table
function Os.date(format, time) end

---@param later integer
---@param earlier integer
---@return number seconds
function Os.difftime(later, earlier) end

---@type Os
os = os

---@class Debug
local Debug = {}

---@param ... any a coroutine, a message, a level
---@return string
function Debug.traceback(...) end

---Without `func` and `activelines`.
---@param what integer | function
---@param fields? string
---@return table?
function Debug.getinfo(what, fields) end

---@type Debug
debug = debug

---@class Package
---@field loaded table<string, any> modules by name; without its entry, a module runs again at the next `require`
local Package = {}

---@type Package
package = package

-- Assigning these would change something, so this never runs.
if false then
  ---The module `a.b` is a/b.lua, else a/b/init.lua, in the Lua directory. It runs once in a session.
  ---@param name string
  ---@return any
  function require(name) end

  ---Writes to the server's log, with the session's id.
  ---@param ... any
  function print(...) end

  ---@deprecated use require
  function dofile() end

  ---@deprecated use require
  function loadfile() end

  ---A handler runs after unwinding: debug.traceback in it shows only where xpcall was.
  ---@param f function
  ---@param handler function
  ---@param ... any
  ---@return boolean ok
  ---@return any ...
  function xpcall(f, handler, ...) end

  ---Takes text only.
  ---@param chunk string | function
  ---@param name? string
  ---@param mode? string not looked at
  ---@param ... table
  ---@return function?
  ---@return string? problem
  function load(chunk, name, mode, ...) end

  ---Refuses a metatable with __gc.
  ---@generic T: table
  ---@param object T
  ---@param metatable? table
  ---@return T
  function setmetatable(object, metatable) end

  ---@param what? "collect" | "count" | "step"
  ---@param ... any
  ---@return any
  function collectgarbage(what, ...) end
end
