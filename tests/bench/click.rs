//! What the budgets of a session cost a click.

use std::time::{Duration, Instant};

use mlua::{Function, Lua};

use crate::{Fallible, reloading::Site, within};

/// A handler of some size: fields, strings, a loop over fifty entries.
const CLICK: &str = "local app = { n = 0, items = {} }
    function app:click()
      self.n = self.n + 1
      for i = 1, 50 do self.items[i] = { label = 'item ' .. i, done = i % 2 == 0 } end
      local text = {}
      for _, item in ipairs(self.items) do text[#text + 1] = item.label:upper() end
      self.text = table.concat(text, ', ')
    end
    return function() app:click() end";
/// Clicks that are timed together.
const CLICKS: u32 = 100;

/// By bare mlua, and in a session: with its deadline hook, its guards and its count of memory.
pub(crate) async fn measure(rounds: usize) -> Fallible<(Duration, Duration)> {
    let site = Site::new(&[("main.lua", "")], 1).await?;
    within(&site.sessions[0], move |session| {
        let plain = Lua::new();
        let bare: Function = plain.load(CLICK).eval()?;
        let click: Function =
            session.with_lua(|lua| lua.load(CLICK).eval()).map_err(|error| error.to_string())?;
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let began = Instant::now();
            for _ in 0..CLICKS {
                bare.call::<()>(())?;
            }
            times.0.push(began.elapsed() / CLICKS);
            let began = Instant::now();
            for _ in 0..CLICKS {
                session.with_lua(|_| click.call::<()>(())).map_err(|error| error.to_string())?;
            }
            times.1.push(began.elapsed() / CLICKS);
        }
        Ok((crate::median(times.0), crate::median(times.1)))
    })
    .await?
    .map_err(|error: Box<dyn std::error::Error + Send + Sync>| error.to_string().into())
}
