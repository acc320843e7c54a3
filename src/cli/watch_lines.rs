//! What `lua-hotloader watch` prints: one line for each thing it has to say, as JSON or for people.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{ChronoLocal, FormatTime},
};

use crate::{
    telemetry::printable,
    watch::{ChangeKind, ChangeSet},
};

/// At most this many names of a change set are shown to people.
const NAMES: usize = 8;

/// Everything is watched.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    #[serde(serialize_with = "as_name")]
    pub(super) path: PathBuf,
    pub(super) backends: Vec<BackendAtWork>,
    /// What is there now counts as the first generation.
    pub(super) generation: u64,
    pub(super) files: usize,
    /// Those on the way to the tree are counted too.
    pub(super) dirs: usize,
    pub(super) ms: u64,
}

/// A backend, and for what and why it was chosen.
#[derive(Debug, Serialize)]
pub(super) struct BackendAtWork {
    pub(super) name: String,
    pub(super) dirs: usize,
    pub(super) why: String,
}

/// What changed at once.
#[derive(Debug, Default, Serialize)]
pub(super) struct Generation {
    pub(super) generation: u64,
    pub(super) added: Vec<String>,
    pub(super) modified: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl Generation {
    pub(super) fn new(generation: u64, set: &ChangeSet) -> Self {
        let mut this = Self { generation, ..Self::default() };
        for change in &set.changes {
            let names = match change.kind {
                ChangeKind::Added(_) => &mut this.added,
                ChangeKind::Modified(_) | ChangeKind::Unreadable(_) => &mut this.modified,
                ChangeKind::Removed => &mut this.removed,
            };
            names.push(escaped(change.name.as_os_str()));
        }
        this
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn text(&self, time: &str) -> String {
        let signs = [('+', &self.added), ('~', &self.modified), ('-', &self.removed)];
        let names: Vec<String> = signs
            .into_iter()
            .flat_map(|(sign, names)| names.iter().map(move |name| format!("  {sign}{}", printable(name))))
            .collect();
        let mut line = time.to_owned() + &names[..names.len().min(NAMES)].concat();
        if names.len() > NAMES {
            let _ = write!(line, "  and {} more", names.len() - NAMES);
        }
        line
    }
}

impl Ready {
    pub(super) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            ready: &'a Ready,
        }
        serde_json::to_string(&Line { ready: self }).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        let backends: Vec<String> =
            self.backends.iter().map(|backend| format!("{} ({})", backend.name, backend.why)).collect();
        format!(
            "watching {} with {}; {} files, {} directories, ready after {} ms",
            printable(&escaped(self.path.as_os_str())),
            backends.join(", "),
            self.files,
            self.dirs,
            self.ms
        )
    }
}

fn as_name<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escaped(path.as_os_str()))
}

/// A name as text. Bytes that are not UTF-8 become `\xNN`, and a backslash is doubled, so that each name
/// has its own text and can be had back from it.
pub(super) fn escaped(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            let _ = write!(text, r"\x{byte:02X}");
        }
    }
    text
}

/// The hour on the wall, as in the log.
pub(super) fn time() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = ChronoLocal::new("%H:%M:%S%.3f".into()).format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::watch::{Change, Content, RootId, Timing};

    fn set<const N: usize>(changes: [(&'static [u8], ChangeKind); N]) -> ChangeSet {
        let changes = changes.into_iter().map(|(name, kind)| {
            let name = PathBuf::from(OsStr::from_bytes(name));
            Change { root: RootId("path"), path: name.clone(), name, kind }
        });
        let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
        ChangeSet { changes: changes.collect(), initial: false, timing }
    }

    fn added() -> ChangeKind {
        ChangeKind::Added(Content::new(*b""))
    }

    #[test]
    fn a_change_set_is_one_object_with_every_list() {
        let set = set([
            (b"a.lua", added()),
            (b"sub/x.lua", ChangeKind::Modified(Content::new(*b""))),
            (b"z", ChangeKind::Removed),
        ]);
        let generation = Generation::new(3, &set);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&generation.json()).unwrap(),
            serde_json::json!({ "generation": 3, "added": ["a.lua"], "modified": ["sub/x.lua"], "removed": ["z"] })
        );
        assert_eq!(generation.text("12:00"), "12:00  +a.lua  ~sub/x.lua  -z");
    }

    #[test]
    fn no_two_names_have_the_same_text() {
        for (name, text) in [
            (&b"ok \xc3\xa9.lua"[..], "ok é.lua"),
            (b"\xff.lua", r"\xFF.lua"),
            (br"\xFF.lua", r"\\xFF.lua"),
            (b"a\xe2\x82", r"a\xE2\x82"),
        ] {
            assert_eq!(escaped(OsStr::from_bytes(name)), text);
        }
    }

    #[test]
    fn a_name_with_a_line_break_takes_one_line() {
        let generation = Generation::new(2, &set([(b"a\n\x1b[2J.lua", added())]));
        assert_eq!(generation.text(""), r"  +a\n\u{1b}[2J.lua");
        assert_eq!(generation.json().lines().count(), 1);
        assert_eq!(generation.added, ["a\n\u{1b}[2J.lua"]);
    }

    #[test]
    fn people_are_shown_the_first_few_names_of_many() {
        let generation = Generation { generation: 2, added: vec!["x".into(); 400], ..Generation::default() };
        assert!(generation.text("").ends_with("  +x  and 392 more"));
    }
}
