-- Wrappers, which stand in for a variable's value when its children follow their paths, and those for arrays:
-- `lua.ViewList` and `lua.ViewListItem`. Loaded at first use. A reload that fails may have it loaded again.
local P = ...
local session, prototypes = P.session, P.prototypes
local getmetatable, setmetatable = P.debug.getmetatable, P.debug.setmetatable
local error, next, pcall, rawequal, rawget, tostring, type = error, next, pcall, rawequal, rawget, tostring, type
local gmatch, integer, remove, sub = string.gmatch, math.type, table.remove, string.sub

local function find(name)
  local info = prototypes[name]
  if not info and P.built_in[name] then return session:prototype(name) end
  if info then return info.prototype end
  -- A plain global table that says the same of itself is as good.
  local place = P.globals
  for part in gmatch(name, "[^.]+") do
    if type(place) ~= "table" then return end
    place = place[part]
  end
  if type(place) == "table" and place.type == name then return place end
end

-- `what:new(argument)`. A `new` that was not written by anybody would make the argument itself the object.
local function make(name, purpose, field, argument)
  local prototype = find(name)
  if not prototype then
    error(purpose .. "=" .. name .. ": no prototype has that name; it is made by session:prototype", 0)
  end
  if prototype.new == nil or prototype.new == P.default_new then
    return session:create(prototype, argument and { [field] = argument })
  end
  local object = prototype:new(argument)
  if object ~= nil and type(object) ~= "table" then
    error(purpose .. "=" .. name .. ": " .. name .. ":new gave a " .. type(object) .. " instead of an object", 0)
  end
  return object
end

-- For the property `create`.
function P.create(name)
  return make(name, "create") or error("create=" .. name .. ": " .. name .. ":new gave nil", 0)
end

---------------------------------------------------------------- a variable, as its wrapper sees it
local Variable = { __metatable = false }
Variable.__index = Variable

function Variable:getId() return self._id end
function Variable:getValue() return self._value end
function Variable:getWrapper() return self._wrapper end

function Variable:getProperty(name)
  local set = self._set and self._set[name]
  if set ~= nil then return set end
  return self._properties[name]
end

function Variable:setProperty(name, value)
  if type(name) ~= "string" then error("setProperty: the name has to be a string", 2) end
  self._set = self._set or {}
  self._set[name] = value == nil and "" or tostring(value)
end

function P.handle(id) return setmetatable({ _id = id, _properties = {} }, Variable) end

local function derives(object, prototype)
  for _ = 1, 100 do
    if rawequal(object, prototype) then return true end
    object = getmetatable(object)
    if object == nil then return false end
  end
end

local function ask(variable, name)
  local wrapper = variable._wrapper
  local prototype = find(name)
  -- Nobody wrote a `new` that could hand back the one there is.
  if not (wrapper and prototype and prototype.new == P.default_new) then
    wrapper = make(name, "wrapper", "variable", variable)
  end
  if wrapper == nil then error("wrapper=" .. name .. ": " .. name .. ":new gave nil", 0) end
  return wrapper
end

-- Released clients hand a list's `itemWrapper` down as the `wrapper` of each element. The element is an item
-- of the list by then, and has been wrapped by it.
local function is_wrapped_by_list(value, name)
  local item, list = prototypes["lua.ViewListItem"], type(value) == "table" and rawget(value, "list")
  return item ~= nil and type(list) == "table" and rawget(list, "_item_wrapper") == name
    and derives(value, item.prototype)
end

-- The object that stands in for the value, whether it is a list, and what failed on the way. Without an object
-- the value stands for itself.
function P.wrap(variable, name)
  if is_wrapped_by_list(variable._value, name) then
    variable._wrapper = nil
    return nil, false
  end
  local made, wrapper = pcall(ask, variable, name)
  if not made then return nil, false, wrapper end
  variable._wrapper = wrapper
  local list = prototypes["lua.ViewList"]
  local is_list = list ~= nil and derives(wrapper, list.prototype)
  return wrapper, is_list, is_list and rawget(wrapper, "_failure") or nil
end

