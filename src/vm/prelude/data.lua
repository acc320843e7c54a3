-- Copying and comparing what a source file declares.
local P = ...
local L = {}
P.L = L
local copy_level, FUNCTION = P.host.copy_level, P.FUNCTION
local next, rawequal, rawget, type = next, rawequal, rawget, type

-- Tables that somebody else answers for: they are compared by identity, never copied or merged.
local function foreign(t)
  return P.library[t] or P.own[t] or P.prototype_info[t] or P.exported[t]
end
L.foreign = foreign

-- A copy of what the source set, to tell later whether the source has changed. Functions are there by
-- this mark only: an old one would be kept alive.
local function copy(value, copies)
  local kind = type(value)
  if kind == "function" then return FUNCTION end
  if kind ~= "table" or foreign(value) then return value end
  local done = copies[value]
  if done then return done end
  local keys
  done, keys = copy_level(value, FUNCTION)
  copies[value] = done
  for i = 1, keys and #keys or 0 do
    local key = keys[i]
    done[key] = copy(done[key], copies)
  end
  return done
end

function L.copy_data(value) return copy(value, {}) end

-- `base` is a copy as above.
local function same(base, value, compared)
  if rawequal(base, value) then return true end
  if type(value) == "function" then return base == FUNCTION end
  if type(base) ~= "table" or type(value) ~= "table" or foreign(value) then return false end
  if compared[base] then return compared[base] == value end
  compared[base] = value
  for key, inner in next, base do
    if type(key) ~= "table" and not same(inner, rawget(value, key), compared) then return false end
  end
  for key in next, value do
    if type(key) ~= "table" and rawget(base, key) == nil then return false end
  end
  return true
end

function L.same_data(base, value)
  if type(value) ~= "table" then return rawequal(base, value) or base == FUNCTION and type(value) == "function" end
  return same(base, value, {})
end
