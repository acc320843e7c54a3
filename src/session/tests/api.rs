//! Variables that Lua code makes, and JSON: what `session` and `ui` offer beside prototypes and timers.

use crate::reload::Refreshing;
use serde_json::{Value, json};

use super::{COUNTER, Site, values};
use crate::{config::ByteSize, reload::Outcome};

/// The ids of variables that were ended.
fn destroyed(messages: &[Value]) -> Vec<i64> {
    let destroys = messages.iter().filter(|message| message["type"] == "destroy");
    destroys.map(|message| message["data"]["varId"].as_i64().unwrap()).collect()
}

fn properties(messages: &[Value], id: i64) -> Value {
    let of = |message: &&Value| message["data"]["varId"] == id && !message["data"]["properties"].is_null();
    messages.iter().find(of).map_or(Value::Null, |message| message["data"]["properties"].clone())
}

fn site() -> Site {
    Site::new(&[("main.lua", COUNTER)])
}

#[test]
fn a_variable_that_lua_made_comes_to_every_browser_with_its_properties() {
    let mut site = site();
    let id = site.eval(
        "Item = session:prototype('Item', {}) item = Item:new { name = 'a' }
        return session:createVariable(1, item, { namespace = 'big', rank = 3 })",
    );
    assert_eq!(id, "-1");
    let messages = site.send(json!([]));
    assert!(values(&messages, -1)[0]["obj"].is_u64(), "{messages:?}");
    assert_eq!(properties(&messages, -1), json!({ "namespace": "big", "rank": "3", "type": "Item" }));
    // A browser's own variables start from it as from any other.
    let create = json!({"type": "create", "data": {"id": 2, "parentId": -1, "properties": {"path": "name"}}});
    assert_eq!(values(&site.send(json!([create])), 2), ["a"]);
    // Whoever comes later has it, too.
    let mut site = site.another_browser();
    assert!(values(&site.send(json!([])), -1)[0]["obj"].is_u64());
}

#[test]
fn it_follows_a_path_from_its_parent_and_what_changes_is_sent() {
    let mut site = site();
    site.eval("return session:createVariable(session:getApp(), nil, { path = 'label()' })");
    assert_eq!(values(&site.send(json!([])), -1), ["n=0"]);
    site.eval("session:getApp().n = 5");
    assert_eq!(values(&site.send(json!([])), -1), ["n=5"]);
    let unwatch = json!([{"type": "unwatch", "data": {"varId": -1}}]);
    site.send(unwatch);
    site.eval("session:getApp().n = 6");
    assert_eq!(site.send(json!([])), Vec::<Value>::new());
    let watched = site.send(json!([{"type": "watch", "data": {"varId": -1}}]));
    assert_eq!(values(&watched, -1), ["n=6"]);
    assert_eq!(properties(&watched, -1)["path"], "label()");
}

#[test]
fn asking_again_for_the_same_gives_the_same_variable() {
    let mut site = site();
    let ask = "return session:createVariable(1, session:getApp(), { a = 1 })";
    assert_eq!((site.eval(ask), site.eval(ask)), ("-1".into(), "-1".into()));
    assert_eq!(site.eval(&ask.replace("a = 1", "a = 2")), "-2");
}

#[test]
fn destroying_one_takes_its_descendants_along_in_every_browser() {
    let mut site = site();
    site.eval("a, b, c = {}, {}, {} session:createVariable(1, a) session:createVariable(a, b) session:createVariable(nil, c)");
    site.send(json!([{"type": "create", "data": {"id": 2, "parentId": -2, "properties": {"path": "x"}}}]));
    site.eval("session:destroyVariable(a) session:destroyVariable(a) session:destroyVariable(-77)");
    assert_eq!(destroyed(&site.send(json!([]))), [2, -2, -1]);
    assert_eq!(site.eval("return session:createVariable(1, a)"), "-4", "an id is never used again");
    let refused = site.send(json!([{"type": "destroy", "data": {"varId": -3}}]));
    assert_eq!(
        (&refused[1]["data"]["varId"], &refused[1]["data"]["code"]),
        (&(-3).into(), &"unauthorized".into())
    );
}