---------------------------------------------------------------- lists
P.building = true
local ViewList = session:prototype("lua.ViewList", {})
local ViewListItem = session:prototype("lua.ViewListItem", {})
P.building = nil

-- An array even when it is empty.
local array = { __array = true }

-- The highest index; nil if it is no array.
local function length(value)
  if type(value) ~= "table" or value.type ~= nil then return end
  local last = 0
  for key in next, value do
    if type(key) == "string" then
      if sub(key, 1, 1) ~= "_" then return end
    elseif integer(key) == "integer" and key > last then
      last = key
    end
  end
  return last
end

ViewList.selectionIndex = -1

function ViewList:new(variable)
  local list = variable:getWrapper()
  if not list then
    list = session:create(self, { variable = variable, items = setmetatable({}, array) })
    variable:setProperty("fallbackNamespace", "list-item")
  end
  list:sync()
  return list
end

-- One element that cannot be wrapped is shown as it is, and hides no other.
local function wrap_item(item, name)
  local made, object = true, nil
  if name and name ~= "" then made, object = pcall(make, name, "itemWrapper", "listItem", item) end
  item._failed = not made or nil
  if not made then item.list._failure = item.list._failure or object end
  if not made or object == nil then object = item.baseItem end
  item.item = object
end

-- The item that is selected: a browser may have written anything.
local function selected_item(list)
  local index = list.selectionIndex
  return integer(index) == "integer" and list.items[index + 1] or nil
end

-- Objects keep their items wherever they go; anything else has the item of its place.
function ViewList:sync()
  local variable, items = self.variable, self.items
  local value, wrapper = variable:getValue(), variable:getProperty("itemWrapper")
  local count = length(value)
  if not count then
    error("wrapper=lua.ViewList: the value is no array but a " .. tostring(type(value) == "table" and value.type or type(value)), 0)
  end
  local known, more = {}, nil
  if wrapper == self._item_wrapper then
    for i = #items, 1, -1 do
      local item = items[i]
      local element = item.baseItem
      if type(element) == "table" then
        -- One that is there twice has two items, first come, first served.
        if known[element] then
          more = more or {}
          more[element] = { item = known[element], next = more[element] }
        end
        known[element] = item
      end
    end
  end
  self._failure = nil
  local now, changed = {}, {}
  for i = 1, count do
    local element, item = value[i], nil
    if type(element) == "table" then
      item = known[element]
      if item then
        local other = more and more[element]
        known[element] = other and other.item
        if other then more[element] = other.next end
      end
    elseif wrapper == self._item_wrapper then
      item = items[i]
      if item and type(item.baseItem) == "table" then item = nil end
      if item and item.baseItem ~= element then changed[item] = i end
    end
    if not item then
      item = session:create(ViewListItem, { list = self, baseItem = element, index = i - 1 })
      wrap_item(item, wrapper)
    elseif item._failed then
      wrap_item(item, wrapper)
    end
    now[i] = item
  end
  for item, i in next, changed do
    item.baseItem = value[i]
    wrap_item(item, wrapper)
  end
  local selected, selection = selected_item(self), -1
  for i = 1, count do
    local item = now[i]
    item.index = i - 1
    if item == selected then selection = i - 1 end
    items[i], self[i] = item, item
  end
  for i = #items, count + 1, -1 do items[i], self[i] = nil, nil end
  self.selectionIndex, self._item_wrapper = selection, wrapper
end

function ViewList:select(index)
  if integer(index) ~= "integer" or not self.items[index + 1] then index = -1 end
  self.selectionIndex = index
end

function ViewList:clearSelection() self.selectionIndex = -1 end

-- The selected element, nil if there is none.
function ViewList:selectedItem()
  local item = selected_item(self)
  return item and item.baseItem
end

-- Takes an element out of the array.
function ViewList:removeAt(index)
  if integer(index) == "integer" and self.items[index + 1] then remove(self.variable:getValue(), index + 1) end
end

function ViewListItem:select() self.list:select(self.index) end
function ViewListItem:isSelected() return self.list.selectionIndex == self.index end
function ViewListItem:remove() self.list:removeAt(self.index) end
