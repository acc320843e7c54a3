//! A server whose code comes as releases, and not from a directory that is watched.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

use super::settings::{HTML_DIR, layout, roots};
use crate::{
    config::Config,
    fleet::{
        Cache, CacheError, DepotError, Fleet, FleetSettings, KeyError, Link, Overview, Pulse, Roster,
        open_depot,
    },
    reload::{HotLoaderError, Published, ReleaseLoader, SessionHost},
    telemetry::FleetMetrics,
    web::Readiness,
};

/// Why a server cannot be one of a fleet.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FleetError {
    /// Nobody is trusted.
    #[error(
        "a server of a fleet runs what a key of fleet.trust has signed, and there is none: `lua-hotloader keys new` \
         prints one where you publish"
    )]
    NoTrust,
    /// One that is no key.
    #[error("fleet.trust")]
    Key(#[from] KeyError),
    /// No place for releases.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No Lua state for the compiler.
    #[error(transparent)]
    Loader(#[from] HotLoaderError),
}

/// The server's part in a fleet, and the directory that browsers load files from.
pub(super) struct Joined {
    pub(super) fleet: Fleet,
    pub(super) html: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) roster: Roster,
}

/// Joins the fleet of `fleet.site`.
pub(super) async fn join<H: SessionHost>(
    site: &Path,
    config: &Config,
    published: Arc<Published>,
    host: Arc<H>,
    pulse: Pulse,
) -> Result<Joined, FleetError> {
    let fleet = &config.fleet;
    if fleet.trust.is_empty() {
        return Err(FleetError::NoTrust);
    }
    let trust = fleet.trust.iter().map(|key| key.parse()).collect::<Result<Vec<_>, _>>()?;
    let depot = open_depot(site, config)?;
    let roster = Roster::new(Overview::new(depot.clone(), fleet.site.clone(), trust.clone()));
    let cache = Cache::open(&site.join(&fleet.cache).join(&fleet.site))?;
    let tag = if fleet.tag.is_empty() { cache.tag()? } else { fleet.tag.clone() };
    let (current, dir) = (cache.current(), cache.dir().to_owned());
    let settings = FleetSettings {
        site: fleet.site.clone(),
        server: format!("{}-{tag}", machine()),
        trust,
        max_size: fleet.max_size.as_usize() as u64,
        main: plain(&config.lua.path.join(&config.lua.main)),
        roots: roots(&current, config),
    };
    let loader = ReleaseLoader::new(layout(config), published, host)?;
    let fleet = Fleet::start(settings, cache, depot, loader, pulse).await?;
    Ok(Joined { fleet, html: current.join(HTML_DIR), cache: dir, roster })
}

/// The name of this machine, of letters that may stand in addresses of an engine.
fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let first = name.split('.').next().unwrap_or_default();
    let plain: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    if plain.is_empty() { "server".into() } else { plain }
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Ready once there is something to serve: without the depot a server runs on.
pub(super) fn readiness(fleet: &crate::fleet::FleetStatus) -> Readiness {
    Readiness { ready: fleet.is_ready(), detail: fleet.summary() }
}

pub(super) fn count(metrics: &FleetMetrics, fleet: &crate::fleet::FleetStatus) {
    metrics.connected.set(i64::from(fleet.link == Link::Connected));
    metrics.age.set(fleet.since.elapsed().as_secs_f64());
    metrics.generation.set(i64::try_from(fleet.seq).unwrap_or(i64::MAX));
}
