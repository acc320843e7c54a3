-- One card of the board.

local text = require "text"

---@class (exact) Card: Prototype
---@field title string
---@field votes integer
---@field color string
---@field done boolean
---@field _board Board
local Card = session:prototype("Card", {
  title = "",
  votes = 0,
  color = "blue",
  done = false,
})

-- try: make blue red, or add `pink = "#d6409f"`: the form on the page has one dot more
local COLORS = {
  blue = "#3a5bd9",
  green = "#2b9a66",
  orange = "#e5752b",
  grey = "#80838d",
}

function Card:palette()
  local all = {}
  for name, color in pairs(COLORS) do all[#all + 1] = name .. " " .. color end
  table.sort(all)
  return table.concat(all, ", ")
end

function Card:accent()
  return COLORS[self.color] or COLORS.grey
end

function Card:vote()
  self.votes = self.votes + 1 -- try: + 10
end

function Card:stars()
  return text.stars(self.votes)
end

function Card:remove()
  self._board:remove(self)
end

return Card
