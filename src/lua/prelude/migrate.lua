-- Objects follow the fields that their prototype declares. Loaded when it is needed.
local P = ...
local R = P.R
local next, rawget, rawset, sort, type = next, rawget, rawset, table.sort, type
local getmetatable = P.debug.getmetatable

local function by_order(a, b) return a.order < b.order end

-- What the source changed; nil if nothing.
local function changes_of(info)
  local changes = info.changes
  if not changes then return nil end
  info.changes = nil
  sort(changes.added)
  return changes
end

local function prototype_chain(object, changed)
  local info, all = nil, nil
  local prototype = getmetatable(object)
  for _ = 1, 100 do
    local one = prototype and changed[P.prototype_info[prototype]]
    if one then
      info = info or P.prototype_info[prototype]
      all = all or {}
      all[#all + 1] = one
    end
    prototype = prototype and getmetatable(prototype)
    if not prototype then break end
  end
  return info, all
end

local function merged(all)
  if not all[2] then return all[1] end
  local added, removed = {}, {}
  for i = #all, 1, -1 do
    for _, key in next, all[i].added do added[#added + 1] = key end
    for key, value in next, all[i].removed do removed[key] = value end
  end
  return { added = added, removed = removed }
end

local function clear(object, changes)
  for key in next, changes.removed do rawset(object, key, nil) end
end

-- Lists what has to be migrated: prototypes as they were declared, objects as they were made.
function R.plan_migration()
  local changed, infos, objects = {}, {}, {}
  for _, info in next, P.prototypes do
    changed[info] = changes_of(info)
    if changed[info] then infos[#infos + 1] = info end
  end
  R.migration, R.migrating = { infos = infos, changed = changed, objects = objects }, 0
  if not infos[1] then return 0 end
  sort(infos, by_order)
  local at = {}
  for i = 1, #infos do at[infos[i]] = i end
  for object, number in next, P.instances do
    local info, all = prototype_chain(object, changed)
    if info then objects[#objects + 1] = { object, number, at[info], merged(all), info.name } end
  end
  sort(objects, function(a, b)
    if a[3] ~= b[3] then return a[3] < b[3] end
    return a[2] < b[2]
  end)
  return #objects
end

-- The next object: its mutate (nil: nothing to run), the object, what changed, the prototype's name.
-- The fields of the one before are cleared.
function R.take_migration()
  local objects = R.migration.objects
  local last, entry = objects[R.migrating], objects[R.migrating + 1]
  if last then clear(last[1], last[4]) end
  R.migrating = R.migrating + 1
  if not entry then return nil end
  local mutate = entry[1].mutate
  return entry[5], type(mutate) == "function" and mutate or nil, entry[1], entry[4]
end

-- Fields that no longer are declared leave the prototypes.
function R.end_migration()
  local last = R.migration.objects[R.migrating]
  if last then clear(last[1], last[4]) end
  for _, info in next, R.migration.infos do clear(info.prototype, R.migration.changed[info]) end
  R.migration, R.migrating = nil, nil
end
