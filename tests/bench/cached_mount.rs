//! A directory seen through bindfs, whose answers the kernel remembers for a minute: a large tree behind a program,
//! as fast as that program is.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Fallible, MS, others::Kept};

const DEADLINE: Duration = Duration::from_secs(10);

/// Mounted until it is dropped.
pub(crate) struct CachedMount {
    pub(crate) front: PathBuf,
    server: Kept,
    _keep: tempfile::TempDir,
}

impl CachedMount {
    pub(crate) fn over(back: &Path) -> Fallible<Self> {
        let keep = tempfile::tempdir()?;
        let front = fs::canonicalize(keep.path())?;
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
        let before = device(&front)?;
        let server = Command::new("bindfs")
            .args(["-f", "-o", "attr_timeout=60,entry_timeout=60"])
            .arg(back)
            .arg(&front)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("bindfs does not start: {error}"))?;
        let mut mount = Self { front, server: Kept(server), _keep: keep };
        let began = Instant::now();
        while device(&mount.front)? == before {
            if mount.server.0.try_wait()?.is_some() || began.elapsed() > DEADLINE {
                return Err("bindfs mounts nothing here".into());
            }
            thread::sleep(10 * MS);
        }
        Ok(mount)
    }
}

impl Drop for CachedMount {
    fn drop(&mut self) {
        // It may not be mounted any more.
        let _ = Command::new("fusermount3").args(["-q", "-u", "-z"]).arg(&self.front).status();
    }
}
