-- `require`, and which files run. What it takes to run one is in load.lua, which comes when one is to run.
local P = ...
local host, debug, G = P.host, P.debug, _G
local error, next, type, getinfo = error, next, type, debug.getinfo

-- real path -> { path, file, source, name, names, exports, made, capture, deps, data, version, running }:
-- `file` is the name below the Lua directory, `source` that of the chunk, `names` are those it was
-- required by, `made` the objects that its definitions are, `capture` a function that has its locals, `deps` the
-- records that it requires.
local records = {}
P.records = records
-- the files that are running now, outermost first
local stack = {}
P.stack = stack

-- The file that is being loaded, if any: it owns the timers that are started.
function P.loading() return stack[#stack] or P.accepting end

-- The record of the code that called the caller.
function P.caller()
  local info = getinfo(3, "S")
  for _, record in next, records do
    if info and record.source == info.source then return record end
  end
  return stack[#stack]
end

-- Of lists that hold nobody.
P.weak = { __mode = "v" }

function G.require(name)
  if type(name) ~= "string" then error("require: the name has to be a string", 2) end
  if not P.L then host.need("load", P) end
  return P.L.require(name)
end

-- After a unit of work that ran out of time, when not even the guards could run.
function P.sweep()
  if P.L then P.L.sweep() end
end
