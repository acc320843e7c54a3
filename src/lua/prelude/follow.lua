-- What follows the commit of a reload, where something does: hooks, files that are gone, and what
-- `hot.invalidate` asked for. Loaded when it is needed.
local P = ...
local R, records = P.R, P.records
local next, remove = next, table.remove

-- Lets go of loaded files that are there no longer, unless something still requires them. Returns their
-- chunks' names.
function R.prune(paths)
  local pruned = {}
  R.hooks = R.hooks or {}
  P.load_more()
  if not P.unload then P.host.need("seldom", P) end
  repeat
    local before = #pruned
    for i = 1, #paths do
      local record, wanted = records[paths[i]], false
      for _, other in next, records do
        wanted = wanted or other ~= record and other.deps and other.deps[record]
      end
      if record and not wanted then
        for _, f in next, record.dispose or {} do R.hooks[#R.hooks + 1] = { f, record.data, record.source } end
        pruned[#pruned + 1] = record.source
        P.unload(record)
      end
    end
  until #pruned == before
  return pruned
end

-- The next of the functions that are called after commit, with what it gets, and its file.
function R.take_hook()
  local hook = R.hooks and remove(R.hooks, 1)
  if hook then return hook[1], hook[2], hook[3] end
end

function R.take_accept()
  local hook = R.accepted and remove(R.accepted, 1)
  -- Who starts a timer in it is that version of the file.
  P.accepting = hook and hook[4]
  if hook then return hook[1], hook[2], hook[3] end
end

-- Plans what hot.invalidate asked for. Not twice the same: two files could go on for ever.
function R.take_invalidated()
  local asked = R.invalidated or {}
  R.invalidated = nil
  for i = 1, #asked do
    local record, message = asked[i][1], asked[i][2]
    record.done = true
    if R.run_dependents(record, "invalidated", message) == 0 then
      P.host.reloads.tell(record.source, "invalidated", message, {})
    end
  end
  return R.take_extra()
end

-- The module is another file now: its link was retargeted.
function R.rename(old, new)
  local record = records[old]
  if record and not records[new] then
    records[old], records[new], record.path = nil, record, new
  end
end
