---@meta
-- What the Lua language server knows of `hot`. Nothing loads this file, and running it changes nothing.

---What a file can do about its own reloads. All of it is optional.
---@class Hot
---@field data table of this file, and there in its next version, too
local Hot = {}

---Calls a function before another version of the file takes the place of this one, and when it is let go. If the
---new version fails, what the function did is undone.
---@param callback fun(data: table)
function Hot.dispose(callback) end

---Calls a function when this version has taken the place of another.
---@param callback fun(exports: any)
function Hot.accept(callback) end

---From inside `accept`: this version cannot take over what the old one left, so run again the files that
---require it.
---@param message string
function Hot.invalidate(message) end

---As `session:restart()`.
function Hot.restart() end

---@type Hot
hot = hot
