-- The race: the cards that have votes, the leader first.
--
-- It is a wrapper: an object that stands between the cards and one view of them, so that neither
-- Board nor Card has to know how they are shown there. viewdefs/Board.DEFAULT.html asks for it with
-- `cards?wrapper=Race`, and the paths in viewdefs/Race.DEFAULT.html start here.

---@class (exact) Race: Prototype
---@field _cards Card[]
local Race = session:prototype("Race")

-- Called for the variable that is wrapped, and again when its value is another one.
---@param variable Variable
---@return Race
function Race:new(variable)
  local race = variable:getWrapper() or session:create(self)
  race._cards = variable:getValue()
  return race
end

-- try: `<` in place of `>`. On the page the very same elements change places.
local function before(a, b)
  if a.votes ~= b.votes then return a.votes > b.votes end
  return a.title < b.title
end

function Race:lanes()
  local lanes = {}
  for _, card in ipairs(self._cards) do
    if card.votes > 0 then lanes[#lanes + 1] = card end
  end
  table.sort(lanes, before)
  return lanes
end

-- The votes of the leader: as wide as the others are measured by.
function Race:most()
  local most = 1
  for _, card in ipairs(self._cards) do most = math.max(most, card.votes) end
  return most
end

return Race
