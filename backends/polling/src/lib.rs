//! The watch backend that looks at everything again and again: for file systems whose changes no
//! kernel reports (NFS, SMB, FUSE, folders shared with a container or a virtual machine).
//!
//! - `options`: the table `[watch.polling]`.
//! - `poller`: who looks at what and when; barriers, vitals. `mounts`: which file system a directory is on.
//!   `load`: how much of a processor that takes, and may take.
//! - `requests`: what a server is asked although the kernel remembers an answer, and how often.
//! - `hold`: what was found, until another look finds nothing more.
//! - `group`: the directories on one mount, as the poller sees them. `lane`: the thread that looks at them.
//! - `in_use`: what is in use. `glancer`: when to look at that, beside the passes. `glance`: a look at it.
//! - `in_flight`: how many requests are on their way at the same time.
//! - `pass`: a pass over them by several threads. `known`: what is known of one, and what follows from
//!   another look at it.
//! - `listing`: the entries of one directory, compared with those before. `clock`: what is looked at again.
//! - `key`: what tells two states of an entry apart; which errors mean that something is gone. `contents`:
//!   what files contain, as a part of the key.
//!
//! notify's own `PollWatcher` misses edits within a second, times that go back and files put back with
//! their old time (<https://github.com/notify-rs/notify/pull/981>), so this does not use it.
//!
//! Each mount has a thread of its own. A server that hangs holds up that thread and nothing else: after
//! two seconds its directories are reported as skipped, the others go on. Barriers are not passed until
//! it answers or is unmounted, which is how others learn of it.
//!
//! # What is compared
//!
//! Of each entry: kind, permissions, device, inode, size, mtime and ctime in nanoseconds, and where a link
//! leads; only ever for equality. What changed is looked at again as long as another write could leave
//! the same time stamps: 20 ms, or two seconds where stamps are whole seconds (ext2 with small inodes,
//! sftp). On FUSE and network file systems it is looked at again for 30 seconds, with growing gaps, since
//! attributes may arrive before content does. Of a directory, what matters in the one it is in is only
//! which it is (device, inode, time of birth): what it contains shows when it is looked into itself.
//! Nothing is asked of one that something is mounted on.
//!
//! Of a file system without time stamps, and of `/proc` and the like, that leaves size and inode. Those,
//! and file systems whose attributes lie, need `verify = "content"`: the first MiB of each file is read
//! at each pass.
//!
//! Of a network or FUSE file system the kernel remembers attributes, NFS for 3 to 60 seconds. There the server is
//! asked (`AT_STATX_FORCE_SYNC`), `max_requests` times in a second and of everything in turn. What a program remembers
//! beyond the kernel's reach stays remembered: sshfs keeps attributes for 20 seconds unless mounted with
//! `-o dcache_timeout=1` or so.

mod clock;
mod contents;
mod glance;
mod glancer;
mod group;
mod hold;
mod in_flight;
mod in_use;
mod key;
mod known;
mod lane;
mod listing;
mod load;
mod mounts;
mod options;
mod pass;
mod poller;
mod requests;

use std::{collections::BTreeMap, future::Future, pin::Pin, thread};

use hotloader_backend::{BackendFailure, BackendInputs, FileWatchBackend};
use serde_json::Value;
use tokio::{runtime, sync::oneshot};

use crate::{
    options::Options,
    poller::{Poller, panicked},
};

/// What the backend is called in the configuration.
pub const NAME: &str = "polling";

/// The backend.
#[derive(Debug)]
pub struct PollingBackend {
    options: Options,
}

impl PollingBackend {
    /// Takes the table `[watch.polling]`: `interval`, `idle_interval` (durations as text), `max_cpu` (share of one
    /// processor), `verify` (`"attributes"` or `"content"`), `sync` (`"auto"`, `"always"` or `"never"`) and
    /// `max_requests` (in a second).
    ///
    /// # Errors
    ///
    /// [`BackendFailure::Fatal`] for an unknown key or a value that is out of range.
    pub fn from_options(options: &BTreeMap<String, Value>) -> Result<Self, BackendFailure> {
        Ok(Self { options: Options::from_table(options)? })
    }
}

impl FileWatchBackend for PollingBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        Box::pin(run(self.options, inputs))
    }
}

