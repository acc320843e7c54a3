-- What a new version of a file made goes into what other code holds already. "Fresh" is what was not
-- there before the reload.
local P = ...
local R = P.R
local next, rawequal, rawget, rawset, tostring, type = next, rawequal, rawget, rawset, tostring, type
local same_data, foreign, FUNCTION = P.L.same_data, P.L.foreign, P.FUNCTION
local debug = P.debug
local getmetatable, setmetatable = debug.getmetatable, debug.setmetatable
local getupvalue = debug.getupvalue
local source_of, next_upvalue, next_open = P.host.source, P.host.next_upvalue, P.host.next_open
local pair_level, fill_level, host_rebind, rebind_level = P.host.pair_level, P.host.fill_level, P.host.rebind, P.host.rebind_level

-- Of the reload that is under way. `replaced`: fresh table -> the old one that stays in its place;
-- `follows`: old function -> its new version; `list`: pairs of tables to be filled.
local seen, library, replaced, taken, follows, list, visited, source
-- How many functions followed in the last merge: most often it becomes as many again.
local followed = 0
-- How many merges there have been: what was gone through in the last one need not be again.
local merges = 0

function R.prepare()
  seen, library = R.batch.seen, P.library
  replaced, taken, follows, visited = {}, {}, P.host.sized(0, followed), P.host.sized(0, followed)
  R.taken, R.replaced, R.follows, R.notes, R.declared, R.changed, P.pending = taken, replaced, follows, {}, {}, {}, {}
  R.sources, R.done, R.extra, R.local_notes, R.let_go = {}, {}, {}, {}, {}
end

