//! Starting to watch again after a failure.

use std::time::Duration;

use hotloader_backend::BackendFailure;
use tokio::time::sleep;

use super::{
    super::{
        handle::{Command, WatchError},
        state::End,
    },
    Watcher,
};

/// How long to wait before a failed supervisor is started again: at first, and at most.
const RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl Watcher {
    /// Starts the supervisor again, however often it takes, and then looks everywhere: nobody watched in
    /// between. It ends only by a bug, since it handles the failures of backends itself.
    pub(super) async fn restart(&mut self, mut failure: BackendFailure) -> Result<(), End> {
        let (mut delay, longest) = RESTART;
        loop {
            let why = failure.explain();
            tracing::error!(target: "watch", failure = why,
                retry_ms = delay.as_millis() as u64, "watching failed; changes are not seen until it works again");
            self.ends.health.send_modify(|health| {
                health.covered = false;
                health.trouble = Some(why.clone());
            });
            self.pause(delay, &why).await?;
            delay = (delay * 2).min(longest);
            self.watches.restart();
            match self.watched().await {
                Ok(()) => break,
                Err(End::Failed(why)) => failure = why,
                Err(end) => return Err(end),
            }
        }
        tracing::info!(target: "watch", "watching works again; looking everywhere");
        self.look_everywhere();
        Ok(())
    }

    /// Waits, and tells who asks meanwhile that there is no backend. A rescan need not be told: all is
    /// looked at when there is one.
    async fn pause(&mut self, delay: Duration, why: &str) -> Result<(), End> {
        let pause = sleep(delay);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                () = self.ends.stop.cancelled() => return Err(End::Stopped),
                Some(command) = self.ends.commands.recv() => if let Command::Barrier(reply) = command {
                    let _ = reply.send(Err(WatchError::Barrier(why.to_owned())));
                },
                () = &mut pause => return Ok(()),
            }
        }
    }
}
