//! What is wrong with a site, found without serving it: its files are read, compiled and run in one session, as
//! the server does it.

mod release;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    config::{Config, ConfigError, HubConfig, Origin},
    hub::{Hub, HubError},
    reload::{Diagnostic, HotLoader, Published},
    server::{layout, roots, session_settings},
    session::LuaSessions,
    watch,
};

pub use release::{Files, of_release};

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Lua files.
    pub files: usize,
    /// View templates.
    pub templates: usize,
    /// In the order in which they are found: links, syntax, the start, bindings.
    pub problems: Vec<Finding>,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What part of the site it is about.
    pub kind: Kind,
    /// As people know the file, relative to the site; empty if it is about no file.
    pub file: String,
    /// Counted from 1.
    pub line: Option<u32>,
    /// What is wrong, and what helps.
    pub message: String,
    /// The source around it, and the traceback: each line begins with a line break.
    #[serde(skip)]
    pub details: String,
}

/// What a [`Finding`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The configuration.
    Configuration,
    /// A link, or something else that cannot be read.
    Link,
    /// A file that does not compile, or a template that is none.
    Syntax,
    /// The main file fails.
    Start,
    /// A template asks for what there is not.
    Binding,
}

/// Why a site cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No store to run it with.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Its files cannot be read.
    #[error(transparent)]
    Watch(#[from] watch::WatchError),
    /// They cannot be compiled.
    #[error(transparent)]
    HotLoader(#[from] crate::reload::HotLoaderError),
    /// No threads to run Lua on.
    #[error("cannot start the threads that run Lua (session.threads)")]
    Threads(#[source] std::io::Error),
    /// No session can be made.
    #[error(transparent)]
    Session(#[from] crate::session::CreateError),
    /// The session ended while it was looked at.
    #[error(transparent)]
    Gone(#[from] crate::session::SessionGone),
}

impl Finding {
    fn new(kind: Kind, diagnostic: &Diagnostic) -> Self {
        let Diagnostic { file, line, message, .. } = diagnostic.clone();
        Self { kind, file, line, message, details: diagnostic.details() }
    }

    fn about(kind: Kind, file: impl Into<String>, line: Option<u32>, message: impl Into<String>) -> Self {
        Self { kind, file: file.into(), line, message: message.into(), details: String::new() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message, .. } = self;
        match line {
            _ if file.is_empty() => f.write_str(message),
            None => write!(f, "{file}: {message}"),
            Some(line) => write!(f, "{file}:{line}: {message}"),
        }
    }
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        // What keeps the main file from starting may be told of another file as well.
        let is_known = |known: &Finding| {
            (&known.file, known.line, &known.message) == (&finding.file, finding.line, &finding.message)
        };
        if !self.problems.iter().any(is_known) {
            self.problems.push(finding);
        }
    }
}

/// What is wrong with a configuration that cannot be used.
pub fn of_configuration(site: &Path, error: &ConfigError) -> Findings {
    let kind = Kind::Configuration;
    let finding = |(file, line, message): (Option<&Path>, usize, String)| {
        let line = u32::try_from(line).ok().filter(|&line| line > 0);
        Finding::about(kind, file.map(|file| below(site, file)).unwrap_or_default(), line, message)
    };
    let told = error.to_string();
    let problems = match error {
        ConfigError::Invalid(problems) => problems
            .iter()
            .map(|problem| {
                let told = problem.to_string();
                match &problem.origin {
                    Origin::File { path, line } => {
                        let place = format!("{}: ", problem.origin);
                        finding((Some(path), *line, told.strip_prefix(&place).unwrap_or(&told).to_owned()))
                    }
                    _ => finding((None, 0, told)),
                }
            })
            .collect(),
        ConfigError::Syntax { path, line, message, .. } => {
            vec![finding((Some(path), *line, format!("not valid TOML: {message}")))]
        }
        ConfigError::Missing { path } | ConfigError::Unreadable { path, .. } => {
            let place = format!("{}: ", path.display());
            vec![finding((Some(path), 0, told.strip_prefix(&place).unwrap_or(&told).to_owned()))]
        }
        ConfigError::Internal(_) => vec![finding((None, 0, told))],
    };
    Findings { problems, ..Findings::default() }
}

/// Looks at the site in a directory: reads and compiles all its files, begins a session and follows the paths of
/// its templates. The main file runs, within the budget of sessions.
///
/// # Errors
/// See [`CheckError`]: what is wrong with the site is no error.
pub async fn of_site(site: &Path, config: &Config) -> Result<Findings, CheckError> {
    let site = std::path::absolute(site).unwrap_or_else(|_| site.to_owned());
    let mut config = config.clone();
    // So the session knows which objects there are.
    config.lua.hotload = true;
    let mut found = Findings::default();
    let settings = config.watch_in(&site);
    let survey = watch::survey_once(&settings, roots(&site, &config)).await?;
    let viewdefs = site.join(&config.viewdefs.path);
    for (path, message) in survey.troubles {
        // A site works without templates.
        if path != viewdefs || path.exists() {
            found.add(Finding::about(Kind::Link, below(&site, &path), None, message));
        }
    }
    let published = Arc::new(Published::default());
    HotLoader::load(survey.changes, layout(&config), &published).await?;
    let generation = published.good();
    (found.files, found.templates) = (generation.files.len(), generation.viewdefs.len());
    generation.diagnostics().for_each(|error| found.add(Finding::new(Kind::Syntax, error)));

    // What the site writes while it is looked at is written nowhere.
    let hub = HubConfig { store: HubConfig::MEMORY.into(), ..config.hub.clone() };
    let hub = Hub::start(&site, &hub)?;
    let sessions =
        LuaSessions::start(session_settings(&config, published, hub)).map_err(CheckError::Threads)?;
    let session = sessions.create().await?;
    match session.start_error().await {
        Some(error) => found.add(Finding::new(Kind::Start, &error)),
        None => {
            let main = config.lua.path.join(&config.lua.main).display().to_string();
            for mut wrong in session.check(config.viewdefs.path.clone()).await? {
                if wrong.file.is_empty() {
                    wrong.file.clone_from(&main);
                }
                found.add(Finding::new(Kind::Binding, &wrong));
            }
        }
    }
    sessions.end_all();
    Ok(found)
}

/// A path as people know it.
fn below(site: &Path, path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    absolute.strip_prefix(site).unwrap_or(path).display().to_string()
}
