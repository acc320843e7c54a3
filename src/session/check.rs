//! What is wrong with the templates, as far as a session knows that has run the code.

use std::path::PathBuf;

use super::handle::{SessionGone, SessionHandle};
use crate::{reload::Diagnostic, variables};

impl SessionHandle {
    /// Paths of templates that lead nowhere, and types that there are not, as of now. `viewdefs` is the directory
    /// of the templates, as people know it.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn check(&self, viewdefs: PathBuf) -> Result<Vec<Diagnostic>, SessionGone> {
        let check = move |session: &mut super::LuaSession| {
            variables::check(&session.vm, &viewdefs)
                .unwrap_or_else(|error| vec![Diagnostic::about("", None, error.to_string())])
        };
        self.ask(check).await
    }
}
