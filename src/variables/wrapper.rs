//! Wrappers: objects of Lua that stand in for a variable's value when its children follow their paths.
//!
//! The property `wrapper` names a prototype. Its `new` is asked whenever the value changes, and as long as it
//! fails; it may hand back the object it made before. Where it fails, the value stands for itself, so that a
//! page shows what there is. The Lua half is `prelude/viewlist.lua`.

use mlua::{Table, Value};

use super::{
    properties::{MAX_BYTES, PropertySet, TooMany},
    value::{self, Objects},
};
use crate::lua::Vm;
use crate::reload::Diagnostic;
use crate::wire::{Encoded, VarId};

/// A wrapped variable.
#[derive(Debug)]
pub(super) struct Wrapping {
    type_name: Box<str>,
    /// What `new` is given: the variable, as Lua code sees it.
    handle: Table,
    /// What stands in for the value.
    object: Option<Table>,
    /// It is a list of elements, and so an empty table is an empty list.
    list: bool,
    /// The value it was asked for last; `None`: it has to be asked.
    asked: Option<Encoded>,
    /// What it failed with, whole or at an element.
    failure: Option<Diagnostic>,
}

impl Wrapping {
    /// The wrapper that the properties ask for, if any: the present one, or a new one.
    pub(super) fn wanted(
        present: Option<Box<Self>>,
        id: VarId,
        properties: &PropertySet,
        vm: &Vm,
    ) -> mlua::Result<Option<Box<Self>>> {
        let Some(type_name) = properties.get_set("wrapper") else { return Ok(None) };
        if let Some(present) = present.filter(|present| *present.type_name == *type_name) {
            return Ok(Some(present));
        }
        let handle = vm.wrapping::<Table>("handle", id)?;
        let type_name = type_name.into();
        Ok(Some(Box::new(Self { type_name, handle, object: None, list: false, asked: None, failure: None })))
    }

    pub(super) fn object(&self) -> Option<&Table> {
        self.object.as_ref()
    }

    /// Why nothing stands in for the value, or for an element of it.
    pub(super) fn failure(&self) -> Option<&Diagnostic> {
        self.failure.as_ref()
    }

    /// Children are paths from a list.
    pub(super) fn is_list(&self) -> bool {
        self.list
    }

    /// Whether the value is what its wrapper takes for an empty list, though it is an object elsewhere.
    pub(super) fn is_empty_list(&self, value: &Value) -> mlua::Result<bool> {
        match value {
            Value::Table(table) if self.list => value::is_empty_list(table),
            _ => Ok(false),
        }
    }

    /// The wrapper shall be asked again.
    pub(super) fn ask_again(&mut self) {
        self.asked = None;
    }

    /// Asks, if the value is another one than the last time. Says whether it was asked.
    pub(super) fn follow(
        &mut self,
        value: &Value,
        encoded: &mut Encoded,
        properties: &PropertySet,
        vm: &Vm,
        objects: &mut Objects,
    ) -> mlua::Result<bool> {
        self.handle.raw_set("_value", value)?;
        if self.asked.as_ref() == Some(encoded) {
            return Ok(false);
        }
        // Until it succeeds nothing stands in, and nothing stale is shown.
        self.stand_down();
        let texts = vm.lua().create_table_from(properties.iter())?;
        self.handle.raw_set("_properties", texts)?;
        let failure: Option<Value>;
        (self.object, self.list, failure) = vm.wrapping("wrap", (&self.handle, &*self.type_name))?;
        if !encoded.is_empty_array() && self.is_empty_list(value)? {
            *encoded = objects.empty_array()?;
        }
        if let Some(failure) = failure {
            self.failure = Some(vm.raised(failure));
            return Ok(false);
        }
        self.asked = Some(encoded.clone());
        Ok(true)
    }

    /// The value could not be read: nothing stands in for it until it can, and then the wrapper is asked.
    pub(super) fn stand_down(&mut self) {
        (self.asked, self.object, self.failure) = (None, None, None);
    }

    /// The value is nil: nothing is there to be wrapped. Says whether there was.
    pub(super) fn rest(&mut self) -> mlua::Result<bool> {
        self.handle.raw_set("_value", mlua::Nil)?;
        self.handle.raw_set("_wrapper", mlua::Nil)?;
        (self.asked, self.failure) = (None, None);
        Ok(self.object.take().is_some())
    }

    /// The properties that Lua code has set. Says whether one of them is new.
    pub(super) fn take_properties(&self, properties: &mut PropertySet) -> mlua::Result<bool> {
        let Some(set) = self.handle.raw_get::<Option<Table>>("_set")? else { return Ok(false) };
        self.handle.raw_set("_set", mlua::Nil)?;
        let mut new = false;
        for pair in set.pairs::<mlua::LuaString, mlua::LuaString>() {
            let (name, value) = pair?;
            if name.as_bytes().len() + value.as_bytes().len() > MAX_BYTES {
                return Err(mlua::Error::external(TooMany));
            }
            let told = properties.tell(&name.to_string_lossy(), value.to_string_lossy());
            new |= told.map_err(mlua::Error::external)?;
        }
        Ok(new)
    }
}
