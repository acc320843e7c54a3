//! What the rest of the crate, and the prelude, can do with a reload.

use std::{cell::RefCell, path::Path, sync::Arc};

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaString, Table, Value as LuaValue};

use super::{Plan, Prelude, Progress, Reload, Told, merge::Before};
use crate::lua::{
    api::host::{HostState, path},
    heap::{Anchors, Heap, Value},
};

/// More values than these are not kept room for between two reloads.
const ROOM: u32 = 4096;

thread_local! {
    /// The room that the last reload on this thread took: sessions are reloaded one after the other, and each meets
    /// about as much.
    static SPARE: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// What is needed for reloads, as long as somebody edits.
pub(in crate::lua) struct Reloader {
    anchors: Anchors,
    /// How many values there are when no reload is under way.
    base: u32,
    prelude: Prelude,
    progress: Progress,
}

impl Reloader {
    fn new(lua: &Lua, prelude: &Table) -> mlua::Result<Self> {
        let anchors = Anchors::new(lua)?;
        let mut found = None;
        let look = |heap: Heap<'_>, arguments: &[Value]| {
            found = arguments.first().map(|&prelude| Prelude::new(heap, prelude));
            Value::NIL
        };
        anchors.open::<()>(lua, prelude, look)?;
        let mut prelude = found.ok_or_else(|| mlua::Error::runtime("the prelude is missing"))?;
        let base = anchors.len();
        anchors.open::<()>(lua, (), |heap, _| {
            prelude.know_functions(heap);
            Value::NIL
        })?;
        anchors.truncate(lua, base);
        Ok(Self { anchors, base, prelude, progress: Progress::default() })
    }

    /// Does something with the one of that state, which is made if it is not there yet.
    ///
    /// # Errors
    /// It is at work: code of the user that runs in a metamethod in the middle of a merge has come back here.
    pub(in crate::lua) fn with<R>(
        lua: &Lua,
        prelude: &Table,
        work: impl FnOnce(&mut Self) -> mlua::Result<R>,
    ) -> mlua::Result<R> {
        let busy = || mlua::Error::runtime("no file can be loaded while another one is being replaced");
        if lua.try_app_data_ref::<Self>().map_err(|_| busy())?.is_none() {
            lua.set_app_data(Self::new(lua, prelude)?);
        }
        let mut reloader = lua.try_app_data_mut::<Self>().ok().flatten().ok_or_else(busy)?;
        work(&mut reloader)
    }

    /// Whether one is kept for the next reload.
    #[cfg(test)]
    pub(in crate::lua) fn is_kept(lua: &Lua) -> bool {
        lua.app_data_ref::<Self>().is_some()
    }

    /// Lets go of it.
    pub(in crate::lua) fn forget(lua: &Lua) {
        if lua.try_app_data_ref::<Self>().is_ok() {
            lua.remove_app_data::<Self>();
        }
    }

    fn open<R: FromLuaMulti>(
        &mut self,
        lua: &Lua,
        arguments: impl IntoLuaMulti,
        work: impl FnOnce(&mut Reload<'_>, &[Value]) -> Value,
    ) -> mlua::Result<R> {
        let Self { anchors, prelude, progress, .. } = self;
        anchors
            .open(lua, arguments, |heap, arguments| work(&mut Reload { heap, prelude, progress }, arguments))
    }

    /// Takes down everything, up to so many tables and functions. Says whether that was all.
    pub(in crate::lua) fn begin(&mut self, lua: &Lua, max: usize) -> mlua::Result<bool> {
        if self.anchors.len() > self.base {
            // Of one that nobody has ended.
            self.finish(lua);
        }
        self.progress = SPARE.take().unwrap_or_default();
        self.open::<()>(lua, (), |reload, _| {
            let Reload { heap, prelude, progress } = reload;
            progress.snapshot.take(*heap, prelude, max);
            Value::NIL
        })?;
        Ok(self.progress.snapshot.is_complete)
    }

    /// Everything has run well: who holds replaced functions gets the new ones. Hands back what there is to tell.
    pub(in crate::lua) fn settle(&mut self, lua: &Lua) -> mlua::Result<Vec<Told>> {
        self.open::<()>(lua, (), |reload, _| {
            reload.settle();
            Value::NIL
        })?;
        Ok(self.take_told())
    }

    /// Everything as it was.
    pub(in crate::lua) fn roll_back(&mut self, lua: &Lua) -> mlua::Result<()> {
        self.open(lua, (), |reload, _| {
            reload.roll_back();
            Value::NIL
        })
    }

    /// What there is to tell since the last call.
    pub(in crate::lua) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.progress.told)
    }

    /// The reload is over, in either way. Says whether it has become so large that a new one is better made.
    pub(in crate::lua) fn finish(&mut self, lua: &Lua) -> bool {
        let is_large = self.anchors.len() > ROOM;
        let mut progress = std::mem::take(&mut self.progress);
        if !is_large {
            progress.clear();
            SPARE.set(Some(progress));
        }
        self.anchors.truncate(lua, self.base);
        is_large
    }

    fn note_made(&mut self, lua: &Lua, file: &Path, record: &Table, exports: LuaValue) -> mlua::Result<()> {
        let source = lua.try_app_data_ref::<HostState>().ok().flatten();
        let source = source.and_then(|state| state.generation.file(file).cloned());
        let Some(source) = source.filter(|source| source.captures) else { return Ok(()) };
        let is_idle = self.anchors.len() == self.base;
        // In a reload: it registers for the first time.
        self.progress.registered.is_anew |= !is_idle;
        self.open::<()>(lua, (record, exports), |reload, arguments| {
            if let &[record, exports] = arguments {
                let names = &reload.prelude.names;
                let locals = reload.heap.get(record, names.locals);
                let values = reload.values(&source.says, exports, locals);
                let value = |id: crate::reload::source::DefinitionId| {
                    values.get(id.index()).copied().unwrap_or(Value::NIL)
                };
                reload.note_made(record, &source.says, value);
                reload.heap.set(record, names.locals, Value::FALSE);
            }
            Value::NIL
        })?;
        if is_idle {
            self.anchors.truncate(lua, self.base);
        }
        Ok(())
    }

    fn merge(
        &mut self,
        lua: &Lua,
        (record, returned, exports, made, capture): (Table, LuaValue, LuaValue, LuaValue, LuaValue),
    ) -> mlua::Result<LuaValue> {
        self.open(lua, (record, returned, exports, made, capture), |reload, arguments| match *arguments {
            [record, returned, exports, made, capture] => {
                reload.merge_file(record, returned, &Before { exports, made, capture })
            }
            _ => Value::NIL,
        })
    }

    fn plan(&self, path: &LuaString) -> Option<&Plan> {
        self.progress.plans.get(path.as_bytes().as_ref() as &[u8]).map(|plan| &**plan)
    }
}

