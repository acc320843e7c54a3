-- What many sessions use of `session` and `ui`, beside prototypes and the app; and `hot`. Loaded at first use. What
-- has to last is in `P`: a reload that fails may have this file loaded once more.
local P = ...
local host, json = P.host, P.json
local error, rawget, setmetatable, tostring, type = error, rawget, setmetatable, tostring, type
local getinfo = P.debug.getinfo

local extras = {}
P.extras = extras
-- The rest comes when one of its names is looked for. A reload that fails takes it out of this table again, and leaves
-- `P` as it is.
setmetatable(extras, { __index = function(_, name)
  if not rawget(extras, "unloadModule") then host.need("seldom", P) end
  return rawget(extras, name)
end })

---------------------------------------------------------------- timers
-- Where the file is that is being loaded.
local function line_of(owner)
  for level = 3, 100 do
    local info = getinfo(level, "Sl")
    if not info then return false end
    if info.what == "main" and info.source == owner.source then return info.currentline end
  end
end

local function start(callback, method, ms, once)
  local object
  if type(method) == "string" then callback, object = method, callback else ms = method end
  if not object and type(callback) ~= "function" then error("a timer needs a function, or an object and the name of its method: session:setInterval(f, ms)", 3) end
  local handle, problem = host.start_timer(ms or 0, once)
  if not handle then error(problem, 3) end
  local owner = P.loading()
  P.timers[handle] = {
    callback = callback, object = object, owner = owner, version = owner and owner.version, once = once,
    line = owner and P.hot and line_of(owner),
  }
  return handle
end

P.line_of = line_of

local function clear(_, handle)
  local timer = P.timers[handle]
  if timer and timer.listens then return P.unlisten(handle) end
  if timer then
    P.timers[handle] = nil
    host.clear_timer(handle)
  end
end

function extras:setTimeout(callback, ms, more) return start(callback, ms, more, true) end
function extras:setInterval(callback, ms, more) return start(callback, ms, more, false) end
function extras:setImmediate(callback) return start(callback, 0, nil, true) end
P.clear_timer = clear
extras.clearTimeout, extras.clearInterval, extras.clearImmediate = clear, clear, clear

---------------------------------------------------------------- topics
function extras:publish(topic, value)
  P.load_hub()
  return P.publish(topic, value)
end

function extras:subscribe(topic, callback)
  P.load_hub()
  return P.subscribe(topic, callback)
end

function extras:unsubscribe(handle)
  P.load_hub()
  return P.unlisten(handle)
end

---------------------------------------------------------------- log and JSON
local levels = { error = true, warn = true, info = true, debug = true, trace = true }
local wrong_level = 'the level is "error", "warn", "info", "debug" or "trace"'

function extras:log(level, message)
  if not levels[level] then error("session:log: " .. wrong_level, 2) end
  host.log(level, tostring(message))
end

local ui = { json_encode = json.encode, json_decode = json.decode }

function ui.log(level, message)
  if message == nil then level, message = "info", level end
  if not levels[level] then error("ui.log: " .. wrong_level, 2) end
  host.log(level, tostring(message))
end

P.extra_ui = ui

---------------------------------------------------------------- what scripts of a page need
function extras:expose(prototype, paths)
  if not P.expose then host.need("expose", P) end
  return P.expose(prototype, paths)
end

---------------------------------------------------------------- hot
function extras:restart() host.restart() end

local function takes_function(name, f)
  if type(f) ~= "function" then error("hot." .. name .. " needs a function", 3) end
end

-- What `hot.name` is to the code of the file `record`.
function P.hook(name, record)
  if name == "data" then
    if not record then return nil end
    record.data = record.data or {}
    return record.data
  elseif name == "dispose" then
    return function(f)
      takes_function(name, f)
      if P.hot and record then
        record.dispose = record.dispose or {}
        record.dispose[#record.dispose + 1] = f
      end
    end
  elseif name == "accept" then
    return function(f)
      takes_function(name, f)
      if P.hot and record then record.accept = f end
    end
  elseif name == "invalidate" then
    return function(message)
      if P.hot and record and P.R and P.R.invalidate then P.R.invalidate(record, tostring(message or "")) end
    end
  elseif name == "restart" then
    return host.restart
  end
end
