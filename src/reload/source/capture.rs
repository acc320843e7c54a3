//! The text of a file that hands over its locals: only code in the file can reach its locals, so each
//! `return` is made to hand them over. No line moves.

use super::DefinitionId;

/// A place where the file may end.
#[derive(Debug)]
pub(super) struct Exit {
    /// Where the added text goes, in bytes.
    pub(super) at: usize,
    pub(super) form: Form,
    /// The locals that are in scope there.
    pub(super) locals: Vec<Local>,
}

#[derive(Debug)]
pub(super) struct Local {
    pub(super) name: Box<str>,
    pub(super) id: DefinitionId,
    /// Some function of the file uses it.
    pub(super) is_shared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// After the last value of a `return`.
    Values,
    /// After a `return` without values.
    Nothing,
    /// At the end of a file that has none.
    End,
}

/// `place` turns a place in what was read into one in `bytes`.
pub(super) fn capturing(bytes: &[u8], exits: &[Exit], place: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 256);
    let mut done = 0;
    for exit in exits {
        let at = if exit.form == Form::End { bytes.len() } else { place(exit.at).min(bytes.len()) };
        text.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        done = at.max(done);
        text.extend_from_slice(match exit.form {
            Form::Values => b",".as_slice(),
            Form::Nothing => b" nil,",
            // The last line may be a comment.
            Form::End => b"\nreturn nil,",
        });
        text.extend_from_slice(handed_over(&exit.locals).as_bytes());
    }
    text.extend_from_slice(bytes.get(done..).unwrap_or_default());
    text
}

/// Of a local that no function uses only the value is handed over: a function of ours would keep it alive.
fn handed_over(locals: &[Local]) -> String {
    let shared: Vec<&str> = locals.iter().filter(|local| local.is_shared).map(|local| &*local.name).collect();
    let values: Vec<String> = locals.iter().map(|Local { name, .. }| format!("{name}={name}")).collect();
    let function =
        if shared.is_empty() { "nil".into() } else { format!("function()return {} end", shared.join(",")) };
    format!("{function},{{{}}}", values.join(","))
}
