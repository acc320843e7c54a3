---@meta
-- What the Lua language server knows of `ui`. Nothing loads this file, and running it changes nothing.

---@class UI
local UI = {}

---Writes to the server's log.
---@param level LogLevel
---@param message any
---@overload fun(message: any)
function UI.log(level, message) end

---A value as JSON text, or nil and why not, with the place: `a.b[3]: a function has no form in JSON`.
---@param value any
---@return string? text
---@return string? problem
function UI.json_encode(value) end

---The value of a JSON text, or nil and why not. `null` is nil too: then there is no problem.
---@param text string
---@return any value
---@return string? problem
function UI.json_decode(text) end

---@type UI
ui = ui
