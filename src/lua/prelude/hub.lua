-- What `store` has beside reading, and what `session` has of topics. Loaded at first use, after store.lua.
-- Subscriptions and watches stand among the timers: they follow a reload in the same way.
local P = ...
local host, json, log = P.host.hub, P.json, P.host.log
local store, decode, present = P.store, P.decode, P.present
local error, next, pcall, tostring, type = error, next, pcall, tostring, type
local remove, sort = table.remove, table.sort
local isyieldable, running, yield = coroutine.isyieldable, coroutine.running, coroutine.yield
local math_type = math.type

-- What a file that is being loaded sends waits until it is known that it has loaded well.
local held = P.held

local function is_loading() return P.stack[1] or P.accepting or P.R and P.R.under_way end

local function hold(op)
  op.owner = P.loading()
  held[#held + 1] = op
  host.hold()
end

local function encode(what, value, level)
  local text, problem = json.encode(value)
  if not text then error(what .. ": " .. problem, level) end
  return text
end

---------------------------------------------------------------- topics
function P.publish(topic, value)
  if type(topic) ~= "string" then error("session:publish: the topic has to be a string", 2) end
  local text, problem = json.encode(value)
  problem = problem or host.check_message(topic, text)
  if problem then error("session:publish: " .. problem, 2) end
  if is_loading() then return hold { topic = topic, text = text } end
  problem = host.publish(topic, text)
  if problem then error("session:publish: " .. problem, 2) end
end

-- `name` is that of the function, for errors. Tail calls lead here: its caller is the user's code.
local function listen(name, start, what, callback)
  if type(what) ~= "string" then error(name .. ": what to listen to has to be a string", 2) end
  if type(callback) ~= "function" then error(name .. " needs a function", 2) end
  local handle, problem = start(what)
  if not handle then error(name .. ": " .. problem, 2) end
  local owner = P.loading()
  P.timers[handle] = {
    callback = callback, owner = owner, version = owner and owner.version, listens = name .. " " .. what,
    line = owner and P.hot and P.line_of(owner),
  }
  return handle
end

function P.subscribe(topic, callback) return listen("session:subscribe", host.subscribe, topic, callback) end

function P.unlisten(handle)
  local entry = P.timers[handle]
  if entry and entry.listens then
    P.timers[handle] = nil
    host.unlisten(handle)
  end
end

-- A reload has made others of them, which are to hear what has come meanwhile.
function P.replace(ended)
  sort(ended)
  local taken = {}
  for i = 1, #ended do
    local old, new = P.timers[ended[i]], nil
    for handle, other in next, P.timers do
      if other.listens == old.listens and other.owner == old.owner and other.version == old.owner.version
        and not other.kept and not taken[handle] and (not new or handle < new)
      then
        new = handle
      end
    end
    P.timers[ended[i]] = nil
    if new then
      taken[new] = true
      host.hand_on(ended[i], new)
    else
      host.unlisten(ended[i])
    end
  end
end

-- Something has come for it.
function P.deliver(handle, name, text)
  local entry = P.timers[handle]
  if not entry then return end
  local value = decode(text)
  if host.is_watch(handle) then return entry.callback(name, value) end
  entry.callback(value, name)
end

---------------------------------------------------------------- changes of the store
function store.watch(prefix, callback) return listen("store.watch", host.watch, prefix, callback) end

function store.unwatch(handle) return P.unlisten(handle) end

---------------------------------------------------------------- writing
-- Writes, and waits. Returns the revision; nil if another was faster than `expected`.
local function write(name, op, expected)
  if running() ~= P.unit or not isyieldable() then
    error(name .. " cannot wait here: it is called in a coroutine, a getter, a metamethod or a function that sorts; "
      .. "call it in what a page or a timer calls, or in a subscription", 3)
  end
  local problem = host.write(op.key, op.text, op.ttl, expected)
  if problem then error(name .. ": " .. problem, 3) end
  yield()
  local revision, failed = host.answer()
  if failed then error(name .. ": " .. failed, 3) end
  return revision
end

local function milliseconds(name, options)
  if options == nil then return end
  if type(options) ~= "table" then error(name .. ": the options have to be a table", 3) end
  local ttl = options.ttl
  if ttl == nil then return end
  if not math_type(ttl) or not (ttl > 0) then
    error(name .. ": ttl has to be a number of milliseconds, more than 0", 3)
  end
  return ttl
end

local function check(name, op, level)
  if type(op.key) ~= "string" then error(name .. ": the key has to be a string", level) end
  local problem = host.check_write(op.key, op.text)
  if problem then error(name .. ": " .. problem, level) end
end

function store.set(key, value, options)
  if value == nil then error("store.set: the value is nil; store.delete deletes a key", 2) end
  local op = { key = key, text = encode("store.set", value, 3), ttl = milliseconds("store.set", options) }
  check("store.set", op, 3)
  if is_loading() then return hold(op) end
  write("store.set", op)
end

function store.delete(key)
  local op = { key = key }
  check("store.delete", op, 3)
  if is_loading() then return hold(op) end
  write("store.delete", op)
end

-- The new value of a key, from the one it has, with that one's revision.
local function changed(name, key, f, ttl)
  local text, revision = present(name, key)
  -- A table of its own: the function may change it.
  local value = f(decode(text))
  local op = { key = key, ttl = ttl, f = f }
  if value ~= nil then op.text = encode(name, value, 4) end
  check(name, op, 4)
  return op, revision, value, text
end

function store.update(key, f, options)
  local ttl = milliseconds("store.update", options)
  if type(key) ~= "string" then error("store.update: the key has to be a string", 2) end
  if type(f) ~= "function" then error("store.update needs a function", 2) end
  if is_loading() then
    local op, _, value = changed("store.update", key, f, ttl)
    hold(op)
    return value
  end
  while true do
    local op, revision, value, before = changed("store.update", key, f, ttl)
    if op.text == nil and not before then return nil end
    if write("store.update", op, revision) then return value end
  end
end

---------------------------------------------------------------- what was held back
local function send(op)
  if op.topic then
    local problem = host.publish(op.topic, op.text)
    if problem then error("session:publish: " .. problem, 0) end
    return
  end
  if not op.f then return write("store.set", op) end
  -- What it saw while it was held back is not there yet; others may have written meanwhile.
  repeat
    local text, revision = host.get(op.key)
    local value = op.f(decode(text))
    op.text = value ~= nil and encode("store.update", value, 1) or nil
    if op.text == nil and not text then return end
  until write("store.update", op, revision)
end

-- The files have loaded well: what they sent goes out, as a unit of work of its own.
function P.send_held()
  while held[1] do
    local ok, problem = pcall(send, held[1])
    remove(held, 1)
    if not ok then log("error", tostring(problem)) end
  end
end

-- A file has failed: nothing of what it sent has been sent.
function P.drop_held(owner)
  for i = #held, 1, -1 do
    if owner == nil or held[i].owner == owner then remove(held, i) end
  end
end

-- How many wait, for a reload that may go back to them.
function P.count_held() return #held end
function P.keep_held(count)
  for i = #held, count + 1, -1 do held[i] = nil end
end
