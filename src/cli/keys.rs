//! `lua-hotloader keys new`: who may publish to a fleet.

use std::{env, fs::DirBuilder, os::unix::fs::DirBuilderExt, path::PathBuf};

use clap::Subcommand;

use super::{CliError, say};
use crate::fleet::{KeyError, SecretKey};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a new key that only you may read, and print the line for fleet.trust of the servers
    New {
        /// The file to write; ~/.config/lua-hotloader/fleet.key if it is not given
        file: Option<PathBuf>,
    },
}

pub(super) fn run(args: Args) -> Result<(), CliError> {
    let Command::New { file } = args.command;
    new(file)
}

fn new(file: Option<PathBuf>) -> Result<(), CliError> {
    let file = match file {
        Some(file) => file,
        None => {
            let file = place()?;
            if let Some(dir) = file.parent() {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
                made.map_err(|source| CliError::Key(KeyError::Write { path: dir.to_owned(), source }))?;
            }
            file
        }
    };
    let key = SecretKey::generate().map_err(CliError::Key)?;
    key.write(&file).map_err(CliError::Key)?;
    eprintln!("{} signs releases now: keep it to yourself. For fleet.trust of each server:", file.display());
    // Alone on stdout, so that a script can take it.
    say(&key.public().to_string());
    Ok(())
}

/// Where a key is that nobody names.
pub(super) fn place() -> Result<PathBuf, CliError> {
    let of = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = of("XDG_CONFIG_HOME").or_else(|| Some(of("HOME")?.join(".config")));
    Ok(config.ok_or(CliError::NoKeyPlace)?.join("lua-hotloader/fleet.key"))
}
