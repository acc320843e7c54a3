//! `lua-hotloader serve`: one server from its start to its end.

use std::{env, fs, net::SocketAddr, path::PathBuf, time::Duration};

use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

use super::{
    CliError, ServeArgs, config_file, say, signals,
    site::{Site, current_dir},
};
use crate::{
    config::{self, Base, Config, ConfigError},
    control::{Control, DrainRequest, Served},
    server::{Drained, Server},
    telemetry,
    watch::Registry,
};

/// How long stopping may take; the process is gone within 2 s of a signal, whatever happens.
const STOPPING: Duration = Duration::from_millis(1500);

pub(super) fn run(args: &ServeArgs) -> Result<(), CliError> {
    let (flags, backends) = (args.overrides(), Registry::with_builtin());
    let is_meant = args.config.is_some() || args.lua_path.is_some();
    let site = Site::choose(args.dir(), &current_dir(env::var_os("PWD")), is_meant, |path| {
        config::load(path, args.config.as_deref(), &flags, &backends)
    })?;
    telemetry::init(&site.config.logging);

    raise_descriptor_limit();

    let stop = signals::first(STOPPING.saturating_add(site.config.server.drain)).map_err(CliError::System)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
    let file = args.config.clone().unwrap_or_else(|| site.path.join(config::FILE));
    let load = || config::load(&site.path, args.config.as_deref(), &flags, &backends);
    let result = runtime.block_on(serve(&site, file, load, stop));
    // Does not wait for stuck threads: the process ends next.
    runtime.shutdown_background();
    result
}

/// To what the system allows: each browser takes a descriptor, and the soft limit is often 1024, for the
/// sake of programs that call select(2).
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
}

async fn serve(
    site: &Site,
    config_file: PathBuf,
    load: impl Fn() -> Result<Config, ConfigError>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), CliError> {
    announce_site(site);
    let server = tokio::select! {
        biased;
        _ = &mut stop => return Ok(()),
        started = Server::start(&site.path, site.config.clone()) => started.map_err(CliError::Start)?,
    };
    let (drain, mut asked) = mpsc::channel::<DrainRequest>(1);
    let control = site.config.server.console.then(|| {
        let (sessions, hub) = (server.lua_sessions().clone(), server.hub().clone());
        let served = Served::new(&site.path, sessions, hub, drain);
        Control::listen(server.local_addr(), served)
    });
    let control = control.and_then(|listens| {
        listens
            .inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "there is no `lua-hotloader console`")
            })
            .ok()
    });
    say(&format!("listening on {}", url(server.local_addr(), &site.config.server.base)));
    tell_systemd(NotifyState::Ready);
    let request = tokio::select! {
        // An error means that the thread of the signals is gone; then the server stops, too.
        _ = stop => None,
        () = config_file::follow(config_file, load, site.config.clone(), &server) => None,
        Some(request) = asked.recv() => Some(request),
    };
    tracing::info!("stopping");
    tell_systemd(NotifyState::Stopping);
    let within = request.as_ref().map_or(site.config.server.drain, |request| request.within);
    if !within.is_zero() {
        let drained = server.drain(within).await;
        let Drained { sessions, stored } = drained;
        tracing::info!(
            sessions,
            stored,
            "drained: these sessions ran, and of these the store has a snapshot"
        );
        if let Some(request) = request {
            // Who asked may be gone.
            let _ = request.done.send(drained);
        }
    }
    server.shutdown().await;
    // Now: who asked for the drain has its answer.
    drop(control);
    telemetry::finish();
    tracing::info!("stopped");
    Ok(())
}

/// Does nothing where systemd has not started it.
fn tell_systemd(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told how the server is: NOTIFY_SOCKET leads to no socket");
    }
}

fn announce_site(site: &Site) {
    let path = site.path.display();
    if let (Ok(named), Ok(real)) = (std::path::absolute(&site.path), fs::canonicalize(&site.path))
        && named != real
    {
        tracing::info!(
            "serving {path}, which leads to {}; if it comes to lead elsewhere, that is followed",
            real.display()
        );
    }
    if site.is_sample() {
        say(&format!(
            "there is no lua/main.lua here, so this is a copy of the built-in sample site, in {path} until the \
             server stops\nto get one that stays, to edit: lua-hotloader new DIR"
        ));
    } else if !site.config.fleet.site.is_empty() {
        tracing::info!("serving {} of a fleet; its code comes as releases", site.config.fleet.site);
        return;
    } else if !site.main_file().is_file() {
        tracing::warn!(
            "{}: no such file; sessions begin with it. Create it, name another with lua.path and lua.main, or \
             let `lua-hotloader new DIR` write a site",
            site.main_file().display()
        );
    }
    if !site.config.lua.native.is_empty() {
        tracing::warn!(
            "lua.native lets scripts open modules in C, which no limit and no sandbox binds: {}",
            site.config.lua.native.join(", ")
        );
    }
    let hotload = if site.config.lua.hotload { "on" } else { "off (--hotload turns it on)" };
    tracing::info!("serving {path}, hot loading {hotload}");
}

/// An address to click: one that stands for all addresses is shown as this machine's own.
fn url(mut address: SocketAddr, base: &Base) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}{}", base.path("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_printed_can_be_opened() {
        for (address, expected) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("[::]:8080", "http://[::1]:8080/"),
        ] {
            assert_eq!(url(address.parse().unwrap(), &Base::default()), expected);
        }
    }
}
