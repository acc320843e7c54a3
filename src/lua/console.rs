//! Code that a developer types, in a session: as handlers run, with what it gives as text.

use mlua::{LuaString, MultiValue, Table, Value, chunk::ChunkMode};

use super::{failure::Failure, state::Vm};

/// So much is told of one line of code, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// So deep tables are shown, and so many entries of each.
const MAX_DEPTH: usize = 3;
const MAX_ENTRIES: usize = 50;
/// So many prototypes are followed.
const MAX_CHAIN: usize = 100;
/// The call that names are completed behind.
const APP: &str = "session:getApp()";
/// So many names are proposed.
const MAX_NAMES: usize = 200;

/// What came of code that a developer typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// It ran.
    Done {
        /// What it printed, which is in the log as well.
        printed: String,
        /// The values that it gave, one a line.
        values: String,
    },
    /// It is only the beginning of a statement.
    Incomplete,
    /// It did not come to its end.
    Failed {
        /// What it had printed.
        printed: String,
        /// The error, with file and line, and the traceback below it.
        error: String,
    },
}

impl Vm {
    /// Runs code that was typed: an expression, or statements. In the budget of a handler.
    pub(crate) fn type_in(&self, code: &str) -> Typed {
        self.state(|state| state.hear(MAX_TEXT));
        let mut incomplete = false;
        let result = self.run(self.handler(), |lua| {
            let load =
                |code: &str| lua.load(code).set_name("=console").set_mode(ChunkMode::Text).into_function();
            let chunk = load(&format!("return {code}")).or_else(|_| load(code)).inspect_err(|error| {
                incomplete = matches!(error, mlua::Error::SyntaxError { incomplete_input: true, .. });
            })?;
            let values: MultiValue = chunk.call(())?;
            let mut shown = Shown::default();
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    shown.write("\n");
                }
                shown.value(value, 0)?;
            }
            Ok(shown.text)
        });
        let printed = self.state(|state| state.heard()).unwrap_or_default();
        match result {
            Ok(values) => Typed::Done { printed, values },
            Err(_) if incomplete => Typed::Incomplete,
            Err(Failure { diagnostic, .. }) => {
                Typed::Failed { printed, error: format!("{diagnostic}{}", diagnostic.details()) }
            }
        }
    }

    /// Names that the end of a text may go on with, and where in it they would begin. No code runs.
    pub(crate) fn complete(&self, text: &str) -> (usize, Vec<String>) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
        let mut from = text.trim_end_matches(is_part).len();
        if text[..from].ends_with(APP) {
            from -= APP.len();
        }
        let path = &text[from..];
        let start = path.rfind(['.', ':']).map_or(0, |at| at + 1);
        let (before, name) = path.split_at(start);
        let names = self.object_at(before.trim_end_matches(['.', ':'])).map(|object| names(&object, name));
        (from + start, names.unwrap_or_default())
    }

    /// The table that a path of names leads to from the globals, which may begin with the application.
    fn object_at(&self, path: &str) -> Option<Table> {
        let (mut object, rest) = match path.strip_prefix(APP) {
            Some(rest) => (self.app()?, rest.trim_start_matches(['.', ':'])),
            None => (self.lua().globals(), path),
        };
        for name in rest.split(['.', ':']).filter(|name| !name.is_empty()) {
            object = chain(&object).find_map(|table| table.raw_get::<Option<Table>>(name).ok().flatten())?;
        }
        Some(object)
    }
}

/// A table, and those in which what it has not is looked for.
fn chain(table: &Table) -> impl Iterator<Item = Table> + use<> {
    let next = |table: &Table| table.metatable()?.raw_get::<Option<Table>>("__index").ok()?;
    std::iter::successors(Some(table.clone()), next).take(MAX_CHAIN)
}

fn names(object: &Table, start: &str) -> Vec<String> {
    let all = chain(object).flat_map(|table| table.pairs::<Value, Value>().flatten().collect::<Vec<_>>());
    let names = all.filter_map(|(key, _)| Some(key.as_string()?.to_string_lossy()));
    let is_name = |name: &String| {
        let hidden = name.starts_with('_') && !start.starts_with('_');
        name.starts_with(start) && !hidden && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut names: Vec<_> = names.filter(is_name).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_NAMES);
    names
}

/// Numbers first, as they come, and names by the alphabet: a table has no order of its own.
fn in_order(mut pairs: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    pairs.sort_by_cached_key(|(key, _)| key.as_string().map(|name| name.as_bytes().to_vec()));
    pairs
}

/// Values as text. No code runs for it: a `__tostring` may do anything.
#[derive(Default)]
struct Shown {
    text: String,
}

impl Shown {
    fn is_full(&self) -> bool {
        self.text.len() >= MAX_TEXT
    }

