//! Logical names: where something is found below a root, links not resolved.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::watch::change::RootId;

/// A logical name.
pub(crate) type Name = (RootId, PathBuf);

/// The name of a logical directory; that of a root is empty.
pub(crate) type DirName = (RootId, Arc<Path>);

/// A file by its logical directory and its entry in the listing of that.
pub(crate) type At = (DirName, u32);
