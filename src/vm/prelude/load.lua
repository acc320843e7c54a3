-- Running files: modules by canonical identity, each run once; what a file assigns while it runs is noted.
local P = ...
local L, host, debug, G = P.L, P.host, P.debug, _G
local copy_data, foreign = L.copy_data, L.foreign
local error, ipairs, next, type = error, ipairs, next, type
local rawequal, rawget, rawset = rawequal, rawget, rawset
local watch, unwatch = P.watch, P.unwatch
local concat, setmetatable = table.concat, debug.setmetatable
local setupvalue = debug.setupvalue
local loaded, records, stack = P.loaded, P.records, P.stack

-- The list of what is in the globals or a copy of them, and from where to where it goes: the library, and a
-- few of a site.
local function listed(t)
  local list = host.list(t)
  return { list, 1, #list }
end

local function pairs_of_globals() return next, G, nil end

-- What a file is run with: record -> { record, metatable, assign, first }. Made once for all its versions.
local frames, leaving = {}, {}

local function frame_of(record)
  local frame = frames[record]
  if not frame then
    local function assign(_, name, value)
      local before = record.assigned
      if before[name] == nil then
        local old = rawget(G, name)
        if old == nil then old = P end
        before[name] = old
      end
      G[name] = value
    end
    frame = setmetatable({ record = record, metatable = {}, assign = assign }, leaving)
    frames[record] = frame
  end
  return frame
end

-- What the chunk assigns to globals goes there, and is noted with what was there before. Its functions
-- share the variable that holds its environment, so afterwards they see the globals themselves.
local function track(record, chunk, frame)
  local metatable = frame.metatable
  -- All of it: the version before could have done anything to it.
  metatable.__index, metatable.__newindex, metatable.__pairs = G, frame.assign, pairs_of_globals
  setupvalue(chunk, 1, setmetatable({}, metatable))
  record.assigned, record.chunk = {}, chunk
  local R = P.R
  if R and R.untouched then
    -- They are listed already, as the first of the snapshot.
    R.untouched, record.was = false, { R.tables, 4, R.tables[3] }
  else
    record.was = listed(G)
  end
end

-- Past the environment, by `_G.x = 1` or `rawset`, globals are set unseen: they are compared with what was
-- there.
local function note_unseen(record)
  local was = record.was
  if was and not host.is_listed(G, was[1], was[2], was[3]) then
    host.note_changes(G, host.unlisted(was[1], was[2], was[3]), record.assigned, P)
  end
end

-- Those around it have not set what it has set.
local function hand_over(record)
  if not stack[1] or next(record.assigned) == nil then return end
  for _, around in ipairs(stack) do
    local was = around.was
    if was then
      was = host.unlisted(was[1], was[2], was[3])
      for name in next, record.assigned do was[name] = rawget(G, name) end
      around.was = listed(was)
    end
  end
end

local function untrack(record)
  if record.chunk then
    note_unseen(record)
    hand_over(record)
    -- Not nil: an entry that has left a table takes a new place in it when it comes back.
    record.was = false
    setupvalue(record.chunk, 1, G)
    -- Who kept the environment itself uses it on.
    frame_of(record).metatable.__newindex = G
    record.chunk = false
  end
end

function L.forget(record)
  records[record.path], frames[record] = nil, nil
  for name in next, record.names do
    if rawequal(rawget(loaded, name), record.exports) then rawset(loaded, name, nil) end
  end
  host.unloaded(record.path)
end

-- Leaves the file however it ends, without losing the traceback of an error as pcall would.
function leaving.__close(frame, problem)
  local record = frame.record
  stack[#stack] = nil
  record.running = false
  untrack(record)
  if problem ~= nil and frame.first then
    L.forget(record)
    local by = stack[#stack]
    host.failed(record.path, record.file, by and by.path)
  end
end

function L.run(record, chunk, first)
  local frame <close> = frame_of(record)
  frame.first = first
  record.running, record.source, record.deps = true, host.source(chunk), {}
  if stack[1] then note_unseen(stack[#stack]) end
  stack[#stack + 1] = record
  if P.hot then track(record, chunk, frame) end
  -- All around it is code of ours, which the deadline does not look at. So nothing of the user's may run
  -- there: `package.loaded` can have metamethods.
  local watched = watch and watch()
  local exports = chunk(record.name, record.path)
  if watched then unwatch() end
  if exports == nil then exports = rawget(loaded, record.name) end
  if exports == nil then exports = true end
  return exports
end

-- What the globals are that a file has assigned, as its source set them. A function is there itself: it
-- goes when it leaves the source, unless somebody else has put another in its place.
function L.globals_of(record)
  local globals
  for name in next, record.assigned or {} do
    local value = rawget(G, name)
    globals = globals or {}
    globals[name] = type(value) == "function" and value or copy_data(value)
  end
  return globals
end

local function export(record, exports)
  record.exports = exports
  if type(exports) == "table" and not foreign(exports) or type(exports) == "function" then P.exported[exports] = record end
end
L.export = export

-- Runs a file that this session has not loaded, which is `chunk`.
function L.load_first(path, chunk, file, name)
  local record = { path = path, file = file, name = name, names = { [name] = true }, version = 1 }
  records[path] = record
  if stack[1] then stack[#stack].deps[record] = true end
  local exports = L.run(record, chunk, true)
  if P.hot then
    if type(exports) == "table" then record.base = copy_data(exports) end
    record.globals = L.globals_of(record)
  end
  record.assigned = false
  export(record, exports)
  rawset(loaded, name, exports)
  host.loaded(path, file)
  return exports
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

function L.require(name)
  local by = stack[#stack] or P.hot and P.caller()
  local exports = loaded[name]
  if exports ~= nil and not P.pending then
    local record = by and (P.exported[exports] or named(name))
    if record and by.deps then by.deps[record] = true end
    return exports
  end
  local path, file = host.resolve(name, stack[1] and by.path)
  if not path then
    if exports ~= nil then return exports end
    if P.other_require then return P.other_require(name, file) end
    error(file, 2)
  end
  local record = records[path]
  if not record then
    if exports ~= nil then return exports end
    return L.load_first(path, host.chunk(file), file, name)
  end
  if by and by.deps then by.deps[record] = true end
  if record.running then
    if record.exports ~= nil then return record.exports end
    cycle_warning(record)
    return true
  end
  if P.pending and P.pending[record] then
    P.R.reload(path, host.chunk(file), file, name)
    host.loaded(path, file)
    record.names[name], loaded[name] = true, record.exports
    return record.exports
  end
  -- Unless the user took it out of package.loaded under every name, to have it run again.
  if exports ~= nil or known(record) then
    if exports == nil then exports = record.exports end
    record.names[name], loaded[name] = true, exports
    return exports
  end
  return L.load_first(path, host.chunk(file), file, name)
end

function L.sweep()
  for i = #stack, 1, -1 do stack[i] = nil end
  for _, record in next, records do
    if record.running then
      record.running = false
      untrack(record)
      if record.exports == nil then L.forget(record) end
    end
  end
end