/// Waits for the poller, which has a thread and a runtime of its own: its times must not depend on how busy
/// the server's runtime is, nor end before it does.
async fn run(options: Options, mut inputs: BackendInputs) -> Result<(), BackendFailure> {
    // Ends the poller as well when this future is dropped.
    inputs.stop = inputs.stop.child_token();
    let _guard = inputs.stop.clone().drop_guard();
    let failed = |error| BackendFailure::retry("cannot start a thread to poll on").because(error);
    let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (end, ended) = oneshot::channel();
    thread::Builder::new()
        .name("hotloader-poll".into())
        .spawn(move || {
            // Nobody may be waiting any more.
            let _ = end.send(runtime.block_on(Poller::new(options, inputs).run()));
        })
        .map_err(failed)?;
    ended.await.map_err(|_| panicked())?
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use hotloader_backend::{WatchPlan, spawn};
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn backend(interval: &str) -> Box<PollingBackend> {
        let options = BTreeMap::from([("interval".to_owned(), json!(interval))]);
        Box::new(PollingBackend::from_options(&options).unwrap())
    }

    #[tokio::test]
    async fn a_change_is_told_without_being_asked_for() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let (handle, mut stream) = spawn(backend("10ms"));
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        assert_eq!(stream.next().await.unwrap().armed.unwrap().revision, 1);
        fs::write(root.join("x"), "1").unwrap();
        let collected = stream.next().await.unwrap();
        assert!(collected.hints.covers(&root.join("x")) && !collected.hints.covers(&root.join("y")));
        handle.stop().await;
        while stream.next().await.is_some() {}
    }

    #[tokio::test]
    async fn barriers_and_plans_do_not_wait_for_the_interval() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let late = root.join("late");
        let (handle, mut stream) = spawn(backend("1h"));
        for (revision, dirs) in [(1, vec![&root]), (2, vec![&root, &late])] {
            handle.set_plan(WatchPlan::new(revision, dirs.into_iter().cloned()));
            while stream.next().await.unwrap().armed.is_none_or(|armed| armed.revision != revision) {}
        }
        fs::create_dir(&late).unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late));
        fs::write(late.join("x"), "1").unwrap();
        handle.barrier().await.unwrap();
        assert!(stream.take().unwrap().hints.covers(&late.join("x")));
        handle.stop().await;
    }

    #[tokio::test]
    async fn a_change_is_followed_by_another_look_at_once_so_that_what_is_saved_together_stays_together() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        let (handle, mut stream) = spawn(backend("1h"));
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        while stream.next().await.unwrap().armed.is_none() {}
        fs::write(root.join("x"), "1").unwrap();
        handle.barrier().await.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while handle.vitals().passes < 2 {
            assert!(std::time::Instant::now() < deadline, "nobody looks again");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        handle.stop().await;
    }

    #[tokio::test]
    async fn vitals_tell_the_interval_the_entries_and_the_passes() {
        let site = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(site.path()).unwrap();
        fs::write(root.join("x"), "1").unwrap();
        let (handle, mut stream) = spawn(backend("1h"));
        handle.set_plan(WatchPlan::new(1, [root]));
        while stream.next().await.unwrap().armed.is_none() {}
        assert_eq!(handle.vitals().passes, 0, "to list is not to pass");
        handle.barrier().await.unwrap();
        handle.barrier().await.unwrap();
        let vitals = handle.vitals();
        assert_eq!(vitals.detail, "every 1h, 1 entries");
        // What is young is looked at again, also without a barrier.
        assert!(vitals.passes >= 2, "{vitals:?}");
        assert!(vitals.cpu_share > 0.0 && !vitals.last_pass.is_zero(), "{vitals:?}");
        handle.stop().await;
    }

    #[tokio::test]
    async fn the_thread_ends_when_the_task_is_dropped() {
        let (plan, plan_inbox) = tokio::sync::watch::channel(Default::default());
        let (_barriers, barriers) = tokio::sync::mpsc::channel(1);
        let (reports, mut stream) = hotloader_backend::ReportSink::new();
        let stop = CancellationToken::new();
        let (vitals, _) = tokio::sync::watch::channel(Default::default());
        let inputs = BackendInputs { plan: plan_inbox, barriers, reports, vitals, stop: stop.clone() };
        let task = tokio::spawn(backend("1h").run(inputs));
        plan.send_replace(WatchPlan { revision: 1, ..WatchPlan::default() }.into());
        assert!(stream.next().await.unwrap().armed.is_some());
        task.abort();
        assert!(stream.next().await.is_none(), "its sink is gone");
    }
}
