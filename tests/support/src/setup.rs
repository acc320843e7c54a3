//! [`Setup`]: the program, and what it is tested with: a watch backend, or a file system that is changed from
//! behind.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{daemon::Daemon, mounts::Mount};

/// The program under test, and what it is tested with.
///
/// Only the tests of the program's own package know where Cargo puts it, so each has a constant:
/// `Setup::auto(env!("CARGO_BIN_EXE_lua-hotloader"))`.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    program: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Auto,
    Polling,
    Watchman,
    Bindfs,
    Sshfs,
}

impl Setup {
    /// No backend is named: `auto`, which is inotify on a local disk.
    #[must_use]
    pub const fn auto(program: &'static str) -> Self {
        Self { program, kind: Kind::Auto }
    }

    /// The polling backend, every 20 ms.
    #[must_use]
    pub const fn polling(program: &'static str) -> Self {
        Self { program, kind: Kind::Polling }
    }

    /// Watchman, each server with a daemon of its own.
    #[must_use]
    pub const fn watchman(program: &'static str) -> Self {
        Self { program, kind: Kind::Watchman }
    }

    /// A FUSE mount that is edited behind it. No backend is named.
    #[must_use]
    pub const fn bindfs(program: &'static str) -> Self {
        Self { program, kind: Kind::Bindfs }
    }

    /// A mount of a network protocol that is edited on the other side. No backend is named.
    #[must_use]
    pub const fn sshfs(program: &'static str) -> Self {
        Self { program, kind: Kind::Sshfs }
    }

    /// The program, out of reach of the environment of whoever runs the tests.
    #[must_use]
    pub fn command(self) -> Command {
        let mut command = Command::new(self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOTLOADER_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        command
    }
}

/// What the sites of a setup stand on.
pub(crate) struct Ground {
    /// Where tests write.
    pub(crate) back: PathBuf,
    /// Where the server reads.
    front: PathBuf,
    _mount: Option<Mount>,
    _keep: Option<tempfile::TempDir>,
}

impl Ground {
    /// If a program is missing, says so and ends the test, which is a process of its own.
    pub(crate) fn new(setup: Setup) -> Self {
        let mount = match setup.kind {
            Kind::Bindfs => Mount::bindfs(),
            Kind::Sshfs => Mount::sshfs("cache=no,attr_timeout=0,entry_timeout=0,negative_timeout=0"),
            Kind::Auto | Kind::Polling | Kind::Watchman => {
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

/// What a server of a setup needs beside its site.
pub(crate) struct Equipment {
    _daemon: Option<Daemon>,
    pub(crate) flags: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Equipment {
    pub(crate) fn new(setup: Setup) -> Self {
        let backend = |name: &str| vec!["--watch-backend".into(), name.into()];
        // The tests are about whether changes are seen, not about how soon.
        let polling = vec![
            ("HOTLOADER_WATCH__POLLING__INTERVAL", "20ms".into()),
            ("HOTLOADER_WATCH__POLLING__IDLE_INTERVAL", "20ms".into()),
            ("HOTLOADER_WATCH__POLLING__MAX_CPU", "1".into()),
        ];
        match setup.kind {
            Kind::Auto => Self { _daemon: None, flags: Vec::new(), variables: Vec::new() },
            Kind::Polling => Self { _daemon: None, flags: backend("polling"), variables: polling },
            Kind::Bindfs | Kind::Sshfs => Self { _daemon: None, flags: Vec::new(), variables: polling },
            Kind::Watchman => {
                let Some(daemon) = Daemon::start() else { std::process::exit(0) };
                let sockname = ("HOTLOADER_WATCH__WATCHMAN__SOCKNAME", daemon.sock().into());
                let no_spawn = ("HOTLOADER_WATCH__WATCHMAN__SPAWN", "false".into());
                Self {
                    _daemon: Some(daemon),
                    flags: backend("watchman"),
                    variables: vec![sockname, no_spawn],
                }
            }
        }
    }
}
