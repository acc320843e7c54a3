//! Why a command failed, what that means to the caller of the program, and what helps.

use std::{error::Error, io, path::PathBuf};

use crate::{
    check::CheckError,
    config::ConfigError,
    control::ClientError,
    fleet::{DepotError, KeyError, PublishError, ReleaseError},
    hub::HubError,
    server::ServerError,
    watch::WatchError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration is wrong.
    #[error("wrong configuration:\n{0}")]
    Config(ConfigError),
    /// What is to be a site is no directory.
    #[error("{}: no such directory; name the directory of a site, and `lua-hotloader new DIR` writes one", .0.display())]
    NoSuchSite(PathBuf),
    /// The sample could not be unpacked.
    #[error("the built-in sample cannot be unpacked into a temporary directory; name a site with --dir")]
    Sample(#[source] io::Error),
    /// `new` does not write among what is there.
    #[error("{}: not empty (there is {entry}); name a directory that is empty or does not exist", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// One thing that is in it.
        entry: String,
    },
    /// `new` cannot write there.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not give what any server needs: threads, signals.
    #[error("the system does not let the server start")]
    System(#[source] io::Error),
    /// `watch` takes a directory.
    #[error("{}: not a directory; name the directory that it is in", .0.display())]
    NotADirectory(PathBuf),
    /// `watch` cannot begin, or cannot go on.
    #[error("{}: cannot be watched", path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: WatchError,
    },
    /// `doctor` found something.
    #[error("problems found: {count}; what mends them stands above")]
    Unwell {
        /// How many.
        count: usize,
    },
    /// `check` found something.
    #[error("problems found: {count}")]
    Found {
        /// How many.
        count: usize,
    },
    /// `check` cannot look.
    #[error("the site cannot be checked")]
    Check(#[source] CheckError),
    /// `man` knows no such command.
    #[error("{0}: no such command; `lua-hotloader help` lists them")]
    NoSuchCommand(String),
    /// What was asked for cannot be printed.
    #[error("cannot be printed")]
    Output(#[source] io::Error),
    /// `console` finds no server.
    #[error(
        "no server of yours answers for {address}{}; --dir names its site, --port its port, and server.console has to be on",
        listed(others)
    )]
    NoConsole {
        /// Where it was looked for.
        address: String,
        /// Those that answer.
        others: Vec<String>,
    },
    /// The server does not answer `console`.
    #[error("the console cannot go on")]
    Console(#[source] ClientError),
    /// Code that was typed failed, or has no end.
    #[error("{0}")]
    Typed(&'static str),
    /// The terminal does not let `console` read lines.
    #[error("the console cannot read what is typed")]
    Prompt(#[source] Box<dyn Error + Send + Sync>),
    /// `restart` finds no server.
    #[error("no server answers at {address}; --dir names its site, --port its port")]
    NoServer {
        /// Where it was looked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server does not restart what was named.
    #[error("the server says: {0}")]
    Refused(String),
    /// `store` takes the directory of a site, and makes none.
    #[error("{}: no site: there is neither a main file nor config/config.toml; --dir names one", .0.display())]
    NotASite(PathBuf),
    /// The store of the site can't be used.
    #[error(transparent)]
    Store(HubError),
    /// The server that has the store does not answer.
    #[error("the store cannot be reached")]
    StoreGone(#[source] ClientError),
    /// There is no such key.
    #[error("{0:?}: no such key; `lua-hotloader store list` prints those there are")]
    NoSuchKey(String),
    /// What is to be stored is no JSON.
    #[error("{place}: {why}")]
    NotAValue {
        /// Where it stands.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The input cannot be read.
    #[error("{place}: cannot be read")]
    Input {
        /// The file, or standard input.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store does not take it.
    #[error("{place}: {why}")]
    NotStored {
        /// The key, or the line.
        place: String,
        /// In the store's words.
        why: String,
    },
    /// There is no key, or none can be written.
    #[error(transparent)]
    Key(KeyError),
    /// Nothing says which site of a fleet is meant.
    #[error("which site of the fleet? --site names it, or fleet.site in the configuration")]
    NoFleetSite,
    /// Nothing says whose releases are believed.
    #[error("whose releases? fleet.trust names the keys to believe, or --key the file of your own")]
    NobodyTrusted,
    /// Nothing says where releases are.
    #[error(transparent)]
    Depot(DepotError),
    /// It is no release.
    #[error(transparent)]
    Release(ReleaseError),
    /// It cannot be published.
    #[error(transparent)]
    Publish(PublishError),
    /// It is published, and does not run everywhere.
    #[error("generation {seq}: {why}")]
    NotEverywhere {
        /// The generation.
        seq: u64,
        /// What is in the way.
        why: String,
    },
    /// Nobody says where keys are.
    #[error("neither XDG_CONFIG_HOME nor HOME says where your keys are; name the file of the key")]
    NoKeyPlace,
    /// The server did not start.
    #[error("the server cannot start")]
    Start(#[source] ServerError),
}

fn listed(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" (but for {})", others.join(", ")) }
}

impl CliError {
    /// Exit code of the program: 2 where its input is wrong, so that a supervisor need not try again,
    /// 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::NoSuchSite(_)
            | Self::NotASite(_)
            | Self::NotADirectory(_)
            | Self::NoSuchCommand(_)
            | Self::NotAValue { .. } => 2,
            _ => 1,
        }
    }

    /// What helps, where the cause alone does not tell.
    pub fn remedy(&self) -> Option<&'static str> {
        let Self::Start(error) = self else { return None };
        let first: &(dyn Error + 'static) = error;
        let causes = std::iter::successors(Some(first), |&cause| cause.source());
        let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        kinds.find_map(|kind| match kind {
            io::ErrorKind::AddrInUse => Some(
                "another program uses that port; stop it, or choose another port with --port N, \
                 HOTLOADER_SERVER__PORT or server.port (0 takes a free one)",
            ),
            io::ErrorKind::AddrNotAvailable => Some(
                "this machine has no such address; choose another with --host H, HOTLOADER_SERVER__HOST \
                 or server.host",
            ),
            _ => None,
        })
    }
}
