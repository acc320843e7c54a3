//! From a [`ChangeSet`] to code that sessions can run.
//!
//! | file | what it does |
//! |---|---|
//! | `compile` | change set + last generation → next [`Generation`]; each file parsed once for all sessions |
//! | `edits` | what is edited from the versions that a session runs to a generation, once for all that run the same |
//! | `generation` | the immutable state of all code that sessions start from and move to |
//! | `in_use` | which files are in use, for who looks at these more often |
//! | `viewdef` | checks and names of HTML view templates, and those that come with the server |
//! | `bindings` | what a template binds: its `ui-*` attributes |
//! | `allow_list` | what all templates bind, by type: what browsers may ask for |
//! | `copies` | copies that sync tools and file managers leave: not loaded |
//! | `data` | files that scripts read, as part of the generation |
//! | `page_files` | saved files of `html/`: which of them pages exchange, and which they are loaded again for |
//! | `twins` | two files for one module: only the first one is loaded |
//! | `doubts` | what a template has that was probably meant otherwise |
//! | `diagnostic` | an error with file, line, excerpt and traceback |
//! | `hints` | what helps, for errors that beginners meet |
//! | `note` | what a developer should know of a reload that went well |
//! | `report` | what a reload did in all sessions, summed up: what browsers are told |
//! | `report_lines` | what the log says of it |
//! | `reference` | what users are told in place of an error |
//! | `source` | what the source of a file says: its definitions, what uses what, what an edit has touched |
//! | `telling` | what browsers are told of errors and reloads |
//! | `release_loader` | [`ReleaseLoader`]: the same for releases of a fleet, of which any error refuses the whole |
//! | `hot_loader` | [`HotLoader`]: takes change sets, compiles |
//! | `rollout` | hands a generation to all sessions, and reports |
//!
//! This layer knows how to compile Lua and nothing of sessions: an owner of Lua states implements
//! [`SessionHost`].

mod allow_list;
mod bindings;
mod compile;
mod copies;
mod data;
mod diagnostic;
mod doubts;
mod edits;
mod faults;
mod generation;
mod hints;
mod hot_loader;
mod in_use;
mod note;
mod page_files;
mod reference;
mod refreshing;
mod release_loader;
mod report;
mod report_lines;
mod rollout;
pub mod source;
mod telling;
mod twins;
mod viewdef;

pub use allow_list::{Bindings, Bound, Role, Scope};
pub use bindings::{Binding, Ways, normal};
pub use compile::{Compiler, SiteLayout};
pub use data::DataFiles;
pub use diagnostic::{Diagnostic, ExcerptLine};
pub use edits::EditsFrom;
pub use faults::{Faulted, Faults};
pub use generation::{FileEntry, Generation, Published, SourceFile};
pub use hot_loader::{HotLoader, HotLoaderError, OutcomeSender, SessionHost};
pub use in_use::Mark;
pub use note::{Note, RunAgain, StaleKind};
pub use page_files::PageFiles;
pub(crate) use reference::conceal;
pub use refreshing::Refreshing;
pub use release_loader::{Checked, ReleaseLoader};
pub use report::{Effects, ErrorReport, Outcome, ReloadOutcome, ReloadReport, ReloadStatus, Stages};
pub use source::Source;
pub use telling::{EditorLink, Telling};
pub use twins::PassedOver;
pub(crate) use twins::twin;
pub use viewdef::{Viewdef, built_in};

use std::time::Duration;

use crate::watch::{ChangeSet, RootId};

/// Leaves in a change set what is acted on: no copies that tools have made, and of `html/` what a page is made of.
pub fn leave_what_counts(changes: &mut ChangeSet) {
    copies::leave_out(changes);
    PageFiles::leave_out_others(changes);
}

/// Leaves out copies that tools have made; of `html/` everything stays.
pub fn leave_out_copies(changes: &mut ChangeSet) {
    copies::leave_out(changes);
}

/// Who saves a file saves it again soon: what a reload needs stays in a Lua state for so long.
pub(crate) const EDITING: Duration = Duration::from_secs(10);

/// The root of the site's Lua files.
pub const LUA_ROOT: RootId = RootId("lua");
/// The root of files that scripts read.
pub const DATA_ROOT: RootId = RootId("data");
/// The root of what browsers load by address: the site's own page, its styles, scripts and images.
pub const HTML_ROOT: RootId = RootId("html");
/// The root of the site's view templates.
pub const VIEWDEF_ROOT: RootId = RootId("viewdefs");

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
