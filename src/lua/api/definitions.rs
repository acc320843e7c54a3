//! The definitions for the Lua language server say what a session has: no more and no less.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mlua::{Function, Lua, Table, Value};

use crate::{config::BudgetConfig, lua::Vm, reload::Generation};

/// Libraries that are as everywhere, but for what the sandbox takes out.
const UNCHANGED: [&str; 5] = ["coroutine", "math", "string", "table", "utf8"];
const TAKEN_OUT: [&str; 1] = ["string.dump"];

const PRELUDE: [&str; 8] = [
    include_str!("../prelude/sandbox.lua"),
    include_str!("../prelude/session.lua"),
    include_str!("../prelude/modules.lua"),
    include_str!("../prelude/extras.lua"),
    include_str!("../prelude/variables.lua"),
    include_str!("../prelude/unload.lua"),
    include_str!("../prelude/store.lua"),
    include_str!("../prelude/hub.lua"),
];

/// What is written of a function.
#[derive(Debug, Default)]
struct Signature {
    /// As between the brackets.
    params: String,
    /// The parameters of each overload.
    overloads: Vec<String>,
    is_method: bool,
}

impl Signature {
    /// How many parameters the longest form has, `self` among them, and whether more may come.
    fn arity(&self) -> (usize, bool) {
        let names = self.params.split(", ").filter(|name| !name.is_empty());
        let (rest, named): (Vec<_>, Vec<_>) = names.partition(|name| *name == "...");
        let longest = self.overloads.iter().map(|params| params.split(", ").count()).max().unwrap_or(0);
        ((named.len() + usize::from(self.is_method)).max(longest), !rest.is_empty())
    }
}

/// Fields have no signature.
type Members = BTreeMap<String, Option<Signature>>;

#[derive(Debug, Default)]
struct Definitions {
    classes: BTreeMap<String, Members>,
    /// Which class a global is of.
    tables: BTreeMap<String, String>,
    functions: Members,
}

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua/meta");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Reads the few forms that the files are written in.
fn read() -> Definitions {
    let mut read = Definitions::default();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("---@meta\n"), "{}", file.display());
        let (mut class, mut kind, mut overloads) = (String::new(), String::new(), Vec::new());
        let mut locals = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("---@class ") {
                class = name.into();
                read.classes.insert(class.clone(), Members::new());
            } else if let Some(field) = line.strip_prefix("---@field ") {
                let name = field.split(' ').next().unwrap();
                read.classes.get_mut(&class).unwrap().insert(name.into(), None);
            } else if let Some(name) = line.strip_prefix("---@type ") {
                kind = name.into();
            } else if let Some(overload) = line.strip_prefix("---@overload fun(") {
                overloads.push(overload.split(')').next().unwrap().to_owned());
            } else if line.starts_with("--") {
                // Said to people.
            } else if let Some(name) = line.strip_prefix("local ").and_then(|rest| rest.strip_suffix(" = {}"))
            {
                locals.insert(name.to_owned(), class.clone());
            } else if let Some(function) = line.strip_prefix("function ") {
                let (name, params) = function.strip_suffix(") end").unwrap().split_once('(').unwrap();
                let is_method = name.contains(':');
                let overloads = std::mem::take(&mut overloads);
                let signature = Signature { params: params.into(), overloads, is_method };
                let (members, name) = match name.split_once([':', '.']) {
                    Some((owner, name)) => (read.classes.get_mut(&locals[owner]).unwrap(), name),
                    None => (&mut read.functions, name),
                };
                assert!(members.insert(name.into(), Some(signature)).is_none(), "{name} is there twice");
            } else if let Some((name, same)) = line.split_once(" = ") {
                assert_eq!(name, same, "{}: running it would change something", file.display());
                read.tables.insert(name.into(), kind.clone());
            }
        }
    }
    assert!(read.tables.len() > 3 && read.functions.len() > 3, "are they still found?");
    read
}

/// What sites put into a table of ours, and editors should know.
const HOOKS: [(&str, &str); 2] = [("session", "snapshot"), ("session", "restore")];

fn is_hook(table: &str, member: &str) -> bool {
    HOOKS.contains(&(table, member))
}

fn vm() -> Vm {
    Vm::new("test".into(), Arc::new(Generation::default()), Arc::new(BudgetConfig::default()), true, None)
        .unwrap()
}

fn keys(table: &Table) -> BTreeSet<String> {
    table.pairs::<String, Value>().map(|pair| pair.unwrap().0).collect()
}

/// Its own, and what its metatable adds.
fn members(table: &Table) -> BTreeSet<String> {
    // What is loaded at first use is there after it.
    let _ = table.get::<Value>("no such name").unwrap();
    let mut names = keys(table);
    if let Some(metatable) = table.metatable()
        && let Value::Table(more) = metatable.raw_get("__index").unwrap()
    {
        names.extend(members(&more));
    }
    names
}

/// Where the function comes from Lua code of ours, it takes the parameters that are written.
#[track_caller]
fn assert_takes(name: &str, function: &Function, signature: &Signature) {
    let info = function.info();
    if info.what == "Lua" {
        let arity = (usize::from(info.num_params), info.is_vararg);
        assert_eq!(signature.arity(), arity, "{name}: how many parameters");
    }
}

