//! Names that are never looked at: editors' swap files, backups, directories of no interest.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// Patterns for single names, in which `*` stands for any characters, also none.
#[derive(Debug, Clone)]
pub(crate) struct Ignore {
    patterns: Vec<Vec<u8>>,
    /// With which bytes a name begins that a pattern may match which says how it begins.
    begins: ByteSet,
    /// With which bytes one ends that any other pattern may match.
    ends: ByteSet,
}

impl Ignore {
    pub(crate) fn new(patterns: &[String]) -> Self {
        let (mut begins, mut ends) = (ByteSet::default(), ByteSet::default());
        for pattern in patterns.iter().map(String::as_bytes) {
            match (pattern.first(), pattern.last()) {
                // It matches the empty name alone, which nothing has.
                (None, _) | (_, None) => {}
                (Some(b'*'), Some(b'*')) => ends = ByteSet::ALL,
                (Some(b'*'), Some(last)) => ends.insert(*last),
                (Some(first), _) => begins.insert(*first),
            }
        }
        Self { patterns: patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect(), begins, ends }
    }

    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        // Nearly all names fail here, and there may be a hundred thousand of them.
        if let (Some(first), Some(last)) = (name.first(), name.last())
            && !self.begins.contains(*first)
            && !self.ends.contains(*last)
        {
            return false;
        }
        self.patterns.iter().any(|pattern| may_match(pattern, name) && glob(pattern, name))
    }
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, Default)]
struct ByteSet([u128; 2]);

impl ByteSet {
    const ALL: Self = Self([u128::MAX; 2]);

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 7)] |= 1 << (byte & 0x7f);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 7)] >> (byte & 0x7f) & 1 == 1
    }
}

/// By their ends, which most names fail.
fn may_match(pattern: &[u8], name: &[u8]) -> bool {
    let fits = |pattern: Option<&u8>, name: Option<&u8>| pattern == Some(&b'*') || pattern == name;
    fits(pattern.first(), name.first()) && fits(pattern.last(), name.last())
}

/// Takes each `*` as short as it goes and comes back to the last one only, so it is never slow.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WatchConfig;

    #[test]
    fn the_defaults_match_what_editors_leave_and_not_what_people_write() {
        let ignore = Ignore::new(&WatchConfig::default().ignore);
        for name in [
            ".x.lua.swp",
            ".#x.lua",
            "x.lua~",
            "#x.lua#",
            "4913",
            "x.lua___jb_tmp___",
            "node_modules",
            ".git",
        ] {
            assert!(ignore.matches(OsStr::new(name)), "{name}");
        }
        for name in ["x.lua", "x~.lua", "#x.lua", "49130", "my_node_modules", "x.tmp.lua", "a*b"] {
            assert!(!ignore.matches(OsStr::new(name)), "{name}");
        }
        assert!(ignore.matches(OsStr::from_bytes(b"\xff~")));
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("", "a", false),
            ("**a", "a", true),
            ("*b*", "abc", true),
            ("*b*", "ac", false),
            ("*\u{e9}", "caf\u{e9}", true),
            ("\u{e9}*", "\u{e9}t\u{e9}", true),
        ] {
            let ignore = Ignore::new(&[pattern.to_owned()]);
            assert_eq!(ignore.matches(OsStr::new(name)), matches, "{pattern} {name}");
        }
    }
}