#[test]
fn mistakes_in_lua_are_raised_where_they_are_made() {
    let mut site = site();
    for (code, why) in [
        ("session:createVariable(7, {})", "no variable of the session has the id 7"),
        ("session:createVariable({}, {})", "no variable of the session has that object"),
        ("session:createVariable(1, 7)", "the object has to be a table"),
        ("session:createVariable(1, {}, 'x')", "the properties have to be a table"),
        ("session:createVariable(1, {}, { a = {} })", "a property is a name with a string"),
        ("session:destroyVariable(1)", "variable 1 stays"),
        ("session:createAppVariable({}, { 1 })", "a property is a name with a string"),
    ] {
        let error = site.eval(&format!("local _, why = pcall(load([[{code}]], '=x.lua')) return why"));
        assert!(error.starts_with("x.lua:1: ") && error.contains(why), "{code}: {error}");
    }
}

#[test]
fn a_reload_that_fails_leaves_no_variable_and_brings_the_old_ones_back() {
    let mut site = site();
    site.eval("old = {} session:createVariable(1, old)");
    site.send(json!([]));
    let bad = "session:destroyVariable(old) session:createVariable(1, {}, {x = 1}) error 'no'";
    assert!(matches!(site.save_one("main.lua", bad), Outcome::Kept { .. }));
    assert_eq!(site.send(json!([])), Vec::<Value>::new());
    assert_eq!(site.eval("return session:createVariable(1, old)"), "-1");
}

#[test]
fn the_apps_properties_are_sent_with_variable_1() {
    let app = "session:createAppVariable(App:new(), { namespace = 'wide', flag = true })";
    let main = COUNTER.replace("session:createAppVariable(App:new())", app);
    let mut site = Site::new(&[("main.lua", &main)]);
    let watched = site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    assert_eq!(properties(&watched, 1), json!({ "namespace": "wide", "flag": "true", "type": "App" }));
    site.save_one("main.lua", &main.replace("namespace = 'wide', ", ""));
    assert_eq!(properties(&site.received(), 1), json!({ "namespace": "" }), "what is another");
}

#[test]
fn json_goes_both_ways_and_says_where_it_cannot() {
    let mut site = Site::with(&[("main.lua", COUNTER)], |settings| {
        settings.session.budget.string = ByteSize::bytes(1000);
    });
    let code =
        "local list = ui.json_decode('{\"list\": [1, null, 2.0], \"none\": []}') return ui.json_encode(list)";
    assert_eq!(site.eval(code), r#"{"list":[1,null,2.0],"none":[]}"#);
    assert_eq!(
        site.eval("return select(2, ui.json_encode { a = { b = { 1, 2, print } } })"),
        "a.b[3]: a function has no form in JSON"
    );
    assert!(site.eval("return select(2, ui.json_encode(('x'):rep(999)))").contains("budget.string"));
}

#[test]
fn ui_log_takes_a_level_or_none() {
    let mut site = site();
    assert_eq!(site.eval("ui.log 'x' ui.log('warn', 'x') return 1"), "1");
    assert!(site.eval("return select(2, pcall(ui.log, 'loud', 'x'))").contains("the level is"));
}

#[test]
fn a_traceback_shows_the_users_files_and_nothing_of_ours() {
    let main = "local a = require 'a'\npcall(print)\nlocal function go() a.fail() end\ngo()";
    let files = [("main.lua", "require 'a'"), ("a.lua", "return { fail = function()\n  error('no')\nend }")];
    let mut site = Site::new(&files);
    let Outcome::Kept { diagnostic, .. } = site.save_one("main.lua", main) else { panic!("it runs") };
    assert_eq!(diagnostic.to_string(), "lua/a.lua:2: no");
    let frames: Vec<&str> = diagnostic.traceback.lines().collect();
    assert_eq!(frames.len(), 3, "{frames:?}");
    for (frame, place) in frames.iter().zip(["lua/a.lua:2:", "lua/main.lua:3:", "lua/main.lua:4:"]) {
        assert!(frame.starts_with(place), "{frames:?}");
    }
    let details = diagnostic.details();
    assert!(
        details
            .starts_with("\n   1 | return { fail = function()\n > 2 |   error('no')\n   3 | end }\n   from "),
        "{details}"
    );
}

#[test]
fn a_refresh_is_over_when_browsers_have_been_told() {
    let mut site = Site::new(&[("main.lua", "session:createAppVariable({ n = 1 })")]);
    let (refreshing, mut over) = Refreshing::begin();
    site.session.refresh_until(refreshing);
    assert!(over.try_recv().is_err());
    site.session.after_unit();
    assert!(over.try_recv().is_ok());
}
