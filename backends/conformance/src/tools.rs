//! What several scenarios use.

use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Writes a file in place.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
}

/// Sets the permissions, as `chmod` does.
pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Sets the time of the last change to so many seconds since 1970.
pub(crate) fn set_time(path: &Path, seconds: u64) {
    set_exact_time(path, UNIX_EPOCH + Duration::from_secs(seconds));
}

/// Sets the time of the last change.
pub(crate) fn set_exact_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Runs a line of shell in a directory. `false`, with a word on stderr, if the program is missing.
pub(crate) fn sh(dir: &Path, program: &str, line: &str) -> bool {
    if !has(program) {
        eprintln!("SKIPPED: there is no {program} here, so this was not tried: {line}");
        return false;
    }
    let done = Command::new("sh").args(["-ec", line]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    true
}

fn has(program: &str) -> bool {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&dirs).any(|dir| dir.join(program).is_file())
}

/// Root opens what is closed to it. This thread, and those it starts, no longer do. For others than
/// root it does nothing.
pub(crate) fn stay_outside_of_closed_doors() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let doors = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        if let Ok(mut sets) = capabilities(None)
            && sets.effective.intersects(doors)
        {
            // Permitted ones stay: who needs to act as somebody else takes them back for a moment.
            sets.effective.remove(doors);
            set_capabilities(None, sets).unwrap();
        }
    }
}

/// Does something behind a closed door: as root does, or by opening and closing it.
pub(crate) fn behind_the_door(dir: &Path, act: impl FnOnce()) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let doors = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        let without = capabilities(None).unwrap();
        if without.permitted.contains(doors) {
            let mut with = without;
            with.effective.insert(doors);
            set_capabilities(None, with).unwrap();
            act();
            set_capabilities(None, without).unwrap();
            return;
        }
    }
    chmod(dir, 0o755);
    act();
    chmod(dir, 0);
}
