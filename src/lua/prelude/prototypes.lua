-- Declaring prototypes, and what that needs. Comes before load.lua.
local P = ...
local L = {}
P.L = L
local EMPTY, prototypes, info_of = P.EMPTY, P.prototypes, P.prototype_info
local next, rawequal, rawget, setmetatable = next, rawequal, rawget, P.debug.setmetatable

function L.declare(name, init, base)
  local prototype = init or {}
  P.declarations = P.declarations + 1
  local info = { name = name, prototype = prototype, order = P.declarations }
  for key, value in next, prototype do
    if rawequal(value, EMPTY) then prototype[key] = nil end
  end
  prototype.type, prototype.__index = name, prototype
  base = base or prototypes.Object and prototypes.Object.prototype
  if base then setmetatable(prototype, base) end
  if not base and rawget(prototype, "new") == nil then prototype.new = P.default_new end
  prototypes[name], info_of[prototype] = info, info
  return info
end
