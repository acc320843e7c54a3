-- Save another sign or speed: the balls that are there follow.
local Ball = session:prototype("Ball", { x = 0, speed = 1, sign = "o" })
local WIDTH = 60

function Ball:move()
  self.x = self.x + self.speed
  if self.x < 1 or self.x > WIDTH then
    self.speed = -self.speed
    self.x = self.x + 2 * self.speed
  end
end

return Ball