#[test]
fn every_global_of_a_session_is_defined_and_no_other() {
    let (vm, plain, defined) = (vm(), Lua::new(), read());
    let (live, plain) = (vm.lua().globals(), plain.globals());
    let known: BTreeSet<&str> =
        defined.tables.keys().chain(defined.functions.keys()).map(String::as_str).collect();
    for name in keys(&live) {
        let value: Value = live.get(name.as_str()).unwrap();
        let is_ours = matches!(&value, Value::Function(function) if function.info().what == "Lua");
        let is_everywhere = plain.contains_key(name.as_str()).unwrap() && !is_ours;
        assert!(is_everywhere || known.contains(name.as_str()), "the global {name} is not defined");
        if let (Value::Function(function), Some(Some(signature))) = (&value, defined.functions.get(&name)) {
            assert_takes(&name, function, signature);
        }
    }
    for name in known {
        assert!(live.contains_key(name).unwrap(), "{name} is defined, and a session has no such global");
    }
}

#[test]
fn every_member_of_a_global_is_defined_and_no_other() {
    let (vm, defined) = (vm(), read());
    for (name, class) in &defined.tables {
        let table: Table = vm.lua().globals().get(name.as_str()).unwrap();
        let definition = &defined.classes[class];
        let known: BTreeSet<String> =
            definition.keys().filter(|member| !is_hook(name, member)).cloned().collect();
        // What answers by a function has no names to list: each is asked for below.
        let answers = table.metatable().map(|metatable| metatable.raw_get::<Value>("__index").unwrap());
        if !matches!(answers, Some(Value::Function(_))) || !members(&table).is_empty() {
            assert_eq!(known, members(&table), "{name}: defined, and what is there");
        }
        for (member, signature) in definition.iter().filter(|(member, _)| !is_hook(name, member)) {
            let value: Value = table.get(member.as_str()).unwrap();
            let full = format!("{name}.{member}");
            match (value, signature) {
                (Value::Function(function), Some(signature)) => assert_takes(&full, &function, signature),
                (Value::Function(_), None) => panic!("{full} is a function"),
                (_, Some(_)) => panic!("{full} is defined as a function, and there is none"),
                (_, None) => {}
            }
        }
    }
}

#[test]
fn parameters_have_the_names_that_the_prelude_gives_them() {
    let mut count = 0;
    for members in read().classes.values() {
        for (name, signature) in members {
            let Some(Signature { params, overloads, .. }) = signature else { continue };
            let starts = ["session:", "extras:", "store.", "hot.", "ui."]
                .map(|owner| format!("function {owner}{name}("));
            let found = PRELUDE.iter().find_map(|text| {
                let start = starts.iter().find_map(|start| Some(text.find(start)? + start.len()))?;
                text[start..].split(')').next()
            });
            if let Some(found) = found.filter(|_| overloads.is_empty()) {
                assert_eq!(params, found, "{name}");
                count += 1;
            }
        }
    }
    assert!(count > 7, "only {count} functions: are they still found?");
}

#[test]
fn a_prototype_has_what_is_defined() {
    let (vm, defined) = (vm(), read());
    let prototype: Table = vm.lua().load("return session:prototype('P', {})").eval().unwrap();
    let fields = defined.classes["Prototype"].keys();
    for name in fields.filter(|name| !name.ends_with('?') && !name.starts_with('[')) {
        assert!(prototype.contains_key(name.as_str()).unwrap(), "{name}");
    }
}

#[test]
fn what_is_not_redefined_is_as_everywhere() {
    let (vm, plain, defined) = (vm(), Lua::new(), read());
    let mut missing = BTreeSet::new();
    for library in UNCHANGED {
        let of = |lua: &Lua| keys(&lua.globals().get::<Table>(library).unwrap());
        let (live, plain) = (of(vm.lua()), of(&plain));
        assert!(live.is_subset(&plain), "{library}");
        missing.extend(plain.difference(&live).map(|name| format!("{library}.{name}")));
    }
    assert_eq!(missing, TAKEN_OUT.map(String::from).into());
    // The language server leaves out what a session has not, or has in another form.
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/sample/luarc.json");
    let settings: serde_json::Value = serde_json::from_slice(&fs::read(settings).unwrap()).unwrap();
    assert_eq!(settings["runtime.version"], "Lua 5.4");
    let off: BTreeSet<String> = settings["runtime.builtin"].as_object().unwrap().keys().cloned().collect();
    let mut plain_tables = keys(&plain.globals());
    // mlua leaves it out unless one insists.
    plain_tables.insert("debug".into());
    let redefined = defined.tables.keys().filter(|name| plain_tables.contains(*name));
    let live = keys(&vm.lua().globals());
    let gone = plain_tables.iter().filter(|name| !live.contains(*name));
    assert_eq!(off, redefined.chain(gone).cloned().collect());
}

#[test]
fn running_the_definitions_changes_nothing() {
    let vm = vm();
    let globals = || -> BTreeMap<String, usize> {
        let globals = vm.lua().globals();
        let pairs = globals.pairs::<String, Value>().map(Result::unwrap);
        pairs.map(|(name, value)| (name, value.to_pointer() as usize)).collect()
    };
    let before = globals();
    for file in files() {
        vm.lua().load(fs::read_to_string(file).unwrap()).exec().unwrap();
    }
    assert_eq!(globals(), before);
}
