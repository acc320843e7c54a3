//! What opens a session.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::id::SessionId;

/// 128 random bits, known only to the browser that began the session. The session's id is no secret: it
/// stands in addresses, and in a cookie that goes to other ports of the host.
#[derive(Clone, Copy)]
pub(super) struct Secret([u8; 16]);

impl Secret {
    /// A new one, from the operating system's source of randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// What is known of it where it is kept: enough to tell whether a text is it, and no way back.
    pub(super) fn digest(text: &str) -> String {
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The one that a cookie has; `None` if that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.parse::<SessionId>().ok()?.bytes();
        Some(Self(bytes))
    }

    /// As the cookie has it: 32 hexadecimal digits.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the text is this secret, compared in constant time.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text().as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_is_the_secret_and_it_is_in_no_log() {
        let secret = Secret::random().unwrap();
        let text = secret.text();
        assert!(secret.is(&text));
        let other = Secret::random().unwrap().text();
        for wrong in
            ["", "0", &text[..31], &format!("{text}0"), &text.to_uppercase().replace('0', "1"), &other]
        {
            assert!(!secret.is(wrong), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains(&text[..4]));
    }
}
