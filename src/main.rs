//! The program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use lua_hotloader::cli::{self, Cli};

fn main() -> ExitCode {
    let Err(error) = cli::run(Cli::parse()) else { return ExitCode::SUCCESS };
    let (code, remedy) = (error.exit_code(), error.remedy());
    eprintln!("lua-hotloader: {:#}", anyhow::Error::new(error));
    if let Some(remedy) = remedy {
        eprintln!("{remedy}");
    }
    ExitCode::from(code)
}
