-- The end of a reload that went well: whoever holds a function of a replaced version gets the new one.
local P = ...
local R = P.R
local next, rawequal, rawget, rawset, type = next, rawequal, rawget, rawset, type
local debug, status = P.debug, coroutine.status
local getmetatable, setmetatable = debug.getmetatable, debug.setmetatable
local foreign, same_data = P.L.foreign, P.L.same_data
local getupvalue, setupvalue, getinfo = debug.getupvalue, debug.setupvalue, debug.getinfo
local host = P.host
local source_of, next_changed, next_held, next_stale = host.source, host.next_changed, host.next_held, host.next_stale

-- What the new code put into tables that were there before: classes in a registry, methods in a class of
-- another file. Tables that nobody wrote to are read once, in the order in which they were saved.
local function find_changes()
  local batch, found, n = R.batch, {}, 0
  local tables, seen, replaced, rebind, stay = batch.tables, batch.seen, R.replaced, R.rebind, R.taken
  local at, same = next_changed(tables, 1, replaced)
  while at do
    local t, stop = tables[at], tables[at + 2]
    local metatable = getmetatable(t)
    if metatable and replaced[metatable] then setmetatable(t, replaced[metatable]) end
    local stays = stay[t]
    if not same and stays and batch.complete then
      -- What was in a table that a merge has filled is of no matter: all that is old is in `seen`.
      R.rebind_level(t)
    elseif not same then
      local was, moved = {}, nil
      for i = at + 3, stop, 2 do was[tables[i]] = tables[i + 1] end
      for key, value in next, t do
        local kind, before = type(value), was[key]
        if (kind == "table" or kind == "function") and not rawequal(before, value) then
          if replaced[value] then
            rawset(t, key, replaced[value])
          elseif not seen[value] then
            if type(before) == kind and not stays then
              found[n + 1], found[n + 2], found[n + 3] = t, before, value
              n = n + 3
            else
              rebind(value)
            end
          end
        end
        if type(key) == "table" and replaced[key] then
          moved = moved or {}
          moved[key] = value
        end
      end
      for key, value in next, moved or {} do
        rawset(t, key, nil)
        rawset(t, replaced[key], replaced[value] or value)
      end
    end
    at, same = next_changed(tables, stop + 1, replaced)
  end
  return found
end

-- Only functions of files that were run are replaced: a file may have exported one of another file.
local function of_changed(f) return R.sources[source_of(f)] end

local function repoint()
  local batch, follows, replaced = R.batch, R.follows, R.replaced
  local function newest(f)
    local new = follows[f]
    return new and of_changed(f) and new
  end
  local slots = batch.slots
  local i = next_held(slots, 1, follows)
  while i do
    local f = slots[i + 2]
    if of_changed(f) then rawset(slots[i], slots[i + 1], follows[f]) end
    i = next_held(slots, i + 3, follows)
  end
  local upvalues, seen, rebind = batch.upvalues, batch.seen, R.rebind
  for i = 1, #upvalues, 3 do
    local f, at, before = upvalues[i], upvalues[i + 1], upvalues[i + 2]
    local new, _, now = follows[before], getupvalue(f, at)
    if new then
      if rawequal(now, before) and of_changed(before) then setupvalue(f, at, new) end
    elseif not rawequal(now, before) then
      local kind = type(now)
      if replaced[now] then
        setupvalue(f, at, replaced[now])
      elseif (kind == "table" or kind == "function") and not seen[now] then
        rebind(now)
      end
    end
  end
  for _, timer in next, P.timers do
    timer.callback = newest(timer.callback) or timer.callback
  end
  for _, record in next, P.records do
    local new = type(record.exports) == "function" and newest(record.exports)
    if new then
      P.L.export(record, new)
      for name in next, record.names do rawset(P.loaded, name, new) end
    end
  end
end

