local App = session:prototype("App", { name = "world" })

function App:greeting() return "Hello, " .. self.name end

if not session:getApp() then session:createAppVariable(App:new()) end
