-- What code of ours uses of the library, as it is before any script runs. Parts of ours are loaded when they
-- are needed, and by then scripts may have put functions of theirs in its place: these would be called without
-- limits, with what is ours.
local P = ...
P.env = {
  _G = _G, error = error, ipairs = ipairs, next = next, pcall = pcall, rawequal = rawequal, rawget = rawget,
  rawset = rawset, setmetatable = setmetatable, tonumber = tonumber, tostring = tostring, type = type, math = { type = math.type },
  coroutine = { isyieldable = coroutine.isyieldable, running = coroutine.running, yield = coroutine.yield },
  string = { find = string.find, format = string.format, gmatch = string.gmatch, gsub = string.gsub, sub = string.sub },
  table = { concat = table.concat, pack = table.pack, unpack = table.unpack, remove = table.remove, sort = table.sort },
}
