//! What `/readyz` says.

use tokio::{
    sync::watch::{self, error::RecvError},
    task::JoinHandle,
};

use super::fleet;
use crate::{fleet::FleetStatus, watch::Health, web::Readiness};

/// What readiness depends on.
pub(super) struct Signs {
    /// Of the watcher, if hot loading is on.
    pub(super) health: Option<watch::Receiver<Health>>,
    /// Of a server whose code comes as releases.
    pub(super) fleet: Option<watch::Receiver<FleetStatus>>,
    /// How many sessions are stuck.
    pub(super) stuck: watch::Receiver<usize>,
    /// `session.max_stuck`
    pub(super) max_stuck: usize,
    pub(super) draining: watch::Receiver<bool>,
}

/// Keeps it true until the task is ended.
pub(super) fn follow(mut signs: Signs) -> (watch::Receiver<Readiness>, JoinHandle<()>) {
    let (readiness, following) = watch::channel(signs.now());
    let task = tokio::spawn(async move {
        while signs.changed().await.is_ok() {
            let now = signs.now();
            readiness.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
    });
    (following, task)
}

impl Signs {
    fn now(&self) -> Readiness {
        if *self.draining.borrow() {
            let detail = "draining: sessions are handed on, and the server ends then".into();
            return Readiness { ready: false, detail };
        }
        let (stuck, max_stuck) = (*self.stuck.borrow(), self.max_stuck);
        if stuck >= max_stuck {
            let detail = format!(
                "{stuck} sessions are stuck in library functions that nothing can interrupt (session.max_stuck is {max_stuck}); the log says which and where; those that are restarted wait until one is back, and a restart of the server frees their threads"
            );
            return Readiness { ready: false, detail };
        }
        if let Some(fleet) = &self.fleet {
            return fleet::readiness(&fleet.borrow());
        }
        match &self.health {
            Some(health) => of_watcher(&health.borrow()),
            None => Readiness { ready: true, detail: "hot loading is off".into() },
        }
    }

    async fn changed(&mut self) -> Result<(), RecvError> {
        tokio::select! {
            changed = changed(&mut self.health) => changed,
            changed = changed(&mut self.fleet) => changed,
            changed = self.stuck.changed() => changed,
            changed = self.draining.changed() => changed,
        }
    }
}

fn of_watcher(health: &Health) -> Readiness {
    let detail = match (health.covered, &health.trouble) {
        (true, _) => format!("watching by {}", health.summary()),
        (false, Some(trouble)) => format!("changes may go unseen: {trouble}"),
        (false, None) => "not everything is watched yet".into(),
    };
    Readiness { ready: health.covered, detail }
}

async fn changed<T>(watched: &mut Option<watch::Receiver<T>>) -> Result<(), RecvError> {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}
