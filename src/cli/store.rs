//! `lua-hotloader store`: what outlives sessions, for an operator.

use std::{
    fs,
    io::{self, IsTerminal, Read},
};

use super::{CliError, StoreArgs, StoreCommand, say, store_place::Place};
use crate::{
    config::HubConfig,
    hub::{Stored, check_stored},
    telemetry::printable,
};

/// In the place of a file's name.
const STDIN: &str = "standard input";

pub(super) fn run(args: &StoreArgs) -> Result<(), CliError> {
    let (mut store, limits) = Place::find(args)?;
    match &args.command {
        StoreCommand::Get { key } => match store.get(key)? {
            Some(stored) => print(&stored.value.to_string()),
            None => Err(CliError::NoSuchKey(key.clone())),
        },
        StoreCommand::Set { key, value, ttl } => {
            let text = if value == "-" { read_stdin()? } else { value.clone() };
            let ttl = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let stored = Stored { key: key.clone(), value: value_of(&text)?, ttl };
            check(&stored, &limits, key)?;
            let failed = store.set(vec![stored])?;
            refused(failed, |_| format!("{key:?}"))
        }
        StoreCommand::Delete { key } => {
            if store.get(key)?.is_none() {
                return Err(CliError::NoSuchKey(key.clone()));
            }
            let failed = store.delete(key)?;
            refused(failed, |_| format!("{key:?}"))
        }
        StoreCommand::List { prefix } => {
            match store.list(prefix, |stored| print(&format!("{}\t{}", stored.key, stored.value))) {
                // `head` has seen what it wants.
                Err(CliError::Output(gone)) if gone.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                listed => listed,
            }
        }
        StoreCommand::Export { prefix } => store.list(prefix, |stored| {
            let line = serde_json::to_string(&stored).map_err(|error| CliError::Output(error.into()))?;
            write_line(&line)
        }),
        StoreCommand::Import { file } => {
            let (place, text) = match file {
                Some(path) => (path.display().to_string(), fs::read_to_string(path)),
                None => (STDIN.to_owned(), io::read_to_string(io::stdin())),
            };
            let text = text.map_err(|source| CliError::Input { place: place.clone(), source })?;
            let (lines, entries) = entries(&place, &text, &limits)?;
            let count = entries.len();
            let failed = store.set(entries)?;
            let written = count - failed.len();
            refused(failed, |at| format!("{place}:{}: written are {written} of {count}", lines[at]))?;
            say(&format!("{written} keys written"));
            Ok(())
        }
    }
}

/// All lines are looked at before the first is written.
fn entries(place: &str, text: &str, limits: &HubConfig) -> Result<(Vec<usize>, Vec<Stored>), CliError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(at, line)| {
        let place = format!("{place}:{}", at + 1);
        let wrong = |error: serde_json::Error| CliError::NotAValue {
            place: place.clone(),
            why: format!("{error}; a line is such as {{\"key\":\"a\",\"value\":1}}"),
        };
        let stored: Stored = serde_json::from_str(line).map_err(wrong)?;
        check(&stored, limits, &place)?;
        Ok((at + 1, stored))
    });
    Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

/// A limit is told before a server refuses to read so much.
fn check(stored: &Stored, limits: &HubConfig, place: &str) -> Result<(), CliError> {
    check_stored(stored, limits)
        .map_err(|error| CliError::NotAValue { place: place.to_owned(), why: error.to_string() })
}

fn value_of(text: &str) -> Result<serde_json::Value, CliError> {
    let wrong = |error| CliError::NotAValue {
        place: text.chars().take(60).collect(),
        why: format!("no JSON: {error}; a text needs its quotes: '\"text\"'"),
    };
    serde_json::from_str(text).map_err(wrong)
}

fn read_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let failed = |source| CliError::Input { place: STDIN.to_owned(), source };
    io::stdin().read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn refused(failed: Vec<(usize, String)>, place: impl Fn(usize) -> String) -> Result<(), CliError> {
    match failed.into_iter().next() {
        Some((at, why)) => Err(CliError::NotStored { place: place(at), why }),
        None => Ok(()),
    }
}

/// For people and programs: a terminal gets nothing that would steer it.
fn print(line: &str) -> Result<(), CliError> {
    if io::stdout().is_terminal() { write_line(&printable(line)) } else { write_line(line) }
}

/// What cannot be written is an error: half of an export must not look like all of it.
fn write_line(line: &str) -> Result<(), CliError> {
    use io::Write as _;
    writeln!(io::stdout().lock(), "{line}").map_err(CliError::Output)
}
