-- What a reload can undo: everything that user code can reach, as it was before. `R.snapshot`, `R.merge`,
-- `R.settle` and `R.forget` are functions of C: see src/vm/reload.
local P = ...
local R = {}
P.R = R
P.host.reload_functions(P, R)
local next = next
local copy, list, snapshot = P.host.copy, P.host.list, R.snapshot

-- Says whether that was all. Beside what `R.snapshot` says, what it leaves in R.batch:
-- `untouched`: nothing of the user has run since.
-- `records`, `prototypes`, `loaded`, `timers`, `app`: ours, as lists of keys and values.
function R.begin()
  local batch, records, prototypes = snapshot(P.max_snapshot), {}, {}
  for path, record in next, P.records do
    records[path] = { record, list(record), list(record.names), record.dispose and list(record.dispose) }
  end
  for name, info in next, P.prototypes do prototypes[name] = { info, list(info) } end
  batch.records, batch.prototypes, batch.timers, batch.app = records, prototypes, copy(P.timers), P.app
  batch.loaded, batch.untouched, R.batch = list(P.loaded), true, batch
  P.session.reloading = true
  -- `declared`: prototypes, by their infos; `changed`: record -> names of exports that have other values.
  R.notes, R.declared, R.changed, P.pending = {}, {}, {}, {}
  R.done, R.extra, R.local_notes, R.let_go = {}, {}, {}, {}
  return batch.complete
end

-- What runs is there for the first time: to the code it is no reload.
function R.is_start() P.session.reloading, P.pending = false, nil end

-- The reload is over, in either way.
function R.finish()
  P.session.reloading, P.pending, R.batch, R.declared = false, nil, nil, nil
  R.forget()
end
