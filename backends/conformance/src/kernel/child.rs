//! A test in a process of its own.

use std::{
    env,
    future::Future,
    process::{Command, Stdio},
};

/// The command that runs a test of this file that is ignored otherwise: `unshare` with these arguments,
/// if there are any, a line of shell, and there this binary as `"$0" "$@"`.
pub(super) fn child(unshare: &[&str], line: &str, test: &str) -> Command {
    let mut command = if unshare.is_empty() { Command::new("sh") } else { Command::new("unshare") };
    if !unshare.is_empty() {
        command.args(unshare).arg("sh");
    }
    command.args(["-c", line]).arg(env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test, "--nocapture"]).stdin(Stdio::null());
    command
}

/// Runs an ignored test of this file in a child, to its end, which must be a good one. `false`, with a word, if it could not begin. `line` is
/// a line of shell, with this binary as `"$0" "$@"`; `unshare` are arguments of unshare(1), if there are any.
///
/// # Panics
///
/// When it fails.
pub fn in_a_child(unshare: &[&str], line: &str, test: &str) -> bool {
    let Ok(run) = child(unshare, line, test).output() else {
        eprintln!("SKIPPED: cannot run unshare or sh");
        return false;
    };
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if !out.contains("running 1 test") {
        eprintln!("SKIPPED: this system does not allow `unshare {}` with `{line}`: {err}", unshare.join(" "));
        return false;
    }
    assert!(run.status.success(), "{out}{err}");
    true
}

/// Runs an ignored test where a limit of the user is low. Never of the machine: it is a namespace of its own.
///
/// # Panics
///
/// When it fails.
pub fn limited(limit: &str, value: u32, test: &str) -> bool {
    in_a_child(&["-Ur"], &format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" \"$@\""), test)
}

/// Runs a scenario to its end.
///
/// # Panics
///
/// When it does.
pub fn run(scenario: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scenario);
}
