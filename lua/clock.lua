-- A clock that runs on the server. main.lua calls tick() once a second.

---@class (exact) Clock: Prototype
---@field beats integer
local Clock = session:prototype("Clock", {
  beats = 0, -- ticks since this session began; saving does not turn it back
})

function Clock:tick()
  self.beats = self.beats + 1
end

function Clock:time()
  return os.date("%H:%M:%S") -- try: "%A, %H:%M"
end

-- How much of this minute is over, as the width of a bar.
function Clock:minute()
  return ("%.0f%%"):format(os.time() % 60 / 60 * 100)
end

return Clock
