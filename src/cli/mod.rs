//! The command line: arguments to commands.
//!
//! | module | holds |
//! |---|---|
//! | `serve` | `lua-hotloader serve`: one server from its start to its end |
//! | `config_file` | its configuration file while it runs |
//! | `check` | `lua-hotloader check`: what is wrong with a site |
//! | `new` | `lua-hotloader new`: a site to begin with |
//! | `console` | `lua-hotloader console`: code that is typed into a session |
//! | `store` | `lua-hotloader store`: what outlives sessions, of a site that runs or does not; `store_place`: which of them |
//! | `restart` | `lua-hotloader restart`: sessions of a running server begin anew |
//! | `watch` | `lua-hotloader watch`: what the server would see; `watch_lines`: how it is printed |
//! | `doctor` | `lua-hotloader doctor`: what decides whether changes are noticed, and what mends it |
//! | `doctor_places`, `doctor_limits`, `doctor_watchman`, `doctor_report` | its parts: file systems and backends; limits; Watchman; how it is printed |
//! | `publish` | `lua-hotloader publish`: a site to the servers of a fleet; `publish_lines`: how it is told |
//! | `fleet` | `lua-hotloader fleet`: what its servers run, and what is under way |
//! | `keys` | `lua-hotloader keys new`: who may publish to a fleet |
//! | `manual` | `lua-hotloader completions`, `lua-hotloader man`: made of the definitions here |
//! | `site` | which directory is served: the one named, the current one, or a copy of the sample |
//! | `sample` | the sample site inside this program |
//! | `signals` | SIGINT and SIGTERM, and the bound on how long stopping may take |
//! | `error` | [`CliError`], with exit code and remedy |

mod check;
mod config_file;
mod console;
mod doctor;
mod doctor_limits;
mod doctor_places;
mod doctor_report;
mod doctor_watchman;
mod drain;
mod error;
mod fleet;
mod keys;
mod manual;
mod new;
mod publish;
mod publish_lines;
mod restart;
mod sample;
mod serve;
mod signals;
mod site;
mod store;
mod store_place;
mod watch;
mod watch_lines;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Overrides;

pub use error::CliError;

/// Hot-reload server for Lua: save a file, every live session runs it and keeps its state.
#[derive(Debug, Parser)]
#[command(name = "lua-hotloader", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a site: DIR, else the current directory if it has lua/main.lua, else a built-in sample
    Serve(ServeArgs),
    /// Write the sample site into a new directory, to edit
    New(NewArgs),
    /// Look for what is wrong with a site without serving it: syntax, templates and their paths, links, configuration
    Check(CheckArgs),
    /// Print what the server would see change in a directory, without the server
    Watch(WatchArgs),
    /// Let sessions of the server on this machine begin anew; it has to run with --hotload
    Restart(RestartArgs),
    /// Hand the sessions of a running server on to others, or to its next start, and end it
    Drain(DrainArgs),
    /// Type Lua code into a session of a running server
    Console(ConsoleArgs),
    /// Read and write what outlives sessions, while the site is served or not
    Store(StoreArgs),
    /// Publish a site to the servers of a fleet, and tell what they make of it
    Publish(publish::Args),
    /// Look at the servers of a fleet, and stop, go on with or undo what is under way
    Fleet(fleet::Args),
    /// Make keys, by which servers of a fleet know who may publish
    Keys(keys::Args),
    /// Print what a shell needs to complete commands and options
    Completions(CompletionsArgs),
    /// Print the manual page, or that of a command, as man reads it
    Man(ManArgs),
    /// Tell what decides whether changes are noticed here, and for all that is wrong the command that mends it
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Directory of the site
    #[arg(value_name = "DIR")]
    site: Option<PathBuf>,
    /// Directory of the site, as an option
    #[arg(long, value_name = "DIR", conflicts_with = "site")]
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [server.host]
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [server.port]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Reload what is saved, and serve the debug pages [lua.hotload, server.debug_pages]
    #[arg(long)]
    hotload: bool,
    /// Directory of the Lua files, relative to the site [lua.path]
    #[arg(long, value_name = "P")]
    lua_path: Option<String>,
    /// How changes are noticed [watch.backend]
    #[arg(long, value_name = "NAME")]
    watch_backend: Option<String>,
    /// Site of a fleet: its code comes as releases, and not from DIR, whose configuration counts [fleet.site]
    #[arg(long = "site", value_name = "NAME")]
    fleet_site: Option<String>,
    /// How a log line looks: pretty or json [logging.format]
    #[arg(long, value_name = "FORMAT", value_parser = ["pretty", "json"])]
    log_format: Option<String>,
    /// Log more; up to -vvvv [logging.verbosity]
    #[arg(short, action = clap::ArgAction::Count)]
    verbosity: u8,
}

#[derive(Debug, Args)]
struct NewArgs {
    /// Directory to write into; it is made if it does not exist, and must be empty if it does
    dir: PathBuf,
    /// What it begins as
    #[arg(long, value_enum, default_value_t)]
    template: sample::Template,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Directory of the site; the current one if it is not given
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object: files, templates, ms, and problems, each with kind, file, line and message
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// Directory to watch; it may be a link, and need not exist yet
    path: PathBuf,
    /// Configuration file, of which [watch] and [logging] count, in place of config/config.toml in PATH
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How changes are noticed [watch.backend]
    #[arg(long, value_name = "NAME")]
    watch_backend: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Log more; up to -vvvv [logging.verbosity]
    #[arg(short, action = clap::ArgAction::Count)]
    verbosity: u8,
}

