//! What the prelude can ask of the hub: topics and the store. Values are JSON on both sides.

use std::time::Duration;

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table};

use super::{host::HostState, shared::Shared};
use crate::hub::{Handle, Port, StoreError, Write};

/// What stands for "it went well" where Lua wants to know why not.
type Problem = Option<String>;

/// The table of functions that the prelude gets as `P.host.hub`: those that read from the store.
pub(in crate::lua) fn reading(lua: &Lua) -> mlua::Result<Table> {
    let hub = lua.create_table_with_capacity(0, 2)?;
    hub.raw_set("get", lua.create_function(get)?)?;
    hub.raw_set("list", lua.create_function(list)?)?;
    Ok(hub)
}

/// The others, into the same table.
pub(in crate::lua) fn all_else(lua: &Lua, hub: &Table) -> mlua::Result<()> {
    let problem = |result: Result<(), String>| -> mlua::Result<Problem> { Ok(result.err()) };

    let publish = move |lua: &Lua, (topic, text): (LuaString, LuaString)| {
        let (topic, text) = (topic.to_string_lossy(), text.to_string_lossy());
        problem(with(lua, |shared, _| shared.port()?.publish(&topic, text.into())))
    };
    hub.raw_set("publish", lua.create_function(publish)?)?;
    let check_message = move |lua: &Lua, (topic, text): (LuaString, LuaString)| {
        let (topic, text) = (topic.to_string_lossy(), text.to_string_lossy());
        problem(with(lua, |shared, _| shared.port()?.check_message(&topic, &text)))
    };
    hub.raw_set("check_message", lua.create_function(check_message)?)?;

    let subscribe = |lua: &Lua, pattern: LuaString| {
        let pattern = pattern.to_string_lossy();
        Ok(with(lua, |shared, handle| shared.port()?.subscribe(handle, &pattern).map(|()| handle)))
    };
    hub.raw_set("subscribe", lua.create_function(subscribe)?)?;
    let watch = |lua: &Lua, prefix: LuaString| {
        let prefix = prefix.to_string_lossy();
        Ok(with(lua, |shared, handle| shared.port()?.watch(handle, &prefix).map(|()| handle)))
    };
    hub.raw_set("watch", lua.create_function(watch)?)?;
    let unlisten = move |lua: &Lua, handle: Handle| {
        problem(with(lua, |shared, _| shared.port().map(|port| port.end(handle))))
    };
    hub.raw_set("unlisten", lua.create_function(unlisten)?)?;
    let hand_on = move |lua: &Lua, (old, new): (Handle, Handle)| {
        problem(with(lua, |shared, _| shared.port().map(|port| port.hand_on(old, new))))
    };
    hub.raw_set("hand_on", lua.create_function(hand_on)?)?;
    let is_watch = |lua: &Lua, handle: Handle| {
        Ok(with(lua, |shared, _| shared.port().map(|port| port.is_watch(handle))).unwrap_or(false))
    };
    hub.raw_set("is_watch", lua.create_function(is_watch)?)?;

    let check_write = move |lua: &Lua, (key, text): (LuaString, Option<LuaString>)| {
        let (key, text) = (key.to_string_lossy(), text.map(|text| text.to_string_lossy()));
        let check = |port: &mut Port| port.check_write(&key, text.as_deref()).map_err(said);
        problem(with(lua, |shared, _| shared.port().and_then(check)))
    };
    hub.raw_set("check_write", lua.create_function(check_write)?)?;
    let write = move |lua: &Lua, args: (LuaString, Option<LuaString>, Option<f64>, Option<u64>)| {
        let (key, text, ttl, expected) = args;
        let write = Write {
            key: key.to_string_lossy().into(),
            value: text.map(|text| text.to_string_lossy().into()),
            // Longer than anybody lives is for ever.
            ttl: ttl.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()),
            expected,
        };
        problem(with(lua, |shared, _| {
            shared.port()?.write(write).map_err(said)?;
            shared.is_writing = true;
            Ok(())
        }))
    };
    hub.raw_set("write", lua.create_function(write)?)?;
    hub.raw_set("answer", lua.create_function(answer)?)?;
    let hold = move |lua: &Lua, ()| {
        problem(with(lua, |shared, _| {
            shared.holds = true;
            Ok(())
        }))
    };
    hub.raw_set("hold", lua.create_function(hold)?)?;
    Ok(())
}

/// With a handle that nothing else has.
fn with<R>(lua: &Lua, f: impl FnOnce(&mut Shared, Handle) -> Result<R, String>) -> Result<R, String> {
    let Some(mut state) = lua.app_data_mut::<HostState>() else {
        return Err("the session is ending".to_owned());
    };
    let handle = state.timers.reserve();
    f(&mut state.shared, handle)
}

fn said(error: StoreError) -> String {
    error.to_string()
}

/// Text and revision; false and 0 if there is none; why not, and nil.
fn get(lua: &Lua, key: LuaString) -> mlua::Result<MultiValue> {
    let key = key.to_string_lossy();
    match with(lua, |shared, _| shared.port()?.get(&key).map_err(said)) {
        Ok(Some(entry)) => (lua.create_string(&*entry.value)?, entry.revision).into_lua_multi(lua),
        Ok(None) => (false, 0).into_lua_multi(lua),
        Err(problem) => (problem, mlua::Nil).into_lua_multi(lua),
    }
}

/// Key, text, key, text; or nil and why not.
fn list(lua: &Lua, prefix: LuaString) -> mlua::Result<MultiValue> {
    let prefix = prefix.to_string_lossy();
    let entries = match with(lua, |shared, _| shared.port()?.list(&prefix).map_err(said)) {
        Ok(entries) => entries,
        Err(problem) => return (mlua::Nil, problem).into_lua_multi(lua),
    };
    let flat = lua.create_table_with_capacity(2 * entries.len(), 0)?;
    for (key, entry) in entries {
        flat.raw_push(lua.create_string(&*key)?)?;
        flat.raw_push(lua.create_string(&*entry.value)?)?;
    }
    flat.into_lua_multi(lua)
}

/// The revision; nil if another was faster; nil and why it failed.
fn answer(lua: &Lua, (): ()) -> mlua::Result<(Option<u64>, Problem)> {
    let answer = with(lua, |shared, _| Ok(shared.port()?.take_answer()));
    Ok(match answer {
        Ok(Some(Ok(revision))) => (Some(revision), None),
        Ok(Some(Err(StoreError::Conflict))) => (None, None),
        Ok(Some(Err(error))) => (None, Some(error.to_string())),
        Ok(None) => (None, Some("there is no answer yet; this is a bug".into())),
        Err(problem) => (None, Some(problem)),
    })
}
