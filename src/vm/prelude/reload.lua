-- Files that are there already and are run again, dependencies first.
local P = ...
local R, quietly, loaded, records = P.R, P.host.quietly, P.loaded, P.records
local next, rawequal, rawget, rawset, type = next, rawequal, rawget, rawset, type
local setmetatable = P.debug.setmetatable

-- These files are to be run: whoever requires one that has not been run yet has it run first.
function R.plan(paths)
  for i = 1, #paths do
    local record = records[paths[i]]
    if record then P.pending[record] = true end
  end
end

-- What requires this one cannot follow by itself, so it runs again.
local function run_dependents(record, why, message)
  local files, before = { "dependents", record.source, why, message or false }, 4
  for path, other in next, records do
    if other.deps and other.deps[record] and other ~= record and not other.running and not R.done[other] then
      if not P.pending[other] then
        P.pending[other] = true
        R.extra[#R.extra + 1] = other
        files[#files + 1] = other.source
      end
    end
  end
  if #files > before then R.note(files) end
  return #files - before
end
R.run_dependents = run_dependents

-- Those that are to run beyond the plan: path, file, path, file ...
function R.take_extra()
  local list = {}
  for _, record in next, R.extra do
    list[#list + 1], list[#list + 2] = record.path, record.file
  end
  R.extra = {}
  return list
end

-- What the new version of a file made goes into what others hold.
local function take(record, exports, before, base, globals)
  record.base = type(exports) == "table" and P.L.copy_data(exports)
  record.globals = P.L.globals_of(record) or false
  local stays, changed = R.merge(record, before, exports, base, globals)
  record.assigned = false
  P.L.export(record, stays)
  for name in next, record.names do rawset(loaded, name, stays) end
  if changed then R.changed[record] = changed end
end

-- Runs the new version of a file, which is `chunk`. `file` and `name` are not given if it is loaded under
-- these. Says whether files are to run beyond the plan.
function R.reload(path, chunk, file, name)
  local record = records[path]
  if not record then P.L.load_first(path, chunk, file, name) end
  -- Or somebody has required it meanwhile.
  if not record or R.done[record] then return R.extra[1] ~= nil end
  P.pending[record], R.done[record] = nil, true
  record.version, record.file = record.version + 1, file or record.file
  local before, names, base, globals = record.exports, record.names, record.base, record.globals
  if record.dispose then record.old_dispose, record.dispose = record.dispose, false end
  if record.accept then record.accept = false end
  for name in next, names do rawset(loaded, name, nil) end
  local exports = P.L.run(record, chunk, false)
  quietly(take, record, exports, before, base, globals)
  local kind, was = type(exports), type(before)
  if kind ~= was then
    run_dependents(record, "type")
  elseif kind ~= "table" and kind ~= "function" and not rawequal(before, exports) then
    run_dependents(record, "scalar")
  end
  return R.extra[1] ~= nil
end

-- The same prototype with what the source says now. Fields that left it stay until objects are migrated.
function R.redeclare(info, init, base)
  local prototype, before, now = info.prototype, info.declared, P.L.declared_fields(init)
  for key, value in next, now do
    if not P.L.same_data(before[key], init[key]) then
      if rawequal(init[key], P.EMPTY) then prototype[key] = nil else prototype[key] = init[key] end
    end
  end
  for key, value in next, init do
    if type(value) == "function" and key ~= "new" then prototype[key] = value end
  end
  if rawget(init, "new") ~= nil then prototype.new = init.new end
  if base then setmetatable(prototype, base) end
  info.was, info.declared = info.was or before, now
end
