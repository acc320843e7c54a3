-- The global `session`: prototypes and the app; the rest is in extras.lua.
local P = ...
local debug, host = P.debug, P.host
local error, next, rawequal, rawget, type = error, next, rawequal, rawget, type
local setmetatable, set_user_metatable = debug.setmetatable, setmetatable

local EMPTY = setmetatable({}, { __tostring = function() return "EMPTY" end })
_G.EMPTY = EMPTY

local session = { reloading = false }
_G.session = session
P.session = session

---------------------------------------------------------------- prototypes
-- name -> { prototype, declared }: `declared` are the fields as the source set them last.
local prototypes = {}
P.prototypes = prototypes
-- prototype -> its info, to know one when it is met
local info_of = setmetatable({}, { __mode = "k" })
P.prototype_info = info_of

local automatic = { type = true, __index = true, new = true }

local function declared_fields(init)
  local fields = {}
  for key, value in next, init do
    if type(key) == "string" and not automatic[key] then fields[key] = P.copy_data(value) end
  end
  return fields
end

local function declare(name, init, base)
  local prototype = init or {}
  local info = { prototype = prototype, declared = declared_fields(prototype) }
  for key, value in next, prototype do
    if rawequal(value, EMPTY) then prototype[key] = nil end
  end
  prototype.type, prototype.__index = name, prototype
  base = base or prototypes.Object and prototypes.Object.prototype
  if base then setmetatable(prototype, base) end
  if not base and rawget(prototype, "new") == nil then
    prototype.new = function(self, instance) return session:create(self, instance or {}) end
  end
  prototypes[name], info_of[prototype] = info, info
  return prototype
end

-- The same table with what the source says now; a field the source did not touch keeps its value.
local function redeclare(info, init, base)
  local prototype, before, now = info.prototype, info.declared, declared_fields(init)
  for key, value in next, now do
    if not P.same_data(before[key], value) then
      if rawequal(value, EMPTY) then prototype[key] = nil else prototype[key] = init[key] end
    end
  end
  for key in next, before do
    if now[key] == nil then prototype[key] = nil end
  end
  if rawget(init, "new") ~= nil then prototype.new = init.new end
  if base then setmetatable(prototype, base) end
  info.declared = now
end

function session:prototype(name, init, base)
  if type(name) ~= "string" then error("session:prototype: the name has to be a string", 2) end
  if init ~= nil and type(init) ~= "table" then error("session:prototype: the fields have to be a table", 2) end
  local info = prototypes[name]
  if not info then return declare(name, init, base) end
  if init and not rawequal(init, info.prototype) then redeclare(info, init, base) end
  return info.prototype
end

function session:create(prototype, instance)
  if type(prototype) ~= "table" then error("session:create: the prototype has to be a table", 2) end
  return set_user_metatable(instance or {}, prototype)
end

---------------------------------------------------------------- the app
local function type_name(object) return type(object) == "table" and object.type or nil end

function session:createAppVariable(object)
  if type(object) ~= "table" then error("session:createAppVariable: the app has to be a table", 2) end
  if P.app == nil or type_name(P.app) ~= type_name(object) then P.app = object end
  return 1
end

function session:getApp() return P.app end

---------------------------------------------------------------- timers
-- handle -> { callback, object?, owner?, version?, once }
P.timers = {}

-- A timer is due.
function P.fire(handle)
  local timer = P.timers[handle]
  if not timer then return end
  if timer.once then P.timers[handle] = nil end
  if timer.object then return timer.object[timer.callback](timer.object) end
  timer.callback()
end

_G.ui = {
  log = function(level, message)
    if message == nil then level, message = "info", level end
    session:log(level, message)
  end,
}

-- Timers and the log are not of use to every session: they come when something is first looked for.
local more = { __metatable = false }
function more.__index(_, name)
  more.__index = host.extras()(P)
  return more.__index[name]
end
setmetatable(session, more)
