-- What `session` offers beside prototypes and the app: timers and the log. Loaded at first use.
local P = ...
local host = P.host
local error, tostring, type = error, tostring, type

local extras = {}

---------------------------------------------------------------- timers
local function start(callback, method, ms, once)
  local object
  if type(method) == "string" then callback, object = method, callback else ms = method end
  if not object and type(callback) ~= "function" then error("a timer needs a function", 3) end
  local handle, problem = host.start_timer(ms or 0, once)
  if not handle then error(problem, 3) end
  local owner = P.loading()
  P.timers[handle] = { callback = callback, object = object, owner = owner, version = owner and owner.version, once = once }
  return handle
end

local function clear(_, handle)
  if P.timers[handle] then
    P.timers[handle] = nil
    host.clear_timer(handle)
  end
end

function extras:setTimeout(callback, ms, more) return start(callback, ms, more, true) end
function extras:setInterval(callback, ms, more) return start(callback, ms, more, false) end
function extras:setImmediate(callback) return start(callback, 0, nil, true) end
extras.clearTimeout, extras.clearInterval, extras.clearImmediate = clear, clear, clear

---------------------------------------------------------------- log
local levels = { error = true, warn = true, info = true, debug = true, trace = true }
function extras:log(level, message)
  if not levels[level] then error('session:log: the level is "error", "warn", "info", "debug" or "trace"', 2) end
  host.log(level, tostring(message))
end

return extras
