//! `lua-hotloader drain`: the sessions of a running server go on elsewhere, and it ends.

use std::path::Path;

use super::{CliError, DrainArgs, say};
use crate::control::{Answer, Request, of_site};

pub(super) fn run(args: &DrainArgs) -> Result<(), CliError> {
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let refused = |error: &dyn std::error::Error| CliError::Refused(error.to_string());
    let Some(mut server) = of_site(dir).map_err(|error| refused(&error))? else {
        return Err(CliError::Refused(format!(
            "no server of yours serves {}, or it has server.console = false: send it SIGTERM then, with server.drain set",
            dir.display()
        )));
    };
    let within = u64::try_from(args.within.as_millis()).unwrap_or(u64::MAX);
    match server.ask(&Request::Drain { within }).map_err(|error| refused(&error))? {
        Answer::Drained { sessions, stored } => {
            say(&format!("drained sessions={sessions} stored={stored}"));
            Ok(())
        }
        Answer::Refused { why } => Err(CliError::Refused(why)),
        _ => Err(CliError::Refused("the server answers in another way: is it another version?".into())),
    }
}
