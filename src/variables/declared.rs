//! The variables that Lua code made: `session:createVariable`, and the properties of variable 1.
//!
//! Lua code declares them once for the session; each browser has them beside its own. Their ids are
//! negative, from -1 down: browsers number theirs from 2 up, so the two never meet. They are watched from
//! the start, since a browser that was never told of one could not ask for it.

use std::collections::HashSet;

use mlua::{Table, Value};

use super::{
    path::{self, Access, PathError},
    properties::{MAX_BYTES, PropertySet, TooMany},
    tree::View,
    variable::{ROOT, Variable, charge},
};
use crate::lua::Vm;
use crate::wire::{Account, ErrorCode, Outgoing, Properties, VarId};

/// As the prelude keeps them.
struct Declared {
    id: VarId,
    parent: Option<VarId>,
    object: Value,
    properties: Result<Properties, TooMany>,
}

impl View {
    /// Adds what Lua code has made since the last time, and ends what it has ended.
    pub(super) fn take_declared(&mut self, vm: &Vm, account: &Account, out: &mut Vec<Outgoing>) {
        let Some(variables) = vm.variables() else { return };
        let version = variables.raw_get("version").unwrap_or_default();
        if version == self.declared {
            return;
        }
        self.declared = version;
        if let Err(error) = self.take_version(&variables, vm, account, out) {
            tracing::error!(%error, "a bug: the variables of createVariable could not be read");
        }
    }

    fn take_version(
        &mut self,
        variables: &Table,
        vm: &Vm,
        account: &Account,
        out: &mut Vec<Outgoing>,
    ) -> mlua::Result<()> {
        if let Some(app) = variables.raw_get::<Option<Table>>("app")? {
            match properties(&app)? {
                Ok(properties) => self.set_app_properties(properties, vm),
                Err(error) => {
                    let session = vm.name();
                    tracing::warn!(target: "lua", session, "the properties of variable 1: {error}");
                }
            }
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
        let mut refused = Vec::new();
        for one in declared {
            let id = one.id;
            if self.nodes.key(id).is_none()
                && let Err(PathError { code, description }) = self.declare(one, account)
            {
                refused.push(id);
                if refused.len() == 1 {
                    let session = vm.name();
                    tracing::warn!(target: "lua", session, limited_by = session, "session:createVariable: variable {id}: {description}");
                }
                out.push(Outgoing::Error { var_id: id, code, description });
            }
        }
        if refused.len() > 1 {
            let (session, more) = (vm.name(), refused.len() - 1);
            tracing::warn!(target: "lua", session, limited_by = session, "session:createVariable: and {more} more are refused");
        }
        Ok(())
    }

    fn declare(&mut self, declared: Declared, account: &Account) -> Result<(), PathError> {
        let Declared { id, parent, object, properties } = declared;
        let limit = |error: TooMany| PathError { code: ErrorCode::Limit, description: error.to_string() };
        let mut properties = properties.and_then(PropertySet::given).map_err(limit)?;
        let (path, access) = match path::parse(&mut properties)? {
            // Nobody but Lua code says which object it is.
            (None, _) => (None, Access::Read),
            parsed => parsed,
        };
        properties.tell_all();
        let charge = charge(account, &properties, path.as_ref(), 0)
            .map_err(|error| PathError { code: ErrorCode::Limit, description: error.to_string() })?;
        let parent = parent.and_then(|parent| self.nodes.key(parent));
        self.nodes.insert(Variable {
            id,
            parent,
            path,
            access,
            properties,
            charge,
            watched: true,
            value: object,
            ..Variable::default()
        });
        Ok(())
    }

    fn set_app_properties(&mut self, properties: Properties, vm: &Vm) {
        let root = self.nodes.key(ROOT).and_then(|key| self.nodes.get_mut(key));
        let Some(root) = root else { return };
        for (name, value) in properties {
            if let Err(error) = root.properties.tell(&name, value) {
                let session = vm.name();
                tracing::warn!(target: "lua", session, "the properties of variable 1: {error}");
            }
        }
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

fn properties(table: &Table) -> mlua::Result<Result<Properties, TooMany>> {
    // Of any bytes in Lua, of characters in JSON.
    let text = |value: mlua::LuaString| value.to_string_lossy();
    let (mut properties, mut bytes) = (Properties::new(), 0);
    for pair in table.pairs::<mlua::LuaString, mlua::LuaString>() {
        let (name, value) = pair?;
        bytes += name.as_bytes().len() + value.as_bytes().len();
        if bytes > MAX_BYTES {
            return Ok(Err(TooMany));
        }
        properties.insert(text(name), text(value));
    }
    Ok(Ok(properties))
}
