//! What a browser may ask for, on the wire and with nothing configured: what templates bind.

use hotloader_test_support::{
    client::Browser,
    http,
    server::Server,
    site::{MAIN, Site, VIEWDEF},
    until,
};
use serde_json::{Value, json};

use crate::SETUP;

fn create(id: u64, path: &str, access: &str) -> Value {
    let properties = json!({ "path": path, "access": access });
    json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": properties } })
}

fn write(id: u64, value: &str) -> Value {
    json!({ "type": "update", "data": { "varId": id, "value": value } })
}

/// Waits until the browser has been told that it may not have that variable.
async fn refused(browser: &mut Browser, id: u64) -> String {
    let error = browser.told("error", |error| error["varId"] == id && error["code"] == "unauthorized").await;
    error["description"].as_str().unwrap().to_owned()
}

/// With `secret`, and `reset()`, which no template binds.
fn site() -> Site {
    let site = Site::new(SETUP);
    let more = "App.secret = 'hidden'\nfunction App:reset() self.count = -1 end\nif not";
    site.save("lua/main.lua", &MAIN.replace("if not", more));
    site
}

#[tokio::test]
async fn what_no_template_binds_is_neither_shown_nor_written_nor_called_and_told_once() {
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.send(json!([create(50, "secret", "r")])).await;
    let why = refused(&mut browser, 50).await;
    assert!(why.contains("\"secret\": no viewdef of App binds it"), "{why}");
    assert!(why.contains("session:expose(") && why.contains("server.bindings = \"any\""), "{why}");
    browser.send(json!([create(51, "secret", "w"), write(51, "x")])).await;
    refused(&mut browser, 51).await;
    browser.send(json!([create(52, "reset()", "action"), write(52, "")])).await;
    refused(&mut browser, 52).await;
    assert!(!json!(browser.frames).to_string().contains("hidden"));
    browser.counts(1).await;

    let session = &browser.session[..12];
    server.logged(&format!("session=\"{session}\"")).await;
    assert_eq!(server.log().matches("\"secret\": no viewdef of App binds it").count(), 1, "{}", server.log());
    until("it to be counted", async || {
        let metrics = http::get(server.addr(), "/metrics").await.body;
        let count = |line: &str| line.strip_prefix("hotloader_refused ")?.parse::<u32>().ok();
        metrics.lines().find_map(count).filter(|count| *count >= 3)
    })
    .await;
}

#[tokio::test]
async fn to_be_shown_written_or_called_does_not_imply_the_others() {
    let site = site();
    let more = "<input ui-value=\"secret?access=w\"><button ui-action=\"reset()\"></button></template>";
    site.save("viewdefs/App.DEFAULT.html", &VIEWDEF.replace("</template>", more));
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let not = [
        ("label()", "action"),
        ("label()", "rw"),
        ("word()", "action"),
        ("secret", "r"),
        ("reset()", "rw"),
        ("secret", "action"),
    ];
    for (id, (path, access)) in (50..).zip(not) {
        browser.send(json!([create(id, path, access), write(id, "x")])).await;
        refused(&mut browser, id).await;
    }
    assert!(!json!(browser.frames).to_string().contains("hidden"));
    browser.counts(1).await;
}

#[tokio::test]
async fn a_saved_template_changes_what_may_be_asked_for_at_once() {
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.send(json!([create(50, "secret", "r")])).await;
    refused(&mut browser, 50).await;
    site.bind(&["secret"]);
    browser.told("update", |update| update["varId"] == 50 && update["value"] == "hidden").await;
    site.save("viewdefs/App.DEFAULT.html", VIEWDEF);
    browser.frames.clear();
    browser.told("update", |update| update["varId"] == 50 && update["value"].is_null()).await;
    refused(&mut browser, 50).await;
    browser.counts(1).await;
}

#[tokio::test]
async fn a_script_exposes_what_its_page_needs_beside() {
    let site = site();
    site.edit(
        "lua/main.lua",
        "App.secret",
        "session:expose(App, { 'secret?access=r', 'reset()' })\nApp.secret",
    );
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser.send(json!([create(50, "secret", "rw"), write(50, "x")])).await;
    browser.told("update", |update| update["varId"] == 50 && update["value"] == "hidden").await;
    refused(&mut browser, 50).await;
    browser.send(json!([create(51, "reset()", "action"), write(51, "")])).await;
    browser.sees("count", -1).await;
    // The next version of the file does not.
    browser.frames.clear();
    site.edit("lua/main.lua", "'reset()'", "");
    refused(&mut browser, 51).await;
}

#[tokio::test]
async fn any_lets_front_ends_of_another_make_ask_for_what_they_like() {
    let site = site();
    site.save("config/config.toml", "[server]\nbindings = \"any\"\n");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    browser
        .send(json!([
            create(50, "secret", "rw"),
            write(50, "x"),
            create(51, "reset()", "action"),
            write(51, "")
        ]))
        .await;
    browser.told("update", |update| update["varId"] == 50 && update["value"] == "x").await;
    browser.sees("count", -1).await;
}
