//! One frame of a browser on its way through its session.
//!
//! A batch is one unit of work, and may be a long one. So that other sessions need not wait for its end, it
//! is done in turns, and keeps its place at the head of the mailbox between them.

use std::vec;

use tokio::sync::oneshot;

use super::client::ClientId;
use crate::wire::{Account, BadMessage, Batch, Charge, Exceeded, Incoming};

/// The longest frame that is looked at for a restart while the session is stuck.
const WISH: usize = 4 << 10;

/// One frame of a browser.
pub(super) struct ReceivedBatch {
    client: ClientId,
    text: String,
    begun: Option<Begun>,
    /// For the text, and for what is read of it.
    charge: Charge,
    /// Dropped if it will never be done.
    done: oneshot::Sender<()>,
}

/// One that is being worked in.
pub(super) struct Begun {
    pub(super) user_event: bool,
    /// Those that are still to be done.
    pub(super) messages: vec::IntoIter<Result<Incoming, BadMessage>>,
}

impl ReceivedBatch {
    /// `charge` is for the text.
    pub(super) fn new(client: ClientId, text: String, charge: Charge, done: oneshot::Sender<()>) -> Self {
        Self { client, text, begun: None, charge, done }
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// Ends a batch that is done, once browsers know what came of it.
    pub(super) fn finish(self) {
        let _ = self.done.send(());
    }

    /// Its messages; they are read at the first turn.
    pub(super) fn begin(&mut self, account: &Account) -> Result<&mut Begun, Exceeded> {
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let text = std::mem::take(&mut self.text);
                self.charge = account.passing(Batch::cost(&text))?;
                let Batch { user_event, messages } = Batch::parse(&text);
                Begun { user_event, messages: messages.into_iter() }
            }
        };
        Ok(self.begun.insert(begun))
    }
}

/// Whether a frame asks for a restart. A session that is stuck reads nothing else.
pub(super) fn asks_for_restart(text: &str) -> bool {
    text.len() <= WISH
        && Batch::parse(text).messages.iter().any(|message| matches!(message, Ok(Incoming::Restart)))
}
