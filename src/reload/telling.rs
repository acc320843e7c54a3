//! [`Telling`]: what browsers are told of errors and reloads: all of it while somebody develops, a
//! reference otherwise.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Diagnostic, ReloadReport, conceal};
use crate::config::NoteLevel;

/// Characters of a path that need no encoding in a link.
const IN_PATHS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What browsers are told of errors and reloads, and how.
#[derive(Debug, Clone, Default)]
pub struct Telling {
    /// Which notes.
    pub notes: NoteLevel,
    /// What opens the place of an error, if there is something.
    pub editor: Option<EditorLink>,
    /// Whether the readers are users and not developers. Of an error they are told a reference, and the log
    /// has the rest.
    pub is_concealing: bool,
}

/// Makes links that open a line of a file in the developer's editor.
#[derive(Debug, Clone)]
pub struct EditorLink {
    /// `{path}` in it becomes the file's absolute path, and `{line}` the line.
    pub pattern: String,
    /// The site's directory, absolute.
    pub site: PathBuf,
}

impl Telling {
    /// Leaves the notes that are wanted, and says of each error how to get to its place.
    pub fn apply(&self, report: ReloadReport) -> ReloadReport {
        let mut report = report.with_notes(self.notes);
        if self.is_concealing {
            (report.files, report.notes) = (Vec::new(), Vec::new());
            for error in &mut report.errors {
                error.diagnostic = self.told(&error.diagnostic);
            }
            return report;
        }
        if let Some(editor) = &self.editor {
            for error in &mut report.errors {
                error.editor = editor.to(&error.diagnostic);
            }
        }
        report
    }

    /// An error in the words that its readers may see.
    pub fn told(&self, error: &Diagnostic) -> Diagnostic {
        if !self.is_concealing {
            return error.clone();
        }
        let place = error.position();
        Diagnostic::about("", None, conceal("", "failed", &place, error))
    }

    /// Why a session begins anew.
    pub fn reason<'a>(&self, reason: &'a str) -> &'a str {
        if self.is_concealing { "the session begins anew" } else { reason }
    }
}

impl EditorLink {
    /// Opens the place of an error. Without a file there is nowhere to go.
    pub fn to(&self, place: &Diagnostic) -> Option<String> {
        if place.file.is_empty() {
            return None;
        }
        let path = self.site.join(&place.file);
        let path = utf8_percent_encode(path.to_str()?, IN_PATHS).to_string();
        // Patterns have the slash that every absolute path begins with: vscode://file/{path}.
        let path = if self.pattern.contains("/{path}") { path.trim_start_matches('/') } else { &path };
        let line = place.line.unwrap_or(1).to_string();
        Some(self.pattern.replace("{path}", path).replace("{line}", &line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_line_whatever_the_name_of_the_file() {
        let link = |pattern: &str, file: &str, line| {
            let editor = EditorLink { pattern: pattern.into(), site: "/srv/my site".into() };
            editor.to(&Diagnostic::about(file, line, "no"))
        };
        let code = "vscode://file/{path}:{line}";
        assert_eq!(
            link(code, "lua/a.lua", Some(7)).as_deref(),
            Some("vscode://file/srv/my%20site/lua/a.lua:7")
        );
        assert_eq!(
            link(code, "lua/a#?.lua", None).as_deref(),
            Some("vscode://file/srv/my%20site/lua/a%23%3F.lua:1")
        );
        let idea = "idea://open?file={path}&line={line}";
        assert_eq!(
            link(idea, "lua/a.lua", Some(7)).as_deref(),
            Some("idea://open?file=/srv/my%20site/lua/a.lua&line=7")
        );
        assert_eq!(link(code, "", None), None);
    }
}
