//! What a browser may ask for: what templates bind, in the way they bind it.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::{Site, values};
use crate::config::BindingRule;

const APP: &str = r#"
Card = session:prototype("Card", { title = "a card", secret = "s", votes = 0 })
function Card:vote(n) self.votes = self.votes + (n or 1) end
Other = session:prototype("Other", { title = "another", secret = "o" })
Row = session:prototype("Row", {})
function Row:new(of) return session:create(self, { of = of.getValue and of:getValue() or of }) end
Evil = session:prototype("Evil", { made = 0 })
function Evil:new() Evil.made = Evil.made + 1 return session:create(self, {}) end
App = session:prototype("App", {
  title = "t", secret = "s", note = "n", cards = EMPTY, plain = EMPTY, draft = EMPTY, calls = 0,
})
function App:shown() return "shown" end
function App:act(x) self.calls, self.got = self.calls + 1, x end
function App:set(x) self.note = x end
function App:turn() self.card = self.card == card and Other:new {} or card end
card = Card:new {}
app = App:new { card = card, cards = { card, Card:new { title = "b" } }, plain = { { id = 1, secret = 2 } } }
session:createAppVariable(app)
"#;

const VIEW: &str = r#"<template>
<b ui-value="shown()"></b><b ui-value="title"></b><input ui-value="note">
<button ui-action="act()" ui-event-keypress-enter="set(_)"></button>
<div ui-view="card"></div><div ui-view="card.title"></div><div ui-view="draft?create=Card&access=rw"></div>
<div ui-view="card?wrapper=Row"></div>
<ul ui-viewlist="cards" ui-item-wrapper="Row"></ul>
<select ui-viewlist="plain"><option ui-attr-value="id"></option></select>
<input ui-value="password?access=w"><div ui-view="cards?wrapper=lua.ViewList&itemWrapper=Row"></div>
</template>"#;

const CARD: &str = r#"<template><b ui-value="title"></b><i ui-value="..note"></i></template>"#;

fn site() -> Site {
    let files = [("main.lua", APP), ("App.DEFAULT.html", VIEW), ("Card.DEFAULT.html", CARD)];
    Site::with(&files, |settings| settings.bindings = BindingRule::Templates)
}

fn create(id: i64, parent: i64, properties: Value) -> Value {
    json!({"type": "create", "data": {"id": id, "parentId": parent, "properties": properties}})
}

fn write(id: i64, value: Value) -> Value {
    json!({"type": "update", "data": {"varId": id, "value": value}})
}

/// The code of the error about a variable, if there is one.
fn code(messages: &[Value], id: i64) -> Option<&str> {
    let is = |message: &&Value| message["type"] == "error" && message["data"]["varId"] == id;
    messages.iter().find(is).and_then(|message| message["data"]["code"].as_str())
}

fn description(messages: &[Value]) -> &str {
    let error = messages.iter().find(|message| message["type"] == "error").expect("an error");
    error["data"]["description"].as_str().unwrap()
}

impl Site {
    fn ask(&mut self, id: i64, parent: i64, properties: Value) -> Vec<Value> {
        self.send(json!([create(id, parent, properties)]))
    }

    fn refused(&self) -> u64 {
        self.session.settings.refused.load(Relaxed)
    }
}

#[test]
fn what_no_template_binds_is_refused_and_nothing_of_it_is_seen_or_run() {
    let mut site = site();
    for (id, path) in (2..).zip([
        "secret",
        "calls",
        "card.secret",
        "card.votes",
        "..",
        "",
        "turn()",
        "title.x",
        "0",
        "items",
    ]) {
        let answer = site.ask(id, 1, json!({"path": path}));
        assert_eq!(code(&answer, id), Some("unauthorized"), "{path}: {answer:?}");
        assert!(values(&answer, id).iter().all(Value::is_null), "{path}: {answer:?}");
        let answer = site.send(json!([write(id, json!("x"))]));
        assert_eq!(code(&answer, id), Some("unauthorized"), "{path}: {answer:?}");
    }
    assert_eq!(site.eval("return app.secret .. app.calls .. tostring(app.card == card)"), "s0true");
    assert!(site.refused() >= 20);
}

#[test]
fn what_is_said_names_type_path_and_remedy() {
    let mut site = site();
    let answer = site.ask(2, 1, json!({"path": "secret"}));
    assert_eq!(
        description(&answer),
        "\"secret\": no viewdef of App binds it; bind it in a template, call session:expose(\"App\", { \"secret\" }), \
         or set server.bindings = \"any\""
    );
    let answer = site.send(json!([create(3, 1, json!({"path": "title"})), write(3, json!(1))]));
    assert!(
        description(&answer)
            .contains("\"title\": viewdefs of App bind it to be shown, and not to be written")
    );
}

