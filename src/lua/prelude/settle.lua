-- The end of a reload that went well: timers of replaced versions, hooks. What is done to what others hold is
-- done before: see src/lua/reload/settle.rs.
local P = ...
local R = P.R
local next = next

-- Whether objects have to follow their prototypes. Most often one is declared again as it was: then nothing
-- follows the commit.
local function migrates()
  for _, info in next, P.prototypes do
    if info.changes then return true end
  end
  return false
end

-- A timer of the version that was replaced goes on if the new one has the line that started it, and passed it over:
-- `if not session.reloading then`, say.
local function goes_on(timer, owner)
  local line = timer.line and P.host.reloads.moved_call(owner.path, timer.line)
  if not line then return false end
  for _, other in next, P.timers do
    if other.owner == owner and other.version == owner.version and other.line == line then return false end
  end
  timer.version, timer.line, timer.kept = owner.version, line, true
  return true
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
      if record.accept then R.accepted[#R.accepted + 1] = { record.accept, record.exports, record.source, record } end
    end
  end
  local deaf = {}
  for handle, timer in next, P.timers do
    local owner = timer.owner
    if owner and timer.version ~= owner.version and not goes_on(timer, owner) then
      if timer.listens then
        deaf[#deaf + 1] = handle
      else
        P.timers[handle] = nil
        P.host.clear_timer(handle)
        ended = ended + 1
      end
    end
  end
  if deaf[1] then P.replace(deaf) end
  if P.exposed then P.trim_exposed() end
  return ended, R.hooks[1] ~= nil or R.accepted[1] ~= nil or migrates()
end

-- hot.invalidate: what requires this file runs again, as a reload of its own.
function R.invalidate(record, message)
  R.invalidated = R.invalidated or {}
  R.invalidated[#R.invalidated + 1] = { record, message }
end
