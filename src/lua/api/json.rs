//! `ui.json_encode` and `ui.json_decode`: strict, so that what cannot be written is an error that says
//! where, and not a surprise elsewhere.
//!
//! What is an array is decided as for values on their way to a browser (`docs/protocol.md`). No code of
//! the user runs in here, so no hook looks: sizes and depths are bounded, and each value counts as steps.

use std::{cell::RefCell, ffi::c_void, fmt};

use mlua::{Lua, LuaString, Table, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::lua::limits::deadline::spend_in;

/// Tables inside tables.
const MAX_DEPTH: usize = 100;
/// As for values on their way to a browser: `t[1e9] = 1` would be a billion times `null`.
const MAX_INDEX: i64 = 100_000;
/// What a value, or a name, costs.
const STEPS: usize = 20;

/// The functions, as a table. Texts are at most `max` bytes long.
pub(in crate::lua) fn functions(lua: &Lua, max: usize) -> mlua::Result<Table> {
    // The empty tables that were `[]`. Lua has one kind of table, and an empty one would be `{}` else.
    let empty_arrays = lua.create_table()?;
    let weak = lua.create_table()?;
    weak.raw_set("__mode", "k")?;
    empty_arrays.set_metatable(Some(weak))?;
    let functions = lua.create_table_with_capacity(0, 2)?;
    let known = empty_arrays.clone();
    let encode = move |lua: &Lua, value: Value| {
        let mut encoder =
            Encoder { lua, out: Vec::new(), max, empty_arrays: &known, path: Vec::new(), open: Vec::new() };
        match encoder.write(&value) {
            Ok(()) => Ok((Value::String(lua.create_string(&encoder.out)?), None)),
            Err(Stop::Refused(why)) => Ok((Value::Nil, Some(encoder.place() + ": " + &why))),
            Err(Stop::Lua(error)) => Err(error),
        }
    };
    functions.raw_set("encode", lua.create_function(encode)?)?;
    let decode = move |lua: &Lua, text: Value| {
        let Value::String(text) = text else {
            return Ok((Value::Nil, Some(format!("needs a string, got {}", text.type_name()))));
        };
        decode(lua, &text, max, &empty_arrays)
    };
    functions.raw_set("decode", lua.create_function(decode)?)?;
    Ok(functions)
}

/// Why a value was not written.
enum Stop {
    Refused(String),
    Lua(mlua::Error),
}

impl From<mlua::Error> for Stop {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(why.into()))
}

/// A step from a table to what is in it.
enum Step {
    Name(String),
    /// As Lua counts.
    Index(i64),
}

struct Encoder<'a> {
    lua: &'a Lua,
    out: Vec<u8>,
    max: usize,
    empty_arrays: &'a Table,
    path: Vec<Step>,
    /// The tables that are being written, from the outermost: one that comes again is a cycle.
    open: Vec<*const c_void>,
}

