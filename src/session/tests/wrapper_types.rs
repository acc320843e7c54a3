//! The definitions of wrappers for the Lua language server say what there is: no more and no less.

use std::{collections::BTreeSet, fs};

use mlua::{Table, Value as LuaValue};
use serde_json::json;

use super::{Site, wrappers::create};

/// A list whose variable, and an item of it, are kept where the test finds them.
const MAIN: &str = r#"
Keep = session:prototype("Keep")
function Keep:new(item) ITEM, VARIABLE = item, item.list.variable end
session:createAppVariable(session:prototype("App"):new { list = { 1, 2 } })
"#;

/// The members of a class, methods with their parameters.
fn defined(class: &str) -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/lua/meta/wrappers.lua");
    let text = fs::read_to_string(path).unwrap();
    let from = text.find(&format!("---@class {class}\n")).unwrap();
    let text = text[from..].split("\n---@class ").next().unwrap().to_owned() + "\n";
    let fields = text.lines().filter_map(|line| line.strip_prefix("---@field ")?.split(' ').next());
    let start = format!("function {class}:");
    let methods = text.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix(" end"));
    fields.chain(methods).map(str::to_owned).collect()
}

/// What a browser, and whoever writes a wrapper, may use of an object: its own fields and those it inherits.
fn live(object: &Table) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    let mut tables = vec![object.clone()];
    while let Some(table) = tables.pop() {
        for (key, value) in table.pairs::<LuaValue, LuaValue>().map(Result::unwrap) {
            let LuaValue::String(key) = key else { continue };
            let name = key.to_str().unwrap().to_owned();
            if name.starts_with('_') {
                continue; // private
            }
            members.insert(match value {
                LuaValue::Function(function) => format!("{name}({})", parameters(&function)),
                _ => name,
            });
        }
        let parent =
            table.metatable().and_then(|metatable| metatable.raw_get::<Option<Table>>("__index").unwrap());
        tables.extend(parent.filter(|parent| *parent != table));
    }
    members
}

/// Their number: the prelude has no names of locals.
fn parameters(function: &mlua::Function) -> usize {
    usize::from(function.info().num_params) - 1
}

fn counted(members: BTreeSet<String>) -> BTreeSet<String> {
    let count = |member: String| match member.split_once('(') {
        Some((name, rest)) => {
            let names = rest.trim_end_matches(')').split(", ").filter(|name| !name.is_empty());
            format!("{name}({})", names.count())
        }
        None => member,
    };
    members.into_iter().map(count).collect()
}

#[test]
fn a_variable_a_list_and_its_items_have_what_is_defined_and_nothing_else() {
    let mut site = Site::new(&[("main.lua", MAIN)]);
    let path = "list?wrapper=lua.ViewList&itemWrapper=Keep";
    site.send(json!([create(2, 1, json!({ "path": path }))]));
    let get = |site: &mut Site, code: &str| -> Table {
        site.session.with_lua(|lua| lua.load(code).eval()).unwrap()
    };
    for (class, code) in
        [("Variable", "return VARIABLE"), ("ViewList", "return ITEM.list"), ("ViewListItem", "return ITEM")]
    {
        let object = get(&mut site, code);
        let defined = counted(defined(class));
        assert!(defined.len() > 4, "{class}: are they still found? {defined:?}");
        let mut live = live(&object);
        if class == "ViewListItem" {
            assert!(live.remove("new(1)"), "the one that every prototype has");
        }
        assert_eq!(defined, live, "{class}: defined, and what is there");
    }
}
