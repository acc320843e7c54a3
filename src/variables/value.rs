//! Lua values as the protocol writes them, and what a browser writes as Lua values.

use mlua::{Lua, LuaString, Table, Value};

use crate::wire::{Account, Encoded, Exceeded, SHORT, Shared};

/// Arrays with more elements are not sent: a browser could not show them.
const MAX_ARRAY: i64 = 100_000;
/// Room for at most this many is reserved at once: a table may claim any length.
const FEW: usize = 1000;
/// Written values may be nested this deep.
const MAX_DEPTH: usize = 32;

/// The numbers that objects are known by. Neither keeps an object alive.
#[derive(Debug)]
pub(crate) struct Objects {
    ids: Table,
    by_id: Table,
    last: u64,
    /// Made once: a name that comes from Rust is a protected call into Lua each time.
    type_key: LuaString,
    /// Text that was not UTF-8 has been encoded.
    garbled: bool,
    shared: Shared,
    /// What was encoded last is too large to be sent.
    exceeded: Option<Exceeded>,
}

impl Objects {
    /// What is encoded is charged to the account.
    pub(crate) fn new(lua: &Lua, account: Account) -> mlua::Result<Self> {
        let weak = |mode| -> mlua::Result<Table> {
            let (table, metatable) = (lua.create_table()?, lua.create_table()?);
            metatable.raw_set("__mode", mode)?;
            table.set_metatable(Some(metatable))?;
            Ok(table)
        };
        let type_key = lua.create_string("type")?;
        let shared = Shared::new(account);
        let (ids, by_id) = (weak("k")?, weak("v")?);
        Ok(Self { ids, by_id, last: 0, type_key, garbled: false, shared, exceeded: None })
    }

    pub(crate) fn account(&self) -> &Account {
        self.shared.account()
    }

    /// Whether what was encoded since the last time was more than can be sent.
    pub(super) fn take_exceeded(&mut self) -> Option<Exceeded> {
        self.exceeded.take()
    }

    pub(super) fn empty_array(&mut self) -> mlua::Result<Encoded> {
        let array = self.shared.array(Vec::new());
        self.within(array).map(Encoded::Array)
    }

    /// Notes that a value is too large.
    pub(super) fn within<T>(&mut self, result: Result<T, Exceeded>) -> mlua::Result<T> {
        result.map_err(|exceeded| {
            self.exceeded = Some(exceeded);
            mlua::Error::external(exceeded)
        })
    }

    /// The number of an object, the same for as long as it lives.
    pub(crate) fn id(&mut self, object: &Table) -> mlua::Result<u64> {
        if let Some(id) = self.ids.raw_get::<Option<u64>>(object)? {
            return Ok(id);
        }
        self.last += 1;
        self.ids.raw_set(object, self.last)?;
        self.by_id.raw_set(self.last, object)?;
        Ok(self.last)
    }

    fn get(&self, id: u64) -> mlua::Result<Option<Table>> {
        self.by_id.raw_get(id)
    }

    /// A Lua value as the protocol writes it. May call `__index` of objects, so it runs in a budget.
    pub(crate) fn encode(&mut self, value: &Value) -> mlua::Result<Encoded> {
        match value {
            Value::Table(table) if self.is_array(table)? => self.encode_array(table),
            value => self.encode_element(value),
        }
    }

    /// The value as the protocol writes it, if that is not what was sent. What is as it was, and no array,
    /// is found out without taking memory.
    pub(crate) fn encode_unless(&mut self, value: &Value, sent: &Encoded) -> mlua::Result<Option<Encoded>> {
        let same = match (value, sent) {
            (Value::Nil, Encoded::Null) => true,
            (Value::Boolean(value), Encoded::Bool(sent)) => value == sent,
            (Value::Integer(value), Encoded::Integer(sent)) => value == sent,
            (Value::Number(value), sent) if value.is_finite() => float(*value) == *sent,
            (Value::String(value), Encoded::Text(sent)) => *value.as_bytes() == *sent.as_bytes(),
            (Value::String(value), Encoded::Long(sent)) => *value.as_bytes() == *sent.as_bytes(),
            (Value::Table(table), Encoded::Object(sent)) => {
                self.ids.raw_get::<Option<u64>>(table)? == Some(*sent) && !self.is_array(table)?
            }
            _ => false,
        };
        if same {
            return Ok(None);
        }
        Ok(Some(self.encode(value)?).filter(|encoded| encoded != sent))
    }

    /// Whether there was text that is not UTF-8 since the last time.
    pub(crate) fn take_garbled(&mut self) -> bool {
        std::mem::take(&mut self.garbled)
    }

