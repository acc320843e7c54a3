//! Which keys there are, and of which kind. Read off the defaults, so that no second list can differ.

use figment::value::{Dict, Value};

use super::{BackendOptions, Config};

/// The keys of a [`Config`].
pub(super) struct Schema(Dict);

/// What stands, or may stand, under a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// A table with known keys.
    Section,
    /// A value; this is its default.
    Leaf(&'a Value),
    /// A table for a watch backend, or something in one: whatever the backend takes.
    Free,
    /// Nothing.
    Unknown,
}

impl Schema {
    /// With a table for each of these watch backends.
    pub(super) fn new(backends: &[&str]) -> Result<Self, Box<figment::Error>> {
        let mut config = Config::default();
        config.watch.options =
            backends.iter().map(|&name| (name.to_owned(), BackendOptions::new())).collect();
        Ok(Self(Value::serialize(config).map_err(Box::new)?.into_dict().unwrap_or_default()))
    }

    pub(super) fn kind(&self, path: &str) -> Kind<'_> {
        let mut dict = &self.0;
        let mut kind = Kind::Section;
        for name in path.split('.') {
            kind = match (kind, dict.get(name)) {
                (Kind::Free, _) => Kind::Free,
                (Kind::Section, Some(Value::Dict(_, inner))) => {
                    dict = inner;
                    // A table whose keys we don't know has none by default.
                    if inner.is_empty() { Kind::Free } else { Kind::Section }
                }
                (Kind::Section, Some(leaf)) => Kind::Leaf(leaf),
                _ => return Kind::Unknown,
            };
        }
        kind
    }

    /// All paths of values (`tables` false) or of tables (`tables` true), sorted.
    pub(super) fn paths(&self, tables: bool) -> Vec<String> {
        fn walk(dict: &Dict, prefix: &str, tables: bool, out: &mut Vec<String>) {
            for (name, value) in dict {
                let path = format!("{prefix}{name}");
                let inner = value.as_dict();
                if inner.is_some() == tables {
                    out.push(path.clone());
                }
                if let Some(inner) = inner {
                    walk(inner, &format!("{path}."), tables, out);
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.0, "", tables, &mut out);
        out
    }

    /// The known path that was probably meant. Prefers one of the same name in another table, since a
    /// forgotten or misplaced `[section]` is the usual slip, then the one with the fewest typing errors.
    pub(super) fn nearest(&self, unknown: &str, table: bool) -> Option<String> {
        let name = last(unknown);
        let mut known = self.paths(table);
        if table {
            // What stands as a table may also be a section that was meant as a value, never the reverse.
            known.extend(self.paths(false));
        }
        known
            .into_iter()
            .map(|path| {
                let typos = strsim::damerau_levenshtein(unknown, &path);
                let elsewhere = 1 + 2 * strsim::damerau_levenshtein(name, last(&path));
                (typos.min(elsewhere), typos, path)
            })
            .min()
            .filter(|(distance, _, _)| *distance <= 1 + name.chars().count() / 3)
            .map(|(_, _, path)| path)
    }

    /// The names that may stand where `unknown` does not belong.
    pub(super) fn siblings(&self, unknown: &str) -> Vec<String> {
        let prefix = &unknown[..unknown.len() - last(unknown).len()];
        let mut all = self.paths(false);
        all.extend(self.paths(true));
        let mut names: Vec<String> = all
            .iter()
            .filter_map(|path| path.strip_prefix(prefix))
            .filter(|name| !name.contains('.'))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(unknown: &str, table: bool) -> Option<String> {
        Schema::new(&["notify"]).unwrap().nearest(unknown, table)
    }

    #[test]
    fn a_mistyped_key_finds_the_one_that_was_meant() {
        assert_eq!(nearest("server.prot", false).as_deref(), Some("server.port"));
        assert_eq!(nearest("sever.port", false).as_deref(), Some("server.port"));
        assert_eq!(nearest("watch.maxhold", false).as_deref(), Some("watch.max_hold"));
        assert_eq!(nearest("sesion", true).as_deref(), Some("session"));
    }

    #[test]
    fn a_key_in_the_wrong_section_finds_its_own() {
        assert_eq!(nearest("port", false).as_deref(), Some("server.port"));
        assert_eq!(nearest("session.memory", false).as_deref(), Some("session.budget.memory"));
        assert_eq!(nearest("watch.hotload", false).as_deref(), Some("lua.hotload"));
    }

    #[test]
    fn a_key_like_none_gets_no_suggestion() {
        assert_eq!(nearest("server.colour", false), None);
        assert_eq!(nearest("database", true), None);
    }

    #[test]
    fn a_backends_table_takes_any_key() {
        let schema = Schema::new(&["notify"]).unwrap();
        assert!(matches!(schema.kind("watch.notify"), Kind::Free));
        assert!(matches!(schema.kind("watch.notify.any.thing"), Kind::Free));
        assert!(matches!(schema.kind("watch.other"), Kind::Unknown));
        assert!(matches!(schema.kind("watch"), Kind::Section));
        assert!(matches!(schema.kind("watch.quiet"), Kind::Leaf(_)));
        assert!(matches!(schema.kind("watch.quiet.x"), Kind::Unknown));
    }
}
