//! What all sessions have in common.

use std::sync::Arc;

use crate::{
    config::{LuaConfig, ReloadScope, SessionConfig},
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
    /// The code they run.
    pub published: Arc<Published>,
}
