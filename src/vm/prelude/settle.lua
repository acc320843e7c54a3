-- The end of a reload that went well: timers of replaced versions, hooks. What is done to what others hold is
-- done before: see src/vm/reload/commit.rs.
local P = ...
local R = P.R
local next, tostring, type = next, tostring, type
local format, gsub, sub = string.format, string.gsub, string.sub
local same_data = P.L.same_data
local nothing = {}

-- What a local was or is, to be read.
function R.show(value)
  if type(value) == "string" then return (gsub(format("%q", #value > 40 and sub(value, 1, 40) or value), "\\\n", "\\n")) end
  -- That of a program's own may run code of it.
  if type(value) == "userdata" then return "userdata" end
  if type(value) ~= "table" then return tostring(value) end
  local n = 0
  for _ in next, value do n = n + 1 end
  return "a table of " .. n .. (n == 1 and " entry" or " entries")
end

local function differs(was, now)
  for key, value in next, now do
    if not same_data(was[key], value) then return true end
  end
  for key in next, was do
    if now[key] == nil then return true end
  end
  return false
end

-- Whether objects have to follow their prototypes. Most often one is declared again as it was: then nothing
-- follows the commit.
local function migrates()
  local any = false
  for _, info in next, P.prototypes do
    if info.was then
      if differs(info.was, info.declared) then any = true else info.was = nil end
    end
  end
  return any
end

-- From here on nothing is undone. Returns how many timers ended, and whether there are hooks or migrations to
-- come.
function R.commit()
  local ended = 0
  -- Of modules that were unloaded meanwhile.
  R.hooks = R.let_go
  if not R.accepted or R.accepted[1] then R.accepted = {} end
  for _, record in next, P.records do
    if record.done then
      for _, f in next, record.old_dispose or nothing do R.hooks[#R.hooks + 1] = { f, record.data, record.source } end
      if record.accept then R.accepted[#R.accepted + 1] = { record.accept, record.exports, record.source, record } end
      if record.old_dispose then record.old_dispose = false end
    end
  end
  for handle, timer in next, P.timers do
    if timer.owner and timer.version ~= timer.owner.version then
      P.timers[handle] = nil
      P.host.clear_timer(handle)
      ended = ended + 1
    end
  end
  if P.exposed then P.trim_exposed() end
  return ended, R.hooks[1] ~= nil or R.accepted[1] ~= nil or migrates()
end

-- hot.invalidate: what requires this file runs again, as a reload of its own.
function R.invalidate(record, message)
  R.invalidated = R.invalidated or {}
  R.invalidated[#R.invalidated + 1] = { record, message }
end
