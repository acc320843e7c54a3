-- A reload that failed: everything is put back as the snapshot has it. Loaded when it is needed.
local P = ...
local R = P.R
local next, rawequal, rawget, rawset = next, rawequal, rawget, rawset
local debug, unlisted = P.debug, P.host.unlisted
local getmetatable, setmetatable = debug.getmetatable, debug.setmetatable
local getupvalue, setupvalue = debug.getupvalue, debug.setupvalue

local function restore(t, content)
  for key in next, t do
    if content[key] == nil then rawset(t, key, nil) end
  end
  for key, value in next, content do
    if not rawequal(rawget(t, key), value) then rawset(t, key, value) end
  end
end

-- All tables of such a list: see `Lists` in src/vm/reload.
local function restore_all(saved)
  local at = 1
  while saved[at] do
    local t, metatable, stop = saved[at], saved[at + 1] or nil, saved[at + 2]
    restore(t, unlisted(saved, at + 3, stop))
    if not rawequal(getmetatable(t), metatable) then setmetatable(t, metatable) end
    at = stop + 1
  end
end

function R.rollback()
  P.sweep()
  restore_all(R.tables)
  local saved, at = R.upvalues, 1
  while saved[at] do
    local f, i, value = saved[at], saved[at + 1], saved[at + 2]
    if rawequal(value, P) then value = nil end
    local _, now = getupvalue(f, i)
    if not rawequal(now, value) then setupvalue(f, i, value) end
    at = at + 3
  end
  for _, info in next, P.prototypes do P.prototype_info[info.prototype] = nil end
  restore_all(R.ours)
  for _, info in next, P.prototypes do P.prototype_info[info.prototype] = info end
  P.app = R.app or nil
  if P.exposed then P.trim_exposed() end
  R.finish()
end
