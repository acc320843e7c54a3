//! Browser front ends that others have released work unchanged: what they send is answered with something that
//! can be shown.

use serde_json::{Value, json};

use super::{
    Site, values,
    wrappers::{create, errors, property, value},
};
use crate::config::BindingRule;

const CONTACTS: &str = r#"
Contact = session:prototype("Contact", { name = "" })
ContactRow = session:prototype("ContactRow", {})
function ContactRow:new(listItem)
  if listItem.baseItem.bad then error("bad contact") end
  return session:create(self, { label = "<" .. listItem.baseItem.name .. ">" })
end
Plain = session:prototype("Plain", {})
function Plain:new(variable)
  if BROKEN then error("no frame") end
  if NOTHING then return nil end
  return session:create(self, { name = "framed " .. variable:getValue().name })
end
App = session:prototype("App", { contacts = EMPTY, first = EMPTY, key = "" })
app = App:new { contacts = {} }
for _, name in ipairs { "ann", "bob", "cid" } do table.insert(app.contacts, Contact:new { name = name }) end
app.first = app.contacts[1]
session:createAppVariable(app)
"#;

const APP: &str = r#"<template>
<div ui-view="contacts?wrapper=lua.ViewList&itemWrapper=ContactRow"></div>
<div ui-view="first?wrapper=Plain"></div>
<input ui-event-keypress-enter="key">
</template>"#;

const CONTACT: &str = r#"<template><b ui-value="name"></b></template>"#;

/// What browsers may ask for is what the templates bind, as in a site of today.
fn site() -> Site {
    let row = CONTACT.replace("name", "label");
    let files = [
        ("main.lua", CONTACTS),
        ("App.DEFAULT.html", APP),
        ("Contact.DEFAULT.html", CONTACT),
        ("ContactRow.DEFAULT.html", &row),
        ("Plain.DEFAULT.html", CONTACT),
    ];
    Site::with(&files, |settings| settings.bindings = BindingRule::Templates)
}

fn ask(site: &mut Site, id: i64, parent: i64, properties: Value) -> Vec<Value> {
    site.send(json!([create(id, parent, properties)]))
}

/// A list as a released page shows it: the list, its items, and three elements of them.
fn show_list(site: &mut Site) -> Vec<Value> {
    let list =
        json!({"path": "contacts", "wrapper": "lua.ViewList", "itemWrapper": "ContactRow", "access": "r"});
    let mut messages = ask(site, 3, 1, list);
    messages.extend(ask(site, 25, 3, json!({"path": "items", "access": "r"})));
    for place in 0..3 {
        let element = json!({
            "path": place.to_string(), "wrapper": "ContactRow", "fallbackNamespace": "list-item", "elementId": "ui-9",
        });
        messages.extend(ask(site, 30 + place, 25, element));
        messages.extend(ask(site, 40 + place, 30 + place, json!({"path": "item", "access": "r"})));
        messages.extend(ask(site, 50 + place, 40 + place, json!({"path": "label", "access": "r"})));
    }
    messages
}

fn all_errors(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message["type"] == "error").collect()
}

#[test]
fn a_lists_item_wrapper_handed_down_as_the_wrapper_of_its_elements_is_fulfilled_by_the_items() {
    let mut site = site();
    let shown = show_list(&mut site);
    assert_eq!(all_errors(&shown), Vec::<&Value>::new());
    for (id, label) in [(50, "<ann>"), (51, "<bob>"), (52, "<cid>")] {
        assert_eq!(value(&shown, id), label);
        assert_eq!(property(&shown, id - 20, "type"), "lua.ViewListItem");
        assert_eq!(property(&shown, id - 10, "type"), "ContactRow");
    }
    // It stays so as the list changes.
    let sorted = site
        .run("local c = app.contacts c[1], c[3] = c[3], c[1] table.insert(c, Contact:new { name = 'dan' })");
    assert_eq!((value(&sorted, 50), value(&sorted, 52)), ("<cid>".into(), "<ann>".into()));
    assert_eq!(all_errors(&sorted), Vec::<&Value>::new());
}

