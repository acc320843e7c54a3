-- Running files: modules by canonical identity, each run once. What it takes to run one, and to note what its
-- definitions are, are functions of C: see src/vm/files.rs.
local P = ...
local L, host = P.L, P.host
local error, ipairs, next = error, ipairs, next
local rawequal, rawget, rawset = rawequal, rawget, rawset
local concat = table.concat
local loaded, records, stack = P.loaded, P.records, P.stack

host.file_functions(P, L)

function L.forget(record)
  records[record.path] = nil
  for name in next, record.names do
    if rawequal(rawget(loaded, name), record.exports) then rawset(loaded, name, nil) end
  end
  host.unloaded(record.path)
end

-- It has not come to its end when it ran first.
function L.failed(record)
  L.forget(record)
  local by = stack[#stack]
  host.failed(record.path, record.file, by and by.path)
end

-- Runs a file that this session has not loaded, which is `chunk`.
function L.load_first(path, chunk, file, name)
  local record = { path = path, file = file, name = name, names = { [name] = true }, version = 1, done = false }
  records[path] = record
  if stack[1] then stack[#stack].deps[record] = true end
  local exports = L.run(record, chunk)
  if P.hot then L.made(record, exports) end
  L.export(record, exports)
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
    if by and by.deps then
      local record = P.exported[exports]
      -- Others may export the same.
      if not record or not record.names[name] then record = named(name) end
      if record then by.deps[record] = true end
    end
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
  if P.pending and P.pending[record] and not record.done then
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
      if record.exports == nil then L.forget(record) end
    end
  end
end
