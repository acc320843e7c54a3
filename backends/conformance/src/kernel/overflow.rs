//! A real overflow of the real queue: the process that has to empty it is stopped meanwhile.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use hotloader_backend::LostCause;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    child::child,
    site::{Backend, Site},
};

/// More than `fs.inotify.max_queued_events`, which is 16,384 by default.
fn more_than_fit() -> usize {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    limit.trim().parse::<usize>().unwrap() + 2000
}

/// Ends the child when the test does, however it does.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has the ignored test of that name watch in a child, which is stopped while more happens than its queue holds.
///
/// # Panics
///
/// When that is not found.
pub fn is_stopped_and_finds_all(test: &str) {
    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    for dir in ["noisy", "replaced"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    let mut command = child(&[], "exec \"$0\" \"$@\"", test);
    command.env("OVERFLOW_ROOT", &root).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut watcher = Ended(command.spawn().unwrap());
    let mut said = BufReader::new(watcher.0.stdout.take().unwrap()).lines();
    let mut wait_for = |word: &str| {
        for line in &mut said {
            let line = line.unwrap();
            if line.ends_with(word) {
                return;
            }
            assert!(!line.contains("FAILED"), "{line}");
        }
        panic!("it ended before it said: {word}");
    };
    wait_for("armed");
    let pid = Pid::from_raw(i32::try_from(watcher.0.id()).unwrap()).unwrap();
    crate::suspend(&watcher.0);
    for i in 0..more_than_fit() / 2 {
        // Two events that do not fold.
        let file = root.join(format!("noisy/{i}"));
        fs::write(&file, "").unwrap();
        fs::remove_file(&file).unwrap();
    }
    // All of this is behind what the queue holds.
    fs::create_dir(root.join("late")).unwrap();
    fs::remove_dir(root.join("replaced")).unwrap();
    fs::create_dir(root.join("replaced")).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    watcher.0.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    wait_for("all is well");
}

/// What the child does.
pub async fn watches_and_is_stopped(backend: Backend<'_>) {
    let root = PathBuf::from(std::env::var_os("OVERFLOW_ROOT").unwrap());
    let at = |path: &str| root.join(path);
    let mut site = Site::new(backend);
    // One that is to come is in the plan, as one that is lost with the overflow would be.
    site.arm(BTreeSet::from([root.clone(), at("noisy"), at("replaced"), at("late")])).await;
    println!("armed");
    std::io::stdin().lines().next().unwrap().unwrap();
    site.handle.barrier().await.unwrap();
    let collected = site.stream.take().unwrap();
    assert!(collected.hints.is_everywhere());
    assert_eq!(collected.lost[0].cause, LostCause::Overflow);
    for dir in ["late", "replaced", "noisy"] {
        let file = at(dir).join("x");
        fs::write(&file, "1").unwrap();
        assert!(site.hints().await.covers(&file), "{dir} is not watched");
        assert!(Path::new(&file).exists());
    }
    site.handle.stop().await;
    println!("all is well");
}
