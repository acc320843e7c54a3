//! How Watchman is, according to its own command. Nothing is started and no directory is added to what it
//! watches.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::doctor_report::Problem;
use crate::config::BackendOptions;

/// A daemon that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watchman on this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watchman {
    program: Program,
    /// Version of the command; `None` where there is none.
    command: Option<String>,
    daemon: Daemon,
}

/// Watchman's command, and the daemon it is to ask.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    binary: String,
    /// Where the daemon listens; `None`: where the command thinks.
    socket: Option<String>,
    /// Whether the server starts a daemon that does not run.
    spawns: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Daemon {
    Answers {
        version: String,
        socket: String,
        /// The roots it watches, for whatever program.
        roots: Vec<PathBuf>,
    },
    Hangs,
    DoesNotRun,
}

impl Watchman {
    /// As the table `[watch.watchman]` says.
    pub(super) fn ask(options: &BackendOptions) -> Self {
        let text = |key: &str| options.get(key).and_then(Value::as_str).map(String::from);
        Self::ask_by(Program {
            binary: text("binary").unwrap_or_else(|| "watchman".into()),
            socket: text("sockname"),
            spawns: options.get("spawn").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    fn ask_by(program: Program) -> Self {
        let command = match program.run(&["--version"]) {
            Ok(Some(output)) => Some(output.trim().to_owned()),
            Ok(None) => Some("which does not tell its version".into()),
            Err(_) => return Self { program, command: None, daemon: Daemon::DoesNotRun },
        };
        let daemon = match program.request(&["version"]) {
            Err(_) => Daemon::Hangs,
            Ok(Value::Null) => Daemon::DoesNotRun,
            Ok(answer) => {
                let text = |answer: &Value, key: &str| answer[key].as_str().unwrap_or("unknown").to_owned();
                let socket = program.request(&["get-sockname"]).unwrap_or_default();
                let roots = program.request(&["watch-list"]).unwrap_or_default();
                let roots = roots["roots"].as_array().into_iter().flatten();
                let roots = roots.filter_map(|root| root.as_str().map(PathBuf::from)).collect();
                Daemon::Answers {
                    version: text(&answer, "version"),
                    socket: text(&socket, "sockname"),
                    roots,
                }
            }
        };
        Self { program, command, daemon }
    }

    pub(super) fn rows(&self) -> Vec<[String; 2]> {
        let command = match &self.command {
            Some(version) => version.clone(),
            None => "not installed".into(),
        };
        let daemon = match &self.daemon {
            Daemon::Answers { version, socket, roots } => {
                format!("{version} answers at {socket}; directories watched, for anybody: {}", roots.len())
            }
            Daemon::Hangs => format!("does not answer within {PATIENCE:?}"),
            Daemon::DoesNotRun => "does not run".into(),
        };
        vec![["command".into(), command], ["daemon".into(), daemon]]
    }

    /// What is wrong with it, where it is wanted: for these directories. Where no configuration names it
    /// (`by_config`), a `.watchmanconfig` does, and then others may take its place.
    pub(super) fn problems(&self, wanted_for: &[PathBuf], by_config: bool) -> Vec<Problem> {
        if wanted_for.is_empty() {
            return Vec::new();
        }
        match (&self.command, &self.daemon) {
            (None, _) if by_config => vec![Problem::new(
                "Watchman is wanted and not installed",
                ["sudo apt-get install watchman", "or watch.backend = \"auto\""],
            )],
            (Some(_), Daemon::DoesNotRun) if by_config && !self.program.spawns => vec![Problem::new(
                "Watchman is wanted and its daemon does not run",
                ["watchman get-sockname   (starts it)", "or spawn = true in [watch.watchman]"],
            )],
            (_, Daemon::DoesNotRun) => Vec::new(),
            (_, Daemon::Hangs) => vec![Problem::new(
                format!("Watchman's daemon does not answer within {PATIENCE:?}"),
                [
                    "watchman shutdown-server",
                    "if that hangs too: kill -9 of its process; it is started when needed",
                ],
            )],
            (_, Daemon::Answers { roots, .. }) => {
                let is_wanted = |root: &&PathBuf| wanted_for.iter().any(|dir| dir.starts_with(root));
                roots.iter().filter(is_wanted).filter_map(|root| self.program.broken(root)).collect()
            }
        }
    }
}

impl Program {
    /// A root that the daemon lists and no longer answers for.
    fn broken(&self, root: &Path) -> Option<Problem> {
        let answer = self.request(&["clock", root.to_str()?]).ok()?;
        let error = answer["error"].as_str()?;
        let mut fixes = vec!["watchman shutdown-server   (it is started anew when needed)".to_owned()];
        if error.contains("inotify") {
            fixes.insert(0, "sudo sysctl -w fs.inotify.max_user_watches=524288".into());
        }
        Some(Problem { what: format!("Watchman cannot watch {}: {error}", root.display()), fixes })
    }

    /// Asks the daemon without starting one. `Null` where there is none; an error where it hangs.
    fn request(&self, command: &[&str]) -> io::Result<Value> {
        let mut args = vec!["--no-spawn", "--no-local", "--no-pretty"];
        args.extend(self.socket.iter().flat_map(|socket| ["--sockname", socket]));
        let output = self.run(&[&args, command].concat())?;
        Ok(output.and_then(|output| serde_json::from_str(&output).ok()).unwrap_or_default())
    }

    fn run(&self, args: &[&str]) -> io::Result<Option<String>> {
        run(&self.binary, args)
    }
}

/// What a command prints; `None` where that is nothing, and an error where it takes too long or is not
/// there.
fn run(program: &str, args: &[&str]) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let begun = Instant::now();
    // The answers are shorter than what a pipe takes, but for the list of roots: it is read meanwhile.
    let mut stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        stdout.as_mut().map_or(Ok(0), |stdout| stdout.read_to_end(&mut text)).map(|_| text)
    });
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            // Both can only fail if it has ended just now.
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    let text = reader.join().ok().and_then(Result::ok).unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn ask(binary: &str, more: &[(&str, Value)]) -> Watchman {
        let options = [("binary", binary.into())].into_iter().chain(more.iter().cloned());
        Watchman::ask(&options.map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A program in Watchman's place.
    fn asked(script: &str, options: &[(&str, Value)]) -> Watchman {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("watchman");
        let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 4.9.0 && exit\n{script}\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        // A child of another test, between fork and exec, may still have the file open for writing
        // (ETXTBSY).
        let mut tries = std::iter::repeat_with(|| ask(program.to_str().unwrap(), options)).take(100);
        tries.find(|watchman| watchman.command.is_some()).unwrap()
    }

    #[test]
    fn a_daemon_that_answers_is_told_with_its_socket() {
        let script = r#"case $4 in version) echo '{"version":"4.9.0"}';; get-sockname) echo '{"sockname":"/run/s"}';;
               *) echo '{"roots":["/a"]}';; esac"#;
        let watchman = asked(script, &[]);
        assert_eq!(watchman.rows()[1][1], "4.9.0 answers at /run/s; directories watched, for anybody: 1");
        assert_eq!(watchman.problems(&["/b".into()], true), []);
    }

    #[test]
    fn the_daemon_that_is_configured_is_asked() {
        let script = r#"[ "$4 $5" = "--sockname /s" ] && echo '{"version":"4.9.0"}'"#;
        assert_eq!(asked(script, &[]).daemon, Daemon::DoesNotRun);
        let watchman = asked(script, &[("sockname", "/s".into())]);
        assert!(matches!(watchman.daemon, Daemon::Answers { .. }));
    }

    #[test]
    fn a_daemon_that_does_not_run_is_a_problem_only_where_the_configuration_wants_it() {
        let watchman = asked("exit 1", &[]);
        let wanted = [PathBuf::from("/b")];
        assert_eq!(watchman.problems(&[], true), []);
        assert_eq!(watchman.problems(&wanted, false), [], "others take its place");
        assert!(watchman.problems(&wanted, true)[0].fixes[0].contains("watchman get-sockname"));
        let started = asked("exit 1", &[("spawn", true.into())]);
        assert_eq!(started.problems(&wanted, true), [], "the server starts it");
    }

    #[test]
    fn a_daemon_that_hangs_is_given_up_and_the_command_against_it_is_told() {
        let watchman = asked("exec sleep 60", &[]);
        assert_eq!(watchman.daemon, Daemon::Hangs);
        assert!(watchman.problems(&["/b".into()], false)[0].fixes[0].contains("watchman shutdown-server"));
    }

    #[test]
    fn where_there_is_no_watchman_that_is_said() {
        let watchman = ask("/no/such/watchman", &[]);
        assert_eq!(watchman.rows()[0][1], "not installed");
        assert!(watchman.problems(&["/b".into()], true)[0].what.contains("not installed"));
    }
}
