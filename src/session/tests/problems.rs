//! What the author is told of names that lead nowhere and of code that fails while a page uses it.

use serde_json::{Value, json};

use super::{
    Site, values,
    wrappers::{create, errors},
};
use crate::config::BindingRule;

const MAIN: &str = r#"
App = session:prototype("App", { name = "Ada", phone = EMPTY, rows = EMPTY, broken = false })
Row = session:prototype("Row", { n = 0 })
function Row:label() if app.broken then error("no label") end return "row " .. self.n end
function App:greet() if self.broken then error("no greeting") end return "Hello, " .. self.name end
function App:click() if self.broken then error("no click") end end
function App:tick() if self.broken then error("no tick") end end
app = App:new { rows = {} }
for n = 1, 30 do app.rows[n] = Row:new { n = n } end
session:createAppVariable(app)
function App:later() self.added = 1 end
"#;

const VIEW: &str = r#"<template>
  <b ui-value="nmae"></b>
  <input ui-value="nmae">
  <i ui-value="gret()"></i><i ui-value="phone"></i><i ui-value="added"></i>
  <p ui-value="greet()"></p><button ui-action="click()"></button>
  <ul ui-viewlist="rows"></ul>
</template>"#;

const ROW: &str = "<template><b ui-value='label()'></b></template>";

fn site() -> Site {
    let files = [("main.lua", MAIN), ("App.DEFAULT.html", VIEW), ("Row.list-item.html", ROW)];
    Site::with(&files, |settings| settings.bindings = BindingRule::Templates)
}

fn show(site: &mut Site, id: i64, path: &str) -> Vec<Value> {
    let access = if path == "click()" { "action" } else { "rw" };
    site.send(json!([create(id, 1, json!({"path": path, "access": access}))]))
}

/// Kind, position, message, count, and some of the variables.
type Told = (String, String, String, i64, Value);

/// The last word on what fails.
fn problems(messages: &[Value]) -> Option<Vec<Told>> {
    let last = messages.iter().rev().find(|message| message["type"] == "problems")?;
    let text = |problem: &Value, name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let each = last["data"]["problems"].as_array().unwrap().iter().map(|problem| {
        let position = format!("{}:{}", text(problem, "file"), problem["line"]);
        let count = problem["count"].as_i64().unwrap();
        (text(problem, "kind"), position, text(problem, "message"), count, problem["varIds"].clone())
    });
    Some(each.collect())
}

#[test]
fn a_misspelt_name_is_told_where_it_stands_with_the_one_that_was_meant() {
    let mut site = site();
    let shown = show(&mut site, 2, "nmae");
    let what = "App has no field or method \"nmae\"; did you mean \"name\"?";
    let told = ("path".into(), "viewdefs/App.DEFAULT.html:2".into(), what.into(), 1, json!([2]));
    assert_eq!(problems(&shown), Some(vec![told]));
    assert_eq!(
        (values(&shown, 2), errors(&shown, 2)),
        (vec![Value::Null], vec![]),
        "as other clients know it"
    );
    let method = problems(&show(&mut site, 3, "gret()")).unwrap().remove(1);
    assert_eq!((method.1.as_str(), method.0.as_str()), ("viewdefs/App.DEFAULT.html:4", "path"));
    assert!(method.2.contains("did you mean \"greet\"?"), "{method:?}");
    // Mended: the template of the type is another, and its page makes variables anew.
    let gone = site
        .send(json!([{"type": "destroy", "data": {"varId": 2}}, {"type": "destroy", "data": {"varId": 3}}]));
    assert_eq!(problems(&gone), Some(vec![]));
}

#[test]
fn what_is_declared_or_set_later_is_no_mistake() {
    let mut site = site();
    for (id, path) in [(2, "phone"), (3, "added"), (4, "greet()")] {
        let shown = show(&mut site, id, path);
        assert_eq!(problems(&shown), None, "{path}: {shown:?}");
    }
}

