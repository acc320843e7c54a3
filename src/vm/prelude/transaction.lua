-- A reload is all or nothing: a snapshot of everything reachable, and the way back.
local P = ...
local ipairs, next, rawget, rawset, rawequal, type = ipairs, next, rawget, rawset, rawequal, type
local debug = P.debug
local getmetatable, setmetatable = debug.getmetatable, debug.setmetatable

local function copy(t)
  local c = {}
  for key, value in next, t do c[key] = value end
  return c
end

local snapshot

-- Everything that user code can reach, up to P.max_snapshot tables. Says whether that was all.
function P.begin()
  local seen, queue = copy(P.library), { P.globals }
  seen[P] = true
  for _, info in next, P.prototypes do queue[#queue + 1] = info.prototype end
  for _, record in next, P.records do
    if type(record.exports) == "table" then queue[#queue + 1] = record.exports end
  end
  if P.app then queue[#queue + 1] = P.app end
  for _, t in ipairs(queue) do seen[t] = true end
  -- One after the other: table, metatable, index of its last value, key, value, key, value ... A list
  -- takes less time and leaves less garbage than a copy of each table.
  local saved, n = {}, 0
  local at, last, max = 1, #queue, P.max_snapshot
  while at <= last and at <= max do
    local t = queue[at]
    local metatable = getmetatable(t)
    local stop = n + 3
    -- In order: a list that is filled from its end is none.
    saved[n + 1] = t
    saved[n + 2] = metatable or false
    saved[stop] = stop
    at, n = at + 1, stop
    for key, value in next, t do
      saved[n + 1] = key
      n = n + 2
      saved[n] = value
      if type(value) == "table" and not seen[value] then
        seen[value] = true
        last = last + 1
        queue[last] = value
      end
      if type(key) == "table" and not seen[key] then
        seen[key] = true
        last = last + 1
        queue[last] = key
      end
    end
    if metatable and not seen[metatable] then
      seen[metatable] = true
      last = last + 1
      queue[last] = metatable
    end
    saved[stop] = n
  end
  local records, prototypes = {}, {}
  for path, record in next, P.records do records[path] = { record, copy(record), copy(record.names) } end
  for name, info in next, P.prototypes do prototypes[name] = { info, copy(info) } end
  snapshot = {
    tables = saved, records = records, prototypes = prototypes,
    timers = copy(P.timers), app = P.app, loaded = copy(P.loaded),
  }
  P.session.reloading = true
  return at > last
end

local function restore(t, content)
  for key in next, t do
    if content[key] == nil then rawset(t, key, nil) end
  end
  for key, value in next, content do
    if not rawequal(rawget(t, key), value) then rawset(t, key, value) end
  end
end

function P.rollback()
  P.sweep()
  local saved, at = snapshot.tables, 1
  while saved[at] do
    local t, metatable, stop, content = saved[at], saved[at + 1] or nil, saved[at + 2], {}
    for i = at + 3, stop, 2 do content[saved[i]] = saved[i + 1] end
    restore(t, content)
    if getmetatable(t) ~= metatable then setmetatable(t, metatable) end
    at = stop + 1
  end
  restore(P.records, {})
  for path, saved in next, snapshot.records do
    local record, fields, names = saved[1], saved[2], saved[3]
    restore(record, fields)
    restore(record.names, names)
    P.records[path] = record
  end
  restore(P.prototypes, {})
  for name, saved in next, snapshot.prototypes do
    restore(saved[1], saved[2])
    P.prototypes[name] = saved[1]
  end
  restore(P.loaded, snapshot.loaded)
  P.timers, P.app = snapshot.timers, snapshot.app
  P.session.reloading, snapshot = false, nil
end

-- Timers that a replaced version of a file started when it was loaded go with it.
function P.commit()
  for handle, timer in next, P.timers do
    if timer.owner and timer.version ~= timer.owner.version then
      P.timers[handle] = nil
      P.host.clear_timer(handle)
    end
  end
  P.session.reloading, snapshot = false, nil
end
