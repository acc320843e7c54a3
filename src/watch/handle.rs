//! The holder's end of a running watcher: what can be asked of it, and what can go wrong.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use hotloader_backend::BackendFailure;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    backends::{Health, Registry, Standing, UnknownBackend},
    change::ChangeSet,
    reconcile::LinkView,
};
use crate::config::{AUTO, WatchConfig};

/// Why there is no watcher.
#[derive(Debug, Error)]
pub enum WatchError {
    /// `watch.backend` names none.
    #[error(transparent)]
    Unknown(#[from] UnknownBackend),
    /// The backend cannot work here.
    #[error("watch backend \"{backend}\": {}", failure.explain())]
    Backend {
        /// Its name.
        backend: String,
        /// Why not.
        failure: BackendFailure,
    },
    /// A directory has no absolute path.
    #[error("cannot tell the absolute path of {}; give it as an absolute path", path.display())]
    Path {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The watcher has ended.
    #[error("the file watcher is stopped")]
    Stopped,
    /// The thread that looks at the disk panicked.
    #[error("looking at the watched files panicked; please report it as a bug")]
    Panicked,
    /// A barrier was not passed.
    #[error("the watch backend did not confirm that all changes were seen: {0}")]
    Barrier(String),
}

/// The holder's end of a running watcher. Dropping it stops the watcher.
#[derive(Debug)]
pub struct WatchHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) links: watch::Receiver<Arc<LinkView>>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) settings: watch::Sender<Arc<WatchConfig>>,
    pub(super) in_use: InUse,
    pub(super) registry: Registry,
    pub(super) stop: DropGuard,
    pub(super) task: JoinHandle<()>,
}

/// Where the watcher is told which real files are in use: it looks at these often, whoever watches them.
pub type InUse = watch::Sender<Arc<BTreeSet<PathBuf>>>;

/// What a handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Deliver everything up to now, then answer.
    Barrier(oneshot::Sender<Result<(), WatchError>>),
    /// Look at everything again.
    Rescan,
}

/// The watcher's ends of the channels, and what stops it.
pub(super) struct Ends {
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) changes: mpsc::Sender<ChangeSet>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) links: watch::Sender<Arc<LinkView>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) in_use: watch::Receiver<Arc<BTreeSet<PathBuf>>>,
    pub(super) stop: CancellationToken,
}

impl WatchHandle {
    /// Returns when everything that changed before the call is in the channel of change sets, without
    /// waiting for it to be quiet. So the channel must be read meanwhile. What is not waited for is
    /// what is not believed at first sight: a file that is gone is reported some 60 ms later, one that was
    /// emptied or that somebody has open for writing some seconds later.
    ///
    /// # Errors
    ///
    /// When the backend does not answer, or the watcher has ended.
    pub async fn barrier(&self) -> Result<(), WatchError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Barrier(reply)).await.map_err(|_| WatchError::Stopped)?;
        answer.await.map_err(|_| WatchError::Stopped)?
    }

    /// Has everything looked at again, as soon as it is quiet.
    ///
    /// # Errors
    ///
    /// When the watcher has ended.
    pub async fn rescan(&self) -> Result<(), WatchError> {
        self.commands.send(Command::Rescan).await.map_err(|_| WatchError::Stopped)
    }

    /// The links of the tree, and the directories that are watched.
    pub fn links(&self) -> Arc<LinkView> {
        self.links.borrow().clone()
    }

    /// Follows the links and the directories that are watched.
    pub fn follow_links(&self) -> watch::Receiver<Arc<LinkView>> {
        self.links.clone()
    }

    /// Where to say which files are in use.
    pub fn in_use(&self) -> InUse {
        self.in_use.clone()
    }

    /// How the watcher is.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Follows how the watcher is.
    pub fn follow_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Puts other settings into force while it runs. Backends with other options, and other backends,
    /// take over from those at work as soon as they watch; nothing is missed meanwhile. If they cannot,
    /// those at work go on, and [`health`](Self::health) says why. Relative directories start at the
    /// current one.
    ///
    /// # Errors
    ///
    /// When a name is not that of a backend, or a directory has no absolute path: then nothing changes.
    pub fn reconfigure(&self, settings: &WatchConfig) -> Result<(), WatchError> {
        for name in settings.backend.names().iter().filter(|name| *name != AUTO) {
            self.registry.find(name)?;
        }
        self.settings.send_replace(Arc::new(absolute(settings)?));
        Ok(())
    }

    /// Stops the watcher. When this returns its tasks have ended and its descriptors are closed.
    pub async fn stop(self) {
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::error!(target: "watch", "the watcher panicked while it was stopped; please report it as a bug");
        }
    }
}

/// The settings with absolute directories.
pub(super) fn absolute(settings: &WatchConfig) -> Result<WatchConfig, WatchError> {
    let mut settings = settings.clone();
    for dir in &mut settings.allowed_roots {
        *dir = absolute_path(dir)?;
    }
    Ok(settings)
}

pub(super) fn absolute_path(path: &Path) -> Result<PathBuf, WatchError> {
    std::path::absolute(path).map_err(|source| WatchError::Path { path: path.to_owned(), source })
}
