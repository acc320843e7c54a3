//! [`Refreshing`]: how long it takes until browsers have been told of a reload.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

/// Held by each session until its browsers have been told. Dropping the last one tells when that was.
#[derive(Debug, Clone)]
pub struct Refreshing(#[allow(dead_code, reason = "what counts is when it is dropped")] Arc<Held>);

#[derive(Debug)]
struct Held(Option<oneshot::Sender<Instant>>);

impl Refreshing {
    /// Makes one to be cloned, and a receiver that gets the moment when the last clone is dropped.
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