#[test]
fn no_way_implies_another() {
    let mut site = site();
    // Shown only: it is shown to who wants more, and that is all.
    let answer = site.send(json!([create(2, 1, json!({"path": "title"})), write(2, json!("x"))]));
    assert_eq!((code(&answer, 2), values(&answer, 2)), (Some("unauthorized"), vec![json!("t")]));
    let answer = site.ask(3, 1, json!({"path": "shown()", "access": "action"}));
    assert_eq!(code(&answer, 3), Some("unauthorized"));
    // Called only.
    let answer = site.ask(4, 1, json!({"path": "act()"}));
    assert_eq!(code(&answer, 4), Some("unauthorized"));
    assert_eq!(site.eval("return app.calls"), "0");
    let answer =
        site.send(json!([create(5, 1, json!({"path": "act()", "access": "action"})), write(5, json!(null))]));
    assert_eq!((code(&answer, 5), site.eval("return app.calls").as_str()), (None, "1"));
    site.send(json!([write(5, json!("argument"))]));
    assert_eq!(site.eval("return app.calls .. tostring(app.got)"), "2nil", "act() gets nothing");
    // Written only.
    let answer = site.send(json!([create(6, 1, json!({"path": "password"})), write(6, json!("p"))]));
    assert_eq!((code(&answer, 6), values(&answer, 6)), (None, vec![]));
    assert_eq!(site.eval("return app.password"), "p");
    let answer = site.ask(7, 1, json!({"path": "password", "access": "r"}));
    assert_eq!(code(&answer, 7), Some("unauthorized"));
    // Both.
    let answer = site.send(json!([create(8, 1, json!({"path": " note ?keypress"})), write(8, json!("m"))]));
    assert_eq!((code(&answer, 8), site.eval("return app.note").as_str()), (None, "m"));
    // With the written value.
    let answer =
        site.send(json!([create(9, 1, json!({"path": "set(_)", "access": "action"})), write(9, json!("z"))]));
    assert_eq!((code(&answer, 9), site.eval("return app.note").as_str()), (None, "z"));
    let answer = site
        .send(json!([create(10, 1, json!({"path": "act(_)", "access": "action"})), write(10, json!("z"))]));
    assert_eq!((code(&answer, 10), site.eval("return app.got").as_str()), (Some("unauthorized"), "nil"));
}

#[test]
fn the_type_of_the_value_above_decides() {
    let mut site = site();
    let batch = json!([
        create(2, 1, json!({"path": "card"})),
        create(3, 2, json!({"path": "title"})),
        create(4, 2, json!({"path": "secret"})),
        create(5, 2, json!({"path": "..note"})),
        create(6, 2, json!({"path": "..secret"})),
        create(7, 1, json!({"path": "card.title"})),
    ]);
    let answer = site.send(batch);
    assert_eq!(values(&answer, 3), [json!("a card")]);
    assert_eq!(values(&answer, 5), [json!("n")]);
    assert_eq!(values(&answer, 7), [json!("a card")]);
    assert_eq!((code(&answer, 4), code(&answer, 6)), (Some("unauthorized"), Some("unauthorized")));
    assert_eq!((code(&answer, 3), code(&answer, 5)), (None, None));
}

#[test]
fn another_type_in_the_same_place_shows_nothing_of_itself_to_variables_of_the_first() {
    let mut site = site();
    site.send(json!([create(2, 1, json!({"path": "card"})), create(3, 2, json!({"path": "title"}))]));
    let refused = site.refused();
    site.eval("app:turn()");
    let answer = site.send(json!([]));
    assert_eq!(values(&answer, 3), [json!(null)], "another's title is not bound: {answer:?}");
    assert_eq!((code(&answer, 3), site.refused()), (None, refused), "the page is about to take it away");
    // An equal value tells nothing either.
    site.eval("card.title = 'another' app:turn()");
    assert_eq!(values(&site.send(json!([])), 3), [json!("another")]);
    site.eval("app:turn()");
    assert_eq!(values(&site.send(json!([])), 3), [json!(null)]);
    let answer = site.send(json!([write(3, json!("x"))]));
    assert_eq!(code(&answer, 3), Some("unauthorized"));
    // The same object, which takes another type.
    site.eval("app:turn()");
    assert_eq!(values(&site.send(json!([])), 3), [json!("another")]);
    site.eval("card.type = 'Other'");
    assert_eq!(values(&site.send(json!([])), 3), [json!(null)]);
}

