//! Names that are never looked at: editors' swap files, backups, directories of no interest.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// Patterns for single names, in which `*` stands for any characters, also none.
#[derive(Debug, Clone)]
pub(crate) struct Ignore {
    patterns: Vec<Vec<u8>>,
}

impl Ignore {
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect() }
    }

    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        self.patterns.iter().any(|pattern| may_match(pattern, name) && glob(pattern, name))
    }
}

/// By their ends, which nearly all names fail: there may be a hundred thousand of them.
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
        ] {
            let ignore = Ignore::new(&[pattern.to_owned()]);
            assert_eq!(ignore.matches(OsStr::new(name)), matches, "{pattern} {name}");
        }
    }
}
