//! What all sessions have in common.

use std::sync::{Arc, atomic::AtomicU64};

use crate::{
    config::{BindingRule, LuaConfig, ReloadScope, SessionConfig},
    hub::Hub,
    reload::Published,
};

/// What all sessions have in common.
#[derive(Debug)]
pub struct SessionSettings {
    /// Limits and budgets.
    pub session: SessionConfig,
    /// Where the main file is.
    pub lua: LuaConfig,
    /// Which sessions run a saved file.
    pub scope: ReloadScope,
    /// What browsers may ask for.
    pub bindings: BindingRule,
    /// How often a browser asked for something else.
    pub refused: Arc<AtomicU64>,
    /// What they tell each other, and what outlives them; `None`: nothing.
    pub hub: Option<Hub>,
    /// The code they run.
    pub published: Arc<Published>,
}
