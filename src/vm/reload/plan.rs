//! What the sources say of a file that runs again: its definitions before and now, and what is edited.

use std::{ffi::c_int, sync::Arc};

use mlua::{
    Lua,
    ffi::{lua_State, lua_createtable, lua_pushinteger, lua_pushnil, lua_pushstring, lua_rawset},
};

use super::{Reload, enter};
use crate::{
    reload::{
        SourceFile,
        source::{Change, DefinitionId, Edits, Key},
    },
    vm::{
        host::HostState,
        made::{source_file, text, with_text},
        values::{Raw, RawTable},
    },
};

/// Of one file.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) old: Arc<SourceFile>,
    pub(super) new: Arc<SourceFile>,
    pub(super) edits: Arc<Edits>,
}

impl Plan {
    /// Whether the definitions of both versions are known.
    pub(super) fn is_known(&self) -> bool {
        !self.edits.is_whole() && self.old.captures && self.new.captures
    }

    pub(super) fn change(&self, id: DefinitionId) -> Option<&Change> {
        self.edits.change(id)
    }
}

/// `fields(name)`: what the file that runs has changed in the declaration of that prototype: `added`, `edited` or
/// `removed` by the name of the field. Nil: its source does not say.
pub(super) unsafe extern "C-unwind" fn fields(l: *mut lua_State) -> c_int {
    unsafe {
        let reload = enter(l, 1);
        let lua = Lua::get_or_init_from_ptr(l);
        // Nothing may be raised while something is to be dropped.
        let limit = lua.set_memory_limit(0);
        if !reload.push_fields() {
            lua_pushnil(l);
        }
        if let Ok(limit) = limit {
            let _ = lua.set_memory_limit(limit);
        }
        1
    }
}

/// `moved_call(record, line)`: where the new version of a file has the call that the old one has on that line.
pub(super) unsafe extern "C-unwind" fn moved_call(l: *mut lua_State) -> c_int {
    unsafe {
        let reload = enter(l, 2);
        let line = u32::try_from(Raw::at(l, 2).integer()).unwrap_or(0);
        let plan = reload.plans.get(&Raw::at(l, 1).identity());
        match plan.and_then(|plan| plan.old.says.moved_call(line, &plan.new.says)) {
            Some(line) => lua_pushinteger(l, line.into()),
            None => lua_pushnil(l),
        }
        1
    }
}

impl Reload {
    /// What is known of the file of that record, which is about to run.
    pub(super) unsafe fn make_plan(&mut self, record: *const RawTable) {
        unsafe {
            let path = RawTable::get(record, self.l, self.names.path);
            let plan = source_file(self.l, self.files, record).and_then(|new| {
                with_text(self.l, path, |path| {
                    let lua = Lua::get_or_init_from_ptr(self.l);
                    let state = lua.try_app_data_ref::<HostState>().ok().flatten()?;
                    let old = state.loaded.get(path)?.source.clone();
                    let file = &state.loaded.get(path)?.file;
                    let known = state.edits.files.get(file).cloned();
                    let edits = known.unwrap_or_else(|| Arc::new(Edits::between(&old.says, &new.says)));
                    Some(Arc::new(Plan { old, new, edits }))
                })
            });
            match plan {
                Some(plan) => self.plans.insert(Raw::of_table(record).identity(), plan),
                None => self.plans.remove(&Raw::of_table(record).identity()),
            };
        }
    }

    /// The plan of the file that runs.
    unsafe fn running_plan(&self) -> Option<Arc<Plan>> {
        unsafe {
            let (stack, running) = self.files.stack(self.l);
            let record = RawTable::get(stack, self.l, Raw::of(running));
            self.plans.get(&record.identity()).cloned()
        }
    }

    unsafe fn push_fields(&self) -> bool {
        let l = self.l;
        unsafe {
            value_at_1_as_text(l, |name| {
                let plan = self.running_plan()?;
                let key = Key::Prototype(name.into());
                let new = plan.new.says.root(&key)?;
                plan.is_known().then_some(())?;
                lua_createtable(l, 0, 4);
                let set = |key: &Key, what| {
                    if let Key::Field(name) = key {
                        text(l, name).push(l);
                        lua_pushstring(
                            l,
                            match what {
                                "added" => c"added".as_ptr(),
                                "edited" => c"edited".as_ptr(),
                                _ => c"removed".as_ptr(),
                            },
                        );
                        lua_rawset(l, -3);
                    }
                };
                for (id, one) in plan.new.says.parts(new) {
                    match plan.change(id) {
                        Some(Change::Added) => set(&one.key, "added"),
                        Some(Change::Edited(_)) => set(&one.key, "edited"),
                        None => {}
                    }
                }
                if let Some(old) = plan.edits.old(new) {
                    for (id, one) in plan.old.says.parts(old) {
                        if plan.edits.removed().contains(&id) {
                            set(&one.key, "removed");
                        }
                    }
                }
                Some(())
            })
        }
    }
}

unsafe fn value_at_1_as_text(l: *mut lua_State, work: impl FnOnce(&str) -> Option<()>) -> bool {
    unsafe {
        let name = Raw::at(l, 1);
        if !name.is_string() {
            return false;
        }
        let mut length = 0;
        let bytes = mlua::ffi::lua_tolstring(l, 1, &raw mut length);
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length);
        std::str::from_utf8(bytes).ok().and_then(work).is_some()
    }
}
