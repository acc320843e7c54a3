//! How a directory is written, and a file in pieces: one text for one content, so that equal content has one
//! address.
//!
//! A directory begins with the line `tree 1`. For each entry follows a line, ordered by name, each name once:
//!
//! ```text
//! d ADDRESS NAME          a directory: the address of its own list
//! f ADDRESS SIZE NAME     a file
//! p ADDRESS SIZE NAME     a file of more than PIECE bytes: the address of the list of its pieces
//! ```
//!
//! That list begins with `pieces 1`; a line for each piece is its address. All have [`PIECE`] bytes but the last.

use super::{Digest, ReleaseError};

/// A message of NATS holds 1 MiB; no blob has more bytes than this.
pub const PIECE: usize = 900 << 10;
/// As of most file systems.
const LONGEST_NAME: usize = 255;

const TREE: &str = "tree 1\n";
const PIECES: &str = "pieces 1\n";

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir(Digest),
    File { content: Digest, size: u64 },
    Pieces { list: Digest, size: u64 },
}

/// Why no file may be called so.
pub(super) fn wrong_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("an empty name"),
        "." | ".." => Some("a name that leads out of its directory"),
        _ if name.contains('/') => Some("a name with \"/\" in it"),
        _ if name.chars().any(char::is_control) => Some("a name with a control character in it"),
        _ if name.len() > LONGEST_NAME => Some("a name of more than 255 bytes"),
        _ => None,
    }
}

/// The list of a directory. Entries are ordered by name.
pub(super) fn encode<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Vec<u8> {
    let mut text = TREE.to_owned();
    for (name, node) in entries {
        text += &match node {
            Node::Dir(list) => format!("d {list} {name}\n"),
            Node::File { content, size } => format!("f {content} {size} {name}\n"),
            Node::Pieces { list, size } => format!("p {list} {size} {name}\n"),
        };
    }
    text.into_bytes()
}

/// The entries of the directory `path`.
pub(super) fn decode(path: &str, bytes: &[u8]) -> Result<Vec<(String, Node)>, ReleaseError> {
    let malformed = |what| ReleaseError::Malformed { path: path.to_owned(), what };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no text"))?;
    let lines = text.strip_prefix(TREE).ok_or_else(|| malformed("it does not begin with \"tree 1\""))?;
    let mut entries = Vec::<(String, Node)>::new();
    for line in lines.split_inclusive('\n') {
        let line = line.strip_suffix('\n').ok_or_else(|| malformed("its last line has no end"))?;
        let (name, node) = entry(line).ok_or_else(|| malformed("a line is not that of an entry"))?;
        if let Some(what) = wrong_name(name) {
            return Err(ReleaseError::Name { path: below(path, name), what });
        }
        if entries.last().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(ReleaseError::Twice { path: below(path, name) });
        }
        let fits = match node {
            Node::Dir(_) => true,
            Node::File { size, .. } => size <= PIECE as u64,
            Node::Pieces { size, .. } => size > PIECE as u64,
        };
        if !fits {
            let what = "a file of more than 900 KiB is in pieces, and no other";
            return Err(ReleaseError::Malformed { path: below(path, name), what });
        }
        entries.push((name.to_owned(), node));
    }
    Ok(entries)
}

fn entry(line: &str) -> Option<(&str, Node)> {
    let (kind, rest) = line.split_once(' ')?;
    let (address, rest) = rest.split_once(' ')?;
    let address = address.parse().ok()?;
    if kind == "d" {
        return Some((rest, Node::Dir(address)));
    }
    let (digits, name) = rest.split_once(' ')?;
    let size: u64 = digits.parse().ok()?;
    // "007" and "+7" are 7 as well, and one content has one text.
    if size.to_string() != digits {
        return None;
    }
    match kind {
        "f" => Some((name, Node::File { content: address, size })),
        "p" => Some((name, Node::Pieces { list: address, size })),
        _ => None,
    }
}

/// The list of a file's pieces.
pub(super) fn encode_pieces(pieces: impl IntoIterator<Item = Digest>) -> Vec<u8> {
    let lines = pieces.into_iter().map(|piece| format!("{piece}\n"));
    (PIECES.to_owned() + &lines.collect::<String>()).into_bytes()
}

/// The pieces of the file `path`, each with its size.
pub(super) fn decode_pieces(path: &str, size: u64, bytes: &[u8]) -> Result<Vec<(Digest, u64)>, ReleaseError> {
    let malformed = |what| ReleaseError::Malformed { path: path.to_owned(), what };
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_prefix(PIECES));
    let lines = text.ok_or_else(|| malformed("the list of its pieces does not begin with \"pieces 1\""))?;
    let mut left = size;
    let mut pieces = Vec::new();
    for line in lines.split_inclusive('\n') {
        let address = line.strip_suffix('\n').and_then(|line| line.parse().ok());
        let address = address.ok_or_else(|| malformed("a line is not the address of a piece"))?;
        let piece = left.min(PIECE as u64);
        if piece == 0 {
            return Err(malformed("it has more pieces than its size says"));
        }
        left -= piece;
        pieces.push((address, piece));
    }
    if left > 0 {
        return Err(malformed("it has fewer pieces than its size says"));
    }
    Ok(pieces)
}

/// The path of a name in a directory; the site itself is "".
pub(super) fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}