#[test]
fn an_item_of_a_list_with_another_item_wrapper_is_wrapped_as_it_is_asked() {
    let mut site = Site::new(&[("main.lua", CONTACTS)]);
    site.eval("Other = session:prototype('Other', {}) function Other:new(v) return session:create(self, { got = v:getValue().index }) end");
    ask(&mut site, 3, 1, json!({"path": "contacts", "wrapper": "lua.ViewList", "itemWrapper": "ContactRow"}));
    let element = ask(&mut site, 4, 3, json!({"path": "1", "wrapper": "Other"}));
    assert_eq!(property(&element, 4, "type"), "Other");
    assert_eq!(value(&ask(&mut site, 5, 4, json!({"path": "got"})), 5), 1);
}

#[test]
fn an_element_that_cannot_be_wrapped_is_shown_as_it_is_and_the_others_are_wrapped() {
    let mut site = site();
    site.eval("app.contacts[2].bad = true");
    let shown = show_list(&mut site);
    assert_eq!((value(&shown, 50), value(&shown, 52)), ("<ann>".into(), "<cid>".into()));
    assert_eq!(property(&shown, 41, "type"), "Contact");
    let [(code, description)] = &errors(&shown, 3)[..] else { panic!("{shown:?}") };
    assert_eq!(code, "path-failure");
    assert!(description.starts_with("lua/main.lua:5: bad contact"), "{description}");
    assert_eq!(site.run("return 1"), Vec::<Value>::new(), "told once");
    let mended = site.run("app.contacts[2].bad = nil");
    assert_eq!(property(&mended, 41, "type"), "ContactRow");
    let is_told = |message: &Value| message["type"] == "update" && message["data"]["varId"] == 3;
    assert!(mended.iter().any(is_told), "nothing else would end the error: {mended:?}");
    assert_eq!(all_errors(&mended), Vec::<&Value>::new());
}

#[test]
fn where_a_constructor_raises_or_gives_nil_the_value_stands_for_itself() {
    for (how, message) in
        [("BROKEN", "lua/main.lua:10: no frame"), ("NOTHING", "wrapper=Plain: Plain:new gave nil")]
    {
        let mut site = site();
        site.eval(&format!("{how} = true"));
        let shown = ask(&mut site, 2, 1, json!({"path": "first?wrapper=Plain"}));
        assert_eq!(property(&shown, 2, "type"), "Contact", "{how}: {shown:?}");
        let [(_, description)] = &errors(&shown, 2)[..] else { panic!("{shown:?}") };
        assert!(description.contains(message), "{description}");
        let name = ask(&mut site, 3, 2, json!({"path": "name"}));
        assert_eq!(value(&name, 3), "ann", "its children are had from the value");
        // Another value: the error is still there, and the browser, which takes an update for its end, hears it again.
        let other = site.run("app.first = app.contacts[2]");
        assert_eq!((value(&other, 3), errors(&other, 2).len()), ("bob".into(), 1), "{other:?}");
        let mended = site.run(&format!("{how} = nil"));
        assert_eq!(value(&mended, 3), "framed bob");
        assert_eq!(property(&mended, 2, "type"), "Plain");
        assert_eq!(errors(&mended, 2), []);
    }
}

#[test]
fn a_key_that_is_bound_to_a_field_writes_it_without_saying_that_it_is_an_action() {
    let mut site = site();
    let made = ask(&mut site, 2, 1, json!({"path": "key"}));
    assert_eq!((all_errors(&made).len(), values(&made, 2)), (0, vec![]), "{made:?}");
    let written = site.send(json!([{"type": "update", "data": {"varId": 2, "value": "enter"}}]));
    assert_eq!(all_errors(&written), Vec::<&Value>::new());
    assert_eq!(site.eval("return app.key"), "enter");
}

#[test]
fn the_end_of_what_went_with_its_parent_is_no_error() {
    let mut site = site();
    show_list(&mut site);
    let ends = json!([
        {"type": "destroy", "data": {"varId": 3}}, {"type": "unwatch", "data": {"varId": 30}},
        {"type": "destroy", "data": {"varId": 30}}, {"type": "destroy", "data": {"varId": 50}},
    ]);
    let answer = site.send(ends);
    assert_eq!(all_errors(&answer), Vec::<&Value>::new());
    assert_eq!(answer.iter().filter(|message| message["type"] == "destroy").count(), 11);
    let never = site.send(json!([{"type": "destroy", "data": {"varId": 7777}}]));
    assert_eq!(errors(&never, 7777)[0].0, "not-found");
}
