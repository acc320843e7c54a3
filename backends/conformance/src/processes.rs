//! Processes that a test lets hang: daemons, servers of mounts.

use std::{
    fs,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// No process takes this long to stop, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Stops a process until it gets SIGCONT. When this returns, none of its threads does anything: one of them has
/// to run to take the signal and to stop the others, which on a busy machine answer meanwhile.
///
/// # Panics
///
/// When it is gone, or does not stop.
pub fn suspend(process: &Child) {
    kill_process(Pid::from_child(process), Signal::STOP).unwrap();
    // `PID (name) STATE ...`
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    };
    let begun = Instant::now();
    while !fs::read_dir(format!("/proc/{}/task", process.id())).unwrap().flatten().all(is_stopped) {
        assert!(begun.elapsed() < DEADLINE, "process {} does not stop", process.id());
        thread::sleep(Duration::from_millis(1));
    }
}
