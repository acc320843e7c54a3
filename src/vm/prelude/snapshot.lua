-- A reload, most of which are functions of C: see src/vm/reload. What they keep in R:
-- `under_way`: a reload is; `extra`: files that are to run beyond the plan; `planned`: those of the
-- plan; `inits`: what prototypes were declared with, by their names; `let_go`: hooks of files that were unloaded meanwhile; `app`: what P.app was;
-- `tables`, `ours`, `upvalues`, `queue`: what it takes to undo it.
local P = ...
local R = {}
P.R = R
P.host.reload_functions(P, R)

-- What runs is there for the first time: to the code it is no reload.
function R.is_start() P.session.reloading, P.pending = false, false end