#[test]
fn below_nil_there_is_nothing_to_refuse() {
    let mut site = site();
    let batch = json!([
        create(2, 1, json!({"path": "draft"})),
        create(3, 2, json!({"path": "title"})),
        create(4, 2, json!({"path": "..secret"})),
        create(5, 2, json!({"path": "secret"})),
    ]);
    let answer = site.send(batch);
    assert_eq!((code(&answer, 3), code(&answer, 5)), (None, None));
    assert_eq!((values(&answer, 3), values(&answer, 5)), (vec![json!(null)], vec![json!(null)]));
    assert_eq!(code(&answer, 4), Some("unauthorized"), "above it there is something");
    site.eval("app.draft = card");
    let answer = site.send(json!([]));
    assert_eq!((values(&answer, 3), code(&answer, 5)), (vec![json!("a card")], Some("unauthorized")));
}

#[test]
fn elements_of_lists_are_to_be_had_and_what_their_template_says_of_them() {
    let mut site = site();
    let batch = json!([
        create(2, 1, json!({"path": "cards"})),
        create(3, 2, json!({"path": "0"})),
        create(4, 3, json!({"path": "title"})),
        create(5, 3, json!({"path": "votes"})),
        create(6, 2, json!({"path": "1?wrapper=Row"})),
        create(7, 2, json!({"path": "1?wrapper=Evil"})),
        create(8, 1, json!({"path": "plain"})),
        create(9, 8, json!({"path": "0"})),
        create(10, 9, json!({"path": "id"})),
        create(11, 9, json!({"path": "secret"})),
        create(12, 2, json!({"path": "0.title"})),
        create(13, 1, json!({"path": "id"})),
    ]);
    let answer = site.send(batch);
    assert_eq!((values(&answer, 4), values(&answer, 10)), (vec![json!("a card")], vec![json!(1)]));
    for id in [5, 7, 11, 12, 13] {
        assert_eq!(code(&answer, id), Some("unauthorized"), "{id}: {answer:?}");
    }
    assert_eq!((code(&answer, 3), code(&answer, 6), code(&answer, 9)), (None, None, None));
    assert_eq!(
        code(&site.send(json!([write(3, json!("x"))])), 3),
        Some("unauthorized"),
        "to be shown, not replaced"
    );
    assert_eq!(site.eval("return Evil.made"), "0");
}

#[test]
fn the_list_wrapper_and_its_items_are_to_be_had_as_the_built_in_templates_bind_them() {
    let mut site = site();
    let batch = json!([
        create(2, 1, json!({"path": "cards", "wrapper": "lua.ViewList", "itemWrapper": "Row"})),
        create(3, 2, json!({"path": "items"})),
        create(4, 3, json!({"path": "0", "wrapper": "Row"})),
        create(5, 3, json!({"path": "1"})),
        create(6, 5, json!({"path": "item"})),
        create(7, 2, json!({"path": "0"})),
        create(8, 2, json!({"path": "selectionIndex"})),
        create(9, 2, json!({"path": "variable"})),
        create(10, 5, json!({"path": "list"})),
        create(11, 5, json!({"path": "remove()", "access": "action"})),
    ]);
    let answer = site.send(batch);
    for id in [3, 4, 5, 6, 7] {
        assert_eq!(code(&answer, id), None, "{id}: {answer:?}");
    }
    for id in [8, 9, 10, 11] {
        assert_eq!(code(&answer, id), Some("unauthorized"), "{id}: {answer:?}");
    }
    // A template of the site binds more.
    let html = "<template><input ui-value='selectionIndex'></template>";
    site.save(&[("lua.ViewList.DEFAULT.html", Some(html))]);
    let answer = site.send(json!([write(8, json!(1))]));
    assert_eq!((code(&answer, 8), code(&answer, 3)), (None, None));
}

