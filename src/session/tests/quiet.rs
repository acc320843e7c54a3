//! Where nothing is wrong, nothing is said: what a page shows comes and goes, and its variables with it.

use serde_json::{Value, json};

use super::{Site, wrappers::create};
use crate::config::BindingRule;

const ROWS: &str = r#"
Person = session:prototype("Person", { name = "", boss = EMPTY })
function Person:shout() return self.name:upper() end
Dog = session:prototype("Dog", { name = "", tail = "long" })
function Dog:bark() return "wuff " .. self.name end
App = session:prototype("App", { rows = EMPTY, filter = "", chosen = EMPTY })
app = App:new { rows = {} }
for i = 1, 1000 do
  local row = i % 2 == 0 and Dog:new { name = "dog " .. i } or Person:new { name = "person " .. i }
  if row.type == "Person" then row.boss = Person:new { name = "boss " .. i } end
  app.rows[i] = row
end
function App:found()
  local found = {}
  for _, row in ipairs(self.rows) do
    if row.name:find(self.filter, 1, true) then found[#found + 1] = row end
  end
  if #found > 0 then return found end
end
session:createAppVariable(app)
"#;

const APP: &str = r#"<template><input ui-value="filter?keypress"><ul ui-viewlist="found()"></ul>
<div ui-view="chosen"></div></template>"#;
const PERSON: &str =
    r#"<template><b ui-value="name"></b><i ui-value="shout()"></i><u ui-value="boss.name"></u></template>"#;
const DOG: &str =
    r#"<template><b ui-value="name"></b><i ui-value="bark()"></i><u ui-value="tail"></u></template>"#;

fn site(bindings: BindingRule) -> Site {
    let files = [
        ("main.lua", ROWS),
        ("App.DEFAULT.html", APP),
        ("Person.list-item.html", PERSON),
        ("Dog.list-item.html", DOG),
    ];
    Site::with(&files, |settings| settings.bindings = bindings)
}

/// What a page makes of an object by the template of its type.
fn show(id: i64, is_dog: bool) -> [Value; 3] {
    let paths = if is_dog { ["name", "bark()", "tail"] } else { ["name", "shout()", "boss.name"] };
    let at = |place: usize| create(10 * id + place as i64, id, json!({"path": paths[place], "access": "r"}));
    [at(0), at(1), at(2)]
}

fn errors(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message["type"] == "error").collect()
}

#[test]
fn one_key_in_a_filter_of_a_thousand_rows_says_nothing_but_what_is_shown_then() {
    for rule in [BindingRule::Templates, BindingRule::Any] {
        let mut site = site(rule);
        site.send(json!([create(2, 1, json!({"path": "found()"})), create(3, 1, json!({"path": "filter"}))]));
        for hundred in 0..10 {
            let mut creates = Vec::new();
            for row in hundred * 100..(hundred + 1) * 100 {
                let id = 1000 + row;
                creates.push(create(id, 2, json!({"path": row.to_string(), "access": "r"})));
                creates.extend(show(id, row % 2 == 1));
            }
            let made = site.send(json!(creates));
            assert_eq!((made.len() >= 400, errors(&made)), (true, vec![]));
        }
        let key = json!([{"type": "update", "data": {"varId": 3, "value": "7"}}]);
        let answer = site.send(key);
        assert_eq!(errors(&answer), Vec::<&Value>::new());
        assert!(answer.len() > 2000, "{}", answer.len());
        let none = site.send(json!([{"type": "update", "data": {"varId": 3, "value": "nobody"}}]));
        assert_eq!(errors(&none), Vec::<&Value>::new());
    }
}

#[test]
fn what_is_replaced_by_something_of_another_type_takes_its_children_along_without_a_word() {
    for rule in [BindingRule::Templates, BindingRule::Any] {
        let mut site = site(rule);
        site.eval("app.chosen = app.rows[1]");
        site.send(json!([create(5, 1, json!({"path": "chosen", "access": "r"}))]));
        let shown = site.send(json!(show(5, false)));
        assert_eq!(errors(&shown), Vec::<&Value>::new());
        for value in ["app.rows[2]", "nil", "'text'", "7", "{}", "{ 1, 2 }", "app.rows[1]"] {
            let answer = site.run(&format!("app.chosen = {value}"));
            assert_eq!(errors(&answer), Vec::<&Value>::new(), "{rule:?} {value}");
        }
    }
}
