-- The application of the benchmark: some state that is kept, and a text that each save changes.
local App = session:prototype("App", { clicks = 0 })

function App:click() self.clicks = self.clicks + 1 end

function App:count()
  local n = 0
  for _, item in ipairs(self.items) do n = n + (item.done and 0 or 1) end
  return n
end

function App:text() return "VERSION" end

if not session:getApp() then
  local items = {}
  for i = 1, 10 do items[i] = { title = "item " .. i, done = i % 3 == 0 } end
  session:createAppVariable(App:new { items = items })
end
