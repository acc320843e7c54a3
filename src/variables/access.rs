//! Follows a path through Lua objects: reads, calls, writes.
//!
//! Authors are trusted and browsers are not: a browser reaches fields and methods by name and
//! nothing else. Everything here may run Lua code, so callers run it in a budget.

use mlua::{Function, Table, Value};
use thiserror::Error;

use super::path::{Path, Step};

/// Why a path could not be followed.
#[derive(Debug, Error)]
pub(crate) enum AccessError {
    /// The path does not lead there.
    #[error("{0}")]
    Path(String),
    /// It is there, and not to be had.
    #[error("{0}")]
    Unauthorized(String),
    /// Lua code raised an error.
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

/// The value at the end of a path. `ancestors` are the parent's value, its parent's, and so on. Below nil
/// there is nil, so that a page may show a part of something that comes and goes.
pub(crate) fn read(path: &Path, ancestors: &dyn Fn(usize) -> Option<Value>) -> Result<Value, AccessError> {
    let mut steps = path.steps.as_slice();
    let mut value = start(&mut steps, ancestors);
    if value.is_nil() {
        return Ok(value);
    }
    for step in steps {
        value = read_step(&value, step)?;
    }
    match value {
        Value::Function(_) => Err(unauthorized(path, "is a function; call it with ()")),
        value => Ok(value),
    }
}

/// Calls a method with its object and what is written.
pub(crate) type Call<'a> = &'a dyn Fn(&Function, (&Table, Value)) -> mlua::Result<()>;

/// What is asked before something is written.
pub(crate) struct Checks<'a> {
    /// Whether a table is code: see [`Vm::is_code`](crate::lua::Vm::is_code).
    pub(crate) is_code: &'a dyn Fn(&Table) -> mlua::Result<bool>,
    /// Whether a name is another one of the object's, misspelt: then it says so.
    pub(crate) misspelt: &'a mut dyn FnMut(&Table, &Step) -> Option<String>,
    /// How the method at the end is called: it may wait.
    pub(crate) call: Call<'a>,
}

/// Writes to the end of a path, or calls the method there.
pub(crate) fn write(
    path: &Path,
    ancestors: &dyn Fn(usize) -> Option<Value>,
    value: Value,
    checks: Checks<'_>,
) -> Result<(), AccessError> {
    let mut steps = path.steps.as_slice();
    let mut target = start(&mut steps, ancestors);
    let Some((last, before)) = steps.split_last() else {
        return Err(AccessError::Path("the path has no element that could be written".into()));
    };
    for step in before {
        target = read_step(&target, step)?;
    }
    let table = table(&target, last)?;
    match last {
        Step::Field(name) => {
            if matches!(&**name, "type" | "new") {
                return Err(unauthorized(
                    path,
                    "makes an object what it is; it can't be written from a browser",
                ));
            }
            let present: Value = table.get(&**name)?;
            if let Some(why) = present.is_nil().then(|| (checks.misspelt)(table, last)).flatten() {
                return Err(AccessError::Path(why));
            }
            replaceable(path, table, &present, checks.is_code)?;
            table.set(&**name, value)?;
        }
        Step::Index(index) => {
            let present = table.get(index + 1)?;
            replaceable(path, table, &present, checks.is_code)?;
            table.set(index + 1, value)?;
        }
        Step::Call(name) | Step::CallWith(name) => (checks.call)(&method(table, name)?, (table, value))?,
        Step::Parent => return Err(AccessError::Path("the parent's value can't be written".into())),
    }
    Ok(())
}

/// Whether a browser may put something in the place of `present`, own or inherited: only data.
fn replaceable(
    path: &Path,
    table: &Table,
    present: &Value,
    is_code: &dyn Fn(&Table) -> mlua::Result<bool>,
) -> Result<(), AccessError> {
    let is_called = match present {
        Value::Function(_) | Value::Thread(_) | Value::UserData(_) | Value::LightUserData(_) => true,
        // An object that can be called is as good as a function.
        Value::Table(object) => match object.metatable() {
            Some(metatable) => !metatable.raw_get::<Value>("__call")?.is_nil(),
            None => false,
        },
        _ => false,
    };
    if is_called {
        return Err(unauthorized(
            path,
            "is a function; call it with () (it can't be replaced from a browser)",
        ));
    }
    if is_code(table)? {
        return Err(unauthorized(
            path,
            "is in a prototype or a library; only Lua code changes what many objects have",
        ));
    }
    Ok(())
}

fn start(steps: &mut &[Step], ancestors: &dyn Fn(usize) -> Option<Value>) -> Value {
    let mut level = 0;
    while let Some((Step::Parent, rest)) = steps.split_first() {
        level += 1;
        *steps = rest;
    }
    ancestors(level).unwrap_or(Value::Nil)
}

fn read_step(value: &Value, step: &Step) -> Result<Value, AccessError> {
    let table = table(value, step)?;
    Ok(match step {
        Step::Field(name) => table.get(&**name)?,
        Step::Index(index) => table.get(index + 1)?,
        Step::Call(name) => method(table, name)?.call(table)?,
        Step::CallWith(_) | Step::Parent => return Err(AccessError::Path("this path can't be read".into())),
    })
}

fn table<'a>(value: &'a Value, step: &Step) -> Result<&'a Table, AccessError> {
    match value {
        Value::Table(table) => Ok(table),
        other => Err(AccessError::Path(format!("\"{step}\" is looked for in a {} value", other.type_name()))),
    }
}

fn method(table: &Table, name: &str) -> Result<Function, AccessError> {
    match table.get::<Value>(name)? {
        Value::Function(function) => Ok(function),
        Value::Nil => Err(AccessError::Path(format!("the object has no method {name:?}"))),
        other => Err(AccessError::Path(format!("{name:?} is a {}, not a method", other.type_name()))),
    }
}

fn unauthorized(path: &Path, what: &str) -> AccessError {
    let name = path.steps.last().map(Step::to_string).unwrap_or_default();
    AccessError::Unauthorized(format!("\"{name}\" {what}"))
}