impl Reload<'_> {
    /// What the sources say of the file of that record.
    pub(super) fn plan_of(&self, record: Value) -> Option<Arc<Plan>> {
        let path = self.heap.bytes_of(self.heap.get(record, self.prelude.names.path))?;
        self.plans.get(path.as_slice()).cloned()
    }
}

/// What the prelude calls when a file has run for the first time.
pub(in crate::lua) fn note_made(lua: &Lua, prelude: &Table) -> mlua::Result<Function> {
    let of = prelude.clone();
    let note_made = move |lua: &Lua, (file, record, exports): (LuaString, Table, LuaValue)| {
        Reloader::with(lua, &of, |reloader| reloader.note_made(lua, &path(&file), &record, exports))
    };
    lua.create_function(note_made)
}

/// What the prelude calls in a reload: `P.host.reloads`.
pub(in crate::lua) fn functions(lua: &Lua, prelude: &Table) -> mlua::Result<Table> {
    let functions = lua.create_table_with_capacity(0, 8)?;
    let of = prelude.clone();
    let plan_version = move |lua: &Lua, (real, file): (LuaString, LuaString)| {
        Reloader::with(lua, &of, |reloader| {
            let mut state = lua.try_app_data_mut::<HostState>().ok().flatten();
            // It reads anew.
            state.iter_mut().for_each(|state| state.reads.forget(&path(&real)));
            let plan = state.and_then(|state| Plan::new(&state, &path(&real), &path(&file)));
            let plans = &mut reloader.progress.plans;
            match plan {
                Some(plan) => plans.insert(real.as_bytes().to_vec(), Arc::new(plan)),
                None => plans.remove(real.as_bytes().as_ref() as &[u8]),
            };
            Ok(())
        })
    };
    functions.raw_set("plan_version", lua.create_function(plan_version)?)?;
    let of = prelude.clone();
    let merge =
        move |lua: &Lua, arguments| Reloader::with(lua, &of, |reloader| reloader.merge(lua, arguments));
    functions.raw_set("merge", lua.create_function(merge)?)?;
    let of = prelude.clone();
    let changed_fields = move |lua: &Lua, (real, prototype): (LuaString, LuaString)| {
        Reloader::with(lua, &of, |reloader| {
            let prototype = prototype.to_string_lossy();
            let changed = reloader.plan(&real).and_then(|plan| plan.changed_fields(&prototype));
            changed.map(|fields| lua.create_table_from(fields)).transpose()
        })
    };
    functions.raw_set("changed_fields", lua.create_function(changed_fields)?)?;
    let of = prelude.clone();
    let moved_call = move |lua: &Lua, (real, line): (LuaString, u32)| {
        Reloader::with(lua, &of, |reloader| {
            Ok(reloader.plan(&real).and_then(|plan| plan.old.says.moved_call(line, &plan.new.says)))
        })
    };
    functions.raw_set("moved_call", lua.create_function(moved_call)?)?;
    let of = prelude.clone();
    let tell = move |lua: &Lua,
                     (source, why, message, sources): (
        LuaString,
        String,
        Option<LuaString>,
        Vec<LuaString>,
    )| {
        Reloader::with(lua, &of, |reloader| {
            let text = |text: &LuaString| text.to_string_lossy();
            let sources = sources.iter().map(text).collect();
            let told = Told::from_prelude(text(&source), why, message.as_ref().map(text), sources);
            reloader.progress.told.push(told);
            Ok(())
        })
    };
    functions.raw_set("tell", lua.create_function(tell)?)?;
    Ok(functions)
}
