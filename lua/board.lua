-- The board: a list of cards, what is shown of it, and the form that adds to it.

local Card = require "card"
require "race" -- nobody here needs it, but the page does

---@class (exact) Board: Prototype
---@field show "all" | "open" | "done"
---@field search string
---@field newTitle string
---@field newColor string
---@field cards Card[]
local Board = session:prototype("Board", {
  show = "all", -- or "open", or "done": the three buttons above the cards
  search = "",
  newTitle = "", -- what is typed in the form
  newColor = "blue",
})

-- `cards` is not among the fields above, because those are shared by all boards until a board
-- has its own. A table that each board fills for itself is made here.
---@param board? table
---@return Board
function Board:new(board)
  board = session:create(self, board or {})
  board.cards = board.cards or {}
  return board
end

-- Puts a card on top.
function Board:put(card)
  card._board = self -- fields that start with _ are Lua's own: no browser can read them
  table.insert(self.cards, 1, card)
end

-- Runs when the form is sent. The page has put what was typed into newTitle already.
function Board:add()
  local title = self.newTitle:match("^%s*(.-)%s*$")
  if title == "" then return end
  self:put(Card:new { title = title, color = self.newColor })
  self.newTitle = "" -- and the field on the page is empty
  -- The cards are this session's own. What is in the store is everybody's, and is still there when the
  -- server has been restarted. Writing takes a moment, until it is on the disk.
  store.update("board.added", function(titles)
    titles = titles or {}
    table.insert(titles, 1, title)
    titles[6] = nil -- try: keep more than five
    return titles
  end)
end

-- What was added last, in whatever window. A page that has read the store is told when it changes: add a
-- card in one window, and look at another.
function Board:everybody()
  local titles = store.get("board.added")
  return titles and table.concat(titles, "\n") or "Add a card: every window shows it here."
end

function Board:remove(card)
  for i, each in ipairs(self.cards) do
    if each == card then
      table.remove(self.cards, i)
      return
    end
  end
end

-- The cards on the page. Nobody calls this when something changes: the server asks again after
-- every click, and sends what is different.
-- try: sort them, with this line before `return`:
--   table.sort(found, function(a, b) return a.votes > b.votes end)
function Board:visible()
  local found = {}
  for _, card in ipairs(self.cards) do
    if self:wanted(card) then found[#found + 1] = card end
  end
  if #found > 0 then return found end
end

function Board:wanted(card)
  if self.show == "open" and card.done then return false end
  if self.show == "done" and not card.done then return false end
  return card.title:lower():find(self.search:lower(), 1, true) ~= nil
end

function Board:nothingToSee()
  return self:visible() == nil
end

-- What the web component in viewdefs/Board.DEFAULT.html offers: "blue #3a5bd9, green #2b9a66, …"
function Board:palette()
  return Card:palette()
end

-- The open card with the most votes, shown large beside the board.
function Board:favourite()
  local best
  for _, card in ipairs(self.cards) do
    if not card.done and card.votes > (best and best.votes or 0) then best = card end
  end
  return best
end

function Board:summary()
  local open, votes = 0, 0
  for _, card in ipairs(self.cards) do
    if not card.done then open = open + 1 end
    votes = votes + card.votes
  end
  -- try: other words, or a percentage
  return ("%d of %d open, %d votes"):format(open, #self.cards, votes)
end

return Board
