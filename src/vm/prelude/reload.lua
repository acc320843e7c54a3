-- Modules that are there already: a file that is run again, a link that leads elsewhere.
local P = ...
local host, loaded, records = P.host, P.loaded, P.records
local next, type = next, type

-- Runs the new version of a loaded file; what it exports goes into the tables that others hold.
function P.reload(path, file, name)
  local record = records[path]
  if not record then return P.load_first(path, file, name) end
  record.version = record.version + 1
  local before, names = record.exports, record.names
  for name in next, names do loaded[name] = nil end
  local exports = P.run(record, host.chunk(record.file), false)
  local base = P.copy_data(exports)
  if type(before) == "table" and type(exports) == "table" then
    P.merge(before, exports, record.base)
  else
    record.exports = exports
  end
  record.base = base
  for name in next, names do loaded[name] = record.exports end
  host.loaded(path, record.file)
end

-- The module is another file now: its link was retargeted.
function P.rename(old, new)
  local record = records[old]
  if record and not records[new] then
    records[old], records[new], record.path = nil, record, new
  end
end
