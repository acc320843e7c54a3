//! The suite that every backend passes, on a daemon for each scenario.

mod harness;

use harness::{Daemon, WithDaemon};

hotloader_conformance::conformance_suite!(|| match Daemon::start() {
    Some(daemon) => Box::new(WithDaemon(daemon)),
    // There is nothing to test with, which was said.
    None => std::process::exit(0),
});
