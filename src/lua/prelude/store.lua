-- `store`, to read from it. Loaded at first use; what writes, and what listens, comes after it with hub.lua.
local P = ...
local host, json = P.host.hub, P.json
local error, rawget, setmetatable, type = error, rawget, setmetatable, type
local sort, sub = table.sort, string.sub

-- What a file that is being loaded sends waits until it is known that it has loaded well: in hub.lua.
local held = P.held or {}
P.held = held

local function decode(text)
  if text then return (json.decode(text)) end
end
P.decode = decode

-- The tables that were read last, so that a page which shows one sees the same object until it is another. They keep
-- nothing alive.
local last = setmetatable({}, { __mode = "v" })

local function value_of(key, text)
  local known = last[key]
  -- Somebody may have changed it.
  if known ~= nil and json.encode(known) == text then return known end
  local value = decode(text)
  last[key] = type(value) == "table" and value or nil
  return value
end

-- What is there, or will be when what is held back has gone.
local function present(name, key)
  local text, revision = host.get(key)
  if revision == nil then error(name .. ": " .. text, 3) end
  for i = 1, #held do
    local op = held[i]
    if op.key == key then text = op.text or false end
  end
  return text, revision
end
P.present = present

local store = {}
P.store = store

function store.get(key)
  if type(key) ~= "string" then error("store.get: the key has to be a string", 2) end
  local text = present("store.get", key)
  if text then return value_of(key, text) end
end

function store.list(prefix)
  if prefix == nil then prefix = "" end
  if type(prefix) ~= "string" then error("store.list: the prefix has to be a string", 2) end
  local flat, problem = host.list(prefix)
  if not flat then error("store.list: " .. problem, 2) end
  local texts, keys = {}, {}
  for i = 1, #flat, 2 do
    keys[#keys + 1], texts[flat[i]] = flat[i], flat[i + 1]
  end
  local grown = false
  for i = 1, #held do
    local key = held[i].key
    if key and sub(key, 1, #prefix) == prefix then
      if texts[key] == nil then keys[#keys + 1], grown = key, true end
      texts[key] = held[i].text or false
    end
  end
  if grown then sort(keys) end
  local list = {}
  for i = 1, #keys do
    local key = keys[i]
    if texts[key] then
      local value = value_of(key, texts[key])
      -- An entry is an object of a page, too.
      local name = "\0" .. key
      local entry = last[name]
      if entry == nil or entry.key ~= key or entry.value ~= value then
        entry = { key = key, value = value }
        last[name] = entry
      end
      list[#list + 1] = entry
    end
  end
  return list
end

setmetatable(store, { __index = function(_, name)
  if not rawget(store, "set") then P.host.need("hub", P) end
  return rawget(store, name)
end })
