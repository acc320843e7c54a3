//! What a released front end sends of a list whose elements are wrapped, on the wire and with nothing configured.

use hotloader_test_support::{client::Browser, server::Server, site::Site};
use serde_json::{Value, json};

use crate::SETUP;

const MAIN: &str = r#"local Contact = session:prototype("Contact", { name = "" })
local Row = session:prototype("ContactRow", {})
function Row:new(listItem) return session:create(self, { label = "<" .. listItem.baseItem.name .. ">" }) end
local App = session:prototype("App", { contacts = EMPTY })
local app = App:new { contacts = {} }
for _, name in ipairs { "ann", "bob", "cid" } do table.insert(app.contacts, Contact:new { name = name }) end
session:createAppVariable(app)
"#;

fn create(id: u64, parent: u64, properties: Value) -> Value {
    json!({ "type": "create", "data": { "id": id, "parentId": parent, "properties": properties } })
}

#[tokio::test]
async fn the_wrapped_list_of_a_released_front_end_shows_its_elements() {
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", MAIN),
            (
                "viewdefs/App.DEFAULT.html",
                "<template><div ui-view=\"contacts?wrapper=lua.ViewList&itemWrapper=ContactRow\"></div></template>",
            ),
            ("viewdefs/ContactRow.DEFAULT.html", "<template><b ui-value=\"label\"></b></template>"),
        ],
    );
    let server = Server::start(SETUP, &site.dir()).await;
    let mut browser = Browser::open(&server).await;
    let list =
        json!({ "path": "contacts", "wrapper": "lua.ViewList", "itemWrapper": "ContactRow", "access": "r" });
    let mut batch = vec![create(3, 1, list), create(25, 3, json!({ "path": "items", "access": "r" }))];
    for place in 0..3 {
        let element = json!({
            "path": place.to_string(), "wrapper": "ContactRow", "fallbackNamespace": "list-item", "access": "r",
        });
        batch.push(create(30 + place, 25, element));
        batch.push(create(40 + place, 30 + place, json!({ "path": "item", "access": "r" })));
        batch.push(create(50 + place, 40 + place, json!({ "path": "label", "access": "r" })));
    }
    browser.send(json!(batch)).await;
    for (id, label) in [(50, "<ann>"), (51, "<bob>"), (52, "<cid>")] {
        browser.told("update", |update| update["varId"] == id && update["value"] == label).await;
    }
    assert_eq!(browser.messages("error").count(), 0, "{:?}", browser.frames);
}
