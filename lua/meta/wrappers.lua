---@meta
-- What the Lua language server knows of wrappers. Nothing loads this file, and running it changes nothing.

---A variable, as the wrapper that stands in for its value sees it: what `new` of a wrapper is given.
---@class Variable
local Variable = {}

---@return integer
function Variable:getId() end

---@return any value that is wrapped
function Variable:getValue() end

---@return any wrapper that `new` gave the last time
function Variable:getWrapper() end

---@param name string
---@return string?
function Variable:getProperty(name) end

---The page is told, if it is something new.
---@param name string
---@param value string | number | boolean | nil nil is the empty text
function Variable:setProperty(name, value) end

---The wrapper for arrays, `wrapper=lua.ViewList`: each element by way of an item, and a selection.
---@class ViewList
---@field type string
---@field variable Variable
---@field items ViewListItem[] by place; an element keeps its item wherever it goes
---@field selectionIndex integer from 0 up; -1 if nothing is selected
local ViewList = {}

---@param variable Variable
---@return ViewList
function ViewList:new(variable) end

---Brings the items in line with the array. The server calls it when the array is another.
function ViewList:sync() end

---@param index integer from 0 up; another number selects nothing
function ViewList:select(index) end

function ViewList:clearSelection() end

---@return any element that is selected, nil if there is none
function ViewList:selectedItem() end

---Takes an element out of the array.
---@param index integer from 0 up
function ViewList:removeAt(index) end

---What stands for one element of a `lua.ViewList`: what `new` of an item wrapper is given.
---@class ViewListItem
---@field type string
---@field list ViewList
---@field baseItem any the element
---@field item any the same, or what `itemWrapper` has made for it
---@field index integer from 0 up
local ViewListItem = {}

function ViewListItem:select() end

---@return boolean
function ViewListItem:isSelected() end

---Takes the element out of the array.
function ViewListItem:remove() end
