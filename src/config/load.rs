//! From the layers to one [`Config`]: defaults, then the file, then the environment, then flags.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    fs, io,
    path::Path,
};

use figment::{Figment, error::Kind as Fault, providers::Serialized, value::Value};

use super::{
    Backends, Config, ConfigError, Origin, Overrides, Problem, Reason,
    backends::refused_options,
    check, environment, file, flags,
    schema::{Kind, Schema},
    setting::{Setting, shown},
};

/// The configuration file of a site, below its directory.
pub const FILE: &str = "config/config.toml";

/// The configuration of the site in directory `site`.
///
/// The file is `file`, which must exist then, or else [`FILE`] below `site`, if it is there. `backends`
/// are those that `watch.backend` may name; each checks its options.
///
/// # Errors
///
/// [`ConfigError`]; all wrong keys and values of all layers are told at once.
pub fn load(
    site: &Path,
    file: Option<&Path>,
    flags: &Overrides,
    backends: &dyn Backends,
) -> Result<Config, ConfigError> {
    // "./" only makes messages longer.
    let path = file.map_or_else(|| site.strip_prefix(".").unwrap_or(site).join(FILE), Path::to_owned);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // Without a file the other layers are enough, but one that was asked for has to be there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => String::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ConfigError::Missing { path }),
        Err(reason) => return Err(ConfigError::Unreadable { path, reason }),
    };
    layered(&path, &text, std::env::vars_os(), flags, backends)
}

/// The configuration that `text` gives over the defaults, without environment and flags: for tests and
/// for programs that embed the library. `name` stands for the file in messages.
///
/// # Errors
///
/// As [`load`].
pub fn load_str(name: &Path, text: &str, backends: &dyn Backends) -> Result<Config, ConfigError> {
    layered(name, text, [], &Overrides::default(), backends)
}

pub(super) fn layered(
    path: &Path,
    text: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Overrides,
    backends: &dyn Backends,
) -> Result<Config, ConfigError> {
    let schema = Schema::new(&backends.names())?;
    let mut settings = file::settings(&schema, path, text)?;
    let (from_environment, mut problems) = environment::settings(&schema, variables);
    settings.extend(from_environment);
    settings.extend(flags::settings(flags));

    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let mut figment = defaults.clone();
    let mut in_force = BTreeMap::new();
    for setting in settings {
        if let Some(reason) = refusal(&schema, &defaults, &setting) {
            problems.push(problem(setting, reason));
            continue;
        }
        figment = figment.merge((&setting.key, &setting.value));
        in_force.insert(setting.key.clone(), setting);
    }
    let config: Config = figment.extract().map_err(Box::new)?;

    // A default is never the culprit unless something else was set that it disagrees with.
    let mut told = HashSet::new();
    for finding in check::findings(&config, &backends.names(), |key| in_force.contains_key(key)) {
        if !told.insert(finding.key) {
            continue;
        }
        let reason = Reason::Wrong { wanted: finding.wanted };
        problems.push(match in_force.get(finding.key) {
            Some(setting) => problem(setting.clone(), reason),
            None => Problem {
                key: finding.key.into(),
                value: "its default".into(),
                origin: Origin::Default,
                reason,
            },
        });
    }
    problems.extend(refused_options(&config, backends, &in_force));
    problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
}

fn problem(setting: Setting, reason: Reason) -> Problem {
    Problem { key: setting.key, value: shown(&setting.written), origin: setting.origin, reason }
}

/// Why a setting is refused. Each is tried alone over the defaults, so that one mistake does not hide the
/// next.
fn refusal(schema: &Schema, defaults: &Figment, setting: &Setting) -> Option<Reason> {
    let key = &setting.key;
    match schema.kind(key) {
        Kind::Unknown => Some(Reason::Unknown {
            nearest: schema.nearest(key, setting.value.as_dict().is_some()),
            siblings: schema.siblings(key),
        }),
        Kind::Section => Some(Reason::Wrong { wanted: format!("a table: [{key}]") }),
        kind @ (Kind::Leaf(_) | Kind::Free) => {
            let alone = defaults.clone().merge((key, &setting.value));
            let fault = alone.extract::<Config>().err()?;
            Some(Reason::Wrong { wanted: wanted(kind, fault.kind) })
        }
    }
}

/// serde's words for what a type takes, in those of somebody who writes TOML.
fn wanted(kind: Kind<'_>, fault: Fault) -> String {
    match fault {
        _ if matches!(kind, Kind::Leaf(Value::Array(..))) => "a list of texts, such as [\"a\", \"b\"]".into(),
        Fault::InvalidType(_, expected) | Fault::InvalidValue(_, expected) => match expected.as_str() {
            "a boolean" => "true or false".into(),
            "a string" | "path string" => "text in quotes".into(),
            "u8" => "a whole number from 0 to 255".into(),
            "u16" => "a whole number from 0 to 65535".into(),
            "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
            _ => expected,
        },
        Fault::UnknownVariant(_, names) => {
            format!("one of {}", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
