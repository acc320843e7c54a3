-- Running files: modules by canonical identity, each run once.
local P = ...
local L, host, files = P.L, P.host, P.host.files
local error, ipairs, next, pcall, type = error, ipairs, next, pcall, type
local rawequal, rawget, rawset, running = rawequal, rawget, rawset, coroutine.running
local concat, sub = table.concat, string.sub
local loaded, records, stack = P.loaded, P.records, P.stack

local getinfo, setmetatable = P.debug.getinfo, P.debug.setmetatable

-- What a file exports belongs to it, unless it is somebody else's.
function L.export(record, exports)
  record.exports = exports
  local is_its = type(exports) == "function" or type(exports) == "table"
    and not (P.library[exports] or P.own[exports] or P.prototype_info[exports] or P.exported[exports])
  if is_its then P.exported[exports] = record end
end

-- The innermost file that runs does so no longer.
local function leave()
  local record = stack[#stack]
  if not record then return end
  stack[#stack] = nil
  record.running = false
  -- It has not come to its end when it ran first.
  if record.exports == nil then L.failed(record) end
end
local leaving = setmetatable({}, { __close = leave })

-- A file has come to its end, and has returned that. If it `captures`, the function that has its locals, and their
-- values, come after what it exports: see src/reload/source/capture.rs.
local function ended(record, captures, exports, capture, locals)
  if captures and P.hot then record.capture, record.locals = capture or false, locals or false end
  if exports == nil then exports = rawget(loaded, record.name) end
  if exports == nil then exports = true end
  -- See `leave`. What it really exports is known later.
  if record.exports == nil then record.exports = exports end
  return exports
end

-- In place of what Lua says of a file that yields, which names neither the file nor what to do.
local function explained(record, problem)
  if problem ~= "attempt to yield across a C-call boundary" then return problem end
  return sub(record.source, 2) .. ": a file cannot yield while it is required; yield in a function of it"
end

-- If a coroutine ends by an error, what is to be closed in it waits until somebody closes the coroutine, which may
-- be never. So the file is left by hand; the traceback is lost there anyway.
local function ended_in_coroutine(record, captures, is_good, ...)
  if not is_good then
    leave()
    error(explained(record, (...)), 0)
  end
  local exports = ended(record, captures, ...)
  leave()
  return exports
end

-- Runs that version of the file. Returns what it exports.
function L.run(record, chunk, captures)
  record.source, record.deps, record.running = getinfo(chunk, "S").source, {}, true
  stack[#stack + 1] = record
  local _, is_main = running()
  if not is_main then
    return ended_in_coroutine(record, captures, pcall(files.watched, chunk, record.name, record.path))
  end
  -- However it ends, and without losing the traceback of an error as a protected call would.
  local _ <close> = leaving
  return ended(record, captures, files.watched(chunk, record.name, record.path))
end

function L.forget(record)
  records[record.path] = nil
  for name in next, record.names do
    if rawequal(rawget(loaded, name), record.exports) then rawset(loaded, name, nil) end
  end
  files.unloaded(record.path)
end

-- It has not come to its end when it ran first.
function L.failed(record)
  local by = stack[#stack]
  -- First of all: what is forgotten waits for nothing.
  files.failed(record.path, record.file, by and by.path)
  L.forget(record)
  if P.drop_held then P.drop_held(record) end
end

-- Runs a file that this session has not loaded, which is `chunk`.
function L.load_first(path, chunk, captures, file, name)
  local record = { path = path, file = file, name = name, names = { [name] = true }, version = 1, done = false }
  records[path] = record
  if stack[1] then stack[#stack].deps[record] = true end
  local exports = L.run(record, chunk, captures)
  if captures and P.hot then files.note_made(file, record, exports) end
  L.export(record, exports)
  rawset(loaded, name, exports)
  files.loaded(path, file)
  return exports
end

local function load_first(path, file, name)
  local chunk, captures = files.chunk(file)
  return L.load_first(path, chunk, captures, file, name)
end

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

local function named(name)
  for _, record in next, records do
    if record.names[name] then return record end
  end
end

-- What programs have put into `package.preload` and `package.searchers` themselves. Of the second, those that stand
-- there from the start are left out: `require` knows what they do.
local function preloaded(name)
  local preload = P.package and rawget(P.package, "preload")
  return type(preload) == "table" and preload[name]
end

local function searched(name)
  local searchers = P.outside and P.package.searchers
  local problem = ""
  for _, searcher in ipairs(type(searchers) == "table" and searchers or {}) do
    if not P.searchers[searcher] then
      local loader, data = files.watched(searcher, name)
      if type(loader) == "function" then return loader, data end
      if type(loader) == "string" then problem = problem .. "\n\t" .. loader end
    end
  end
  return nil, problem
end

local function load_by(loader, name, data)
  local exports = files.watched(loader, name, data)
  if exports == nil then exports = rawget(loaded, name) end
  if exports == nil then exports = true end
  rawset(loaded, name, exports)
  return exports, data
end

function L.require(name)
  local by = stack[#stack] or P.hot and P.caller()
  local exports = loaded[name]
  if exports ~= nil and not P.pending then
    if by and by.deps then
      local record = P.exported[exports]
      -- Others may export the same.
      if not record or not record.names[name] then record = named(name) end
      if record then by.deps[record] = true end
    end
    return exports
  end
  local loader = exports == nil and preloaded(name)
  if loader then return load_by(loader, name, ":preload:") end
  local path, file = files.resolve(name, stack[1] and by.path, P.package and rawget(P.package, "path"))
  if not path then
    if exports ~= nil then return exports end
    if P.other_require then return P.other_require(name, file) end
    local loader, data = searched(name)
    if loader then return load_by(loader, name, data) end
    local opener, place = files.native(name)
    if opener then return load_by(opener, name, place) end
    error(file .. data .. place, 2)
  end
  local record = records[path]
  if not record then
    if exports ~= nil then return exports end
    return load_first(path, file, name)
  end
  if by and by.deps then by.deps[record] = true end
  if record.running then
    if record.exports ~= nil then return record.exports end
    cycle_warning(record)
    return true
  end
  if P.pending and P.pending[record] and not record.done then
    local chunk, captures = files.chunk(file)
    P.R.reload(path, chunk, captures, file, name)
    files.loaded(path, file)
    record.names[name], loaded[name] = true, record.exports
    return record.exports
  end
  -- Unless the user took it out of package.loaded under every name, to have it run again.
  if exports ~= nil or known(record) then
    if exports == nil then exports = record.exports end
    record.names[name], loaded[name] = true, exports
    return exports
  end
  return load_first(path, file, name)
end

function L.sweep()
  for i = #stack, 1, -1 do stack[i] = nil end
  for _, record in next, records do
    if record.running then
      record.running = false
      if P.drop_held then P.drop_held(record) end
      if record.exports == nil then L.forget(record) end
    end
  end
end
