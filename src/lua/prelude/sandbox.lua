-- Takes away what a session must not reach. What could escape its budget has guards of its own, in
-- library.rs. Runs first, in a state where nothing of the user has run. `P` is the prelude's private table.
local P = ...
local G = _G
local debug, error, getmetatable, select, setmetatable, tostring, type, pcall =
  debug, error, getmetatable, select, setmetatable, tostring, type, pcall
local concat, pack = table.concat, table.pack
local load, collectgarbage = load, collectgarbage

P.debug, P.globals = debug, G

local function gone(name, instead)
  return function() error(name .. " is not available in a session; " .. instead, 2) end
end
G.dofile = gone("dofile", "use require")
string.dump = nil

-- What a session has in place of the machine is in outside.lua, which comes when something of it is looked for.
local function outside()
  if not P.outside then P.host.need("outside", P) end
  return P.outside
end
local function with_more(name, library)
  local more = { __metatable = false }
  function more.__index(_, key)
    more.__index = outside()[name]
    return more.__index[key]
  end
  return setmetatable(library, more)
end
G.io = with_more("io", {})
G.os = with_more("os", { time = os.time, clock = os.clock, date = os.date, difftime = os.difftime })
function G.loadfile(name, mode, ...) return outside().loadfile(name, mode, ...) end

-- Bytecode can crash the interpreter, so only text is taken.
function G.load(chunk, name, _, ...)
  if select("#", ...) > 0 then return load(chunk, name, "t", (...)) end
  return load(chunk, name, "t")
end

P.load = G.load

function G.collectgarbage(what, ...)
  if what == nil or what == "collect" or what == "count" or what == "step" then
    return collectgarbage(what, ...)
  end
  error("collectgarbage: only \"collect\", \"count\" and \"step\" are available", 2)
end

-- A message handler runs with hooks off and could never be stopped, so it runs after unwinding.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, handler(...)
end
function G.xpcall(f, handler, ...) return handled(handler, pcall(f, ...)) end

-- Only what helps to read an error.
local traceback, getinfo = debug.traceback, debug.getinfo
G.debug = {
  traceback = traceback,
  -- As the one of everybody, which heeds what is closed by `__metatable`.
  getmetatable = getmetatable,
  getinfo = function(what, fields)
    -- Each letter is worked off, as often as it comes.
    if type(fields) == "string" and #fields > 20 then error("debug.getinfo: more than 20 fields", 2) end
    local info = getinfo(type(what) == "number" and what + 1 or what, fields or "nSlu")
    if info then info.func, info.activelines = nil, nil end
    return info
  end,
}
getmetatable("").__metatable = false

function G.print(...)
  local parts = pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  P.host.log("info", concat(parts, "\t", 1, parts.n))
end

-- What is left of the library never changes: a snapshot need not look into it.
P.library, P.loaded = {}, { _G = G }
for _, name in ipairs { "string", "table", "math", "utf8", "coroutine", "os", "io", "debug" } do
  P.library[G[name]], P.loaded[name] = true, G[name]
end
P.package = with_more("package", { loaded = P.loaded, preload = {} })
G.package, P.loaded.package = P.package, P.package
