//! The backend that `docs/writing-a-backend.md` shows passes the suite, and is as short as it says.

#![allow(clippy::unwrap_used, reason = "a test ends where its helpers cannot go on")]

#[path = "../examples/minimal_backend.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod minimal_backend;

use std::time::Duration;

use minimal_backend::MinimalBackend;

hotloader_conformance::conformance_suite!(|| {
    Box::new(MinimalBackend { interval: Duration::from_millis(20) })
});

#[test]
fn the_backend_takes_less_than_100_lines() {
    let source = include_str!("../examples/minimal_backend.rs");
    let (backend, _) = source.split_once("#[tokio::main]").unwrap();
    let code = backend.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    assert!(code.count() < 100);
}
