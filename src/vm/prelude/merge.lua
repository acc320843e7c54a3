-- What a new version of a file exports goes into the tables that other code holds already.
local P = ...
local next, rawequal, rawget, rawset, type = next, rawequal, rawget, rawset, type
local same_data = P.same_data
local debug = P.debug
local getmetatable, setmetatable = debug.getmetatable, debug.setmetatable
local getupvalue, setupvalue, getinfo = debug.getupvalue, debug.setupvalue, debug.getinfo

-- A namespace or class holds functions; anything else is data.
local function is_code(t)
  if rawget(t, "__index") ~= nil then return true end
  for _, value in next, t do
    if type(value) == "function" then return true end
  end
  return false
end

-- new table -> the old table that stays in its place
local function pair(old, new, base, pairs_of)
  if rawequal(old, new) or pairs_of[new] or P.prototype_info[new] or P.prototype_info[old] then return end
  pairs_of[new] = { old, type(base) == "table" and base or {} }
  for key, value in next, new do
    local before = rawget(old, key)
    if type(value) == "table" and type(before) == "table" and (is_code(value) or is_code(before)) then
      pair(before, value, rawget(pairs_of[new][2], key), pairs_of)
    end
  end
  local a, b = getmetatable(old), getmetatable(new)
  if a and b then pair(a, b, nil, pairs_of) end
end

-- Functions of the new version see the new tables through their upvalues: they have to see the old
-- ones, or the first reload works and the second changes tables that nobody holds.
local function rebind(value, source, pairs_of, seen)
  if seen[value] then return end
  if type(value) == "table" then
    seen[value] = true
    for _, inner in next, value do
      if type(inner) == "function" or type(inner) == "table" and pairs_of[inner] then
        rebind(inner, source, pairs_of, seen)
      end
    end
    local metatable = getmetatable(value)
    if metatable and pairs_of[metatable] then rebind(metatable, source, pairs_of, seen) end
    return
  end
  seen[value] = true
  if getinfo(value, "S").source ~= source then return end
  local i = 1
  while true do
    local name, upvalue = getupvalue(value, i)
    if not name then break end
    if type(upvalue) == "table" and pairs_of[upvalue] then
      setupvalue(value, i, pairs_of[upvalue][1])
    elseif type(upvalue) == "function" then
      rebind(upvalue, source, pairs_of, seen)
    end
    i = i + 1
  end
end

local function source_of(new, pairs_of)
  for t in next, pairs_of do
    for _, value in next, t do
      if type(value) == "function" then return getinfo(value, "S").source end
    end
  end
end

local function fill(old, new, base, pairs_of)
  for key in next, old do
    local gone = rawget(new, key) == nil
    if gone and (type(old[key]) == "function" or rawget(base, key) ~= nil) then rawset(old, key, nil) end
  end
  for key, value in next, new do
    if type(value) == "table" and pairs_of[value] then
      rawset(old, key, pairs_of[value][1])
    elseif type(value) == "function" or rawget(old, key) == nil or not same_data(rawget(base, key), value) then
      rawset(old, key, value)
    end
  end
  local metatable = getmetatable(new)
  if metatable then
    local paired = pairs_of[metatable]
    setmetatable(old, paired and paired[1] or metatable)
  end
end

-- `base` is what the source set last time: a value that it has not changed since keeps what it
-- became at run time.
function P.merge(old, new, base)
  if P.prototype_info[old] or P.prototype_info[new] then return end
  local pairs_of, seen = {}, {}
  pair(old, new, base, pairs_of)
  local source = source_of(new, pairs_of)
  if source then
    rebind(new, source, pairs_of, seen)
    for _, info in next, P.prototypes do rebind(info.prototype, source, pairs_of, seen) end
  end
  for t, entry in next, pairs_of do fill(entry[1], t, entry[2], pairs_of) end
end
