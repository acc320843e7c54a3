//! What docs/operations.md and examples/ give to those who run a server. What of it can run here, runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

mod compose;
mod handover;
mod packaging;
mod proxies;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use hotloader_test_support::setup::Setup;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lua-hotloader");
const SETUP: Setup = Setup::auto(PROGRAM);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("lua")).unwrap();
    fs::write(site.path().join("lua/main.lua"), "session:createAppVariable({ type = 'App' })").unwrap();
    site
}

/// Debian keeps some programs where only root looks.
fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

/// Runs it to its end; nothing if it is not installed.
fn tool(name: &str, args: &[&str]) -> Option<Output> {
    let output = command(name).args(args).output().ok();
    if output.is_none() {
        missing(name);
    }
    output
}

fn missing(name: &str) {
    assert_ne!(std::env::var("CI").ok().as_deref(), Some("true"), "{name} is missing");
    eprintln!("SKIPPED: {name} is missing");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
