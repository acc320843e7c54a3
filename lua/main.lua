-- The Board: cards to vote on, a counter, a clock. Everything you see on the page is here or in
-- viewdefs/, and everything can be edited while the page is open.
--
-- This file runs once when a browser opens a session, and again each time you save it. What the
-- session has built up (the cards, the votes, the clicks) stays as it is; the code is new.

local Board = require "board"
local Card = require "card"
local Clock = require "clock"
local times = require("text").times

-- A prototype is what other languages call a class. The table holds the fields that every App
-- starts with. On the second run this gives back the same prototype, so the App that is on the
-- page stays the same object and gets the methods below.
--
-- The lines that begin with ---@ are for your editor: it finds a name that is misspelt.
---@class (exact) App: Prototype
---@field clicks integer
---@field step integer
---@field board Board
---@field clock Clock
local App = session:prototype("App", {
  clicks = 0,
  step = 1, -- try: type a 5 in the page's "step" field and click; then save this file. It is kept.
})

function App:greeting()
  -- try: change this greeting and save. Look at the page, and then at the counter.
  return "Hello from Lua"
end

function App:click()
  self.clicks = self.clicks + self.step -- try: `self.clicks - self.step`
end

function App:counted()
  return "Clicked " .. times(self.clicks)
end

function App:reset()
  self.clicks = 0
end

-- The first run builds the application. Later runs find it and leave it alone. (Asking first
-- only saves work: creating the app variable twice would be harmless.)
if not session:getApp() then
  local board = Board:new()
  board:put(Card:new { title = "Change the greeting in main.lua", votes = 3, color = "blue" })
  board:put(Card:new { title = "Add a colour in card.lua", votes = 2, color = "green" })
  board:put(Card:new { title = "Restyle me in viewdefs/App.DEFAULT.html", color = "orange" })
  board:put(Card:new { title = "Open this page", done = true, color = "grey" })
  session:createAppVariable(App:new { board = board, clock = Clock:new() })
end

-- A timer that starts while a file loads belongs to that version of the file: saving stops the
-- old one and starts this one. So there is always exactly one, and it must be outside the `if`.
-- try: 100 instead of 1000, and see the count under the clock run.
session:setInterval(session:getApp().clock, "tick", 1000)

print("the board is ready with " .. #session:getApp().board.cards .. " cards")
