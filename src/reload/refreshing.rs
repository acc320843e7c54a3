//! [`Refreshing`]: how long it takes until browsers have been told of a reload.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

/// Held by each session until its browsers have been told. The last one to let go says when that was.
#[derive(Debug, Clone)]
pub struct Refreshing(#[allow(dead_code, reason = "what counts is when it is dropped")] Arc<Held>);

#[derive(Debug)]
struct Held(Option<oneshot::Sender<Instant>>);

impl Refreshing {
    /// One to be handed around, and what tells the moment when nobody has it any more.
    pub(crate) fn begin() -> (Self, oneshot::Receiver<Instant>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Held(Some(sender)))), receiver)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            // Nobody need wait for it.
            let _ = sender.send(Instant::now());
        }
    }
}