impl Encoder<'_> {
    fn write(&mut self, value: &Value) -> Result<(), Stop> {
        spend_in(self.lua, STEPS)?;
        match value {
            Value::Nil => self.push(b"null"),
            Value::Boolean(true) => self.push(b"true"),
            Value::Boolean(false) => self.push(b"false"),
            Value::Integer(number) => self.push(number.to_string().as_bytes()),
            Value::Number(number) if number.is_finite() => self.text(number),
            Value::Number(number) => refused(format!("JSON has no number {number}")),
            Value::String(text) => self.string(text),
            Value::Table(table) => self.table(table),
            other => refused(format!("a {} has no form in JSON", other.type_name())),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.out.len() + bytes.len() > self.max {
            return refused(format!(
                "the text would be longer than {} bytes (session.budget.string)",
                self.max
            ));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn text(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), Stop> {
        let text = serde_json::to_vec(value).map_err(|error| Stop::Refused(error.to_string()))?;
        self.push(&text)
    }

    fn string(&mut self, text: &LuaString) -> Result<(), Stop> {
        match text.to_str() {
            Ok(text) => self.text(&*text),
            Err(_) => refused("the string is not valid UTF-8"),
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), Stop> {
        let this = table.to_pointer();
        if let Some(at) = self.open.iter().position(|open| *open == this) {
            let outer = Place(&self.path[..at]).to_string();
            return refused(format!("the table is inside itself: it is {outer}, too"));
        }
        if self.open.len() >= MAX_DEPTH {
            return refused(format!("more than {MAX_DEPTH} tables inside each other"));
        }
        self.open.push(this);
        let shape = self.shape(table)?;
        match shape {
            Shape::Array(length) => self.array(table, length)?,
            Shape::Object(names) => self.object(table, names)?,
        }
        self.open.pop();
        Ok(())
    }

    fn array(&mut self, table: &Table, length: i64) -> Result<(), Stop> {
        self.push(b"[")?;
        for index in 1..=length {
            if index > 1 {
                self.push(b",")?;
            }
            self.path.push(Step::Index(index));
            self.write(&table.raw_get(index)?)?;
            self.path.pop();
        }
        self.push(b"]")
    }

    fn object(&mut self, table: &Table, names: Vec<String>) -> Result<(), Stop> {
        self.push(b"{")?;
        for (at, name) in names.into_iter().enumerate() {
            if at > 0 {
                self.push(b",")?;
            }
            self.text(&name)?;
            self.push(b":")?;
            let value: Value = table.raw_get(name.as_str())?;
            self.path.push(Step::Name(name));
            self.write(&value)?;
            self.path.pop();
        }
        self.push(b"}")
    }

    fn shape(&self, table: &Table) -> Result<Shape, Stop> {
        let (mut names, mut has_index, mut highest) = (Vec::new(), false, 0);
        for pair in table.pairs::<Value, Value>() {
            spend_in(self.lua, STEPS)?;
            match pair?.0 {
                Value::String(name) => match name.to_str() {
                    Ok(name) => names.push(name.to_owned()),
                    Err(_) => return refused("a name in the table is not valid UTF-8"),
                },
                Value::Integer(index) if index >= 1 => {
                    (has_index, highest) = (true, highest.max(index));
                }
                Value::Integer(index) => {
                    return refused(format!("the table has the index {index}; arrays begin at 1"));
                }
                key => return refused(format!("a {} is a key of the table", key.type_name())),
            }
        }
        if !has_index {
            if names.is_empty() && self.empty_arrays.raw_get::<bool>(table)? {
                return Ok(Shape::Array(0));
            }
            // In one order, so that equal tables are equal texts.
            names.sort_unstable();
            return Ok(Shape::Object(names));
        }
        if let Some(name) = names.iter().find(|name| !name.starts_with('_')) {
            return refused(format!("the table has both elements and names ({name:?}): array or object?"));
        }
        if is_typed(table)? {
            return refused("the table is an object of a prototype and has elements: array or object?");
        }
        if highest > MAX_INDEX {
            return refused(format!("the table has the index {highest}; an array may have {MAX_INDEX}"));
        }
        Ok(Shape::Array(highest))
    }

    fn place(&self) -> String {
        Place(&self.path).to_string()
    }
}

enum Shape {
    /// With the highest index.
    Array(i64),
    /// With the names, sorted.
    Object(Vec<String>),
}

/// Whether it has a `type` by its prototypes. They are tables: no function of the user runs for it.
fn is_typed(table: &Table) -> mlua::Result<bool> {
    let mut metatable = table.metatable();
    for _ in 0..MAX_DEPTH {
        let Some(Value::Table(base)) = metatable.map(|table| table.raw_get("__index")).transpose()? else {
            return Ok(false);
        };
        if !base.raw_get::<Value>("type")?.is_nil() {
            return Ok(true);
        }
        metatable = base.metatable();
    }
    Ok(false)
}

/// `a.b[3]`, as it would stand in Lua.
struct Place<'a>(&'a [Step]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the value");
        }
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) if !is_name(name) => write!(f, "[{name:?}]")?,
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| word(c) && !c.is_ascii_digit()) && text.chars().all(word)
}

/// The value and no error, or nil and the error.
type Decoded = (Value, Option<String>);

fn decode(lua: &Lua, text: &LuaString, max: usize, empty_arrays: &Table) -> mlua::Result<Decoded> {
    let bytes = text.as_bytes();
    if bytes.len() > max {
        let why = format!("the text is longer than {max} bytes (session.budget.string)");
        return Ok((Value::Nil, Some(why)));
    }
    let failed = RefCell::new(None);
    let seed = Seed { lua, empty_arrays, failed: &failed, depth: 0 };
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let decoded = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    Ok(match decoded {
        Ok(value) => (value, None),
        Err(error) => (Value::Nil, Some(error.to_string())),
    })
}

/// Makes Lua values as the text is read: there is no tree between, so the session's memory limit
/// counts all of it.
#[derive(Clone, Copy)]
struct Seed<'a> {
    lua: &'a Lua,
    empty_arrays: &'a Table,
    /// What Lua itself failed with; it is raised, and not returned as an error of the text.
    failed: &'a RefCell<Option<mlua::Error>>,
    depth: usize,
}

impl Seed<'_> {
    fn lua<T, E: serde::de::Error>(&self, result: mlua::Result<T>) -> Result<T, E> {
        result.map_err(|error| {
            self.failed.borrow_mut().replace(error);
            E::custom("out of memory")
        })
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("more than {MAX_DEPTH} arrays and objects inside each other")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.lua(spend_in(self.lua, STEPS))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Beyond Lua's integers it is a float, as in Lua's own source text.
        #[allow(clippy::cast_precision_loss)]
        let float = value as f64;
        Ok(i64::try_from(value).map_or(Value::Number(float), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.lua(self.lua.create_string(text)).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let table = self.lua(self.lua.create_table())?;
        let mut index: i64 = 0;
        let mut is_empty = true;
        while let Some(value) = elements.next_element_seed(inner)? {
            index += 1;
            // `null` is a hole: what follows keeps its index.
            if !value.is_nil() {
                is_empty = false;
                self.lua(table.raw_set(index, value))?;
            }
        }
        if is_empty {
            self.lua(self.empty_arrays.raw_set(&table, true))?;
        }
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let table = self.lua(self.lua.create_table())?;
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(inner)?;
            self.lua(table.raw_set(name, value))?;
        }
        Ok(Value::Table(table))
    }
}

#[cfg(test)]
mod tests;
