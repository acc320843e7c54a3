//! The watch backend on the `notify` crate: inotify on Linux, FSEvents on macOS, kqueue on the BSDs.
//!
//! - `watches`: which directories are watched, made to be what the plan says.
//!
//! The crate's recursive mode and its following of links are off: the recursive mode loses the files of a
//! `mkdir -p` that come before the watch of their directory. So each directory of the plan is watched by itself, and
//! listed when it is.

mod watches;

use std::{collections::BTreeMap, future::Future, pin::Pin};

use hotloader_backend::{BackendFailure, BackendInputs, FileWatchBackend};

use crate::watches::NotifyWatches;

/// What the backend is called in the configuration.
pub const NAME: &str = "notify";

/// The backend. It has no options.
#[derive(Debug)]
pub struct NotifyBackend(());

impl NotifyBackend {
    /// Takes the table `[watch.notify]`.
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for any key, since there are none yet.
    pub fn from_options<V>(options: &BTreeMap<String, V>) -> Result<Self, BackendFailure> {
        match options.keys().next() {
            None => Ok(Self(())),
            Some(key) => Err(BackendFailure::fatal(format!(
                "watch.notify.{key}: the notify backend has no options; remove the key"
            ))),
        }
    }
}

impl FileWatchBackend for NotifyBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(hotloader_kernel::run::<NotifyWatches>(inputs))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use hotloader_backend::{FailureClass, Phase, WatchPlan, spawn};

    use super::*;

    fn backend() -> Box<NotifyBackend> {
        Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
    }

    #[test]
    fn an_unknown_option_is_fatal_and_named() {
        let failure = NotifyBackend::from_options(&BTreeMap::from([("interval".to_owned(), 1)])).unwrap_err();
        assert_eq!(failure.class(), FailureClass::Fatal);
        assert!(failure.to_string().contains("watch.notify.interval"), "{failure}");
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