    /// The name of an object's prototype.
    pub(crate) fn type_name(&self, object: &Table) -> mlua::Result<Option<LuaString>> {
        Ok(match object.get::<Value>(&self.type_key)? {
            Value::String(name) => Some(name),
            _ => None,
        })
    }

    /// Number keys, no string keys but private ones, and no type. An empty table is an object, unless its
    /// metatable says otherwise, as that of a wrapper's items does.
    pub(super) fn is_array(&self, table: &Table) -> mlua::Result<bool> {
        if !table.raw_get::<Value>(&self.type_key)?.is_nil() {
            return Ok(false);
        }
        let mut numbers = false;
        for pair in table.pairs::<Value, Value>() {
            match pair?.0 {
                Value::Integer(_) => numbers = true,
                Value::String(key) if !key.as_bytes().starts_with(b"_") => return Ok(false),
                _ => {}
            }
        }
        match table.metatable() {
            None => Ok(numbers),
            Some(metatable) if !numbers => metatable.raw_get("__array"),
            Some(_) => Ok(table.get::<Value>(&self.type_key)?.is_nil()),
        }
    }

    fn encode_element(&mut self, value: &Value) -> mlua::Result<Encoded> {
        Ok(match value {
            Value::Nil => Encoded::Null,
            Value::Boolean(value) => Encoded::Bool(*value),
            Value::Integer(value) => Encoded::Integer(*value),
            Value::Number(value) if value.is_finite() => float(*value),
            Value::Number(value) => {
                return Err(mlua::Error::runtime(format!("the number {value} can't be sent")));
            }
            Value::String(text) => self.text(text)?,
            Value::Table(table) => Encoded::Object(self.id(table)?),
            other => return Err(mlua::Error::runtime(format!("a {} can't be sent", other.type_name()))),
        })
    }

    fn text(&mut self, text: &LuaString) -> mlua::Result<Encoded> {
        let bytes = text.as_bytes();
        if bytes.len() > self.account().value() {
            let exceeded = self.account().exceeded();
            return self.within(Err(exceeded));
        }
        let text = String::from_utf8_lossy(&bytes);
        // It was valid if nothing had to be replaced.
        self.garbled |= matches!(text, std::borrow::Cow::Owned(_));
        if text.len() <= SHORT {
            return Ok(Encoded::Text(text.into()));
        }
        let long = self.shared.text(&text);
        self.within(long).map(Encoded::Long)
    }

    fn encode_array(&mut self, table: &Table) -> mlua::Result<Encoded> {
        let mut elements = Vec::with_capacity(table.raw_len().min(FEW));
        let (mut wire, most) = (0, self.account().value());
        for pair in table.pairs::<Value, Value>() {
            let (Value::Integer(index), value) = pair? else { continue };
            let Ok(at) = usize::try_from(index - 1) else { continue };
            if index > MAX_ARRAY {
                let message = format!("an array with index {index}; at most {MAX_ARRAY} elements are sent");
                return Err(mlua::Error::runtime(message));
            }
            if elements.len() <= at {
                elements.resize(at + 1, Encoded::Null);
            }
            if matches!(&value, Value::Table(inner) if self.is_array(inner)?) {
                let message = format!("element {at} is an array itself; put it into an object with a type");
                return Err(mlua::Error::runtime(message));
            }
            elements[at] = self.encode_element(&value)?;
            wire += elements[at].wire() + 1;
            if wire > most {
                let exceeded = self.account().exceeded();
                return self.within(Err(exceeded));
            }
        }
        let array = self.shared.array(elements);
        self.within(array).map(Encoded::Array)
    }

    /// What a browser wrote, as a Lua value.
    pub(crate) fn decode(&self, lua: &Lua, value: &serde_json::Value) -> mlua::Result<Value> {
        self.decode_at(lua, value, 0)
    }

