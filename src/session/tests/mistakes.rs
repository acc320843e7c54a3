//! The mistakes of docs/mistakes.md: each is made, and what the page says is looked for.

use std::fmt::Write;

use serde_json::json;

use super::Site;
use crate::config::BindingRule;

const MAIN: &str = "local App = session:prototype('App', { name = 'Ada', cards = EMPTY })
function App:label() return 'Hello, ' .. self.name end
function App:add() self.n = (self.n or 0) + 1 end
session:createAppVariable(App:new { cards = {} })
";
const VIEW: &str = "<template><b ui-value=\"label()\"></b></template>";

/// Path and access of what the page asks for.
type Asks = Option<(&'static str, &'static str)>;

/// A site with a mistake.
struct Mistake {
    files: Vec<(String, String)>,
    asks: Asks,
}

fn site(main: &str, views: &[(&str, &str)], asks: Asks) -> Mistake {
    let views = views.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Mistake { files: [("main.lua".to_owned(), main.to_owned())].into_iter().chain(views).collect(), asks }
}

/// A mistake in Lua alone.
fn lua(main: &str) -> Mistake {
    site(main, &[("App.DEFAULT.html", VIEW)], None)
}

/// One that is met when the page shows the label.
fn shown(main: &str) -> Mistake {
    site(main, &[("App.DEFAULT.html", VIEW)], Some(("label()", "r")))
}

/// One beside a module.
fn with_card(main: &str, card: &str) -> Mistake {
    site(main, &[("App.DEFAULT.html", VIEW), ("card.lua", card)], None)
}

/// One on the second line of the template.
fn view(inner: &str, asks: Asks) -> Mistake {
    site(MAIN, &[("App.DEFAULT.html", &format!("<template>\n{inner}</template>"))], asks)
}

fn mistake(name: &str) -> Mistake {
    let with_new = |new: &str| MAIN.replace("session:createApp", &format!("{new}\nsession:createApp"));
    match name {
        "an `end` is missing" => lua("function f()\n  return 1\n"),
        "`else if` in place of `elseif`" => lua("if x then\nelse if y then\nend"),
        "a comma is missing in a table" => lua("local t = { a = 1\n  b = 2 }"),
        "`!=` in place of `~=`" => lua("if 1 != 2 then end"),
        "`x += 1`" => lua("local x = 1\nx += 1"),
        "a method is defined with a dot" => shown(&MAIN.replace("App:label", "App.label")),
        "`this` in place of `self`" => shown(&MAIN.replace("self.name", "this.name")),
        "`session.prototype` with a dot" => lua(&MAIN.replace("session:prototype(", "session.prototype(")),
        "`App.new` with a dot" => lua(&MAIN.replace("App:new {", "App.new {")),
        "the name of a function is misspelt" => lua("pritn('x')"),
        "a field that is nil is joined to a text" => shown(&MAIN.replace("'Ada'", "EMPTY")),
        "a module that is not there" => lua("local c = require 'card'"),
        "`require` with `.lua`" => with_card("local c = require 'card.lua'", "return {}"),
        "`require` with a path" => with_card("local c = require './card'", "return {}"),
        "a module without `return`" => {
            with_card("local c = require 'card'\nlocal x = c.title", "local M = {}")
        }
        "a loop that does not end" => lua("while true do end"),
        "a timer without a function" => lua("local function f() end session:setInterval(f(), 100)"),
        "`new` that returns nothing" => lua(&with_new("function App:new(o) session:create(self, o) end")),
        "`new` that makes a bare table" => lua(&with_new("function App:new(o) return o or {} end")),
        "no application" => lua("x = 1"),
        "no template for a type" => site(MAIN, &[], None),
        "a template for the type in other letters" => site(MAIN, &[("app.DEFAULT.html", VIEW)], None),
        "a file without a namespace" => site(MAIN, &[("App.html", VIEW)], None),
        "no root `<template>`" => site(MAIN, &[("App.DEFAULT.html", "<b ui-value=name></b>")], None),
        "a `<template>` that is not closed" => site(MAIN, &[("App.DEFAULT.html", "<template><b></b>")], None),
        "a misspelt name" => view("<b ui-value=nmae></b>", Some(("nmae", "r"))),
        "a misspelt attribute" => view("<b ui-vaule='label()'></b>", None),
        "a method shown without `()`" => view("<b ui-value=label></b>", Some(("label", "r"))),
        "an action without `()`" => view("<b ui-action=add></b>", Some(("add", "action"))),
        "an action with an argument" => view("<b ui-action='add(5)'></b>", None),
        "`cards[0]` in place of `cards.0`" => view("<b ui-value='cards[0]'></b>", None),
        "`self.name` in place of `name`" => view("<b ui-value=self.name></b>", None),
        "a method with a colon" => view("<b ui-value='card:title()'></b>", None),
        "`{{ name }}`" => view("<b>{{ name }}</b>", None),
        other => panic!("docs/mistakes.md has {other:?}, and here nobody makes it"),
    }
}

/// All that is said of it: what does not compile, the page of a failed start, the problems of the page.
fn said(Mistake { files, asks }: &Mistake) -> String {
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut site = Site::with(&files, |settings| settings.bindings = BindingRule::Templates);
    let mut said = String::new();
    for wrong in site.published.generation().diagnostics().chain(site.session.start_error()) {
        writeln!(said, "{wrong}{}", wrong.details()).unwrap();
    }
    let mut messages = site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    if let Some((path, access)) = asks {
        let properties = json!({"path": path, "access": access});
        let create = json!({"id": 2, "parentId": 1, "properties": properties});
        let mut batch = vec![json!({"type": "create", "data": create})];
        if *access == "action" {
            batch.push(json!({"type": "update", "data": {"varId": 2, "value": null}}));
        }
        messages.extend(site.send(json!(batch)));
    }
    for message in messages.iter().filter(|message| message["type"] == "problems") {
        for problem in message["data"]["problems"].as_array().unwrap() {
            let text = |name: &str| problem[name].as_str().unwrap_or_default();
            let (file, message, hint) = (text("file"), text("message"), text("hint"));
            writeln!(said, "{file}:{}: {message} {hint}", problem["line"]).unwrap();
        }
    }
    said
}

#[test]
fn what_docs_mistakes_says_is_said_is_said() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mistakes.md")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| mistake");
    let rows: Vec<_> = page.lines().filter(is_row).collect();
    assert!(rows.len() >= 30, "{} mistakes", rows.len());
    for row in rows {
        let (name, words) = row.trim_matches('|').split_once(" | ").unwrap();
        let said = said(&mistake(name.trim()));
        for word in words.split('`').skip(1).step_by(2) {
            assert!(said.contains(word), "{name}: {word:?} is not in\n{said}");
        }
    }
    assert_eq!(said(&shown(MAIN)), "", "where there is no mistake, nothing is said");
}
