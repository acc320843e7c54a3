-- How things are put into words: a plain Lua module, which knows nothing of hot reloading.

local text = {}

text.LIMIT = 12 -- stars at most. try: 2. Saving compares what the source says with what it said before
text.drawn = 0 -- counts at run time. Saving does not turn it back, unless you edit this very 0

local longest = 0 -- so is a local at the top of a file, for every function that uses it

-- main.lua has taken this function into a local of its own, and gets the new one all the same.
-- try: `return n .. "-fold"`
function text.times(n)
  return n == 1 and "1 time" or n .. " times"
end

function text.stars(n)
  text.drawn = text.drawn + 1
  longest = math.max(longest, n)
  return ("★"):rep(math.min(n, text.LIMIT)) -- try: another character
end

return text
