//! What is done to a tree: on the disk by a writer, in memory by the model.

/// Where something is, by the names on the way to it. The first one is [`ROOT`] or [`OUTSIDE`].
pub(crate) type Steps = Vec<&'static str>;

/// The watched tree.
pub(crate) const ROOT: &str = "root";

/// What is beside it.
pub(crate) const OUTSIDE: &str = "outside";

/// One change; or none, where it cannot be done.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// In place.
    Write(Steps, String),
    Append(Steps, String),
    Truncate(Steps, u64),
    /// By a temporary file and a rename.
    Save(Steps, String),
    Mkdir(Steps),
    Rename(Steps, Steps),
    HardLink(Steps, Steps),
    Symlink(Steps, &'static str),
    /// By a temporary link and a rename.
    Retarget(Steps, &'static str),
    Remove(Steps),
    RemoveTree(Steps),
    /// Closed to everybody, or open.
    Chmod(Steps, bool),
    /// In seconds since 1970.
    SetTime(Steps, i64),
}
