//! What is in a directory.

use rustix::{fd::OwnedFd, ffi::CStr, fs::FileType, io::Errno};

/// Calls for each entry of a directory but itself and the one above. The kind may be unknown: not every file
/// system says it.
///
/// # Errors
///
/// When the directory cannot be listed, or `entry` fails.
pub fn each_entry(
    dir: &OwnedFd,
    mut entry: impl FnMut(&CStr, FileType) -> Result<(), Errno>,
) -> Result<(), Errno> {
    each(dir, |name, kind, _| entry(name, kind))
}

/// Calls for each entry of a directory but itself and the one above, with its inode as the directory has it: on some
/// file systems another than `stat` tells, so compare it only with what this has told.
///
/// # Errors
///
/// When the directory cannot be listed.
pub fn each_inode(dir: &OwnedFd, mut entry: impl FnMut(&CStr, u64)) -> Result<(), Errno> {
    each(dir, |name, _, inode| {
        entry(name, inode);
        Ok(())
    })
}

fn each(
    dir: &OwnedFd,
    mut entry: impl FnMut(&CStr, FileType, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let is_within = |name: &CStr| ![&b"."[..], b".."].contains(&name.to_bytes());
    // rustix's `Dir` takes a large buffer for each directory and makes a string of its own for each name: a
    // third of what it takes to list.
    #[cfg(all(target_os = "linux", not(portable)))]
    {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        let mut dir = rustix::fs::RawDir::new(dir, &mut buffer);
        while let Some(found) = dir.next() {
            let found = found?;
            if is_within(found.file_name()) {
                entry(found.file_name(), found.file_type(), found.ino())?;
            }
        }
    }
    #[cfg(any(not(target_os = "linux"), portable))]
    for found in rustix::fs::Dir::read_from(dir)? {
        let found = found?;
        if is_within(found.file_name()) {
            entry(found.file_name(), found.file_type(), found.ino())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn each_entry_is_told_once_with_its_kind_however_many_there_are() {
        let keep = tempfile::tempdir().unwrap();
        for number in 0..1000 {
            fs::write(keep.path().join(number.to_string()), "").unwrap();
        }
        fs::create_dir(keep.path().join("dir")).unwrap();
        symlink("nowhere", keep.path().join("link")).unwrap();
        let mut found = std::collections::BTreeMap::new();
        each_entry(&OwnedFd::from(fs::File::open(keep.path()).unwrap()), |name, kind| {
            assert!(found.insert(name.to_owned(), kind).is_none());
            Ok(())
        })
        .unwrap();
        assert_eq!(found.len(), 1002);
        assert_eq!((found[c"dir"], found[c"link"]), (FileType::Directory, FileType::Symlink));
        assert_eq!(found[c"7"], FileType::RegularFile);
    }

    #[test]
    fn what_the_caller_cannot_do_ends_it() {
        let keep = tempfile::tempdir().unwrap();
        fs::write(keep.path().join("x"), "").unwrap();
        let dir = OwnedFd::from(fs::File::open(keep.path()).unwrap());
        assert_eq!(each_entry(&dir, |_, _| Err(Errno::STALE)), Err(Errno::STALE));
    }
}
