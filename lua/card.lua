-- One card of the board.

local Card = session:prototype("Card", {
  title = "",
  votes = 0,
  color = "blue",
  done = false,
})

-- try: make blue red, or add `pink = "#d6409f"` and a line for it in viewdefs/Board.DEFAULT.html
local COLORS = {
  blue = "#3a5bd9",
  green = "#2b9a66",
  orange = "#e5752b",
  grey = "#80838d",
}

function Card:accent()
  return COLORS[self.color] or COLORS.grey
end

function Card:vote()
  self.votes = self.votes + 1 -- try: + 10
end

function Card:stars()
  -- try: another character. The cards on the page change as you save.
  return ("★"):rep(math.min(self.votes, 12))
end

function Card:remove()
  self._board:remove(self)
end

return Card
