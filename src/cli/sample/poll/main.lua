local App = session:prototype("App", {})

function App:yes() return (store.get("poll") or {}).yes or 0 end
function App:no() return (store.get("poll") or {}).no or 0 end

local function vote(answer)
  store.update("poll", function(poll)
    poll = poll or {}
    poll[answer] = (poll[answer] or 0) + 1
    return poll
  end)
end

function App:voteYes() vote("yes") end
function App:voteNo() vote("no") end

if not session:getApp() then session:createAppVariable(App:new()) end
