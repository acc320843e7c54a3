//! The variables that Lua code made: `session:createVariable`, and the properties of variable 1.
//!
//! Lua code declares them once for the session; each browser has them beside its own. Their ids are
//! negative, from -1 down: browsers number theirs from 2 up, so the two never meet. They are watched from
//! the start, since a browser that was never told of one could not ask for it.

use std::collections::HashSet;

use mlua::{Table, Value};

use super::{
    message::{Outgoing, Properties, VarId},
    path::Access,
    properties::PropertySet,
    tree::{ROOT, Variable, View, parse_path},
};
use crate::vm::Vm;

/// As the prelude keeps them.
struct Declared {
    id: VarId,
    parent: Option<VarId>,
    object: Value,
    properties: Properties,
}

impl View {
    /// Adds what Lua code has made since the last time, and ends what it has ended.
    pub(super) fn take_declared(&mut self, vm: &Vm, out: &mut Vec<Outgoing>) {
        let Some(variables) = vm.variables() else { return };
        let version = variables.raw_get("version").unwrap_or_default();
        if version == self.declared {
            return;
        }
        self.declared = version;
        if let Err(error) = self.take_version(&variables, vm, out) {
            tracing::error!(%error, "a bug: the variables of createVariable could not be read");
        }
    }

    fn take_version(&mut self, variables: &Table, vm: &Vm, out: &mut Vec<Outgoing>) -> mlua::Result<()> {
        if let Some(app) = variables.raw_get::<Option<Table>>("app")? {
            self.set_app_properties(properties(&app)?);
        }
        let declared: Vec<Declared> = match variables.raw_get::<Option<Table>>("order")? {
            Some(order) => {
                order.sequence_values::<Table>().map(|one| read(&one?)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let there: HashSet<VarId> = declared.iter().map(|one| one.id).collect();
        let is_gone = |id: &VarId| *id < ROOT && !there.contains(id);
        let gone: Vec<_> =
            self.nodes.ids().iter().filter(|(id, _)| is_gone(id)).map(|(_, key)| *key).collect();
        for key in gone {
            // One that ended together with its parent is not there any more.
            self.remove(key, out);
        }
        for one in declared {
            if self.nodes.key(one.id).is_none() {
                self.declare(one, vm);
            }
        }
        Ok(())
    }

    fn set_app_properties(&mut self, properties: Properties) {
        let root = self.nodes.key(ROOT).and_then(|key| self.nodes.get_mut(key));
        let Some(root) = root else { return };
        for (name, value) in properties {
            root.properties.tell(&name, value);
        }
    }

    fn declare(&mut self, declared: Declared, vm: &Vm) {
        let Declared { id, parent, object, properties } = declared;
        let mut properties = PropertySet::given(properties);
        let (path, access) = match parse_path(&mut properties) {
            // Nobody but Lua code says which object it is.
            Ok((None, _)) => (None, Access::Read),
            Ok(parsed) => parsed,
            Err(error) => {
                let session = vm.name();
                tracing::warn!(target: "lua", session, "session:createVariable: variable {id}: {}", error.description);
                return;
            }
        };
        properties.tell_all();
        let parent = parent.and_then(|parent| self.nodes.key(parent));
        self.nodes.insert(Variable {
            id,
            parent,
            path,
            access,
            properties,
            watched: true,
            value: object,
            ..Variable::default()
        });
    }
}

fn read(declared: &Table) -> mlua::Result<Declared> {
    Ok(Declared {
        id: declared.raw_get("id")?,
        parent: declared.raw_get("parent")?,
        object: declared.raw_get("object")?,
        properties: properties(&declared.raw_get("properties")?)?,
    })
}

fn properties(table: &Table) -> mlua::Result<Properties> {
    // Of any bytes in Lua, of characters in JSON.
    let text = |value: mlua::LuaString| value.to_string_lossy();
    let pairs = table.pairs::<mlua::LuaString, mlua::LuaString>();
    pairs.map(|pair| pair.map(|(name, value)| (text(name), text(value)))).collect()
}
