//! The configuration file while the server runs.
//!
//! It is polled by its path twice a second instead of being watched by a backend: a wrong choice of backend
//! is corrected in this very file.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::{Config, ConfigError},
    server::Server,
};

const INTERVAL: Duration = Duration::from_millis(500);

/// Differs after every save. `None`: there is no file.
type Key = Option<(u64, u64, u64, i64, i64, i64, i64)>;

fn key(path: &Path) -> Key {
    let at = std::fs::metadata(path).ok()?;
    Some((at.dev(), at.ino(), at.size(), at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec()))
}

/// Puts each saved change of `watch.*` into force, for as long as it is polled.
pub(super) async fn follow(
    path: PathBuf,
    load: impl Fn() -> Result<Config, ConfigError>,
    mut in_force: Config,
    server: &Server,
) {
    let mut taken = key(&path);
    let mut seen = taken;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = key(&path);
        // In the middle of a save the file may be empty, which is valid: only what stays the same counts.
        let is_steady = std::mem::replace(&mut seen, now) == now;
        if !is_steady || now == taken {
            continue;
        }
        taken = now;
        match load() {
            Ok(config) => apply(&path, server, &mut in_force, config),
            Err(error) => {
                let error = error.to_string();
                let (first, details) = error.split_once('\n').unwrap_or((&error, ""));
                tracing::error!(details, "{first}; the configuration that was in force stays in force");
            }
        }
    }
}

fn apply(path: &Path, server: &Server, in_force: &mut Config, config: Config) {
    let differences = in_force.differences(&config);
    let (now, later): (Vec<_>, Vec<_>) = differences.into_iter().partition(|key| key.starts_with("watch."));
    if !now.is_empty() {
        match server.reconfigure_watch(&config.watch) {
            Ok(()) => tracing::info!(file = %path.display(), keys = now.join(", "), "configuration changed"),
            Err(error) => {
                tracing::error!(file = %path.display(), "{error}; what was in force stays in force");
                return;
            }
        }
    }
    if !later.is_empty() {
        tracing::warn!(file = %path.display(), keys = later.join(", "),
            "configuration changed; these keys take effect at the next start");
    }
    *in_force = config;
}
