//! Who has a file open for writing: what `/proc` tells of the processes that one may look into.
//!
//! Those of other users and of other machines are not seen, and where there is no `/proc`, nobody is.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The link of a descriptor has the permissions that the file was opened with.
const WRITE: u32 = 0o200;

/// The search ends when it has had a processor for so long, found or not: a save waits for it. It takes 0.3 ms
/// among 80 processes. Time in which others have the processor does not count, or a busy machine would have
/// half-written files taken for finished ones.
const SEARCH: Duration = Duration::from_millis(20);

/// Those of some real files that a process has open for writing. No file system is asked but `/proc`.
pub(crate) fn open_for_writing<'a>(files: &BTreeSet<&'a Path>) -> BTreeSet<&'a Path> {
    let mut open = BTreeSet::new();
    if files.is_empty() {
        return open;
    }
    let begun = processor_time();
    for process in processes() {
        for descriptor in entries(&Path::new("/proc").join(process.to_string()).join("fd")) {
            if open.len() == files.len() || processor_time().saturating_sub(begun) > SEARCH {
                return open;
            }
            let Ok(target) = fs::read_link(&descriptor) else { continue };
            if let Some(file) = files.get(target.as_path())
                && fs::symlink_metadata(&descriptor).is_ok_and(|link| link.permissions().mode() & WRITE != 0)
            {
                open.insert(*file);
            }
        }
    }
    open
}

/// How long this thread has had a processor so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Those with the highest numbers first: most that write a file began lately.
fn processes() -> Vec<u32> {
    let number = |process: PathBuf| process.file_name()?.to_str()?.parse().ok();
    let mut processes: Vec<u32> = entries(Path::new("/proc")).filter_map(number).collect();
    processes.sort_unstable_by_key(|&number| Reverse(number));
    processes
}

/// What is in a directory, as far as it can be seen: processes come and go.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_open_for_writing_until_its_writer_closes_it_and_a_reader_is_none() {
        let keep = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        let (x, y) = (base.join("x"), base.join("y"));
        let open = || open_for_writing(&BTreeSet::from([x.as_path(), y.as_path()]));
        let writer = File::create(&x).unwrap();
        fs::write(&y, "").unwrap();
        let _reader = File::open(&y).unwrap();
        assert_eq!(open(), BTreeSet::from([x.as_path()]));
        drop(writer);
        assert!(open().is_empty());
    }
}