#[test]
fn prototypes_are_used_only_where_a_template_names_them() {
    let mut site = site();
    for (id, properties) in (2..).zip([
        json!({"path": "card", "wrapper": "Evil"}),
        json!({"path": "card?wrapper:low=Evil"}),
        json!({"path": "draft", "create": "Evil"}),
        json!({"path": "draft", "create:high": "Evil"}),
        json!({"path": "note", "create": "Card"}),
        json!({"create": "Evil"}),
        json!({"wrapper": "Evil"}),
        json!({"path": "cards?wrapper=lua.ViewList&itemWrapper=Evil"}),
    ]) {
        let answer = site.ask(id, 1, properties.clone());
        assert_eq!(code(&answer, id), Some("unauthorized"), "{properties}: {answer:?}");
    }
    let good = json!([
        create(20, 1, json!({"path": "card?wrapper=Row"})),
        create(21, 1, json!({"path": "draft?create=Card&access=rw"})),
        create(22, 1, json!({"path": "cards"})),
    ]);
    let answer = site.send(good);
    assert_eq!((code(&answer, 20), code(&answer, 21)), (None, None), "{answer:?}");
    assert_eq!(site.eval("return app.draft.type"), "Card");
    for (id, name) in [
        (22, "wrapper"),
        (20, "wrapper"),
        (22, "create"),
        (21, "create:low"),
        (1, "wrapper"),
        (20, "itemWrapper"),
    ] {
        let update = json!([{"type": "update", "data": {"varId": id, "properties": {name: "Evil"}}}]);
        assert_eq!(code(&site.send(update), id), Some("unauthorized"), "{id} {name}");
    }
    let empty = json!([{"type": "update", "data": {"varId": 20, "properties": {"wrapper": "", "x": "y"}}}]);
    assert_eq!(code(&site.send(empty), 20), None);
    assert_eq!(site.eval("return Evil.made"), "0");
}

#[test]
fn a_saved_template_changes_the_list_at_once() {
    let mut site = site();
    site.send(json!([create(2, 1, json!({"path": "title"})), create(3, 1, json!({"path": "secret"}))]));
    let with_secret = VIEW.replace("ui-value=\"title\"", "ui-value=\"secret\"");
    site.save(&[("App.DEFAULT.html", Some(&with_secret))]);
    let answer = site.received();
    assert_eq!((values(&answer, 2), code(&answer, 2)), (vec![json!(null)], Some("unauthorized")));
    assert_eq!((values(&answer, 3), code(&answer, 3)), (vec![json!("s")], None));
    // Written, called: the same.
    let written = with_secret.replace("<b ui-value=\"secret\">", "<input ui-value=\"secret\">");
    assert_eq!(code(&site.send(json!([write(3, json!("x"))])), 3), Some("unauthorized"));
    site.save(&[("App.DEFAULT.html", Some(&written))]);
    assert_eq!(code(&site.send(json!([write(3, json!("x"))])), 3), None);
    assert_eq!(site.eval("return app.secret"), "x");
    // One that is no template keeps what the old one binds; one that is gone binds nothing.
    site.save(&[("App.DEFAULT.html", Some("<template>"))]);
    assert_eq!(code(&site.send(json!([write(3, json!("y"))])), 3), None);
    site.save(&[("App.DEFAULT.html", None)]);
    assert_eq!(code(&site.received(), 3), Some("unauthorized"));
    assert_eq!(code(&site.send(json!([write(3, json!("z"))])), 3), Some("unauthorized"));
    assert_eq!(site.eval("return app.secret"), "y");
}

#[test]
fn an_action_that_is_taken_back_comes_back_with_its_template() {
    let mut site = site();
    site.send(json!([create(2, 1, json!({"path": "act()", "access": "action"}))]));
    site.save(&[("App.DEFAULT.html", Some("<template></template>"))]);
    assert_eq!(code(&site.received(), 2), Some("unauthorized"));
    site.save(&[("App.DEFAULT.html", Some(VIEW))]);
    let answer = site.received();
    assert!(
        answer.iter().any(|message| message["type"] == "update" && message["data"]["varId"] == 2),
        "{answer:?}"
    );
    site.send(json!([write(2, json!(null))]));
    assert_eq!(site.eval("return app.calls"), "1");
}

#[test]
fn what_is_exposed_is_to_be_had_until_its_file_says_otherwise() {
    let mut site = site();
    site.send(json!([create(2, 1, json!({"path": "secret"})), create(3, 1, json!({"path": "calls"}))]));
    let exposing = |more: &str| format!("{APP}\n{more}");
    site.good("main.lua", &exposing("session:expose(App, { 'secret', 'calls?access=r' })"));
    let answer = site.received();
    assert_eq!((values(&answer, 2), values(&answer, 3)), (vec![json!("s")], vec![json!(0)]));
    assert_eq!(code(&site.send(json!([write(2, json!("w"))])), 2), None);
    assert_eq!(code(&site.send(json!([write(3, json!(1))])), 3), Some("unauthorized"));
    // A version that fails is undone.
    site.failure("main.lua", &exposing("session:expose('App', { 'calls' }) error('no')"));
    assert_eq!(code(&site.send(json!([write(2, json!("v")), write(3, json!(1))])), 3), Some("unauthorized"));
    assert_eq!(site.eval("return app.secret"), "v");
    // A version that exposes something else.
    site.good("main.lua", &exposing("session:expose('App', { 'calls' })"));
    let answer = site.send(json!([write(2, json!("u")), write(3, json!(7))]));
    assert_eq!((code(&answer, 2), code(&answer, 3)), (Some("unauthorized"), None));
    assert_eq!(site.eval("return app.secret .. app.calls"), "v7");
    // And one that exposes nothing.
    site.good("main.lua", APP);
    assert_eq!(code(&site.send(json!([write(3, json!(8))])), 3), Some("unauthorized"));
    // What a handler exposes stays.
    site.eval("session:expose(App, { 'calls' })");
    site.good("main.lua", &exposing("-- saved"));
    assert_eq!(code(&site.send(json!([write(3, json!(9))])), 3), None);
}