    fn write(&mut self, text: &str) {
        if !self.is_full() {
            self.text.push_str(text);
            if self.is_full() {
                let end = (0..=MAX_TEXT).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
                self.text.truncate(end);
                self.text.push('…');
            }
        }
    }

    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        match value {
            Value::Table(table) => return self.table(table, depth),
            Value::String(text) => {
                let text = text.as_bytes();
                let (text, rest) = text.split_at(text.len().min(MAX_TEXT));
                self.write(&format!("{:?}", String::from_utf8_lossy(text)));
                self.write(if rest.is_empty() { "" } else { "…" });
            }
            Value::Function(function) => {
                let info = function.info();
                let place = info.short_src.filter(|_| info.what != "C");
                let line = info.line_defined.map(|line| format!(":{line}")).unwrap_or_default();
                let place = place.map(|file| format!(" ({file}{line})")).unwrap_or_default();
                self.write(&format!("function{place}"));
            }
            Value::Nil | Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => {
                self.write(&value.to_string()?);
            }
            other => self.write(other.type_name()),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let named = chain(table).find_map(|table| table.raw_get::<Option<LuaString>>("type").ok().flatten());
        if let Some(name) = &named {
            self.write(&format!("{} ", name.to_string_lossy()));
        }
        if depth >= MAX_DEPTH {
            self.write("{…}");
            return Ok(());
        }
        let mut written = 0;
        let length = table.raw_len();
        self.write("{");
        let some = table.pairs::<Value, Value>().take(MAX_ENTRIES + 1).collect::<mlua::Result<Vec<_>>>()?;
        for (key, value) in in_order(some) {
            if written == MAX_ENTRIES || self.is_full() {
                self.write(", …");
                break;
            }
            self.write(if written > 0 { ", " } else { " " });
            match &key {
                // In their order, as an array has them.
                Value::Integer(place @ 1..) if usize::try_from(*place).is_ok_and(|place| place <= length) => {
                }
                Value::String(name) => self.write(&format!("{} = ", name.to_string_lossy())),
                other => {
                    self.write("[");
                    self.value(other, MAX_DEPTH)?;
                    self.write("] = ");
                }
            }
            self.value(&value, depth + 1)?;
            written += 1;
        }
        self.write(if written > 0 { " }" } else { "}" });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{config::BudgetConfig, reload::testing};

    const MAIN: &str = "local App = session:prototype('App', { clicks = 3 })\nfunction App:up() self.clicks = self.clicks + 1 end\n\
        session:createAppVariable(App:new { rows = { 'a', 'b' } }) count = 1";

    fn vm(budget: BudgetConfig) -> Vm {
        let generation = Arc::new(testing::save(&Default::default(), &[("main.lua", Some(MAIN))]));
        let mut vm = Vm::new("test".into(), generation, Arc::new(budget), true, None).unwrap();
        vm.load_first(std::path::Path::new("main.lua")).unwrap();
        vm
    }

    fn typed(vm: &Vm, code: &str) -> String {
        match vm.type_in(code) {
            Typed::Done { printed, values } => printed + &values,
            Typed::Incomplete => "…".into(),
            Typed::Failed { printed, error } => {
                format!("{printed}! {}", error.lines().next().unwrap_or_default())
            }
        }
    }

    #[test]
    fn expressions_are_shown_and_statements_are_run() {
        let vm = vm(BudgetConfig::default());
        for (code, expected) in [
            ("1 + 1", "2"),
            ("count = count + 1", ""),
            ("count, 'é\\n', nil", "2\n\"é\\n\"\nnil"),
            ("session:getApp():up()", ""),
            ("session:getApp()", "App { clicks = 4, rows = { \"a\", \"b\" } }"),
            ("print('one', 2)", "one\t2\n"),
            ("for i = 1, 2 do", "…"),
            ("local x = {", "…"),
            ("{}", "{}"),
            ("x = = 1", "! console:1: unexpected symbol near '='"),
            ("error('no')", "! console:1: no"),
            ("nothing", "nil"),
        ] {
            assert_eq!(typed(&vm, code), expected, "{code}");
        }
    }

    #[test]
    fn what_is_typed_has_the_budget_of_a_handler() {
        let budget = BudgetConfig { handler: Duration::from_millis(50), ..BudgetConfig::default() };
        let vm = vm(budget);
        assert!(typed(&vm, "while true do end").contains("session.budget.handler"));
        assert_eq!(typed(&vm, "count"), "1");
    }

    #[test]
    fn whatever_is_in_a_value_is_shown_bounded_and_without_running_it() {
        let vm = vm(BudgetConfig::default());
        let trap = "setmetatable({}, { __tostring = function() count = 9 end, __index = function() count = 9 end, \
            __pairs = function() count = 9 end, __len = function() count = 9 end })";
        assert_eq!(typed(&vm, trap), "{}");
        assert_eq!(typed(&vm, "count"), "1");
        typed(&vm, "big = {} for i = 1, 100000 do big[i] = ('x'):rep(100) end big.me = big");
        assert!(typed(&vm, "big, big, ('y'):rep(1000000)").len() < MAX_TEXT + 10);
        typed(&vm, "function loud() for i = 1, 100000 do print(('z'):rep(100)) end end");
        assert!(typed(&vm, "loud()").len() < MAX_TEXT + 200);
    }

    #[test]
    fn names_are_completed_along_objects_and_their_prototypes() {
        let vm = vm(BudgetConfig::default());
        let complete = |text: &str| {
            let (start, names) = vm.complete(text);
            (&text[..start].len(), names).1
        };
        assert_eq!(complete("x = cou"), ["count"]);
        assert_eq!(complete("session:create"), ["create", "createAppVariable"]);
        assert_eq!(complete("f(session:getApp().cl"), ["clicks"]);
        assert_eq!(complete("session:getApp():"), ["clicks", "new", "rows", "type", "up"]);
        assert_eq!(complete("string.fo"), ["format"]);
        assert_eq!(complete("no.such."), [""; 0]);
        assert_eq!(vm.complete("é = sess").0, "é = ".len());
    }
}
