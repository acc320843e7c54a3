-- What is known of a reload in Lua. What the snapshot holds is Rust's: see src/lua/reload.
-- `under_way`: a reload is; `extra`: files that are to run beyond the plan; `let_go`: hooks of files that were
-- unloaded meanwhile; `app`: what P.app was; `held`: how much was held back of what files sent.
local P = ...
local next = next
local R = { extra = {}, let_go = {}, under_way = false, app = false, held = 0 }
P.R = R

-- Before anything is taken down, or it would have changed at the end.
function R.begin()
  P.session.reloading, P.pending, P.inits = true, {}, {}
  R.extra, R.let_go, R.under_way, R.app = {}, {}, true, P.app or false
  R.held = P.count_held and P.count_held() or 0
end

-- What runs is there for the first time: to the code it is no reload.
function R.is_start() P.session.reloading, P.pending = false, false end

-- The reload is over, in either way. What is nil takes a new place in its table when it comes back, so what is
-- not there is false.
function R.finish()
  P.session.reloading, P.pending, P.inits, R.under_way, R.app = false, false, false, false, false
  for _, record in next, P.records do record.done = false end
end

-- It has failed, and its tables are as they were.
function R.undone()
  P.app = R.app or nil
  if P.exposed then P.trim_exposed() end
  if P.keep_held then P.keep_held(R.held) end
  R.finish()
end