#[derive(Debug, Args)]
struct DrainArgs {
    /// Directory of the site that the server serves; the current one if it is not given
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    within: std::time::Duration,
}

#[derive(Debug, Args)]
struct RestartArgs {
    /// A session, by its id in the address or the short one in the log
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = session_id)]
    session: Option<String>,
    /// All sessions
    #[arg(long)]
    all: bool,
    /// Directory of the site, whose configuration says where the server listens; the current one if it is not given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port the server listens on [server.port]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

/// The id of a session, or the beginning of one.
fn session_id(text: &str) -> Result<String, &'static str> {
    let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err("not the id of a session: hexadecimal digits") }
}

#[derive(Debug, Args)]
struct ConsoleArgs {
    /// A session, by its id in the address or the short one in the log; the only one if it is not given
    #[arg(value_parser = session_id)]
    session: Option<String>,
    /// Directory of the site, whose configuration says where the server listens; the current one if it is not given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port the server listens on [server.port]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

#[derive(Debug, Args)]
struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
    /// Directory of the site; the current one if it is not given
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml of the site
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Print the value of a key, as JSON; exit code 1 if there is none
    Get {
        /// The key
        key: String,
    },
    /// Write a value; every page that has read it shows it
    Set {
        /// The key
        key: String,
        /// The value, as JSON, such as 7, true, '"text"' or '{"yes": 3}'; - reads it from standard input
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// After so long the key is gone by itself, such as 30s or 12h
        #[arg(long, value_name = "TIME", value_parser = ttl)]
        ttl: Option<Duration>,
    },
    /// Delete a key; exit code 1 if there is none
    Delete {
        /// The key
        key: String,
    },
    /// Print keys and their values, a line each with a tab between
    List {
        /// Only keys that begin so
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print all of it at one moment, one JSON object a line, with the milliseconds that a key has left
    Export {
        /// Only keys that begin so
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Write what export has printed; other keys stay
    Import {
        /// A file; standard input if it is not given
        file: Option<PathBuf>,
    },
}

/// How long a key is there.
fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl.as_millis() > 0 => Ok(ttl),
        Ok(_) => Err("at least 1ms".to_owned()),
        Err(error) => Err(format!("{error}; a duration is such as 30s or 12h")),
    }
}

#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Args)]
struct ManArgs {
    /// A command, such as serve
    command: Option<String>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Directory of a site, or any other; the current one if it is not given
    path: Option<PathBuf>,
    /// Configuration file, in place of config/config.toml in PATH
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what the arguments ask for; `serve` and `watch` return when they were stopped.
///
/// # Errors
///
/// [`CliError`], which knows the exit code.
pub fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::New(args) => new::run(&args.dir, args.template),
        Command::Check(args) => check::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Restart(args) => restart::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Console(args) => console::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::Completions(args) => manual::completions(args.shell),
        Command::Man(args) => manual::page(args.command.as_deref()),
        Command::Doctor(args) => doctor::run(&args),
    }
}

impl ServeArgs {
    fn dir(&self) -> Option<&Path> {
        self.site.as_deref().or(self.dir.as_deref())
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            host: self.host.clone(),
            port: self.port,
            hotload: self.hotload,
            lua_path: self.lua_path.clone(),
            watch_backend: self.watch_backend.clone(),
            fleet_site: self.fleet_site.clone(),
            log_format: self.log_format.clone(),
            verbosity: self.verbosity,
        }
    }
}

/// Writes a line to stdout, at once. A reader that went away is no reason to stop serving.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::debug!("stdout is gone: {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn serve(args: &[&str]) -> ServeArgs {
        let cli = Cli::try_parse_from([&["lua-hotloader", "serve"], args].concat()).unwrap();
        let Command::Serve(args) = cli.command else { panic!("not serve") };
        args
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_reaches_the_configuration() {
        let args = serve(&[
            "--dir",
            "d",
            "--config",
            "c.toml",
            "--host",
            "::1",
            "--port",
            "0",
            "--hotload",
            "--lua-path",
            "src",
            "--watch-backend",
            "notify",
            "--site",
            "shop",
            "--log-format",
            "json",
            "-vvvv",
        ]);
        assert_eq!((args.dir.clone(), args.config.clone()), (Some("d".into()), Some("c.toml".into())));
        assert_eq!(
            args.overrides(),
            Overrides {
                host: Some("::1".into()),
                port: Some(0),
                hotload: true,
                lua_path: Some("src".into()),
                watch_backend: Some("notify".into()),
                fleet_site: Some("shop".into()),
                log_format: Some("json".into()),
                verbosity: 4,
            }
        );
    }

    #[test]
    fn the_site_is_named_with_an_option_or_without() {
        for args in [&["d"][..], &["--dir", "d"], &["--hotload", "d"]] {
            assert_eq!(serve(args).dir(), Some(Path::new("d")), "{args:?}");
        }
        assert!(Cli::try_parse_from(["lua-hotloader", "serve", "d", "--dir", "e"]).is_err());
    }

    #[test]
    fn without_flags_nothing_is_overridden() {
        assert_eq!(serve(&[]).overrides(), Overrides::default());
    }
}
