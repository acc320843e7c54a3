//! The site, the server under its limit, and what it uses.

use hotloader_test_support::{server::Server, site::Site};
use std::fs;

use crate::SETUP;

/// All the address space that the server gets.
pub(crate) const ADDRESS_SPACE: u64 = 1 << 30;

const MAIN: &str = r#"
local App = session:prototype("App", { count = 0, text = "" })
function App:click() self.count = self.count + 1 end
-- A list that has one large text many times.
function App:wall()
  local text, list = ("x"):rep(8 * 1024 * 1024), {}
  for i = 1, 600 do list[i] = text end
  return list
end
-- Large texts in many variables of every browser.
function App:carve()
  local text = ("x"):rep(8 * 1024 * 1024)
  for i = 1, 400 do session:createVariable(1, { type = "Stone" }, { text = text }) end
end
-- Quadratic by itself, and never done.
function App:trim() return (self.text:gsub("%s+$", "")) end
function App:spin() while true do end end
function App:fail() for i = 1, 10 do session:setInterval(function() error("no") end, 10) end end
if not session:getApp() then session:createAppVariable(App:new {}) end
"#;

/// All that is asked for in these tests.
const VIEWDEF: &str = r#"<template><div>
<p ui-value="count"></p><input ui-value="text"><button ui-action="click()"></button>
<p ui-value="wall()"></p><button ui-action="carve()"></button>
<button ui-action="trim()"></button><button ui-action="spin()"></button><button ui-action="fail()"></button>
</div></template>
"#;

/// A server that has little memory.
pub(crate) struct Small {
    pub(crate) server: Server,
    _site: Site,
}

impl Small {
    pub(crate) async fn start() -> Self {
        Self::within(ADDRESS_SPACE).await
    }

    /// With so many bytes of address space.
    pub(crate) async fn within(address_space: u64) -> Self {
        let site = Site::with(SETUP, &[("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", VIEWDEF)]);
        let server = Server::limited(SETUP, &site.dir(), address_space).await;
        Self { server, _site: site }
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it ever was.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}
