//! Starting to watch, or reading everything once.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

use super::{
    backends::{Health, Patience, Registry, Standing, SupervisorMaker},
    change::{ChangeSet, Root, Timing},
    handle::{Ends, WatchError, WatchHandle, absolute, absolute_path},
    reconcile::scan,
    state::End,
    task::Watcher,
};
use crate::config::{AUTO, WatchConfig};

/// Starts to watch. When this returns, everything is watched and the first change set, which names
/// all there is, is in the channel; a root that does not exist is waited for.
///
/// # Errors
///
/// When there is no such backend, or none works here.
pub async fn start(
    settings: &WatchConfig,
    roots: Vec<Root>,
    registry: &Registry,
) -> Result<(WatchHandle, mpsc::Receiver<ChangeSet>), WatchError> {
    start_with(settings, roots, registry, Patience::default()).await
}

/// [`start`], with backends waited for as long as is said here.
pub(super) async fn start_with(
    settings: &WatchConfig,
    roots: Vec<Root>,
    registry: &Registry,
    patience: Patience,
) -> Result<(WatchHandle, mpsc::Receiver<ChangeSet>), WatchError> {
    let begun = Instant::now();
    let (settings, roots) = (absolute(settings)?, absolute_roots(roots)?);
    for name in settings.backend.names().iter().filter(|name| *name != AUTO) {
        registry.find(name)?;
    }
    let chosen = settings.backend.to_string();
    let (settings_sender, settings) = watch::channel(Arc::new(settings));
    let (standing_sender, standing) = watch::channel(Standing::default());
    let (changes, receiver) = mpsc::channel(1);
    let (commands, command_inbox) = mpsc::channel(16);
    let (links, links_view) = watch::channel(Arc::default());
    let (health, health_view) = watch::channel(Health::default());
    let (in_use_sender, in_use) = watch::channel(Arc::default());
    let stop = CancellationToken::new();
    let make_supervisor = SupervisorMaker::new(registry.clone(), settings, standing_sender, patience);
    let ends = Ends { standing, changes, commands: command_inbox, links, health, in_use, stop: stop.clone() };
    let mut watcher = Watcher::new(make_supervisor, roots, patience, ends);
    if let Err(end) = watcher.begin(begun).await {
        watcher.stop().await;
        return Err(match end {
            End::Stopped => WatchError::Stopped,
            End::Panicked => WatchError::Panicked,
            End::Failed(failure) => WatchError::Backend { backend: chosen, failure },
        });
    }
    let task = tokio::spawn(watcher.run());
    let handle = WatchHandle {
        commands,
        links: links_view,
        health: health_view,
        settings: settings_sender,
        in_use: in_use_sender,
        registry: registry.clone(),
        stop: stop.drop_guard(),
        task,
    };
    Ok((handle, receiver))
}

/// Reads everything there is once, without watching it: for a server without hot loading.
///
/// # Errors
///
/// When a directory has no absolute path.
pub async fn scan_once(settings: &WatchConfig, roots: Vec<Root>) -> Result<ChangeSet, WatchError> {
    Ok(survey_once(settings, roots).await?.changes)
}

/// Everything there is, and what is wrong with it.
#[derive(Debug)]
pub struct Survey {
    /// All files.
    pub changes: ChangeSet,
    /// Links that lead nowhere, directories that cannot be read, and the like: the path, and what is wrong.
    pub troubles: Vec<(PathBuf, String)>,
}

/// As [`scan_once`], with what is wrong.
///
/// # Errors
///
/// When a directory has no absolute path.
pub async fn survey_once(settings: &WatchConfig, roots: Vec<Root>) -> Result<Survey, WatchError> {
    let begun = Instant::now();
    let (settings, roots) = (absolute(settings)?, absolute_roots(roots)?);
    let look = move || {
        let (findings, reconciler) = scan(&settings, roots);
        (findings, reconciler.troubles())
    };
    let (findings, troubles) = spawn_blocking(look).await.map_err(|_| WatchError::Panicked)?;
    let timing = Timing { first_hint: begun, settle: Duration::ZERO, reconcile: begun.elapsed() };
    Ok(Survey { changes: findings.into_change_set(true, timing), troubles })
}

fn absolute_roots(mut roots: Vec<Root>) -> Result<Vec<Root>, WatchError> {
    for root in &mut roots {
        root.dir = absolute_path(&root.dir)?;
    }
    Ok(roots)
}
