//! The status page `/_hot/`, beside a page of the sample site.

use hotloader_test_support::{chromium::Chromium, server::Server};
use serde_json::json;

use crate::{CLICK, COUNT, SETUP, sample};

#[tokio::test]
async fn the_status_page_follows_reloads_and_restarts_a_session() {
    let (Some(browser), Some(status)) = (Chromium::start().await, Chromium::start().await) else { return };
    let site = sample();
    let server = Server::start(SETUP, &site.dir()).await;
    browser.open(&server).await;
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    status.open_at(&format!("{}/_hot/", server.url())).await;
    status.shows("#ready", "ready").await;
    status.shows("#watching h3 small", "working").await;
    let cell =
        |n: usize| format!("return document.querySelector('#sessions td:nth-child({n})')?.textContent");
    status.gives(&cell(3), "1").await;
    let shared = "document.querySelector('#shared .body').innerText";
    status.gives(&format!("return {shared}.startsWith('Store: ')"), true).await;
    status.gives(&format!("return /null|false|undefined/.test({shared})"), false).await;

    site.edit("lua/main.lua", "Hello from Lua", "Edited");
    status.shows("#reloads .ok .files", "lua/main.lua").await;
    status.gives("return document.querySelectorAll('#reloads .ok .bar i').length > 1", true).await;
    // Told a moment after the others, when the browsers have heard.
    status.gives("return document.querySelectorAll('#reloads .ok .bar .refresh').length", 1).await;
    let roots = "return [...document.querySelectorAll('.roots li')].map((e) => e.innerText.split(' ').slice(0, 3).join(' '))";
    status.gives(roots, json!(["lua/ by inotify", "lua/viewdefs/ by inotify"])).await;
    status.gives(&cell(5), "2").await;
    site.save("lua/clock.lua", "local x = nil\nx.y = 1\n");
    status.shows("#reloads li:first-child .files", "lua/clock.lua").await;
    status.gives("return document.querySelector('#reloads li details').className", "failed").await;
    status.gives(&format!("{}.split(' ')[0]", cell(6)), "lua/clock.lua:2").await;
    status.run("document.querySelector('#reloads summary').click()").await;
    status.gives("return document.querySelector('#reloads mark').textContent", "    2 | x.y = 1\n").await;
    let log =
        "return document.querySelector('#log .body').textContent.includes('[hot] ERROR lua/clock.lua:2')";
    status.gives(log, true).await;

    // What is open stays so while other parts change.
    status.click("#sessions button").await;
    browser.shows(COUNT, "Clicked 0 times").await;
    let open = "return document.querySelector('#reloads details').open";
    assert_eq!(status.run(open).await, json!(true));
    // The page of a session that was ended begins another.
    let name = "return document.querySelector('#sessions tbody th')?.textContent";
    let before = status.run(name).await;
    status.run("document.querySelectorAll('#sessions tbody button')[1].click()").await;
    status.gives(&format!("{name} !== {before}"), true).await;
    browser.shows(COUNT, "Clicked 0 times").await;
    assert_eq!(status.errors().await, Vec::<String>::new());
    status.end().await;
    browser.end().await;
}
