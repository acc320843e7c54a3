-- In place of sandbox.lua, in a state that belongs to another program: nothing is taken away or replaced,
-- and what is required may also be one of its own modules. `P.debug` is ours alone.
local P = ...
local G = _G
local error, find, ipairs, pcall, require, type = error, string.find, ipairs, pcall, require, type

P.globals, P.library = G, { [P.debug] = true }
for _, name in ipairs { "string", "table", "math", "utf8", "coroutine", "os", "debug", "io" } do
  if type(G[name]) == "table" then P.library[G[name]] = true end
end
if type(G.package) ~= "table" then G.package = {} end
if type(G.package.loaded) ~= "table" then G.package.loaded = { _G = G } end
P.loaded = G.package.loaded

-- What the scripts do not have. `problem` says why not.
function P.other_require(name, problem)
  if not require then error(problem, 2) end
  local ok, exports, where = pcall(require, name)
  if ok then return exports, where end
  if type(exports) == "string" and find(exports, "module '" .. name .. "' not found", 1, true) then error(problem, 2) end
  error(exports, 0)
end
