//! [`DataFiles`]: files of a site that scripts read. Like the code, they are part of a generation: a session that
//! keeps the old code keeps the old data, and no script opens a file by itself.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::Generation;
use crate::{
    config::ByteSize,
    watch::{Change, ChangeKind, Content, ContentHash, Unreadable},
};

/// Bytes of all of them together. Larger ones belong into a database of another program.
const MOST: usize = 64 << 20;

/// By their names relative to the site: `data/words.json`, `lua/words.txt`. Shared by the generations in which none
/// of them changes.
#[derive(Debug, Clone, Default)]
pub struct DataFiles {
    files: Arc<BTreeMap<PathBuf, Result<Content, String>>>,
    /// Bytes of all that can be read. Kept, as a change may bring thousands of files.
    bytes: usize,
}

impl DataFiles {
    /// Whether a file of the Lua directory is data, and no code.
    pub(super) fn has(name: &Path) -> bool {
        name.extension().is_none_or(|extension| extension != "lua")
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn take(&mut self, name: PathBuf, change: &Change) {
        let files = Arc::make_mut(&mut self.files);
        self.bytes -= files.remove(&name).map_or(0, |before| size(&before));
        let content = match &change.kind {
            ChangeKind::Removed => return,
            ChangeKind::Unreadable(why) => Err(unreadable(why)),
            ChangeKind::Added(content) | ChangeKind::Modified(content) => {
                if self.bytes + content.bytes.len() > MOST {
                    let most = ByteSize::bytes(MOST as u64);
                    Err(format!(
                        "left out: the files that scripts may read have more than {most} together (lua.files)"
                    ))
                } else {
                    Ok(content.clone())
                }
            }
        };
        if let Err(why) = &content {
            tracing::warn!(target: "hot", "[hot] {}: {why}", name.display());
        }
        self.bytes += size(&content);
        files.insert(name, content);
    }
}

fn size(file: &Result<Content, String>) -> usize {
    file.as_ref().map_or(0, |content| content.bytes.len())
}

fn unreadable(why: &Unreadable) -> String {
    match why {
        Unreadable::TooLarge { size, limit } => {
            format!("it has {size} bytes, and lua.max_file is \"{}\"", ByteSize::bytes(*limit as u64))
        }
        Unreadable::Failed(why) => why.clone(),
    }
}

impl Generation {
    /// What a script reads by a name relative to the site: the good version of a Lua file, or a file of data.
    ///
    /// # Errors
    /// There is none, or it cannot be read: in words for the author.
    pub fn content(&self, name: &Path) -> Result<Content, String> {
        let is_plain = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let name: PathBuf = name.components().filter(|part| *part != Component::CurDir).collect();
        if is_plain
            && let Ok(below) = name.strip_prefix(&self.layout.lua)
            && let Some(source) = self.file(below)
        {
            return Ok(Content { bytes: source.source.clone(), hash: source.hash });
        }
        match self.data.files.get(&name).filter(|_| is_plain) {
            Some(Ok(content)) => Ok(content.clone()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!(
                "no such file; a session reads those below {}/ and {}/ (lua.files), by names such as \"{}/list.json\"",
                self.layout.lua.display(),
                self.layout.files.display(),
                self.layout.files.display()
            )),
        }
    }

    /// What tells versions of that file apart; `None` while it cannot be read.
    pub fn content_hash(&self, name: &Path) -> Option<ContentHash> {
        self.content(name).ok().map(|content| content.hash)
    }
}
