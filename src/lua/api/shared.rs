//! [`Shared`]: what a Lua state has of the hub.

use std::{collections::HashMap, time::Duration};

use crate::hub::{Delivery, Handle, Listening, Port};

/// What a Lua state has of the hub, and what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// `None`: a state that belongs to no server.
    pub(super) port: Option<Port>,
    /// A write has begun whose answer has not come.
    pub(super) is_writing: bool,
    /// Files have sent something that is held back.
    pub(super) holds: bool,
}

/// What a state listens to, to go back to.
pub(in crate::lua) type Heard = HashMap<Handle, Listening>;

impl Shared {
    pub(crate) fn new(port: Option<Port>) -> Self {
        Self { port, ..Self::default() }
    }

    pub(in crate::lua) fn listening(&self) -> Heard {
        self.port.as_ref().map(Port::listening).unwrap_or_default()
    }

    pub(in crate::lua) fn restore(&mut self, heard: Heard) {
        if let Some(port) = &mut self.port {
            port.restore(heard);
        }
    }

    /// Whether a write has begun since the last time.
    pub(in crate::lua) fn take_writing(&mut self) -> bool {
        std::mem::take(&mut self.is_writing)
    }

    /// Whether files have sent something since the last time.
    pub(crate) fn take_holds(&mut self) -> bool {
        std::mem::take(&mut self.holds)
    }

    /// What is to be run next, and whether something that was read is another now.
    pub(crate) fn take(&mut self) -> (Option<Delivery>, bool) {
        self.port.as_mut().map_or((None, false), Port::take)
    }

    /// How many messages in a second are too many, if there are too many.
    pub(crate) fn take_dropped(&mut self) -> Option<(u64, u32)> {
        let port = self.port.as_mut().filter(|port| port.has_dropped())?;
        Some((port.take_dropped(), port.config().messages))
    }

    /// Whether messages were dropped, and nobody has been told.
    pub(crate) fn has_dropped(&self) -> bool {
        self.port.as_ref().is_some_and(Port::has_dropped)
    }

    /// Whether the write that was begun last has its answer.
    pub(in crate::lua) fn is_answered(&self) -> bool {
        self.port.as_ref().is_some_and(Port::is_answered)
    }

    /// How long a write may take.
    pub(crate) fn patience(&self) -> Duration {
        self.port.as_ref().map(|port| port.config().patience).unwrap_or_default()
    }

    pub(super) fn port(&mut self) -> Result<&mut Port, String> {
        self.port.as_mut().ok_or_else(|| "there are no other sessions here, and no store".to_owned())
    }
}
