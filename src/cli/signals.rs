//! SIGINT and SIGTERM: the first one stops the server, within a bounded time.

use std::{io, process, thread, time::Duration};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// From now on signals are taken; the receiver gets the first of them.
///
/// A second signal ends the process at once, with the exit code a shell gives (130 or 143). If the
/// process is still there `limit` after the first, it is ended then, with 0: it was asked to stop, and
/// did what it could. Both are done by a thread of its own with a runtime of its own, so that no stuck
/// task, worker or script can prevent them. A copy of the sample may then stay in the temporary directory.
pub(super) fn first(limit: Duration) -> io::Result<oneshot::Receiver<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let mut signals = Signals { interrupt, terminate };
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            signals.next().await;
            // Nobody listens if the server never came to serving; the limit holds all the same.
            let _ = tell.send(());
            let code = tokio::select! {
                code = signals.next() => code,
                () = tokio::time::sleep(limit) => {
                    tracing::warn!("stopping took longer than {limit:?}; ending without the rest");
                    0
                }
            };
            process::exit(code)
        })
    })?;
    Ok(told)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Waits for one; returns the exit code of a process that it kills.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, ChildStdout, Command, Stdio},
        time::Instant,
    };

    use rustix::process::{Pid, Signal as Kill, kill_process};

    use super::*;

    const TOLD: &str = "told, and not stopping";

    /// Not a test by itself: the process that the tests below start. It is stuck like a server with a script
    /// that cannot be interrupted.
    #[test]
    #[ignore = "a process for the tests beside it"]
    fn a_process_that_does_not_stop() {
        let limit = if std::env::var_os("SIGNALS_SHORT").is_some() { 300 } else { 60_000 };
        let told = first(Duration::from_millis(limit)).unwrap();
        println!("\nready");
        told.blocking_recv().unwrap();
        println!("{TOLD}");
        thread::sleep(Duration::from_secs(60));
    }

    fn stuck(short: bool) -> (Child, BufReader<ChildStdout>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "--ignored",
            "--nocapture",
            "cli::signals::tests::a_process_that_does_not_stop",
        ]);
        if short {
            command.env("SIGNALS_SHORT", "1");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        wait_for(&mut out, "ready");
        (child, out)
    }

    fn wait_for(out: &mut BufReader<ChildStdout>, wanted: &str) {
        assert!(out.lines().any(|line| line.unwrap() == wanted), "{wanted} was not printed");
    }

    fn kill(child: &Child, signal: Kill) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    #[test]
    fn a_process_that_cannot_stop_is_ended_at_the_limit_with_0() {
        let (mut child, _out) = stuck(true);
        let start = Instant::now();
        kill(&child, Kill::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(start.elapsed() >= Duration::from_millis(300), "not before the limit");
    }

    #[test]
    fn a_second_signal_ends_the_process_at_once_with_its_own_code() {
        for (signal, code) in [(Kill::INT, 130), (Kill::TERM, 143)] {
            let (mut child, mut out) = stuck(false);
            kill(&child, Kill::TERM);
            wait_for(&mut out, TOLD);
            kill(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }
}
