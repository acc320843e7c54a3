//! What a session is known by.

use std::{fmt, str::FromStr};

/// 128 random bits, or 112 behind the tag of its server (`server.tag`), so that ids cannot be guessed. The id
/// alone opens no session: that takes the [`secret`](super::SessionHandle::secret).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A new one, from the operating system's source of randomness.
    ///
    /// # Errors
    /// If the operating system has none to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// A new one that begins with the tag of its server, if it has one, so that a proxy knows where to go.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn tagged(tag: Option<[u8; 2]>) -> Result<Self, getrandom::Error> {
        let Self(mut bytes) = Self::random()?;
        if let Some(tag) = tag {
            bytes[..tag.len()].copy_from_slice(&tag);
        }
        Ok(Self(bytes))
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// A number below 16 that differs between sessions.
    pub(crate) fn digit(&self) -> u32 {
        u32::from(self.0[15] & 0xf)
    }

    /// Enough of it to tell sessions apart in a log, and too little to use it: 12 digits, of which four may be
    /// the tag of the server.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs are handed around, and need no more to tell sessions apart.
        f.write_str(&self.short())
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id: 32 hexadecimal digits")]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(d)) {
            return Err(NotASessionId);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotASessionId)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotASessionId)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = SessionId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn the_tag_of_the_server_comes_first_and_the_rest_stays_random() {
        let ids: Vec<_> = (0..2).map(|_| SessionId::tagged(Some([0xa1, 0xb2])).unwrap()).collect();
        assert!(ids.iter().all(|id| id.to_string().starts_with("a1b2")), "{ids:?}");
        assert_ne!(ids[0].short(), ids[1].short());
    }

    #[test]
    fn anything_else_is_not_an_id() {
        for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33), &"ä".repeat(16)] {
            assert_eq!(text.parse::<SessionId>(), Err(NotASessionId), "{text}");
        }
    }
}
