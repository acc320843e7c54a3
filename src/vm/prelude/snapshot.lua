-- What a reload can undo: everything that user code can reach, as it was before. `R.snapshot`, `R.merge`,
-- `R.settle` and `R.forget` are functions of C: see src/vm/reload.
local P = ...
local R = {}
P.R = R
P.host.reload_functions(P, R)
local snapshot, forget, session, max = R.snapshot, R.forget, P.session, P.max_snapshot

-- Says whether that was all. Beside what `R.snapshot` says, what it leaves in R:
-- `untouched`: nothing of the user has run since;
-- `declared`: prototypes, by their infos; `changed`: record -> names of exports that have other values now;
-- `done`: records that have run; `extra`: those that are to run beyond the plan; `notes`, `local_notes`;
-- `let_go`: hooks of files that were unloaded meanwhile.
function R.begin()
  -- Before it is taken down, or it would have changed at the end.
  session.reloading = true
  local complete = snapshot(max)
  R.untouched, R.app, P.pending = true, P.app or false, R.planned
  return complete
end

-- What runs is there for the first time: to the code it is no reload.
function R.is_start() session.reloading, P.pending = false, false end

-- The reload is over, in either way. What is nil takes a new place in its table when it comes back.
function R.finish()
  session.reloading, R.untouched, R.app, P.pending = false, false, false, false
  forget()
end
