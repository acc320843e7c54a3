-- Runs when the game starts, and again whenever it is saved.
local Ball = require "ball"

-- What has to last: the first run makes it.
balls = balls or { Ball:new { x = 10 }, Ball:new { x = 30 } }

-- The program calls it by its name, so each save counts from the next frame on.
function frame()
  table.sort(balls, function(a, b) return a.x < b.x end)
  for _, ball in ipairs(balls) do
    ball:move()
    screen:put(ball.x, ball.sign)
  end
end