#[test]
fn a_mistake_in_an_input_makes_no_field() {
    let mut site = site();
    show(&mut site, 2, "nmae");
    let written = site.send(json!([{"type": "update", "data": {"varId": 2, "value": "typed"}}]));
    let [(code, description)] = &errors(&written, 2)[..] else { panic!("{written:?}") };
    assert!(problems(&written).is_none_or(|told| told.len() == 1), "one mistake, one problem: {written:?}");
    assert_eq!((code.as_str(), description.contains("did you mean \"name\"?")), ("path-failure", true));
    assert_eq!(site.eval("return app.nmae"), "nil");
    // One that is only declared is made.
    show(&mut site, 3, "phone");
    site.send(json!([{"type": "update", "data": {"varId": 3, "value": "555"}}]));
    assert_eq!(site.eval("return app.phone"), "nil", "the template shows it, and does not let it be written");
}

#[test]
fn a_getter_that_raises_is_one_problem_however_many_rows_have_it_and_is_gone_when_it_succeeds() {
    let mut site = site();
    show(&mut site, 2, "rows");
    for row in 0..30 {
        let id = 100 + row;
        let label = create(200 + row, id, json!({"path": "label()", "access": "r"}));
        site.send(json!([create(id, 2, json!({"path": row.to_string(), "access": "r"})), label]));
    }
    let failed = site.run("app.broken = true");
    let [(kind, position, message, count, ids)] = &problems(&failed).unwrap()[..] else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (kind.as_str(), position.as_str(), message.as_str()),
        ("getter", "lua/main.lua:4", "no label")
    );
    assert_eq!((*count, ids.as_array().unwrap().len()), (30, 30));
    assert_eq!(problems(&site.run("return 1")), None, "told once");
    assert_eq!(problems(&site.run("app.broken = false")), Some(vec![]));
    // They go with what is above them, too.
    assert_eq!(problems(&site.run("app.broken = true")).map(|told| told.len()), Some(1));
    assert_eq!(problems(&site.send(json!([{"type": "destroy", "data": {"varId": 2}}]))), Some(vec![]));
}

#[test]
fn a_handler_that_raises_is_a_problem_until_it_succeeds() {
    let mut site = site();
    show(&mut site, 2, "click()");
    site.eval("app.broken = true");
    let click = json!([{"type": "update", "data": {"varId": 2, "value": null}}]);
    let failed = site.send(click.clone());
    let [(kind, position, message, ..)] = &problems(&failed).unwrap()[..] else { panic!("{failed:?}") };
    assert_eq!(
        (kind.as_str(), position.as_str(), message.as_str()),
        ("handler", "lua/main.lua:6", "no click")
    );
    site.eval("app.broken = false");
    assert_eq!(problems(&site.send(click)), Some(vec![]));
}

#[test]
fn a_timer_that_raises_is_a_problem_until_it_succeeds_or_its_code_is_new() {
    let mut site = Site::new(&[("main.lua", &format!("{MAIN} session:setInterval(app, 'tick', 10)"))]);
    let tick = |site: &mut Site| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            site.session.wake(false);
            site.session.refresh_now();
            site.session.after_unit();
            if let Some(problems) = problems(&site.received()) {
                return problems;
            }
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    };
    site.eval("app.broken = true");
    let [(kind, position, message, count, _)] = &tick(&mut site)[..] else { panic!() };
    assert_eq!((kind.as_str(), position.as_str(), message.as_str()), ("timer", "lua/main.lua:7", "no tick"));
    assert_eq!((*count, tick(&mut site)[0].3), (1, 2), "how often in a row");
    site.eval("app.broken = false");
    assert_eq!(tick(&mut site), []);
}

