//! The sample site below `server.base`, in a real browser.

use hotloader_test_support::{chromium::Chromium, server::Server};
use serde_json::json;

use crate::{CLICK, COUNT, SETUP, sample};

#[tokio::test]
async fn below_a_base_the_page_its_socket_its_edits_and_its_restart_are_as_ever() {
    let Some(browser) = Chromium::start().await else { return };
    let site = sample();
    let config = site.read("config/config.toml");
    site.save("config/config.toml", &format!("{config}\n[server]\nbase = \"/app\"\n"));
    let server = Server::start(SETUP, &site.dir()).await;

    browser.open_at(&format!("{}/app", server.url())).await;
    browser.shows("h1", "Hello from Lua").await;
    let path = browser.run("return location.pathname").await.as_str().unwrap().to_owned();
    assert!(path.starts_with("/app/"), "{path}");
    browser.click(CLICK).await;
    browser.shows(COUNT, "Clicked 1 time").await;

    site.edit("lua/main.lua", "Hello from Lua", "Below");
    browser.shows("h1", "Below").await;
    browser.shows(COUNT, "Clicked 1 time").await;
    let good = site.read("lua/main.lua");
    site.save("lua/main.lua", &good.replace("\"Below\"", "\"Below"));
    browser.overlay(&["Not reloaded", "lua/main.lua:29"]).await;
    site.save("lua/main.lua", &good);
    browser.overlay(&[]).await;

    // The page finds its session again, by its own address and by nobody else's.
    browser.open_at(&format!("{}{path}", server.url())).await;
    browser.shows(COUNT, "Clicked 1 time").await;
    let mut restart = SETUP.command();
    restart.args(["restart", "--all", "--port", &server.addr().port().to_string(), "--dir"]).arg(site.dir());
    let restarted = restart.output().unwrap();
    assert!(restarted.status.success(), "{restarted:?}");
    browser.shows(COUNT, "Clicked 0 times").await;

    browser.open_at(&format!("{}/app/_hot/", server.url())).await;
    browser.gives("return document.body.textContent.includes('lua/main.lua')", json!(true)).await;
    browser.open_at(&server.url()).await;
    browser.gives("return document.body.textContent.includes('/app/')", json!(true)).await;
    browser.end().await;
}
