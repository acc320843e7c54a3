-- What `session:expose` has named: paths that scripts of a page may ask for beside those that templates bind.
-- Loaded at first use.
local P = ...
local host = P.host
local error, next, rawget, type = error, next, rawget, type
local find_text, sub = string.find, string.sub

-- owner -> version -> { "Type\0path" = true }: `owner` is the file that exposed it, `P` if none was being
-- loaded. While a reload is under way there may be two versions.
local max_exposed = 10000
P.exposed = P.exposed or { count = 0, of = {} }

-- Those of replaced versions, and of those that were undone.
function P.trim_exposed()
  local exposed = P.exposed
  for owner, versions in next, exposed.of do
    for version, paths in next, versions do
      if owner ~= P and version ~= owner.version then
        for _ in next, paths do exposed.count = exposed.count - 1 end
        versions[version] = nil
      end
    end
  end
  host.exposed()
end

-- All of a file that is forgotten.
function P.forget_exposed(record)
  local exposed = P.exposed
  for _, paths in next, exposed.of[record] or {} do
    for _ in next, paths do exposed.count = exposed.count - 1 end
  end
  exposed.of[record] = nil
  host.exposed()
end

-- type, path, type, path ...
function P.list_exposed()
  local list = {}
  for _, versions in next, P.exposed.of do
    for _, paths in next, versions do
      for key in next, paths do
        local at = find_text(key, "\0", 1, true)
        list[#list + 1], list[#list + 2] = sub(key, 1, at - 1), sub(key, at + 1)
      end
    end
  end
  return list
end

-- `session:expose`; errors are its caller's.
function P.expose(prototype, paths)
  local name = prototype
  if type(prototype) == "table" then
    local info = P.prototype_info[prototype]
    name = info and info.name or rawget(prototype, "type")
  end
  if type(name) ~= "string" then error("session:expose: give a prototype, or its name", 2) end
  if type(paths) ~= "table" then error("session:expose: the paths have to be a list of strings", 2) end
  local owner, exposed = P.loading(), P.exposed
  local versions = exposed.of[owner or P] or {}
  local version = owner and owner.version or 1
  local mine = versions[version] or {}
  exposed.of[owner or P], versions[version] = versions, mine
  for _, path in next, paths do
    if type(path) ~= "string" then error("session:expose: the paths have to be a list of strings", 2) end
    local key = name .. "\0" .. path
    if not mine[key] then
      if exposed.count >= max_exposed then error("session:expose: more than " .. max_exposed .. " paths", 2) end
      mine[key], exposed.count = true, exposed.count + 1
    end
  end
  host.exposed()
end
