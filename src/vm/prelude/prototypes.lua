-- Declaring prototypes, and what that needs. Comes before load.lua.
local P = ...
local L = {}
P.L = L
-- See src/vm/data.rs.
L.foreign, L.copy_data, L.same_data = P.host.data(P)
local EMPTY, prototypes, info_of = P.EMPTY, P.prototypes, P.prototype_info
local next, rawequal, rawget, setmetatable, type = next, rawequal, rawget, P.debug.setmetatable, type

local automatic = { type = true, __index = true, new = true }

-- Functions are code, not fields: they are always taken from the source.
function L.declared_fields(init)
  local fields = {}
  for key, value in next, init do
    if type(key) == "string" and not automatic[key] and type(value) ~= "function" then
      fields[key] = L.copy_data(value)
    end
  end
  return fields
end

function L.declare(name, init, base)
  local prototype = init or {}
  P.declarations = P.declarations + 1
  local info = { name = name, prototype = prototype, declared = L.declared_fields(prototype), order = P.declarations }
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
