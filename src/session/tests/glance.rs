//! What is passed over because it is as it was sent, and what must not be.

use serde_json::{Value, json};

use super::{
    Site, values,
    wrappers::{create, errors, property, value},
};

const APP: &str = r#"
Thing = session:prototype("Thing", { title = "" })
Other = session:prototype("Other", { title = "" })
App = session:prototype("App", { n = 1, last = 1 })
CALLS = 0
function App:counted() CALLS = CALLS + 1 return self.n end
function App:slow() if LOOP then while true do end end return 1 end
function App:maybe() if RAISE then error("no") end end
function App:raises() if RAISE then error("no") end return 1 end
APP = App:new { thing = Thing:new { title = "a" }, plain = { name = 1 }, deep = { inner = Thing:new { title = "a" } } }
session:createAppVariable(APP)
"#;

fn app(paths: &[&str]) -> Site {
    let mut site = Site::new(&[("main.lua", APP)]);
    let creates: Vec<Value> =
        paths.iter().zip(2..).map(|(path, id)| create(id, 1, json!({ "path": path }))).collect();
    site.send(json!(creates));
    site
}

fn calls(site: &mut Site) -> i64 {
    site.session.with_lua(|lua| lua.globals().get("CALLS")).unwrap()
}

#[test]
fn a_getter_is_called_once_in_a_pass_whether_it_gives_something_new_or_not() {
    let mut site = app(&["counted()"]);
    let before = calls(&mut site);
    assert_eq!(site.run("return 1"), Vec::<Value>::new());
    assert_eq!(calls(&mut site), before + 1);
    assert_eq!(value(&site.run("APP.n = 2"), 2), 2);
    assert_eq!(calls(&mut site), before + 2);
}

#[test]
fn the_same_object_of_another_type_is_told() {
    let mut site = app(&["thing"]);
    let changed = site.run("setmetatable(APP.thing, Other)");
    assert_eq!(property(&changed, 2, "type"), "Other");
    assert_eq!(site.run("return 1"), Vec::<Value>::new());
}

#[test]
fn the_same_table_that_has_become_an_array_is_told_and_so_is_each_of_its_elements() {
    let mut site = app(&["plain"]);
    assert_eq!(site.run("return 1"), Vec::<Value>::new());
    assert_eq!(value(&site.run("APP.plain.name, APP.plain[1] = nil, 5"), 2), json!([5]));
    assert_eq!(value(&site.run("APP.plain[2] = 6"), 2), json!([5, 6]));
}

#[test]
fn what_ends_is_not_kept_alive_by_what_was_known_of_it() {
    let mut site = app(&["thing"]);
    site.run("WEAK = setmetatable({ APP.thing }, { __mode = 'v' })");
    site.send(json!([{"type": "destroy", "data": {"varId": 2}}]));
    site.run("APP.thing = nil");
    site.run("collectgarbage()");
    let alive: bool = site.session.with_lua(|lua| lua.load("return WEAK[1] ~= nil").eval()).unwrap();
    assert!(!alive);
}

#[test]
fn one_that_fails_or_never_ends_keeps_nobody_else_from_being_read() {
    let mut site = app(&["raises()", "slow()", "last"]);
    let failed = site.run("RAISE, LOOP, APP.last = true, true, 2");
    assert_eq!(errors(&failed, 2)[0].0, "path-failure");
    assert_eq!(errors(&failed, 3)[0].0, "timeout");
    assert_eq!(value(&failed, 4), 2);
    let mended = site.run("RAISE, LOOP, APP.last = false, false, 3");
    assert_eq!([2, 3, 4].map(|id| value(&mended, id)), [json!(1), json!(1), json!(3)]);
}

#[test]
fn children_follow_their_parent_to_another_object() {
    let mut site = app(&["thing"]);
    site.send(json!([create(3, 2, json!({ "path": "title" }))]));
    let changed = site.run("APP.thing = Thing:new { title = 'b' }");
    assert_eq!(value(&changed, 3), "b");
    let gone = site.run("APP.thing = nil");
    assert_eq!([2, 3].map(|id| value(&gone, id)), [Value::Null, Value::Null]);
    assert!(errors(&gone, 3).is_empty(), "{gone:?}");
    let back = site.run("APP.thing = Thing:new { title = 'c' }");
    assert_eq!(value(&back, 3), "c");
}

#[test]
fn a_place_that_is_used_again_shows_what_is_there_now() {
    let mut site = app(&["thing.title", "n"]);
    site.send(json!([{"type": "destroy", "data": {"varId": 2}}]));
    assert_eq!(value(&site.send(json!([create(5, 1, json!({ "path": "thing.title" }))])), 5), "a");
    let (unwatch, watch) = (
        json!([{"type": "unwatch", "data": {"varId": 5}}]),
        json!([{"type": "watch", "data": {"varId": 5}}]),
    );
    site.send(unwatch);
    assert_eq!(value(&site.send(watch), 5), "a");
}

#[test]
fn below_one_that_is_inactive_nothing_is_sent_at_any_depth() {
    let mut site = app(&["deep"]);
    site.send(json!([create(3, 2, json!({ "path": "inner" })), create(4, 3, json!({ "path": "title" }))]));
    let inactive =
        |value: &str| json!([{"type": "update", "data": {"varId": 2, "properties": {"inactive": value}}}]);
    site.send(inactive("true"));
    assert_eq!(site.run("APP.deep.inner.title = 'b'"), Vec::<Value>::new());
    assert_eq!(value(&site.send(inactive("")), 4), "b");
}

#[test]
fn an_array_that_has_become_an_object_is_told() {
    let mut site = app(&["list"]);
    assert_eq!(value(&site.run("APP.list = { 1 }"), 2), json!([1]));
    assert!(value(&site.run("APP.list.name = 'x'"), 2)["obj"].is_u64());
}

#[test]
fn an_error_ends_with_the_next_success_even_if_there_is_nothing_to_show() {
    let mut site = app(&["maybe()"]);
    let failed = site.run("RAISE = true");
    assert_eq!(errors(&failed, 2)[0].0, "path-failure");
    assert_eq!(values(&site.run("RAISE = false"), 2), [Value::Null]);
}
