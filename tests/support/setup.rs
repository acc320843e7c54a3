//! What the whole program is tested with: a watch backend, or a file system that is changed from behind.
//!
//! Each test binary says so in `SETUP`; its tests are the same.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{daemon::Daemon, mounts::Mount};

/// A kind of setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary has one of them")]
pub(crate) enum Setup {
    /// Nothing said: `auto`, which is notify on a local disk.
    Auto,
    Polling,
    Watchman,
    /// The site is on a mount, and edited behind it; nothing said.
    Bindfs,
    /// The same by a protocol for networks.
    Sshfs,
}

/// What the sites of a setup stand on.
pub(crate) struct Ground {
    /// Where tests write.
    pub(crate) back: PathBuf,
    /// The same where the server reads.
    pub(crate) front: PathBuf,
    _mount: Option<Mount>,
    _keep: Option<tempfile::TempDir>,
}

impl Ground {
    /// Where what is needed is missing, it says so and ends the test, which is a process of its own.
    pub(crate) fn new() -> Self {
        let mount = match crate::SETUP {
            Setup::Bindfs => Mount::bindfs(),
            Setup::Sshfs => Mount::sshfs("cache=no,attr_timeout=0,entry_timeout=0,negative_timeout=0"),
            Setup::Auto | Setup::Polling | Setup::Watchman => {
                let keep = tempfile::tempdir().unwrap();
                let back = keep.path().to_owned();
                return Self { front: back.clone(), back, _mount: None, _keep: Some(keep) };
            }
        };
        let Some(mount) = mount else { std::process::exit(0) };
        Self { back: mount.back(), front: mount.front(), _mount: Some(mount), _keep: None }
    }

    /// Where the server finds what a test has written.
    pub(crate) fn in_front(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.back).map_or_else(|_| path.to_owned(), |inside| self.front.join(inside))
    }
}

/// What a server of this setup needs beside its site.
pub(crate) struct Equipment {
    _daemon: Option<Daemon>,
    pub(crate) flags: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Equipment {
    pub(crate) fn new() -> Self {
        let backend = |name: &str| vec!["--watch-backend".into(), name.into()];
        // What is tested is that changes are seen, not how long one can wait.
        let polling = vec![
            ("HOTLOADER_WATCH__POLLING__INTERVAL", "20ms".into()),
            ("HOTLOADER_WATCH__POLLING__IDLE_INTERVAL", "20ms".into()),
            ("HOTLOADER_WATCH__POLLING__MAX_CPU", "1".into()),
        ];
        match crate::SETUP {
            Setup::Auto => Self { _daemon: None, flags: Vec::new(), variables: Vec::new() },
            Setup::Polling => Self { _daemon: None, flags: backend("polling"), variables: polling },
            Setup::Bindfs | Setup::Sshfs => Self { _daemon: None, flags: Vec::new(), variables: polling },
            Setup::Watchman => {
                let Some(daemon) = Daemon::start() else { std::process::exit(0) };
                let sockname = ("HOTLOADER_WATCH__WATCHMAN__SOCKNAME", daemon.sock().into());
                Self { _daemon: Some(daemon), flags: backend("watchman"), variables: vec![sockname] }
            }
        }
    }
}