-- What goes on running the code of a replaced version: nobody can change it while it runs.
local function note_stale()
  local batch, counts = R.batch, {}
  local function count(kind, source, line)
    local key = kind .. source .. ":" .. line
    if not counts[key] then
      counts[key] = { what = kind, source = source, line = line, count = 0 }
      R.note("stale", counts[key])
    end
    counts[key].count = counts[key].count + 1
  end
  local function look(kind, f)
    if type(f) == "function" and batch.seen[f] then
      local source = source_of(f)
      if R.sources[source] then count(kind, source, getinfo(f, "S").linedefined) end
    end
  end
  for handle, timer in next, P.timers do
    if batch.timers[handle] and not (timer.owner and timer.version ~= timer.owner.version) then
      look("timer", timer.callback)
    end
  end
  for i = 1, #batch.coroutines do
    local co = batch.coroutines[i]
    if status(co) == "suspended" then
      local level = 0
      while true do
        local info = getinfo(co, level, "Sl")
        if not info then break end
        if R.sources[info.source] then
          count("coroutine", info.source, info.linedefined)
          break
        end
        level = level + 1
      end
    end
  end
  local slots, follows, sources, told = batch.slots, R.follows, R.sources, {}
  local i = next_stale(slots, 1, follows, sources)
  while i do
    local f = slots[i + 2]
    if not foreign(slots[i]) and not told[f] then
      told[f] = true
      look("function", f)
    end
    i = next_stale(slots, i + 3, follows, sources)
  end
end

-- Who made a copy of a value when it was loaded keeps the old one. Who could have is known by the source.
local function note_copies()
  for record, names in next, R.changed do
    for _, other in next, P.records do
      if other.deps and other.deps[record] and not R.done[other] then
        R.note("copies", { source = other.source, of = record.source, names = names })
      end
    end
  end
end

-- Everything has run. Nothing of the user runs here.
function R.settle()
  local found = find_changes()
  if found[1] then R.merge_found(found) end
  if next(R.follows) or next(R.replaced) or found[1] then repoint() end
  note_stale()
  note_copies()
end

-- What there is to tell since the last call.
function R.take_notes()
  local notes = R.notes
  R.notes = {}
  return notes
end

-- From here on nothing is undone. Returns how many timers ended.
function R.commit()
  local ended = 0
  -- Of modules that were unloaded meanwhile.
  R.hooks, R.accepted = R.let_go, {}
  for record in next, R.done do
    for _, f in next, record.old_dispose or {} do R.hooks[#R.hooks + 1] = { f, record.data, record.source } end
    if record.accept then R.accepted[#R.accepted + 1] = { record.accept, record.exports, record.source, record } end
    record.old_dispose = nil
  end
  for handle, timer in next, P.timers do
    if timer.owner and timer.version ~= timer.owner.version then
      P.timers[handle] = nil
      P.host.clear_timer(handle)
      ended = ended + 1
    end
  end
  return ended
end

local function differs(was, now)
  for key, value in next, now do
    if not same_data(was[key], value) then return true end
  end
  for key in next, was do
    if now[key] == nil then return true end
  end
  return false
end

-- Whether objects have to follow their prototypes. Most often one is declared again as it was: then nothing
-- follows the commit.
local function migrates()
  local any = false
  for _, info in next, P.prototypes do
    if info.was then
      if differs(info.was, info.declared) then any = true else info.was = nil end
    end
  end
  return any
end

-- Both, and in the same call the end of the reload if nothing follows and it `may_finish`: a call from Rust
-- takes as long as some of these. Says how many timers ended, whether there is something to tell, and
-- whether there are hooks or migrations to come.
function R.commit_all(may_finish)
  R.settle()
  local ended = R.commit()
  local follows = R.hooks[1] ~= nil or R.accepted[1] ~= nil or migrates()
  if may_finish and not follows then R.finish() end
  return ended, R.notes[1] ~= nil, follows
end

-- hot.invalidate: what requires this file runs again, as a reload of its own.
function R.invalidate(record, message)
  R.invalidated = R.invalidated or {}
  R.invalidated[#R.invalidated + 1] = { record, message }
end
