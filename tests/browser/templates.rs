//! What templates offer beside values, through the built-in client and the real server: conditions, the page's
//! address and title, files, and lists of ten thousand rows.

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site};
use serde_json::json;

use crate::SETUP;

const MAIN: &str = r#"
local Row = session:prototype("Row", { n = 0 })
function Row:label() READ = (READ or 0) + 1 return "row " .. self.n end
local App = session:prototype("App", { title = "At home", file = "none", big = false })
function App:isHome() return session.url == "/" end
function App:card() return session.url:match("^/cards/(%d+)") end
function App:where() return session.url end
function App:go(path) session:navigate(path) self.title = "At " .. path end
function App:take(file)
  local sum = 0
  for i = 1, #file.content do sum = sum + file.content:byte(i) end
  self.file = ("%s %s %d %d"):format(file.name, file.type, file.size, sum)
end
function App:read() return READ end
if not session:getApp() then
  local app = App:new { rows = {} }
  for n = 1, 10000 do app.rows[n] = Row:new { n = n } end
  session:createAppVariable(app)
end
"#;
const VIEW: &str = r#"<template><style>li { height: 20px }</style>
<nav><button id="seven" ui-action="go(_)" value="/cards/7?x=1">7</button><button id="eight" ui-action="go(_)" value="/cards/8">8</button></nav>
<p id="where" ui-value="where()"></p>
<h1 ui-if="isHome()">Home</h1><h2 ui-if="card()">Card <b ui-value="card()"></b></h2>
<input type="file" ui-upload="take(_)"><p id="file" ui-value="file"></p>
<p id="read" ui-value="read()"></p><ul ui-if="isHome()" ui-viewlist="rows"></ul></template>"#;
const ROW: &str = r#"<template><span ui-value="label()"></span></template>"#;

fn site() -> Site {
    let files =
        [("lua/main.lua", MAIN), ("viewdefs/App.DEFAULT.html", VIEW), ("viewdefs/Row.list-item.html", ROW)];
    Site::with(SETUP, &files)
}

#[tokio::test]
async fn scripts_lead_the_page_to_addresses_and_back_forward_and_a_reload_of_the_page_are_followed() {
    let Some(browser) = Chromium::start().await else { return };
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    let path = "return (location.pathname + location.search).replace(/^.[0-9a-f]{32}/, '')";
    browser.shows("h1", "Home").await;
    browser.gives("return document.title", "At home").await;
    browser.gives("return document.querySelector('h2')", json!(null)).await;
    browser.run("window.same = true").await;
    browser.click("#seven").await;
    browser.shows("h2 b", "7").await;
    browser.gives("return document.querySelector('h1')", json!(null)).await;
    browser.gives(path, "/cards/7?x=1").await;
    browser.gives("return document.title", "At /cards/7?x=1").await;
    browser.click("#eight").await;
    browser.shows("h2 b", "8").await;
    browser.run("history.back()").await;
    browser.shows("h2 b", "7").await;
    browser.shows("#where", "/cards/7?x=1").await;
    browser.run("history.back()").await;
    browser.shows("h1", "Home").await;
    browser.run("history.forward()").await;
    browser.shows("h2 b", "7").await;
    browser.gives("return window.same", true).await;
    browser.run("location.reload()").await;
    browser.gives("return window.same ?? null", json!(null)).await;
    browser.shows("h2 b", "7").await;
    browser.gives(path, "/cards/7?x=1").await;
    browser.end().await;
}

#[tokio::test]
async fn a_file_arrives_whole_and_one_that_is_too_large_does_not() {
    let Some(browser) = Chromium::start().await else { return };
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("#file", "none").await;
    let pick = |name: &str, size: usize| {
        format!(
            "const transfer = new DataTransfer(), input = document.querySelector('input');
             transfer.items.add(new File([new Uint8Array({size}).fill(200)], '{name}', {{ type: 'x/y' }}));
             input.files = transfer.files; input.dispatchEvent(new Event('change'))"
        )
    };
    browser.run(&pick("a.bin", 1_000_000)).await;
    browser.shows("#file", "a.bin x/y 1000000 200000000").await;
    browser.run(&pick("large.bin", 5_000_000)).await;
    let error = "return /limit.*session.budget.upload/s.test(document.querySelector('input').getAttribute('ui-error'))";
    browser.gives(error, true).await;
    browser.run(&pick("empty", 0)).await;
    browser.shows("#file", "empty x/y 0 0").await;
    browser.gives("return document.querySelector('input').getAttribute('ui-error')", json!(null)).await;
    browser.end().await;
}

#[tokio::test]
async fn of_ten_thousand_rows_the_server_reads_those_that_are_seen() {
    let Some(browser) = Chromium::start().await else { return };
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.shows("li span", "row 1").await;
    browser.run("scrollTo(0, 1e9)").await;
    browser.gives("return [...document.querySelectorAll('li span')].at(-1)?.textContent", "row 10000").await;
    browser.gives("return document.querySelectorAll('li').length < 400", true).await;
    let read = browser.run("return Number(document.querySelector('#read').textContent)").await;
    assert!(read.as_u64().is_some_and(|read| read < 9000), "{read} labels were read");
    browser.ends_well().await;
}