#[test]
fn expose_takes_a_prototype_and_a_list_of_strings() {
    let mut site = site();
    for code in [
        "session:expose(nil, {})",
        "session:expose({}, {})",
        "session:expose(App)",
        "session:expose(App, { 1 })",
    ] {
        assert!(site.session.with_lua(|lua| lua.load(code).exec()).is_err(), "{code}");
    }
    assert!(
        site.session
            .with_lua(|lua| lua.load("for i = 1, 20000 do session:expose('A', { 'p' .. i }) end").exec())
            .is_err()
    );
}

#[test]
fn what_lua_code_made_for_every_browser_is_not_asked_about() {
    let mut site = site();
    site.eval("v = session:createVariable(1, nil, { path = 'secret' })");
    let answer = site.send(json!([]));
    assert_eq!(values(&answer, -1), [json!("s")]);
    assert_eq!(code(&site.send(json!([write(-1, json!("w"))])), -1), None);
    let update = json!([{"type": "update", "data": {"varId": -1, "properties": {"wrapper": "Evil"}}}]);
    assert_eq!(code(&site.send(update), -1), Some("unauthorized"));
}

#[test]
fn with_any_every_path_that_is_not_private_is_to_be_had() {
    let mut site = Site::new(&[("main.lua", APP)]);
    let answer = site.send(json!([create(2, 1, json!({"path": "secret"})), write(2, json!("x"))]));
    assert_eq!((code(&answer, 2), site.eval("return app.secret").as_str()), (None, "x"));
    assert_eq!(code(&site.ask(3, 1, json!({"path": "card?wrapper=Evil"})), 3), None);
    assert_eq!(site.refused(), 0);
}

#[test]
fn code_is_never_overwritten_by_a_write() {
    let mut site = Site::new(&[(
        "main.lua",
        &format!(
            "{APP}\ncallable = setmetatable({{}}, {{ __call = function() end }})\napp.f, app.callable, app.list = print, callable, {{ print }}\n\
         app.class, app.module, app.lib, app.globals = Card, session, math, _G"
        ),
    )]);
    let paths = [
        "shown",
        "new",
        "f",
        "callable",
        "type",
        "card.type",
        "card.vote",
        "list.0",
        "class.title",
        "class.fresh",
        "module.fresh",
        "lib.pi",
        "globals.fresh",
        "card.new",
    ];
    for (id, path) in (2..).zip(paths) {
        let answer =
            site.send(json!([create(id, 1, json!({"path": path, "access": "w"})), write(id, json!("x"))]));
        assert_eq!(code(&answer, id), Some("unauthorized"), "{path}: {answer:?}");
    }
    assert_eq!(
        site.eval("return app.type .. card.type .. Card.title .. type(card.vote) .. type(app.list[1])"),
        "AppCarda cardfunctionfunction"
    );
    let answer = site.send(json!([
        create(30, 1, json!({"path": "card.title", "access": "w"})),
        write(30, json!({"type": "X", "_a": 1, "b": 2}))
    ]));
    assert_eq!(
        (code(&answer, 30), site.eval("return tostring(card.title.type) .. card.title.b").as_str()),
        (None, "nil2")
    );
}

#[test]
fn only_objects_that_were_shown_can_be_named() {
    let mut site = site();
    site.send(json!([create(2, 1, json!({"path": "note"})), create(3, 1, json!({"path": "card"}))]));
    for (number, kind) in [(1, "table"), (0, "string"), (2, "string"), (1000, "string")] {
        site.eval("app.note = nil");
        // What is not there is nil, and then the prototype's is there.
        site.send(json!([write(2, json!({"obj": number}))]));
        assert_eq!(site.eval("return type(app.note)"), kind, "{number}");
    }
}
