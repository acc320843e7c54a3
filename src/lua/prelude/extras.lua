-- What `session` and `ui` offer beside prototypes and the app, and `hot`. Loaded at first use. What has to
-- last is in `P`: a reload that fails may have this file loaded once more.
local P = ...
local host, loaded, records, json = P.host, P.loaded, P.records, P.json
local error, ipairs, next, pcall, rawequal, tostring, type = error, ipairs, next, pcall, rawequal, tostring, type
local find_text, sub, getinfo = string.find, string.sub, P.debug.getinfo

local extras = {}
P.extras = extras

---------------------------------------------------------------- timers
-- Where the file is that is being loaded.
local function line_of(owner)
  for level = 3, 100 do
    local info = getinfo(level, "Sl")
    if not info then return false end
    if info.what == "main" and info.source == owner.source then return info.currentline end
  end
end

local function start(callback, method, ms, once)
  local object
  if type(method) == "string" then callback, object = method, callback else ms = method end
  if not object and type(callback) ~= "function" then error("a timer needs a function, or an object and the name of its method: session:setInterval(f, ms)", 3) end
  local handle, problem = host.start_timer(ms or 0, once)
  if not handle then error(problem, 3) end
  local owner = P.loading()
  P.timers[handle] = {
    callback = callback, object = object, owner = owner, version = owner and owner.version, once = once,
    line = owner and P.hot and line_of(owner),
  }
  return handle
end

P.line_of = line_of

local function clear(_, handle)
  local timer = P.timers[handle]
  if timer and timer.listens then return P.unlisten(handle) end
  if timer then
    P.timers[handle] = nil
    host.clear_timer(handle)
  end
end

function extras:setTimeout(callback, ms, more) return start(callback, ms, more, true) end
function extras:setInterval(callback, ms, more) return start(callback, ms, more, false) end
function extras:setImmediate(callback) return start(callback, 0, nil, true) end
extras.clearTimeout, extras.clearInterval, extras.clearImmediate = clear, clear, clear

---------------------------------------------------------------- topics
function extras:publish(topic, value)
  P.load_hub()
  return P.publish(topic, value)
end

function extras:subscribe(topic, callback)
  P.load_hub()
  return P.subscribe(topic, callback)
end

function extras:unsubscribe(handle)
  P.load_hub()
  return P.unlisten(handle)
end

---------------------------------------------------------------- variables
-- `P.variables`: `order` holds those of createVariable, { id, parent?, object, properties }, parents before
-- children; `of` finds the newest one of an object; `app` are the properties of variable 1. Whoever changes
-- something raises `version`, and each browser is brought up to it.
local max_variables = 10000

local function text_properties(properties, what, level)
  if properties ~= nil and type(properties) ~= "table" then error(what .. ": the properties have to be a table", level) end
  local texts = {}
  for name, value in next, properties or {} do
    local kind = type(value)
    if type(name) ~= "string" or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      error(what .. ": a property is a name with a string, a number or a boolean", level)
    end
    texts[name] = tostring(value)
  end
  return texts
end

local function same_properties(a, b)
  for name, value in next, a do if b[name] ~= value then return false end end
  for name in next, b do if a[name] == nil then return false end end
  return true
end

function P.set_app_properties(properties)
  local variables, texts = P.variables, text_properties(properties, "session:createAppVariable", 4)
  -- Browsers have those that are gone; an empty one is as good as none.
  for name in next, variables.app or {} do texts[name] = texts[name] or "" end
  if not same_properties(texts, variables.app or {}) then
    variables.app, variables.version = texts, variables.version + 1
  end
end

-- The id and, of one that createVariable made, its place in the order.
local function find(which)
  local variables = P.variables
  if which == 1 or P.app ~= nil and rawequal(which, P.app) then return 1 end
  local found = type(which) == "table" and variables.of and variables.of[which]
  if found then which = found.id end
  for place, variable in next, variables.order or {} do
    if variable.id == which then return which, place end
  end
end

