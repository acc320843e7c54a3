//! `watch.backend`: one name, or several in order of preference.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name that leaves the choice to the server.
pub const AUTO: &str = "auto";

/// Which backends may watch, the preferred one first. Written `"notify"`, `["watchman", "notify"]` or,
/// where only a text can stand (a flag, a variable), `"watchman,notify"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendChoice(Vec<String>);

impl BackendChoice {
    /// The names, the preferred one first.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether the server is to choose by the file system of each directory.
    pub fn is_auto(&self) -> bool {
        self.0 == [AUTO]
    }
}

impl From<&str> for BackendChoice {
    fn from(text: &str) -> Self {
        Self(text.split(',').map(|name| name.trim().to_owned()).collect())
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Serialize for BackendChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BackendChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        let written = Written::deserialize(deserializer).map_err(|_| {
            serde::de::Error::custom("the name of a backend, or a list of names: [\"watchman\", \"notify\"]")
        })?;
        Ok(match written {
            Written::One(name) => name.as_str().into(),
            Written::Several(names) => Self(names),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_can_be_written_in_one_text() {
        let read = |text: &str| serde_json::from_str::<BackendChoice>(text).unwrap();
        assert_eq!(read("\"notify\"").names(), ["notify"]);
        assert_eq!(read("\"watchman, notify\""), read("[\"watchman\", \"notify\"]"));
        assert_eq!(serde_json::to_string(&read("\"a,b\"")).unwrap(), "[\"a\",\"b\"]");
        assert!(read("\"auto\"").is_auto() && !read("\"auto,notify\"").is_auto());
    }
}
