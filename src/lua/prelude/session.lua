-- The global `session`: prototypes and the app. How a prototype is declared is in prototypes.lua, the rest in
-- extras.lua.
local P = ...
local debug, host = P.debug, P.host
local error, rawequal, type = error, rawequal, type
local setmetatable, set_user_metatable = debug.setmetatable, setmetatable

-- Of ours, beside the library.
local own = { [_G] = true }
P.own = own
-- What a module returns -> its record.
P.exported = setmetatable({}, { __mode = "k" })

local EMPTY = setmetatable({}, { __tostring = function() return "EMPTY" end })
_G.EMPTY, own[EMPTY] = EMPTY, true

local session = { reloading = false, url = "/" }
_G.session, own[session] = session, true
P.session, P.EMPTY = session, EMPTY

---------------------------------------------------------------- prototypes
-- name -> { name, prototype, order, owner, changes }: `owner` is the file that declared it, `changes` are those
-- of its fields in the reload that is under way.
local prototypes = {}
P.prototypes = prototypes
-- prototype -> its info, to know one when it is met
local info_of = setmetatable({}, { __mode = "k" })
P.prototype_info = info_of
-- instance -> the number of its creation
P.instances = setmetatable({}, { __mode = "k" })
P.created, P.declarations = 0, 0

local function default_new(self, instance)
  if type(self) ~= "table" or self.new ~= P.default_new and self.type == nil then
    error("new was called with a dot: write Type:new(…), with a colon", 2)
  end
  return session:create(self, instance or {})
end
P.default_new = default_new

-- Those of viewlist.lua, which is loaded when one is asked for.
P.built_in = { ["lua.ViewList"] = true, ["lua.ViewListItem"] = true }

function session:prototype(name, init, base)
  if type(name) ~= "string" then error("session:prototype: the name has to be a string; it is called with a colon, session:prototype(\"Name\", { … })", 2) end
  if init ~= nil and type(init) ~= "table" then error("session:prototype: the fields have to be a table", 2) end
  if P.built_in[name] and not prototypes[name] and not P.building then host.need("viewlist", P) end
  local info, owner = prototypes[name], P.loading()
  if not info then
    if not P.L then host.need("load", P) end
    info = P.L.declare(name, init, base)
  elseif init and not rawequal(init, info.prototype) then
    if not P.R then host.need("reload", P) end
    P.R.redeclare(info, init, base)
  end
  if owner then info.owner = owner end
  return info.prototype
end

function session:create(prototype, instance)
  if type(prototype) ~= "table" then error("session:create: the prototype has to be a table", 2) end
  instance = set_user_metatable(instance or {}, prototype)
  if P.hot and not P.instances[instance] then
    P.created = P.created + 1
    P.instances[instance] = P.created
  end
  return instance
end

---------------------------------------------------------------- the app
local function type_name(object) return type(object) == "table" and object.type or nil end

-- What `createVariable` has declared.
P.variables = { version = 0 }

function session:createAppVariable(object, properties)
  if type(object) ~= "table" then error("session:createAppVariable: the app has to be a table", 2) end
  if properties ~= nil then
    P.load_more()
    if not P.set_app_properties then host.need("seldom", P) end
    P.set_app_properties(properties)
  end
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

-- Timers, variables, the log and `hot` are not of use to every session: they come when something is first
-- looked for.
local more, more_ui = { __metatable = false }, { __metatable = false }
function P.load_more()
  if not P.extras then host.need("extras", P) end
  more.__index, more_ui.__index = P.extras, P.extra_ui
end
function more.__index(_, name)
  P.load_more()
  return more.__index[name]
end
function more_ui.__index(_, name)
  P.load_more()
  return more_ui.__index[name]
end
setmetatable(session, more)
_G.ui = setmetatable({}, more_ui)
own[_G.ui] = true

-- Values that outlive the session, in store.lua; those that are written, and topics, in hub.lua.
function P.load_store()
  P.load_more()
  if not P.store then host.need("store", P) end
end
function P.load_hub()
  P.load_store()
  if not P.publish then host.need("hub", P) end
end
local shared = { __metatable = false }
function shared.__index(_, name)
  P.load_store()
  shared.__index = P.store
  return P.store[name]
end
_G.store = setmetatable({}, shared)
own[_G.store] = true

_G.hot = setmetatable({}, { __metatable = false, __index = function(_, name)
  P.load_more()
  return P.hook(name, P.caller())
end })
own[_G.hot] = true