function R.note(kind, fields)
  fields.kind = kind
  R.notes[#R.notes + 1] = fields
end

-- A namespace or class holds functions; anything else is data.
local function is_code(t)
  if rawget(t, "__index") ~= nil then return true end
  for _, value in next, t do
    if type(value) == "function" then return true end
  end
  return false
end

-- Namespaces may be in namespaces. Only what the new version made is looked at.
local function holds_code(t, looked)
  if is_code(t) then return true end
  looked[t] = true
  for _, value in next, t do
    if type(value) == "table" and not looked[value] and not seen[value] and not foreign(value) and holds_code(value, looked) then
      return true
    end
  end
  return false
end

-- Of the file that is being merged, in this or an earlier version.
local function ours(f) return source_of(f) == source end

-- The upvalue of that name; most often it is at the same place.
local function upvalue_of(f, i, name)
  local found, value = getupvalue(f, i)
  if found == name then return true, value end
  i = 1
  while true do
    found, value = getupvalue(f, i)
    if not found then return false end
    if found == name then return true, value end
    i = i + 1
  end
end

local function show(value)
  if type(value) == "string" then return ("%q"):format(#value > 40 and value:sub(1, 40) or value):gsub("\\\n", "\\n") end
  if type(value) ~= "table" then return tostring(value) end
  local n = 0
  for _ in next, value do n = n + 1 end
  return "a table of " .. n .. (n == 1 and " entry" or " entries")
end

-- A local of the file that starts over. Whether it is worth a note is decided where the source is known.
local function starts_over(f, i, name, now)
  local known, was = upvalue_of(f, i, name)
  if not known or rawequal(was, now) or type(was) == "function" or not ours(f) then return end
  local key = source .. "\0" .. name
  if R.local_notes[key] then return end
  if type(was) == "table" and (foreign(was) or type(now) == "table" and (foreign(now) or same_data(was, now))) then return end
  R.local_notes[key] = true
  local text = (type(now) ~= "table" and type(now) ~= "function") and show(now) or nil
  R.note("local", { source = source, name = name, value = show(was), now = text, data = type(was) == "table" })
end

-- Found, and not looked into yet: metatables that go together, functions that do. Tables are looked into
-- first, by the names that the source gives them: only so it is known what the source set in them.
local metatables, functions
-- Upvalues, which the functions of a file share, that are done in this merge.
local matched, rebound = {}, {}

-- `old` stays, and becomes what `new` is. `base` is what the source set last time.
local function pair(old, new, base)
  if replaced[new] or taken[old] or seen[new] or library[new] or foreign(old) or foreign(new) then return end
  local code = is_code(old) or holds_code(new, {})
  if not code and base == nil then return end
  replaced[new], taken[old] = old, true
  local entry = { old = old, new = new, base = type(base) == "table" and base or nil, source = source }
  -- A literal that was edited is taken as a whole.
  if not code then entry.data = same_data(base, new) and "kept" or "edited" end
  list[#list + 1] = entry
end

local function pair_functions(old, new)
  if follows[old] or rawequal(old, new) or seen[new] then return end
  follows[old] = new
  functions[#functions + 1] = old
end

local function look_into(entry)
  local old, new, base = entry.old, entry.new, entry.base
  local a, b = getmetatable(old), getmetatable(new)
  if a and b and not rawequal(a, b) then
    metatables[#metatables + 1] = a
    metatables[#metatables + 1] = b
  end
  if entry.data then return end
  local keys = pair_level(old, new, follows, functions, seen, R.known)
  for i = 1, keys and #keys or 0 do
    local key = keys[i]
    pair(rawget(old, key), rawget(new, key), base and rawget(base, key))
  end
end

-- Through the upvalues of its functions a file's local functions, classes and metatables are found.
local function look_into_function(old)
  local new = follows[old]
  local i, name, value, cell = next_upvalue(new, 1, matched)
  while i do
    local known = name == "_ENV"
    if not known then
      local kind, before = type(value), nil
      if kind == "table" then
        known = replaced[value] or seen[value] or library[value] or foreign(value)
        if not known then
          known, before = upvalue_of(old, i, name)
          if type(before) == "table" and (is_code(value) or is_code(before)) and ours(old) then pair(before, value) end
          if not replaced[value] then starts_over(old, i, name, value) end
        end
      elseif kind == "function" then
        known = seen[value]
        if not known then
          known, before = upvalue_of(old, i, name)
          if type(before) == "function" and not follows[before] and ours(before) then pair_functions(before, value) end
        end
      else
        known = upvalue_of(old, i, name)
        starts_over(old, i, name, value)
      end
      known = known and ours(old)
    end
    if known then matched[cell] = true end
    i, name, value, cell = next_upvalue(new, i + 1, matched)
  end
end

-- From the pairs that are known to all that belong together.
local function find_pairs()
  local tables_done, metatables_done, functions_done = 0, 0, 0
  while true do
    if tables_done < #list then
      tables_done = tables_done + 1
      look_into(list[tables_done])
    elseif metatables_done < #metatables then
      pair(metatables[metatables_done + 1], metatables[metatables_done + 2])
      metatables_done = metatables_done + 2
    elseif functions_done < #functions then
      functions_done = next_open(functions, functions_done + 1, follows, matched) or #functions
      look_into_function(functions[functions_done])
    else
      return
    end
  end
end

-- What is fresh has to see the tables that stay, or the first reload works and the second changes tables
-- that nobody holds.
local waiting = {}
local function rebind(root)
  -- Most values in a table that has changed are those that the merge has just been through.
  if visited[root] == merges then return end
  host_rebind(root, merges, replaced, seen, R.known, visited, rebound, waiting, setmetatable)
end
R.rebind = rebind

-- The same for a table that was there before, and for what it holds.
function R.rebind_level(t) rebind_level(t, merges, replaced, seen, R.known, visited, rebound, waiting, setmetatable) end

local function replace(old, new)
  for key in next, old do
    if rawget(new, key) == nil then rawset(old, key, nil) end
  end
  for key, value in next, new do rawset(old, key, value) end
end

-- A value whose source is as it was keeps what it became at run time.
local function fill(entry)
  local old, new, base = entry.old, entry.new, entry.base
  local metatable = getmetatable(new)
  if metatable then setmetatable(old, replaced[metatable] or metatable) elseif not entry.root then setmetatable(old, nil) end
  if entry.data == "kept" then return end
  if entry.data == "edited" then return replace(old, new) end
  local keys = fill_level(old, new, base, FUNCTION, taken, entry.changed, entry.source)
  for i = 1, keys and #keys or 0 do
    local key = keys[i]
    local value = rawget(new, key)
    if not same_data(rawget(base, key), value) then
      rawset(old, key, value)
      if entry.changed and type(key) == "string" then entry.changed[#entry.changed + 1] = key end
    end
  end
end

-- Globals are exports of the file that assigns them.
local function pair_globals(record, globals)
  local G, stay = P.globals, {}
  local assigned = record.assigned or {}
  for name, before in next, assigned do
    local value = rawget(G, name)
    if before ~= P and not rawequal(before, value) then
      local kind, base = type(value), globals and globals[name]
      if kind == "table" and type(before) == "table" then
        pair(before, value, base)
        stay[name] = replaced[value]
      elseif kind == "function" and type(before) == "function" then
        pair_functions(before, value)
      elseif kind ~= "function" and base ~= nil and same_data(base, value) then
        stay[name] = before
      end
    end
  end
  for name, base in next, globals or {} do
    if assigned[name] == nil and type(base) == "function" and rawequal(rawget(G, name), base) then
      rawset(G, name, nil)
    end
  end
  return stay
end

-- Where the snapshot has that table. It is noted of prototypes; one that became a prototype just now has to
-- be searched for.
local function place_of(t)
  local saved, at = R.batch.tables, seen[t]
  if at ~= true then return at end
  at = 1
  while saved[at] do
    if rawequal(saved[at], t) then return at end
    at = saved[at + 2] + 1
  end
end

-- Methods are put straight into a prototype. One that was there and was not set again has left the file.
local function pair_prototype(info)
  local prototype, batch = info.prototype, R.batch
  local at = place_of(prototype)
  if at then
    local saved = batch.tables
    for i = at + 3, saved[at + 2], 2 do
      local key, before = saved[i], saved[i + 1]
      if type(before) == "function" then
        local now = rawget(prototype, key)
        if rawequal(now, before) then
          if ours(now) then rawset(prototype, key, nil) end
        elseif type(now) == "function" then
          pair_functions(before, now)
        end
      end
    end
  end
end

-- After the file of `record` has run: `old` is what it returned before, `new` what it returns now.
function R.merge(record, old, new, base, globals)
  list, metatables, functions, source = {}, {}, P.host.sized(followed, 0), record.source
  matched, rebound, merges = {}, {}, merges + 1
  R.sources[source] = record
  local root
  if type(old) == "table" and type(new) == "table" and not rawequal(old, new)
    and not (seen[new] or P.own[old] or P.prototype_info[old] or foreign(new)) then
    replaced[new], taken[old] = old, true
    root = { old = old, new = new, base = base or {}, source = source, root = true, changed = {} }
    list[1] = root
  elseif type(old) == "function" and type(new) == "function" then
    pair_functions(old, new)
  end
  local stay = pair_globals(record, globals)
  for info in next, R.declared do
    if info.owner == record then pair_prototype(info) end
  end
  find_pairs()
  -- The methods of a prototype may use the file's locals, and the globals may hold what only they know.
  if type(new) == "table" or type(new) == "function" then rebind(new) end
  for name in next, record.assigned or {} do
    local value = rawget(P.globals, name)
    if (type(value) == "table" or type(value) == "function") and not seen[value] then rebind(value) end
  end
  for info in next, R.declared do
    if info.owner == record then rebind(info.prototype) end
  end
  for _, timer in next, P.timers do
    if timer.owner == record and timer.version == record.version and type(timer.callback) == "function" then
      rebind(timer.callback)
    end
  end
  if record.data then rebind(record.data) end
  if record.accept then rebind(record.accept) end
  for _, f in next, record.dispose or {} do rebind(f) end
  for i = 1, #list do fill(list[i]) end
  for name, value in next, stay do rawset(P.globals, name, value) end
  followed = #functions
  return root and old or new, root and root.changed
end

-- Pairs that were found elsewhere: in tables of other files.
function R.merge_found(found)
  list, metatables, functions = {}, {}, {}
  matched, rebound, merges = {}, {}, merges + 1
  for i = 1, #found, 3 do
    local old, new = found[i + 1], found[i + 2]
    if type(old) == "function" then
      source = source_of(new)
      pair_functions(old, new)
    else
      for _, value in next, new do
        if type(value) == "function" then source = source_of(value) end
      end
      pair(old, new)
    end
    find_pairs()
  end
  for i = 1, #found, 3 do
    local t, new = found[i], found[i + 2]
    rebind(new)
    if replaced[new] then
      for key, value in next, t do
        if rawequal(value, new) then rawset(t, key, replaced[new]) end
      end
    end
  end
  for i = 1, #list do fill(list[i]) end
end
