-- What a reload can undo: everything that user code can reach, as it was before.
local P = ...
local R = {}
P.R = R
local ipairs, next, type = ipairs, next, type
local setmetatable = P.debug.setmetatable
local G, sized, copy, list = P.globals, P.host.sized, P.host.copy, P.host.list

-- Never looked into: the library, and functions of C and of ours.
-- About a hundred: to grow step by step takes three times as long.
local known = sized(0, 100)
for t in next, P.library do known[t] = true end
known[P] = true
for t in next, P.library do P.host.know(t, known) end
for t in next, P.own do P.host.know(t, known) end
local of_known = { __index = known }
R.known = known

-- Where the search begins, beside the globals and prototypes: tables and functions that we hold for user code.
local function roots(add)
  for _, record in next, P.records do
    add(record.exports)
    add(record.data)
    add(record.accept)
    for _, f in ipairs(record.dispose or {}) do add(f) end
  end
  add(P.app)
  add(P.variables)
  for _, timer in next, P.timers do
    add(timer.callback)
    add(timer.object)
  end
  for instance in next, P.instances do add(instance) end
end

-- How long the lists became last time: most often they become so again.
local queue_size, functions_size, tables_size, slots_size, upvalues_size = 0, 0, 0, 0, 0

-- Says whether that was all. What it leaves in R.batch:
-- `tables`: table, metatable, index of its last value, key, value, key, value ... one after the other.
--   A list takes less time and leaves less garbage than a copy of each table.
-- `untouched`: nothing of the user has run since.
-- `seen`: the globals, prototypes -> where they begin in `tables`; other tables, functions, coroutines -> true.
-- `slots`: table, key, function ... for each function that is in a table.
-- `functions`, `coroutines`; `upvalues`: function, index, value ... Those that functions share are there once.
-- `records`, `prototypes`, `loaded`: ours, as lists of keys and values.
function R.begin()
  local seen, max = setmetatable(sized(0, queue_size + functions_size + upvalues_size // 3 + 10), of_known), P.max_snapshot
  local queue, last, functions, found = sized(queue_size, 0), 0, sized(functions_size, 0), 0
  local function add(value)
    if value == nil or seen[value] then return end
    local kind = type(value)
    if kind == "table" then
      seen[value] = true
      last = last + 1
      queue[last] = value
    elseif kind == "function" then
      seen[value] = true
      found = found + 1
      functions[found] = value
    end
  end
  for t in next, P.library do seen[t] = true end
  seen[P] = true
  add(G)
  for _, info in next, P.prototypes do add(info.prototype) end
  local placed = last
  roots(add)
  local tables, slots, upvalues, coroutines = sized(tables_size, 0), sized(slots_size, 0), sized(upvalues_size, 0), {}
  local complete
  complete, queue_size, functions_size, tables_size, slots_size, upvalues_size = P.host.walk(
    queue, seen, known, functions, tables, slots, upvalues, coroutines, P, last, found, max, placed
  )
  local records, prototypes = {}, {}
  for path, record in next, P.records do
    records[path] = { record, list(record), list(record.names), record.dispose and list(record.dispose) }
  end
  for name, info in next, P.prototypes do prototypes[name] = { info, list(info) } end
  R.batch = {
    seen = seen, tables = tables, slots = slots, functions = functions, upvalues = upvalues,
    coroutines = coroutines, records = records, prototypes = prototypes, timers = copy(P.timers),
    app = P.app, loaded = list(P.loaded), complete = complete, untouched = true,
  }
  P.session.reloading = true
  R.prepare()
  return R.batch.complete
end

-- What runs is there for the first time: to the code it is no reload.
function R.is_start() P.session.reloading, P.pending = false, nil end

-- The reload is over, in either way.
function R.finish()
  P.session.reloading, P.pending, R.batch, R.declared = false, nil, nil, nil
end
