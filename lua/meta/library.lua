---@meta
-- What is another in a session than in plain Lua 5.4. Nothing loads this file, and running it changes
-- nothing. What the language server must not take for granted (`debug`, `io`, `os` and `package`) is
-- turned off in .luarc.json.

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

---Nil, unless the site's `lua.env` lists it.
---@param name string
---@return string?
function Os.getenv(name) end

---A session writes no files: gives nil and says why.
---@param ... any
---@return nil, string
function Os.remove(...) end

---A session writes no files: gives nil and says why.
---@param ... any
---@return nil, string
function Os.rename(...) end

---A session starts no programs: gives nil and says why; false without a command.
---@param command? string
---@return boolean?, string?
function Os.execute(command) end

---@deprecated a session writes no files
function Os.tmpname() end

---@deprecated use session:restart()
function Os.exit() end

---@param locale? string
---@return "C"?
function Os.setlocale(locale) end

---@type Os
os = os

---A file of the site that can be read, or one that writes to the log.
---@class File
---@field read fun(self: File, ...: string | integer): any
---@field lines fun(self: File, ...: string | integer): function
---@field seek fun(self: File, whence?: "set" | "cur" | "end", offset?: integer): integer?, string?
---@field write fun(self: File, ...: string | number): File?, string?
---@field flush fun(self: File): File
---@field setvbuf fun(self: File, mode: string, size?: integer): boolean
---@field close fun(self: File): boolean

---@class Io
---@field stdout File writes to the server's log
---@field stderr File writes to the server's log, as warnings
---@field stdin File has nothing
local Io = {}

---Opens a file of the site, below its Lua directory or `lua.files`, to read it. A module that does so while it
---loads runs again when the file is saved.
---@param name string relative to the site: `data/words.txt`
---@param mode? "r" | "rb"
---@return File?
---@return string? problem
function Io.open(name, mode) end

---@param name? string
---@param ... string | integer
---@return function
function Io.lines(name, ...) end

---@param ... string | integer
---@return any
function Io.read(...) end

---Writes to the server's log.
---@param ... string | number
---@return File
function Io.write(...) end

---@param file? string | File
---@return File
function Io.input(file) end

---@param file? File
---@return File
function Io.output(file) end

---@param file? File
---@return boolean
function Io.close(file) end

---@param value any
---@return "file" | "closed file" | nil
function Io.type(value) end

---A session starts no programs: gives nil and says why.
---@param ... any
---@return nil, string
function Io.popen(...) end

---A session writes no files: gives nil and says why.
---@param ... any
---@return nil, string
function Io.tmpfile(...) end

---@type Io
io = io

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

---The metatable, unless it is closed by `__metatable`.
---@param value any
---@return any
function Debug.getmetatable(value) end

---@type Debug
debug = debug

---@class Package
---@field loaded table<string, any> modules by name; without its entry, a module runs again at the next `require`
---@field config string
---@field path string where `require` looks, beside the Lua directory itself, if that is changed
---@field cpath string
---@field preload table<string, function>
---@field searchers function[]
local Package = {}

---@param name string
---@param path string
---@param separator? string
---@param replacement? string
---@return string? file
---@return string? problem
function Package.searchpath(name, path, separator, replacement) end

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

  ---Takes text only, and files of the site: see `io.open`.
  ---@param name string
  ---@param mode? string not looked at
  ---@param ... table
  ---@return function?
  ---@return string? problem
  function loadfile(name, mode, ...) end

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
