-- `require`: modules by canonical identity, each run once.
local P = ...
local host = P.host
local error, ipairs, next, type = error, ipairs, next, type
local concat, setmetatable = table.concat, P.debug.setmetatable

local loaded = {}
P.loaded = loaded
_G.package = { loaded = loaded }
for _, name in ipairs { "string", "table", "math", "utf8", "coroutine", "os", "debug" } do
  loaded[name] = _G[name]
end
loaded._G = _G

-- real path -> { path, file, name, names, exports, base, version, running }: `file` is the name
-- below the Lua directory, `names` are those it was required by
local records = {}
P.records = records
-- the files that are running now, outermost first
local stack = {}

-- The file that is being loaded, if any: it owns the timers that are started.
function P.loading() return stack[#stack] end

local function forget(record)
  records[record.path] = nil
  for name in next, record.names do
    if loaded[name] == record.exports then loaded[name] = nil end
  end
end

-- Leaves the file however it ends, without losing the traceback of an error as pcall would.
local leaving = {
  __close = function(guard, problem)
    stack[#stack] = nil
    guard.record.running = false
    if problem ~= nil and guard.first then forget(guard.record) end
  end,
}

local function run(record, chunk, first)
  local guard <close> = setmetatable({ record = record, first = first }, leaving)
  record.running = true
  stack[#stack + 1] = record
  local exports = chunk(record.name, record.path)
  if exports == nil then exports = loaded[record.name] end
  if exports == nil then exports = true end
  return exports
end

P.run = run

-- Runs a file that this session has not loaded.
local function load_first(path, file, name)
  local record = { path = path, file = file, name = name, names = { [name] = true }, version = 1 }
  records[path] = record
  local exports = run(record, host.chunk(file), true)
  record.exports, record.base = exports, P.copy_data(exports)
  loaded[name] = exports
  host.loaded(path, record.file)
  return exports
end
P.load_first = load_first

local function cycle_warning(record)
  local names, seen = {}, false
  for _, running in ipairs(stack) do
    seen = seen or running == record
    if seen then names[#names + 1] = running.name end
  end
  names[#names + 1] = record.name
  host.log("warn", "circular require: " .. concat(names, " -> ") .. "; the inner one gets an unfinished module")
end

local function known(record)
  for name in next, record.names do
    if loaded[name] ~= nil then return true end
  end
end

function _G.require(name)
  if type(name) ~= "string" then error("require: the name has to be a string", 2) end
  local exports = loaded[name]
  if exports ~= nil then return exports end
  local path, file = host.resolve(name)
  if not path then error(file, 2) end
  local record = records[path]
  if record and record.running then
    cycle_warning(record)
    return record.exports == nil or record.exports
  end
  -- Unless the user took it out of package.loaded under every name, to have it run again.
  if record and known(record) then
    record.names[name], loaded[name] = true, record.exports
    return record.exports
  end
  return load_first(path, file, name)
end

-- After a unit of work that ran out of time, when not even the guards could run.
function P.sweep()
  for i = #stack, 1, -1 do stack[i] = nil end
  for _, record in next, records do
    if record.running then
      record.running = false
      if record.exports == nil then forget(record) end
    end
  end
end
