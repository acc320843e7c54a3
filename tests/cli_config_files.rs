//! The configuration files that are shipped for file systems and trees of a kind: each is right to its last
//! key, those that only a backend checks as well.

#![allow(clippy::unwrap_used, reason = "a test ends where its helpers cannot go on")]

use std::{fs, path::Path};

use hotloader_polling::PollingBackend;
use hotloader_watchman::WatchmanBackend;
use lua_hotloader::config::{WatchConfig, load_str};

fn shipped(name: &str) -> WatchConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let watch = load_str(&path, &text, &["notify", "polling", "watchman"]).unwrap().watch;
    PollingBackend::from_options(watch.options("polling")).unwrap();
    WatchmanBackend::from_options(watch.options("watchman")).unwrap();
    watch
}

#[test]
fn a_network_file_system_is_polled_gently() {
    let watch = shipped("network-filesystem.toml");
    assert_eq!(watch.backend.names(), ["polling"]);
    assert!(watch.quiet > WatchConfig::default().quiet && !watch.options("polling").is_empty());
}

#[test]
fn in_a_large_repository_watchman_is_taken_first_and_what_nobody_wants_is_left_out() {
    let watch = shipped("monorepo.toml");
    assert_eq!(watch.backend.names(), ["watchman", "notify", "polling"]);
    // A list is replaced as a whole.
    let default = WatchConfig::default().ignore;
    assert!(default.iter().all(|name| watch.ignore.contains(name)) && watch.ignore.len() > default.len());
}
