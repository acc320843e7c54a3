-- What a session has in place of the machine: `io`, the rest of `os` and of `package`, and `loadfile`. Libraries ask
-- for these while they load. Nothing in here reaches a file, a process or the environment by itself: what can be
-- read, `host` has. Loaded when something of it is first looked for.
local P = ...
local host, getmetatable, getinfo = P.host, P.debug.getmetatable, P.debug.getinfo
local error, rawget, setmetatable, tonumber, tostring, type = error, rawget, setmetatable, tonumber, tostring, type
local concat, unpack, pack = table.concat, table.unpack, table.pack
local find, gmatch, gsub, sub = string.find, string.gmatch, string.gsub, string.sub

local no_file = "a session writes no files; keep it in a table, or have a program of your own write it"
local no_process = "a session starts no programs; have one of your own do it, and ask that from the page"

-- The log says it once: a library may pass over what it gets.
local told = {}
local function word(name, instead, given)
  local call = given == nil and name or name .. "(" .. tostring(given) .. ")"
  local text = call .. " is not available in a session: " .. instead
  if not told[name] then
    told[name] = true
    local info = getinfo(3, "Sl")
    local place = info and info.currentline > 0 and sub(info.source, 2) .. ":" .. info.currentline .. ": " or ""
    host.log("warn", place .. text)
  end
  return text
end

local function gives_nil(name, instead)
  return function(...) return nil, word(name, instead, ...), 1 end
end

---------------------------------------------------------------- files
local File = { __name = "FILE*" }
File.__index = File
function File:__tostring() return self._closed and "file (closed)" or "file (" .. self._name .. ")" end

local function is_file(value) return type(value) == "table" and getmetatable(value) == File end

local function open_file(file, what)
  if not is_file(file) then error("bad argument #1 to '" .. what .. "' (FILE* expected, got " .. type(file) .. ")", 3) end
  if file._closed then error("attempt to use a closed file", 3) end
  return file
end

local function text_file(name, text) return setmetatable({ _name = name, _text = text, _at = 1, _closed = false }, File) end

-- A numeral as Lua writes them, or nil.
local function read_number(file)
  local _, last, token = find(file._text, "^%s*([-+.%w]*)", file._at)
  for length = #token < 200 and #token or 200, 1, -1 do
    local number = tonumber(sub(token, 1, length))
    if number then
      file._at = last - #token + length + 1
      return number
    end
  end
  file._at = last - #token + 1
end

