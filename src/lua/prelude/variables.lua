-- Variables that scripts declare, and the address of the page. Loaded at first use.
local P = ...
local host, extras = P.host, P.extras
local error, ipairs, next, rawequal, tostring, type = error, ipairs, next, rawequal, tostring, type
local find_text = string.find

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

---------------------------------------------------------------- the address of the page
function extras:navigate(path)
  if type(path) ~= "string" or not find_text(path, "^/[^%c]*$") or #path > 2000 then
    error("session:navigate: the path has to begin with a slash, as session.url does, and to have up to 2000 bytes", 2)
  end
  P.session.url = path
  host.navigate(path)
end
