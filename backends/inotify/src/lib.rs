//! The watch backend that asks Linux directly: inotify.
//!
//! - `watches`: which directories are watched, made to be what the plan says.
//! - `queue`: the thread that empties the kernel's queue. `table`: which watch is for which paths.
//!
//! The backend `notify` does this as well, on the crate of that name, on every Unix; all tests of the two are the same
//! and pass. This one is there since `watch.backend = "auto"` would lose something without it. Measured side by side
//! (two processors, notify 9.0.0-rc.7; `tests/measure.rs` and `cargo bench --bench watch`):
//!
//! | | inotify | notify |
//! |---|---|---|
//! | 10,101 directories are watched after | 27 ms | 77 ms |
//! | they are given up after | 29 ms | 6.5 s |
//! | 5,101 directories are removed; the barrier behind that | 15 ms | 1.0 to 1.2 s |
//! | they come again; the barrier behind that | 16 ms | 34 ms |
//! | memory of the whole watcher, 100,000 files in 10,000 directories | 23 MB | 26 MB |
//! | from a save to its change set, beyond `watch.quiet` | 0.5 to 0.7 ms | 0.4 to 0.6 ms |
//! | what is mounted over a directory is noticed | at once | at the next barrier: within 10 s |
//! | a barrier needs | a watch | a watch, and a directory to write to |
//!
//! Giving up one watch, the crate goes through all of them. A branch that is switched in a large repository does that
//! to thousands.

#![cfg(target_os = "linux")]

mod queue;
mod table;
mod watches;

use std::{collections::BTreeMap, future::Future, pin::Pin};

use hotloader_backend::{BackendFailure, BackendInputs, FileWatchBackend};

use crate::watches::InotifyWatches;

/// What the backend is called in the configuration.
pub const NAME: &str = "inotify";

/// The backend. It has no options.
#[derive(Debug)]
pub struct InotifyBackend(());

impl InotifyBackend {
    /// Takes the table `[watch.inotify]`.
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for any key, since there are none yet.
    pub fn from_options<V>(options: &BTreeMap<String, V>) -> Result<Self, BackendFailure> {
        match options.keys().next() {
            None => Ok(Self(())),
            Some(key) => Err(BackendFailure::fatal(format!(
                "watch.inotify.{key}: the inotify backend has no options; remove the key"
            ))),
        }
    }
}

impl FileWatchBackend for InotifyBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(hotloader_kernel::run::<InotifyWatches>(inputs))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use hotloader_backend::{FailureClass, Phase, WatchPlan, spawn};

    use super::*;

    fn backend() -> Box<InotifyBackend> {
        Box::new(InotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
    }

    #[test]
    fn an_unknown_option_is_fatal_and_named() {
        let failure =
            InotifyBackend::from_options(&BTreeMap::from([("interval".to_owned(), 1)])).unwrap_err();
        assert_eq!(failure.class(), FailureClass::Fatal);
        assert!(failure.to_string().contains("watch.inotify.interval"), "{failure}");
    }

    #[tokio::test]
    async fn an_open_writer_is_told_from_a_closed_one_and_reading_is_not_told() {
        use std::io::Write;
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let path = root.join("x");
        fs::write(&path, "old").unwrap();
        let (handle, mut stream) = spawn(backend());
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        while stream.next().await.unwrap().armed.is_none() {}
        let mut file = File::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.any_writing());
        drop(file);
        handle.barrier().await.unwrap();
        let collected = stream.take().unwrap();
        assert_eq!(Vec::from_iter(collected.hints.iter()), [(path.as_path(), Phase::Closed)]);
        fs::read(&path).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().is_none());
        handle.stop().await;
    }
}
