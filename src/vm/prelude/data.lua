-- Copying and comparing what a source file declares.
local P = ...
local next, rawequal, rawget, type = next, rawequal, rawget, type
local getmetatable = P.debug.getmetatable

-- A copy of data as the source set it, to tell later whether the source has changed.
local function copy_data(value, depth)
  depth = depth or 0
  if type(value) ~= "table" or depth > 8 or P.prototype_info[value] or getmetatable(value) then return value end
  local copy = {}
  for key, inner in next, value do copy[key] = copy_data(inner, depth + 1) end
  return copy
end
P.copy_data = copy_data

local function same_data(a, b)
  if rawequal(a, b) then return true end
  if type(a) ~= "table" or type(b) ~= "table" or getmetatable(a) or getmetatable(b) then return false end
  for key, value in next, a do
    if not same_data(value, rawget(b, key)) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end
P.same_data = same_data
