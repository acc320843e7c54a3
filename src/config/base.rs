//! Below which path of its host the server's addresses stand: `server.base`.

use serde::{Deserialize, Serialize};

/// Empty, or a path such as `/app`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base(String);

impl Base {
    /// The address of what the server calls `path`, which begins with `/`. Links, redirects and the paths of
    /// cookies are made with it.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Its names, the first one first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether it can be one: `/` before each name, and names that need no encoding, so that there is one
    /// way to write it.
    pub(super) fn is_valid(&self) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.chars().all(is_plain);
        self.0.is_empty() || self.0.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name))
    }
}

impl From<&str> for Base {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_begins_with_a_slash_and_ends_with_a_name() {
        for right in ["", "/app", "/a/b-c/d_e.f~1"] {
            assert!(Base::from(right).is_valid(), "{right}");
        }
        for wrong in [
            "/",
            "app",
            "/app/",
            "//app",
            "/a//b",
            "/..",
            "/a/../b",
            "/.",
            "/app?x",
            "/app#x",
            "/a b",
            "/%61",
            "/ä",
            "/a;b",
            "http://host/app",
        ] {
            assert!(!Base::from(wrong).is_valid(), "{wrong}");
        }
    }

    #[test]
    fn an_address_stands_below_it() {
        assert_eq!(Base::default().path("/ws/1"), "/ws/1");
        assert_eq!(Base::from("/app").path("/"), "/app/");
        assert_eq!(Base::from("/a/b").segments().collect::<Vec<_>>(), ["a", "b"]);
    }
}
