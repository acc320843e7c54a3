//! [`Upload`]: a file that a person sends, in pieces, of which the rest is still to come.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::variable::{Key, Refused};
use crate::wire::{Charge, ErrorCode, Piece};

/// A file of which the rest is still to come.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: Key,
    pub(super) number: i64,
    pub(super) size: usize,
    /// How many bytes have come.
    pub(super) there: usize,
    /// The method gets each piece, so none is kept.
    pub(super) streamed: bool,
    /// What the method has not got.
    pub(super) bytes: Vec<u8>,
    pub(super) charge: Charge,
}

impl Upload {
    pub(super) fn with(mut self, piece: &Piece) -> Result<Self, Refused> {
        let bad = |why: String| (ErrorCode::BadMessage, format!("upload of {:?}: {why}", piece.name));
        let there = self.there;
        if usize::try_from(piece.at) != Ok(there) {
            return Err(bad(format!("a piece begins at {}, and {there} bytes are there", piece.at)));
        }
        let bytes = BASE64_STANDARD.decode(&piece.content).map_err(|error| bad(error.to_string()))?;
        if bytes.len() > self.size - there || bytes.is_empty() && self.size > 0 {
            return Err(bad(format!(
                "a piece of {} bytes, and {} are missing",
                bytes.len(),
                self.size - there
            )));
        }
        if !self.streamed {
            self.charge.extend(bytes.len()).map_err(|error| (ErrorCode::Limit, error.to_string()))?;
        }
        self.there += bytes.len();
        self.bytes.extend(bytes);
        Ok(self)
    }
}