local function read_line(file, with_end)
  local text, at = file._text, file._at
  if at > #text then return nil end
  local found = find(text, "\n", at, true)
  file._at = (found or #text) + 1
  if not found then return sub(text, at) end
  return sub(text, at, with_end and found or found - 1)
end

local function read_one(file, format)
  if type(format) == "number" then
    if file._at > #file._text then return nil end
    local part = sub(file._text, file._at, file._at + format - 1)
    file._at = file._at + #part
    return part
  end
  local kind = type(format) == "string" and find(format, "^%*?[nlLa]") and sub(gsub(format, "^%*", ""), 1, 1)
  if kind == "a" then
    local part = sub(file._text, file._at)
    file._at = #file._text + 1
    return part
  elseif kind == "n" then
    return read_number(file)
  elseif kind then
    return read_line(file, kind == "L")
  end
  error("bad argument to 'read' (invalid format)", 4)
end

local function read(file, ...)
  if file._word then return nil, word(file._word[1], file._word[2]), 1 end
  local formats = pack(...)
  if formats.n == 0 then return (read_line(file)) end
  local results = {}
  for i = 1, formats.n do
    results[i] = read_one(file, formats[i])
    -- What comes after the end is not looked for.
    if results[i] == nil then return unpack(results, 1, i) end
  end
  return unpack(results, 1, formats.n)
end

function File:read(...) return read(open_file(self, "read"), ...) end

local function lines_of(file, closes, ...)
  local formats = pack(...)
  return function()
    if file._closed then error("file is already closed", 2) end
    local results = pack(read(file, unpack(formats, 1, formats.n)))
    if results[1] == nil and closes then file._closed = true end
    return unpack(results, 1, results.n)
  end
end

function File:lines(...) return lines_of(open_file(self, "lines"), false, ...) end

function File:seek(whence, offset)
  open_file(self, "seek")
  local from = whence == "set" and 0 or whence == "end" and #self._text or self._at - 1
  local at = from + (offset or 0)
  if at < 0 then return nil, self._name .. ": Invalid argument", 22 end
  self._at = at + 1
  return at
end

function File:write(...)
  open_file(self, "write")
  if not self._level then return nil, word("writing to " .. self._name, no_file), 9 end
  local parts = pack(...)
  for i = 1, parts.n do
    local kind = type(parts[i])
    if kind ~= "string" and kind ~= "number" then
      error("bad argument #" .. i .. " to 'write' (string expected, got " .. kind .. ")", 2)
    end
    host.write(self._level, tostring(parts[i]))
  end
  return self
end

function File:flush() return open_file(self, "flush") end
function File:setvbuf() return open_file(self, "setvbuf") and true end
function File:close()
  open_file(self, "close")._closed = not self._level
  return true
end
-- `local file <close> = io.open(…)`
function File:__close() self._closed = not self._level end

local function output(name, level)
  local file = text_file(name, "")
  file._level = level
  return file
end

local stdin = text_file("stdin", "")
stdin._word = { "reading from stdin", "a session has no terminal; io.open reads the site's files" }
local io = { stdout = output("stdout", "info"), stderr = output("stderr", "warn"), stdin = stdin }

-- The module that runs, and the line of it that is at work: it is run again when the file is saved.
local function reader()
  local record = P.stack[#P.stack]
  if not record then return nil end
  for level = 3, 200 do
    local info = getinfo(level, "Sl")
    if not info then break end
    if info.what == "main" and info.source == record.source then return record.path, info.currentline end
  end
  return record.path, 0
end

local function content(name)
  local path, line = reader()
  return host.read(tostring(name), path, line)
end

function io.open(name, mode)
  if type(name) ~= "string" then error("bad argument #1 to 'open' (string expected, got " .. type(name) .. ")", 2) end
  if mode ~= nil and not find(mode, "^[rwa]%+?b?$") then error("bad argument #2 to 'open' (invalid mode)", 2) end
  if mode and not find(mode, "^rb?$") then return nil, name .. ": " .. word("io.open to write", no_file), 13 end
  local text, problem = content(name)
  if not text then return nil, problem, 2 end
  return text_file(name, text)
end

function io.lines(name, ...)
  if name == nil then return lines_of(io.input(), false, ...) end
  local text, problem = content(name)
  if not text then error(problem, 2) end
  local file = text_file(name, text)
  return lines_of(file, true, ...), nil, nil, file
end

local input, out = stdin, io.stdout
function io.input(file)
  if type(file) == "string" then
    local text, problem = content(file)
    if not text then error(problem, 2) end
    file = text_file(file, text)
  end
  if file ~= nil then input = open_file(file, "input") end
  return input
end

function io.output(file)
  if type(file) == "string" then error("io.output: " .. word("io.output to a file", no_file), 2) end
  if file ~= nil then out = open_file(file, "output") end
  return out
end

function io.read(...) return read(open_file(input, "read"), ...) end
function io.write(...) return File.write(out, ...) end
function io.close(file) return File.close(file or out) end
function io.type(value)
  if not is_file(value) then return nil end
  return value._closed and "closed file" or "file"
end
io.popen = gives_nil("io.popen", no_process)
io.tmpfile = gives_nil("io.tmpfile", no_file)

local function loadfile(name, _, ...)
  if name == nil then return nil, word("loadfile without a name", "a session has no terminal") end
  local text, problem = content(name)
  if not text then return nil, problem end
  return P.load(gsub(text, "^#[^\n]*", ""), "@" .. name, "t", ...)
end

---------------------------------------------------------------- os
local os = {}
function os.getenv(name) return host.getenv(tostring(name)) end
os.remove = gives_nil("os.remove", no_file)
os.rename = gives_nil("os.rename", no_file)
function os.execute(command)
  if command == nil then return false end
  return nil, word("os.execute", no_process), 1
end
function os.tmpname() error(word("os.tmpname", no_file), 2) end
function os.exit()
  local instead = "it would end the server for everybody; session:restart() begins the session anew"
  error(word("os.exit", instead), 2)
end
function os.setlocale(locale)
  if locale == nil or locale == "" or locale == "C" then return "C" end
end

---------------------------------------------------------------- package
local package = { config = "/\n;\n?\n!\n-\n", cpath = "", path = host.lua_dir() .. "/?.lua;" .. host.lua_dir() .. "/?/init.lua" }

function package.searchpath(name, path, separator, replacement)
  if separator ~= "" then
    separator = gsub(separator or ".", "%W", "%%%0")
    name = gsub(name, separator, (gsub(replacement or "/", "%%", "%%%%")))
  end
  local missing = {}
  for template in gmatch(path, "[^;]+") do
    local file = gsub(template, "%?", (gsub(name, "%%", "%%%%")))
    if host.is_file(file) then return file end
    missing[#missing + 1] = "no file '" .. file .. "'"
  end
  return nil, concat(missing, "\n\t")
end

local function from_preload(name)
  local preload = rawget(P.package, "preload")
  local loader = type(preload) == "table" and preload[name]
  if loader then return loader, ":preload:" end
  return "no field package.preload['" .. name .. "']"
end

local function from_files(name)
  local file, problem = package.searchpath(name, P.package.path)
  if not file then return problem end
  return P.globals.require, file
end
package.searchers = { from_preload, from_files }
-- Those that are ours are not asked by `require`.
P.searchers = { [from_preload] = true, [from_files] = true }

P.outside = { io = io, os = os, package = package, loadfile = loadfile }
