-- Files that are there already and are run again, dependencies first.
local P = ...
local R, records = P.R, P.records
local next, rawequal, rawget, type = next, rawequal, rawget, type
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
  local files, before = { "dependents", record.source, why, message or false }, 4
  for path, other in next, records do
    if other.deps and other.deps[record] and other ~= record and not other.running and not other.done then
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

-- Those that are to run beyond the plan: path, file, path, file ...
function R.take_extra()
  local list = {}
  for _, record in next, R.extra do
    list[#list + 1], list[#list + 2] = record.path, record.file
  end
  R.extra = {}
  return list
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