#[test]
fn a_page_that_has_nothing_to_show_says_what_is_missing() {
    let app = "local App = session:prototype('App', {}) session:createAppVariable(App:new())";
    let view = [("App.DEFAULT.html", "<template>hi</template>")];
    let told = |main: &str, views: &[(&str, &str)]| {
        let files: Vec<_> = [("main.lua", main)].into_iter().chain(views.iter().copied()).collect();
        let mut site = Site::new(&files);
        let shown = site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
        (problems(&shown).map(|told| told.into_iter().map(|told| told.2).collect::<Vec<_>>()), site)
    };
    let [no_app, no_type, no_view, near] = [
        told("x = 1", &view).0.unwrap().remove(0),
        told("session:createAppVariable({ n = 1 })", &view).0.unwrap().remove(0),
        told(app, &[]).0.unwrap().remove(0),
        told(app, &[("Ap.DEFAULT.html", "<template>hi</template>")]).0.unwrap().remove(0),
    ];
    assert!(no_app.contains("session:createAppVariable(object)"), "{no_app}");
    assert!(no_type.contains("make it an object of a session:prototype"), "{no_type}");
    assert_eq!(
        no_view,
        "no template shows the application, of type \"App\": write viewdefs/App.DEFAULT.html"
    );
    assert!(near.ends_with("; there is one for \"Ap\""), "{near}");
    let (none, mut site) = told(app, &[]);
    assert!(none.is_some());
    site.save(&[(view[0].0, Some(view[0].1))]);
    assert_eq!(problems(&site.received()), Some(vec![]), "gone with the file");
    assert_eq!(told(app, &view).0, None);
}

#[test]
fn an_object_without_a_template_is_told_where_the_page_would_show_it() {
    let main = "App = session:prototype('App', { card = EMPTY, cards = EMPTY, code = EMPTY })
        Card = session:prototype('Card', { title = 't' })
        app = App:new { card = Card:new(), cards = { Card:new() }, code = Card:new() }
        session:createAppVariable(app)";
    let view = "<template>\n<div ui-view=\"card\"></div>\n<ul ui-viewlist=\"cards\"></ul>\n<b ui-value=\"code.title\"></b></template>";
    let card = ("Card.list-item.html", "<template><b ui-value=title></b></template>");
    let files = [("main.lua", main), ("App.DEFAULT.html", view), card];
    let mut site = Site::with(&files, |settings| settings.bindings = BindingRule::Templates);
    let told = site.send(json!([
        create(2, 1, json!({"path": "card", "access": "r"})),
        create(3, 1, json!({"path": "cards", "access": "r", "fallbackNamespace": "list-item"})),
        create(4, 3, json!({"path": "0", "access": "r", "fallbackNamespace": "list-item"})),
        create(5, 1, json!({"path": "code.title", "access": "r"})),
    ]));
    let [(kind, position, message, _, ids)] = &problems(&told).unwrap()[..] else { panic!("{told:?}") };
    assert_eq!((kind.as_str(), position.as_str(), ids), ("path", "viewdefs/App.DEFAULT.html:2", &json!([2])));
    assert_eq!(message, "no template shows \"card\", of type \"Card\": write viewdefs/Card.DEFAULT.html");
    site.save(&[(card.0, None), ("Card.DEFAULT.html", Some(card.1))]);
    assert_eq!(problems(&site.received()), Some(vec![]), "any element, too, is shown by the default one");
    site.save(&[("Card.DEFAULT.html", None)]);
    site.send(json!([{"type": "destroy", "data": {"varId": 4}}]));
    let told = site.send(json!([create(
        6,
        3,
        json!({"path": "0", "access": "r", "fallbackNamespace": "list-item"})
    )]));
    let of_list = problems(&told).unwrap().into_iter().find(|told| told.4 == json!([6])).unwrap();
    assert_eq!(of_list.1, "viewdefs/App.DEFAULT.html:3");
    assert_eq!(
        of_list.2,
        "no template shows an element of \"cards\", of type \"Card\": write viewdefs/Card.list-item.html"
    );
}

#[test]
fn users_are_told_nothing_of_it() {
    let mut site = site();
    let hidden = crate::reload::Telling { is_concealing: true, ..Default::default() };
    // The same session as its author's, seen where hot loading is off.
    site.session.settings = std::sync::Arc::new(super::SessionSettings {
        published: std::sync::Arc::new(crate::reload::Published::new(hidden)),
        session: site.session.settings.session.clone(),
        lua: site.session.settings.lua.clone(),
        scope: site.session.settings.scope,
        bindings: site.session.settings.bindings,
        refused: Default::default(),
        hub: None,
    });
    let mut site = site.another_browser();
    for (id, path) in [(2, "nmae"), (3, "greet()")] {
        assert_eq!(problems(&show(&mut site, id, path)), None);
    }
    assert_eq!(problems(&site.run("app.broken = true")), None);
}
