//! [`Listing`]: which content the files of a release have, by address. Two of them tell what differs without any of
//! the content at hand.

use std::collections::BTreeMap;

use super::{Digest, tree::Node};

/// The files of a release, and the addresses of their content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing(BTreeMap<String, Listed>);

/// Where the content of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// What its directory says of it.
    pub(super) node: Node,
    /// The pieces of a large one.
    pub(super) pieces: Vec<Digest>,
}

impl Listing {
    /// The paths of the files, ordered.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is that file.
    pub fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Listed> {
        self.0.get(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Listed)> {
        self.0.iter().map(|(path, listed)| (path.as_str(), listed))
    }

    pub(super) fn insert(&mut self, path: String, listed: Listed) {
        self.0.insert(path, listed);
    }
}

impl Listed {
    /// The addresses of all that the file is made of.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Digest> {
        let (Node::Dir(address) | Node::File { content: address, .. } | Node::Pieces { list: address, .. }) =
            self.node;
        std::iter::once(address).chain(self.pieces.iter().copied())
    }
}
