//! The layer of the environment: `HOTLOADER_SERVER__PORT=8081` is `server.port`.

use std::ffi::OsString;

use figment::value::Value;

use super::{
    Origin, Problem, Reason,
    schema::{Kind, Schema},
    setting::{Setting, shown},
};

const PREFIX: &str = "HOTLOADER_";

/// All that variables set, by name; the second list tells of variables that can set nothing.
///
/// The type of the default says how a value is read, not its look: a host named `127` stays text.
pub(super) fn settings(
    schema: &Schema,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Setting>, Vec<Problem>) {
    let mut variables: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, text)| Some((name.into_string().ok().filter(|n| n.starts_with(PREFIX))?, text)))
        .collect();
    variables.sort();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (name, text) in variables {
        let key = key(&name);
        let kind = schema.kind(&key);
        let origin = Origin::Variable(name.clone());
        if matches!(kind, Kind::Unknown) || variable(&key) != name {
            let known = |path: String| variable(&path);
            wrong.push(Problem {
                reason: Reason::Unknown {
                    nearest: schema.nearest(&key, false).map(known),
                    siblings: schema.siblings(&key).into_iter().map(known).collect(),
                },
                key: name,
                value: String::new(),
                origin,
            });
            continue;
        }
        let Ok(text) = text.into_string() else {
            let reason = Reason::Wrong { wanted: "UTF-8 text".into() };
            wrong.push(Problem { key, value: "(not UTF-8)".into(), origin, reason });
            continue;
        };
        found.push(Setting { key, value: typed(kind, &text), written: shown(&format!("{text:?}")), origin });
    }
    (found, wrong)
}

/// The key a variable of our prefix would set.
fn key(name: &str) -> String {
    name[PREFIX.len()..].replace("__", ".").to_ascii_lowercase()
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Reads text as what the key takes. What cannot be read so stays text, and is refused later like
/// a wrong type in a file.
fn typed(kind: Kind<'_>, text: &str) -> Value {
    let parsed = || text.parse::<Value>().unwrap_or_else(|never| match never {});
    match kind {
        Kind::Leaf(Value::String(..)) => Value::from(text),
        Kind::Leaf(Value::Array(..)) => match parsed() {
            Value::Array(tag, items) => Value::Array(tag, items.into_iter().map(as_text).collect()),
            _ => Value::from(text),
        },
        _ => parsed(),
    }
}

/// Every list in the configuration is one of texts; a number in it is a text that looks like one.
fn as_text(item: Value) -> Value {
    match item {
        Value::Num(_, number) => {
            let whole = number.to_u128().map(|n| n.to_string());
            let whole = whole.or_else(|| number.to_i128().map(|n| n.to_string()));
            Value::from(whole.or_else(|| number.to_f64().map(|n| n.to_string())).unwrap_or_default())
        }
        Value::Bool(_, flag) => Value::from(flag.to_string()),
        other => other,
    }
}
