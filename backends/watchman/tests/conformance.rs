//! The suite that every backend passes, on a daemon for each scenario; but for what Watchman 4.9 cannot do.

mod harness;

use std::io::Write;

use harness::{Daemon, WithDaemon};
use hotloader_backend::FileWatchBackend;

/// Known limits of the daemon, which nothing on this side of its socket mends. The first is what the
/// server's own look at everything is for, the second its next backend.
const BEYOND_WATCHMAN: [(&str, &str); 2] = [
    // Its inotify mask (`/proc/PID/fdinfo`) is 0x4000fc6. Now and then it passes: the daemon may look at the
    // file for the sake of the write before only after the mapped one.
    ("e13_mapped_write", "it has the kernel tell no close, the only sign of a write through a mapping"),
    // Its log ends with the path, "is too big" and "Fatal error detected".
    ("n9_path_too_long_to_be_named", "the daemon aborts when a path longer than the system allows is made"),
];

fn daemon() -> Box<dyn FileWatchBackend> {
    match Daemon::start() {
        Some(daemon) => Box::new(WithDaemon(daemon)),
        // There is nothing to test with, which was said.
        None => std::process::exit(0),
    }
}

macro_rules! tests {
    ($backend:expr; $($topic:ident::$scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                let name = stringify!($scenario);
                if let Some((_, why)) = BEYOND_WATCHMAN.iter().find(|(beyond, _)| *beyond == name) {
                    // Not by a macro, whose output would be kept back.
                    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
                    return;
                }
                hotloader_conformance::run(hotloader_conformance::scenarios::$topic::$scenario, $backend);
            }
        )*
    };
}

hotloader_conformance::for_each_scenario!(tests, daemon);
hotloader_conformance::conformance_random!(daemon, hotloader_conformance::SEQUENCES;
    random_operations_1 0, random_operations_2 1, random_operations_3 2, random_operations_4 3);
