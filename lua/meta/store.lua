---@meta
-- What the Lua language server knows of `store`. Nothing loads this file, and running it changes nothing.

---@class StoreEntry
---@field key string
---@field value any

---@class StoreOptions
---@field ttl? number milliseconds after which the key is gone

---Values that outlive sessions, and that all of them share. Reading waits for nobody; a page that shows what was read
---follows it. Writing waits until it is on the disk, so it can't be called in a coroutine, a getter, a metamethod
---or a function that sorts.
---@class Store
local Store = {}

---@param key string
---@return any value nil if there is none
function Store.get(key) end

---@param key string
---@param value any as JSON can write it, not nil
---@param options? StoreOptions
function Store.set(key, value, options) end

---Changes a value without losing what others change at the same time: the function is called again if another
---session was faster.
---@param key string
---@param f fun(value: any): any gets nil if there is none; nil deletes the key
---@param options? StoreOptions
---@return any value the new one
function Store.update(key, f, options) end

---@param key string
function Store.delete(key) end

---All that begin so, in the order of their keys.
---@param prefix? string
---@return StoreEntry[]
function Store.list(prefix) end

---Calls a function for each change of a key that begins so; nil: it is gone.
---@param prefix string
---@param callback fun(key: string, value: any)
---@return integer handle
function Store.watch(prefix, callback) end

---@param handle? integer an unknown one is none to end
function Store.unwatch(handle) end

---@type Store
store = store
