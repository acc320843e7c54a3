-- Files and prototypes that are let go. Loaded at first use.
local P = ...
local host, loaded, records, extras = P.host, P.loaded, P.records, P.extras
local error, next, pcall, tostring, type = error, next, pcall, tostring, type
local find_text, sub = string.find, string.sub

function extras:removePrototype(name, children)
  local prefix = children and name .. "."
  for other, info in next, P.prototypes do
    if other == name or prefix and sub(other, 1, #prefix) == prefix then
      P.prototypes[other], P.prototype_info[info.prototype] = nil, nil
    end
  end
end

-- The record with what it registered: prototypes, timers that it started when it was loaded.
local function unload(record)
  for name, info in next, P.prototypes do
    if info.owner == record then
      P.prototypes[name], P.prototype_info[info.prototype] = nil, nil
    end
  end
  for handle, timer in next, P.timers do
    if timer.owner == record then P.clear_timer(nil, handle) end
  end
  if P.exposed then P.forget_exposed(record) end
  if not P.L then host.need("load", P) end
  P.L.forget(record)
end
P.unload = unload

-- The same when user code asks for it: this version is let go, so it disposes of what it holds. A reload
-- that may still be undone calls the hooks when it is committed.
local function unload_and_dispose(record)
  local hooks, reload = record.dispose or {}, P.R
  record.dispose = nil
  unload(record)
  if reload and reload.under_way then
    local let_go = reload.let_go
    for i = 1, #hooks do let_go[#let_go + 1] = { hooks[i], record.data, record.source } end
    return
  end
  for i = 1, #hooks do
    local ok, problem = pcall(hooks[i], record.data)
    if not ok then host.log("error", sub(record.source, 2) .. ": hot.dispose failed: " .. tostring(problem)) end
  end
end

function extras:unloadModule(name)
  if type(name) ~= "string" then error("session:unloadModule: the name has to be a string", 2) end
  for _, record in next, records do
    if record.names[name] then return unload_and_dispose(record) end
  end
  loaded[name] = nil
end

function extras:unloadDirectory(dir)
  if type(dir) ~= "string" then error("session:unloadDirectory: the directory has to be a string", 2) end
  dir = find_text(dir, "/$") and dir or dir .. "/"
  local gone = {}
  for _, record in next, records do
    if sub(record.file, 1, #dir) == dir then gone[#gone + 1] = record end
  end
  for i = 1, #gone do unload_and_dispose(gone[i]) end
end
