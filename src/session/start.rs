//! A fresh Lua state for a session.

use std::sync::Arc;

use super::{id::SessionId, settings::SessionSettings};
use crate::{
    hub::Wake,
    lua::{Failure, Vm},
    reload::Generation,
    variables::Objects,
    wire::Account,
};

/// A fresh state that has run the main file.
pub(super) fn start(
    id: &SessionId,
    settings: &SessionSettings,
    account: &Account,
    generation: Arc<Generation>,
    url: Option<&str>,
    wake: &Arc<dyn Wake>,
) -> mlua::Result<(Vm, Objects, Option<Failure>)> {
    let budget = Arc::new(settings.session.budget.clone());
    let port = settings.hub.as_ref().map(|hub| hub.port(wake.clone()));
    let mut vm = Vm::new(id.short(), generation, budget, settings.lua.hotload, port)?;
    vm.state(|state| {
        state.env.clone_from(&settings.lua.env);
        state.native.clone_from(&settings.lua.native);
        state.faults = settings.published.faults().clone();
    });
    let objects = Objects::new(vm.lua(), account.clone())?;
    if let Some(url) = url {
        vm.set_url(url);
    }
    let error = vm.load_first(&settings.lua.main).err();
    if let Some(Failure { diagnostic, .. }) = &error {
        // Each visitor begins a session, and all of them fail alike.
        settings.published.faults().note(diagnostic);
        let (limited_by, details) = (diagnostic.position(), diagnostic.details());
        tracing::error!(target: "lua", limited_by, session = %id.short(), details, "the session can't start: {diagnostic}");
    }
    Ok((vm, objects, error))
}