function extras:createVariable(parent, object, properties)
  local texts = text_properties(properties, "session:createVariable", 3)
  if type(object) ~= "table" and not (object == nil and texts.path) then
    error("session:createVariable: the object has to be a table, or nil with a path among the properties", 2)
  end
  local above
  if parent ~= nil and parent ~= 0 then
    above = find(parent)
    if not above then
      local what = type(parent) == "table" and "that object" or "the id " .. tostring(parent)
      error("session:createVariable: no variable of the session has " .. what, 2)
    end
  end
  local variables = P.variables
  variables.order, variables.of = variables.order or {}, variables.of or {}
  -- A file that runs again asks again.
  local known = object and variables.of[object]
  if known and known.parent == above and same_properties(known.properties, texts) then return known.id end
  if #variables.order >= max_variables then
    error("session:createVariable: more than " .. max_variables .. " variables", 2)
  end
  local id = (variables.last or 0) - 1
  local variable = { id = id, parent = above, object = object, properties = texts }
  variables.last, variables.version = id, variables.version + 1
  variables.order[#variables.order + 1] = variable
  if object then variables.of[object] = variable end
  return id
end

function extras:destroyVariable(which)
  local id, place = find(which)
  if id == 1 then error("session:destroyVariable: variable 1 stays as long as the session", 2) end
  if not place then return end
  local variables, doomed, kept = P.variables, { [id] = true }, {}
  for _, variable in ipairs(variables.order) do
    if doomed[variable.id] or variable.parent and doomed[variable.parent] then
      doomed[variable.id] = true
      local object = variable.object
      if object and variables.of[object] == variable then variables.of[object] = nil end
    else
      kept[#kept + 1] = variable
    end
  end
  variables.order, variables.version = kept, variables.version + 1
end

---------------------------------------------------------------- what scripts of a page need
function extras:expose(prototype, paths)
  if not P.expose then host.need("expose", P) end
  return P.expose(prototype, paths)
end

---------------------------------------------------------------- log and JSON
local levels = { error = true, warn = true, info = true, debug = true, trace = true }
local wrong_level = 'the level is "error", "warn", "info", "debug" or "trace"'

function extras:log(level, message)
  if not levels[level] then error("session:log: " .. wrong_level, 2) end
  host.log(level, tostring(message))
end

local ui = { json_encode = json.encode, json_decode = json.decode }

function ui.log(level, message)
  if message == nil then level, message = "info", level end
  if not levels[level] then error("ui.log: " .. wrong_level, 2) end
  host.log(level, tostring(message))
end

P.extra_ui = ui

---------------------------------------------------------------- the address of the page
function extras:navigate(path)
  if type(path) ~= "string" or not find_text(path, "^/[^%c]*$") or #path > 2000 then
    error("session:navigate: the path has to begin with a slash, as session.url does, and to have up to 2000 bytes", 2)
  end
  P.session.url = path
  host.navigate(path)
end

---------------------------------------------------------------- letting go
function extras:restart() host.restart() end

function extras:removePrototype(name, children)
  local prefix = children and name .. "."
  for other, info in next, P.prototypes do
    if other == name or prefix and sub(other, 1, #prefix) == prefix then
      P.prototypes[other], P.prototype_info[info.prototype] = nil, nil
    end
  end
end

-- The record with what it registered: prototypes, timers that it started when it was loaded.
local function unload(record)
  for name, info in next, P.prototypes do
    if info.owner == record then
      P.prototypes[name], P.prototype_info[info.prototype] = nil, nil
    end
  end
  for handle, timer in next, P.timers do
    if timer.owner == record then clear(nil, handle) end
  end
  if P.exposed then P.forget_exposed(record) end
  if not P.L then host.need("load", P) end
  P.L.forget(record)
end
P.unload = unload

-- The same when user code asks for it: this version is let go, so it disposes of what it holds. A reload
-- that may still be undone calls the hooks when it is committed.
local function unload_and_dispose(record)
  local hooks, reload = record.dispose or {}, P.R
  record.dispose = nil
  unload(record)
  if reload and reload.under_way then
    local let_go = reload.let_go
    for i = 1, #hooks do let_go[#let_go + 1] = { hooks[i], record.data, record.source } end
    return
  end
  for i = 1, #hooks do
    local ok, problem = pcall(hooks[i], record.data)
    if not ok then host.log("error", sub(record.source, 2) .. ": hot.dispose failed: " .. tostring(problem)) end
  end
end

function extras:unloadModule(name)
  if type(name) ~= "string" then error("session:unloadModule: the name has to be a string", 2) end
  for _, record in next, records do
    if record.names[name] then return unload_and_dispose(record) end
  end
  loaded[name] = nil
end

function extras:unloadDirectory(dir)
  if type(dir) ~= "string" then error("session:unloadDirectory: the directory has to be a string", 2) end
  dir = find_text(dir, "/$") and dir or dir .. "/"
  local gone = {}
  for _, record in next, records do
    if sub(record.file, 1, #dir) == dir then gone[#gone + 1] = record end
  end
  for i = 1, #gone do unload_and_dispose(gone[i]) end
end

---------------------------------------------------------------- hot
local function takes_function(name, f)
  if type(f) ~= "function" then error("hot." .. name .. " needs a function", 3) end
end

-- What `hot.name` is to the code of the file `record`.
function P.hook(name, record)
  if name == "data" then
    if not record then return nil end
    record.data = record.data or {}
    return record.data
  elseif name == "dispose" then
    return function(f)
      takes_function(name, f)
      if P.hot and record then
        record.dispose = record.dispose or {}
        record.dispose[#record.dispose + 1] = f
      end
    end
  elseif name == "accept" then
    return function(f)
      takes_function(name, f)
      if P.hot and record then record.accept = f end
    end
  elseif name == "invalidate" then
    return function(message)
      if P.hot and record and P.R and P.R.invalidate then P.R.invalidate(record, tostring(message or "")) end
    end
  elseif name == "restart" then
    return host.restart
  end
end
