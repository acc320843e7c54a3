//! `lua-hotloader console`: a prompt inside a session of a running server.

use std::{
    cell::RefCell,
    env, fs,
    io::{self, IsTerminal},
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use rustyline::{
    CompletionType, Context, Editor, Helper, completion::Completer, error::ReadlineError,
    highlight::Highlighter, hint::Hinter, history::FileHistory, validate::Validator,
};

use super::{CliError, ConsoleArgs, say};
use crate::{
    config::{self, Overrides, ServerConfig},
    control::{Answer, Client, Listed, Request, find},
    telemetry::printable,
    watch::Registry,
};

/// So many lines are kept from one time to the next.
const HISTORY: usize = 1000;

pub(super) fn run(args: &ConsoleArgs) -> Result<(), CliError> {
    let flags = Overrides { port: args.port, ..Overrides::default() };
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let config = config::load(dir, args.config.as_deref(), &flags, &Registry::with_builtin())
        .map_err(CliError::Config)?;
    let mut client = choose(find().map_err(|error| CliError::Console(error.into()))?, &config.server, args)?;
    let session = match client.ask(&Request::Sessions).map_err(CliError::Console)? {
        Answer::Sessions { sessions } => chosen(sessions, args.session.as_deref())?,
        other => return Err(CliError::Refused(format!("{other:?}"))),
    };
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        say(&format!(
            "session {} of http://{}/: an expression shows its value, `session:getApp()` is the application; \
             Tab completes, Ctrl-D ends",
            session.short, client.address
        ));
    }
    talk(Rc::new(RefCell::new(client)), session.id, is_terminal)
}

/// The server of this configuration; the only one, if no port was named and none of them is at that.
fn choose(mut found: Vec<Client>, server: &ServerConfig, args: &ConsoleArgs) -> Result<Client, CliError> {
    let is_meant = |client: &Client| {
        let host = server.host.parse::<IpAddr>().ok().filter(|host| !host.is_unspecified());
        client.address.port() == server.port && host.is_none_or(|host| host == client.address.ip())
    };
    if let Some(at) = found.iter().position(is_meant) {
        return Ok(found.swap_remove(at));
    }
    let others: Vec<_> = found.iter().map(|client| client.address.to_string()).collect();
    match found.pop() {
        Some(only) if found.is_empty() && args.port.is_none() => Ok(only),
        _ => Err(CliError::NoConsole { address: format!("{}:{}", server.host, server.port), others }),
    }
}

/// The session that was named, or the only one.
fn chosen(sessions: Vec<Listed>, named: Option<&str>) -> Result<Listed, CliError> {
    let fits = |session: &Listed| named.is_none_or(|start| session.id.starts_with(start));
    let mut fitting: Vec<_> = sessions.into_iter().filter(fits).collect();
    if fitting.len() == 1 {
        return Ok(fitting.remove(0));
    }
    let which = match named {
        Some(start) => format!(" that begins with {start}"),
        None => String::new(),
    };
    let list: Vec<_> = fitting
        .iter()
        .map(|session| format!("  {}  browsers: {}", session.short, session.browsers))
        .collect();
    Err(CliError::Refused(match list.is_empty() {
        true => format!("no session{which} runs; open the page first"),
        false => format!("{} sessions{which} run, so name one:\n{}", list.len(), list.join("\n")),
    }))
}

fn talk(client: Rc<RefCell<Client>>, session: String, is_terminal: bool) -> Result<(), CliError> {
    let failed = |error: ReadlineError| CliError::Prompt(Box::new(error));
    let config = rustyline::Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_err(failed)?
        .history_ignore_space(true)
        .build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Names { client: client.clone(), session: session.clone() }));
    let history = is_terminal.then(history_file).flatten();
    if let Some(file) = &history {
        // There is none before the first time.
        let _ = editor.load_history(file);
    }
    let (mut code, mut all_well) = (String::new(), true);
    loop {
        let line = match editor.readline(if code.is_empty() { "> " } else { ">> " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                code.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        code.push_str(&line);
        if code.trim().is_empty() {
            code.clear();
            continue;
        }
        let request = Request::Run { session: session.clone(), code: code.clone() };
        let (printed, told) = match client.borrow_mut().ask(&request).map_err(CliError::Console)? {
            Answer::Incomplete => {
                code.push('\n');
                continue;
            }
            Answer::Done { printed, values } => (printed, values),
            Answer::Failed { printed, error } => {
                all_well = false;
                (printed, error)
            }
            Answer::Refused { why } => return Err(CliError::Refused(why)),
            other => return Err(CliError::Refused(format!("{other:?}"))),
        };
        printed.lines().chain(told.lines()).for_each(|line| say(&printable(line)));
        // A line break would be taken for the end of the entry.
        let _ = editor.add_history_entry(code.replace('\n', " "));
        code.clear();
    }
    if let Some(file) = &history
        && let Err(error) = editor.save_history(file)
    {
        tracing::warn!(%error, "the history cannot be kept in {}", file.display());
    }
    match (is_terminal || all_well, code.is_empty()) {
        (true, true) => Ok(()),
        (_, false) => Err(CliError::Typed("the last statement has no end")),
        (false, true) => Err(CliError::Typed("some of it failed; see above")),
    }
}

/// In the user's own directory: what was typed may be private.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let dir = state.join("lua-hotloader");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).ok()?;
    Some(dir.join("console"))
}

/// Completes names by what there is in the session.
struct Names {
    client: Rc<RefCell<Client>>,
    session: String,
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let text = line.get(..at).unwrap_or(line).to_owned();
        let request = Request::Complete { session: self.session.clone(), text };
        Ok(match self.client.borrow_mut().ask(&request) {
            Ok(Answer::Names { start, names }) => (start, names),
            // The next line tells why.
            _ => (at, Vec::new()),
        })
    }
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}
impl Hinter for Names {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str) -> Listed {
        Listed { id: id.into(), short: id[..2].into(), browsers: 1 }
    }

    #[test]
    fn the_session_is_the_one_that_was_named_or_the_only_one() {
        let two = || vec![session("aa11"), session("ab22")];
        assert_eq!(chosen(two(), Some("ab")).unwrap().id, "ab22");
        assert_eq!(chosen(vec![session("aa11")], None).unwrap().id, "aa11");
        let told = |sessions, named| chosen(sessions, named).unwrap_err().to_string();
        assert!(told(two(), None).contains("2 sessions run, so name one:\n  aa  browsers: 1\n  ab"));
        assert!(told(two(), Some("a")).contains("2 sessions that begins with a"));
        assert!(told(two(), Some("ff")).contains("no session that begins with ff runs"));
    }
}
