-- The end of a reload that went well: what is to be told, timers of replaced versions, hooks. What is done to
-- what others hold, `R.settle` does.
local P = ...
local R = P.R
local next, tostring, type = next, tostring, type
local format, gsub, sub = string.format, string.gsub, string.sub
local same_data = P.L.same_data
local nothing = {}

-- Kind, file and what else there is to say of it: see src/vm/notes.rs.
function R.note(note) R.notes[#R.notes + 1] = note end

local function show(value)
  if type(value) == "string" then return (gsub(format("%q", #value > 40 and sub(value, 1, 40) or value), "\\\n", "\\n")) end
  if type(value) ~= "table" then return tostring(value) end
  local n = 0
  for _ in next, value do n = n + 1 end
  return "a table of " .. n .. (n == 1 and " entry" or " entries")
end

-- A local of a file has another value than it had.
function R.note_local(source, name, was, now)
  local key = source .. "\0" .. name
  if R.local_notes[key] then return end
  R.local_notes[key] = true
  local text = type(now) ~= "table" and type(now) ~= "function" and show(now)
  R.note { "local", source, name, show(was), text, type(was) == "table" }
end

-- So many timers, coroutines or functions go on running old code from that line on.
function R.note_stale(what, source, line, count)
  R.note { "stale", source, what, line, count }
end

-- Who made a copy of a value when it was loaded keeps the old one. Who could have is known by the source.
local function note_copies()
  for record, names in next, R.changed do
    for _, other in next, P.records do
      if other.deps and other.deps[record] and not R.done[other] then
        local note = { "copies", other.source, record.source }
        for i = 1, #names do note[i + 3] = names[i] end
        R.note(note)
      end
    end
  end
end

-- What there is to tell since the last call.
function R.take_notes()
  local notes = R.notes
  R.notes = {}
  return notes
end

-- From here on nothing is undone. Returns how many timers ended.
function R.commit()
  local ended = 0
  -- Of modules that were unloaded meanwhile.
  R.hooks = R.let_go
  if not R.accepted or R.accepted[1] then R.accepted = {} end
  for record in next, R.done do
    for _, f in next, record.old_dispose or nothing do R.hooks[#R.hooks + 1] = { f, record.data, record.source } end
    if record.accept then R.accepted[#R.accepted + 1] = { record.accept, record.exports, record.source, record } end
    if record.old_dispose then record.old_dispose = false end
  end
  for handle, timer in next, P.timers do
    if timer.owner and timer.version ~= timer.owner.version then
      P.timers[handle] = nil
      P.host.clear_timer(handle)
      ended = ended + 1
    end
  end
  return ended
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

-- All of it, and in the same call the end of the reload if nothing follows and it `may_finish`: a call from
-- Rust takes as long as some of these. Says how many timers ended, whether there is something to tell, and
-- whether there are hooks or migrations to come.
function R.commit_all(may_finish)
  local ended, follows = 0, false
  local has_more = R.settle()
  if next(R.changed) then note_copies() end
  if has_more then
    ended = R.commit()
    follows = R.hooks[1] ~= nil or R.accepted[1] ~= nil or migrates()
  end
  if may_finish and not follows then R.finish() end
  return ended, R.notes[1] ~= nil, follows
end

-- hot.invalidate: what requires this file runs again, as a reload of its own.
function R.invalidate(record, message)
  R.invalidated = R.invalidated or {}
  R.invalidated[#R.invalidated + 1] = { record, message }
end
