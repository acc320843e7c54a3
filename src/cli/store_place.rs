//! Where the store of a site is: with the server that serves it, or in a file that nobody has open.

use std::path::Path;

use tokio::runtime::{self, Runtime};

use super::{CliError, StoreArgs};
use crate::{
    config::{self, Config, HubConfig, Overrides},
    control::{Answer, Client, Request, of_site},
    hub::{Hub, StoreError, Stored, Write},
    server,
    watch::Registry,
};

/// Bytes of values that go to a server together.
const TOGETHER: usize = 64 << 10;

/// The store of a site.
pub(super) enum Place {
    /// A server has it.
    Running(Client),
    /// Nobody has.
    Stopped(Hub, Runtime),
}

/// One of several writes that was not done, counted from 0, and why.
type Failed = (usize, String);

impl Place {
    pub(super) fn find(args: &StoreArgs) -> Result<(Self, HubConfig), CliError> {
        let dir = args.dir.as_deref().unwrap_or(Path::new("."));
        if !dir.is_dir() {
            return Err(CliError::NoSuchSite(dir.to_owned()));
        }
        let registry = Registry::with_builtin();
        let config = config::load(dir, args.config.as_deref(), &Overrides::default(), &registry)
            .map_err(CliError::Config)?;
        let running = of_site(dir).map_err(|error| CliError::StoreGone(error.into()))?;
        let place = match running {
            Some(client) => Self::Running(client),
            None => Self::stopped(dir, args, &config)?,
        };
        Ok((place, config.hub))
    }

    fn stopped(dir: &Path, args: &StoreArgs, config: &Config) -> Result<Self, CliError> {
        if args.config.is_none() && !server::is_site(dir, config) {
            return Err(CliError::NotASite(dir.to_owned()));
        }
        if config.hub.store == HubConfig::MEMORY {
            let why = "hub.store is \":memory:\", so there is a store only while the site is served, and no server \
                       of yours that has server.console on serves it";
            return Err(CliError::NotStored { place: dir.display().to_string(), why: why.into() });
        }
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::System)?;
        let hub = Hub::connect(dir, &config.hub, &config.nats);
        let hub = runtime.block_on(hub).map_err(CliError::Store)?;
        Ok(Self::Stopped(hub, runtime))
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Stored>, CliError> {
        let refused = |why: String| CliError::NotStored { place: format!("{key:?}"), why };
        match self {
            Self::Stopped(hub, _) => hub.stored(key).map_err(|error| refused(error.to_string())),
            Self::Running(client) => match ask(client, &Request::Get { key: key.to_owned() })? {
                Answer::Entry { entry } => Ok(entry),
                other => Err(refused(unwanted(other))),
            },
        }
    }

    /// Each whose key begins so.
    pub(super) fn list(
        &mut self,
        prefix: &str,
        mut each: impl FnMut(Stored) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let refused = |why: String| CliError::NotStored { place: format!("{prefix:?}"), why };
        match self {
            Self::Stopped(hub, _) => {
                let said = |error: StoreError| refused(error.to_string());
                hub.all_stored(prefix).map_err(said)?.try_for_each(|stored| each(stored.map_err(said)?))
            }
            Self::Running(client) => {
                let mut answer = ask(client, &Request::List { prefix: prefix.to_owned() })?;
                loop {
                    match answer {
                        Answer::Entry { entry: Some(stored) } => each(stored)?,
                        Answer::End => return Ok(()),
                        other => return Err(refused(unwanted(other))),
                    }
                    answer = client.answer().map_err(CliError::StoreGone)?;
                }
            }
        }
    }

    /// Writes all of it; gives those that are not written.
    pub(super) fn set(&mut self, entries: Vec<Stored>) -> Result<Vec<Failed>, CliError> {
        match self {
            Self::Stopped(hub, runtime) => {
                Ok(write(hub, runtime, entries.into_iter().map(Write::from).collect()))
            }
            Self::Running(client) => {
                let (mut failed, mut done) = (Vec::new(), 0);
                for entries in in_parts(entries) {
                    let count = entries.len();
                    let of_part = written(ask(client, &Request::Set { entries })?)?;
                    failed.extend(of_part.into_iter().map(|(at, why)| (done + at, why)));
                    done += count;
                }
                Ok(failed)
            }
        }
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<Vec<Failed>, CliError> {
        match self {
            Self::Stopped(hub, runtime) => Ok(write(hub, runtime, vec![Write::delete(key)])),
            Self::Running(client) => written(ask(client, &Request::Delete { key: key.to_owned() })?),
        }
    }
}

/// Parts that a server reads at once.
fn in_parts(entries: Vec<Stored>) -> Vec<Vec<Stored>> {
    let (mut parts, mut bytes) = (Vec::new(), usize::MAX);
    for entry in entries {
        let length = entry.key.len() + entry.value.to_string().len();
        if bytes.saturating_add(length) > TOGETHER {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(part) = parts.last_mut() {
            part.push(entry);
        }
    }
    parts
}

fn write(hub: &Hub, runtime: &Runtime, writes: Vec<Write>) -> Vec<Failed> {
    let results = runtime.block_on(hub.write_all(writes)).into_iter().enumerate();
    results.filter_map(|(at, result)| result.err().map(|error| (at, error.to_string()))).collect()
}

fn written(answer: Answer) -> Result<Vec<Failed>, CliError> {
    match answer {
        Answer::Written { failed } => Ok(failed),
        other => Err(CliError::Refused(unwanted(other))),
    }
}

fn ask(client: &mut Client, request: &Request) -> Result<Answer, CliError> {
    client.ask(request).map_err(CliError::StoreGone)
}

fn unwanted(answer: Answer) -> String {
    match answer {
        Answer::Refused { why } => why,
        other => format!("the server answers in another way, is it another version? {other:?}"),
    }
}
