-- Files that are there already and are run again, dependencies first.
local P = ...
local R, records, loaded, reloads, stack = P.R, P.records, P.loaded, P.host.reloads, P.stack
local next, rawequal, rawget, rawset, remove, type = next, rawequal, rawget, rawset, table.remove, type
local setmetatable = P.debug.setmetatable

-- These files are to be run: whoever requires one that has not been run yet has it run first.
function R.plan(paths)
  for i = 1, #paths do
    local record = records[paths[i]]
    if record then P.pending[record] = true end
  end
end

-- What requires this one cannot follow by itself, so it runs again.
function R.run_dependents(record, why, message)
  local files = {}
  for path, other in next, records do
    if other.deps and other.deps[record] and other ~= record and not other.running and not other.done then
      if not P.pending[other] then
        P.pending[other] = true
        R.extra[#R.extra + 1] = other
        files[#files + 1] = other.source
      end
    end
  end
  if #files > 0 then reloads.tell(record.source, why, message, files) end
  return #files
end

local function name_exports(record, exports)
  for name in next, record.names do rawset(loaded, name, exports) end
end

local function is_object(value) return type(value) == "table" or type(value) == "function" end

-- Runs the new version of a file that is loaded.
local function run_again(record, chunk, captures, file)
  local exports, made, capture = record.exports, record.made, record.capture
  record.done, record.version = true, record.version + 1
  if file then record.file = file end
  record.dispose, record.accept, record.capture = false, false, false
  name_exports(record, nil)
  reloads.plan_version(record.path, record.file)
  local returned = P.L.run(record, chunk, captures)
  local stays = reloads.merge(record, returned, exports, made, capture)
  P.L.export(record, stays)
  name_exports(record, stays)
  -- What requires this one cannot follow by itself.
  if type(stays) ~= type(exports) then
    R.run_dependents(record, "type")
  elseif not is_object(stays) and not rawequal(stays, exports) then
    R.run_dependents(record, "scalar")
  end
end

-- Runs the new version of a file. `file` and `name` are not given if it is loaded under these. Says whether files
-- are to run beyond the plan.
function R.reload(path, chunk, captures, file, name)
  local record = records[path]
  if not record then
    P.L.load_first(path, chunk, captures, file, name)
  elseif not record.done then
    -- Or somebody has required it meanwhile.
    run_again(record, chunk, captures, file)
  end
  return next(R.extra) ~= nil
end

-- Those that are to run beyond the plan: path, file, path, file ...
function R.take_extra()
  local list = {}
  for _, record in next, R.extra do
    list[#list + 1], list[#list + 2] = record.path, record.file
  end
  R.extra = {}
  return list
end

-- The next `hot.dispose` of the version of that file that is to be replaced, with what it gets, and its file.
function R.take_dispose(path)
  local record = records[path]
  local hooks = record and record.dispose
  if hooks then record.disposed = true end
  if hooks and hooks[1] then return remove(hooks, 1), record.data, record.source end
end

local automatic = { type = true, __index = true, new = true }

local function set(prototype, key, value)
  if rawequal(value, P.EMPTY) then value = nil end
  prototype[key] = value
end

-- The same prototype with what the source says now: the fields that were edited. Fields that left it stay until
-- objects are migrated. Functions are always new.
function R.redeclare(info, init, base)
  local prototype = info.prototype
  local by = stack[#stack]
  if P.inits then P.inits[info.name] = init end
  local edited = by and reloads.changed_fields(by.path, info.name)
  local changes = info.changes or { added = {}, removed = {} }
  for key, value in next, init do
    if automatic[key] then
      if key == "new" then prototype.new = value end
    elseif type(value) == "function" then
      prototype[key] = value
    elseif edited and edited[key] or not edited and rawget(prototype, key) == nil then
      -- Without a word of the source, what is there is kept.
      if not edited or edited[key] == "added" then changes.added[#changes.added + 1] = key end
      info.changes = changes
      set(prototype, key, value)
    end
  end
  for key, what in next, edited or {} do
    local value = rawget(prototype, key)
    if what == "removed" and rawget(init, key) == nil and type(value) ~= "function" then
      info.changes = changes
      if value == nil then value = P.EMPTY end
      changes.removed[key] = value
    end
  end
  if edited and edited.new == "removed" then prototype.new = not base and P.default_new or nil end
  if base then setmetatable(prototype, base) end
end