    fn decode_at(&self, lua: &Lua, value: &serde_json::Value, depth: usize) -> mlua::Result<Value> {
        if depth > MAX_DEPTH {
            return Err(mlua::Error::runtime("the value is nested too deep"));
        }
        Ok(match value {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Boolean(*value),
            serde_json::Value::Number(value) => match value.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Number(value.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Value::String(lua.create_string(text)?),
            serde_json::Value::Array(elements) => {
                let table = lua.create_table_with_capacity(elements.len(), 0)?;
                for (element, index) in elements.iter().zip(1..) {
                    table.raw_set(index, self.decode_at(lua, element, depth + 1)?)?;
                }
                Value::Table(table)
            }
            serde_json::Value::Object(fields) => {
                if let (1, Some(id)) = (fields.len(), fields.get("obj").and_then(serde_json::Value::as_u64)) {
                    return Ok(self.get(id)?.map_or(Value::Nil, Value::Table));
                }
                let table = lua.create_table_with_capacity(0, fields.len())?;
                for (name, field) in fields.iter().filter(|(name, _)| !is_reserved(name)) {
                    table.raw_set(name.as_str(), self.decode_at(lua, field, depth + 1)?)?;
                }
                Value::Table(table)
            }
        })
    }
}

/// What gives an object its behaviour is no data: a browser's is dropped.
fn is_reserved(name: &str) -> bool {
    name == "type" || name.starts_with('_')
}

fn float(value: f64) -> Encoded {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let integer = value as i64;
    // Integers without a fraction, as far as a double holds them exactly.
    #[allow(clippy::cast_precision_loss)]
    if integer as f64 == value && value.abs() < 9_007_199_254_740_992.0 {
        Encoded::Integer(integer)
    } else {
        Encoded::Float(value)
    }
}

/// A table in which an array would be: nothing in it that a browser could see, and no type.
pub(super) fn is_empty_list(table: &Table) -> mlua::Result<bool> {
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::String(key) if key.as_bytes().starts_with(b"_") => {}
            _ => return Ok(false),
        }
    }
    Ok(table.metatable().is_none() || table.get::<Value>("type")?.is_nil())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(code: &str) -> Result<String, String> {
        let lua = Lua::new();
        let mut objects = Objects::new(&lua, Account::new(16 << 20)).unwrap();
        let value: Value = lua.load(code).eval().unwrap();
        let encoded = objects.encode(&value).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&encoded).unwrap())
    }

    #[test]
    fn scalars_are_written_as_json() {
        for (code, json) in [
            ("nil", "null"),
            ("true", "true"),
            ("3", "3"),
            ("3.0", "3"),
            ("0.5", "0.5"),
            ("1e300", "1e+300"),
            ("'a\"b'", r#""a\"b""#),
            ("'\\xff'", "\"\u{fffd}\""),
        ] {
            assert_eq!(encode(code).as_deref(), Ok(json), "{code}");
        }
        assert!(encode("0/0").is_err());
        assert!(encode("print").is_err());
    }

    #[test]
    fn a_table_with_number_keys_and_no_names_is_an_array() {
        for (code, json) in [
            ("{1, 'a', true}", r#"[1,"a",true]"#),
            ("{1, nil, 3}", "[1,null,3]"),
            ("{1, _private = 2}", "[1]"),
            ("{{}, 1}", r#"[{"obj":1},1]"#),
            ("{}", r#"{"obj":1}"#),
            ("{1, name = 2}", r#"{"obj":1}"#),
            ("setmetatable({1}, {__index = {type = 'T'}})", r#"{"obj":1}"#),
        ] {
            assert_eq!(encode(code).as_deref(), Ok(json), "{code}");
        }
        assert!(encode("{{1}}").unwrap_err().contains("is an array itself"));
        assert!(encode("{[10000000] = 1}").unwrap_err().contains("at most"));
    }

    #[test]
    fn what_a_browser_writes_is_data_at_any_depth() {
        let lua = Lua::new();
        let objects = Objects::new(&lua, Account::new(16 << 20)).unwrap();
        let written = serde_json::json!({
            "type": "Admin", "__index": {"a": 1}, "_secret": 1, "__gc": 2, "ok": 1, "Type": 2,
            "inner": [{"type": "X", "_y": 1, "z": {"__metatable": false, "type": 1, "v": 3}}],
            "obj": {"obj": 1, "type": "T"},
        });
        lua.globals().set("v", objects.decode(&lua, &written).unwrap()).unwrap();
        let keys = "function keys(t)
            local found = {}
            for key, value in pairs(t) do
                found[#found + 1] = key .. (type(value) == 'table' and '(' .. keys(value) .. ')' or '')
            end
            table.sort(found)
            return table.concat(found, ' ')
        end";
        lua.load(keys).exec().unwrap();
        let keys: String = lua.load("return keys(v)").eval().unwrap();
        assert_eq!(keys, "Type inner(1(z(v))) obj(obj) ok");
        let bare: bool =
            lua.load("return getmetatable(v) == nil and getmetatable(v.inner[1]) == nil").eval().unwrap();
        assert!(bare);
    }

    #[test]
    fn an_object_keeps_its_number_and_is_found_by_it() {
        let lua = Lua::new();
        let mut objects = Objects::new(&lua, Account::new(16 << 20)).unwrap();
        let object = lua.create_table().unwrap();
        let id = objects.id(&object).unwrap();
        assert_eq!(objects.id(&object).unwrap(), id);
        let found = objects.decode(&lua, &serde_json::json!({ "obj": id })).unwrap();
        assert_eq!(found, Value::Table(object));
        assert_eq!(objects.decode(&lua, &serde_json::json!({ "obj": 99 })).unwrap(), Value::Nil);
    }
}
