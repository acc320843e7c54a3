//! What subjects and buckets are called, so that two sites on one NATS never meet.

use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
};

/// A key is one part of a subject: whatever else may stand in it is written as `=2E`, which `nats kv` takes.
pub(crate) fn token(key: &str) -> String {
    let mut token = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The key that a part of a subject stands for. `None`: none of ours.
pub(crate) fn key(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'=' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    let key = String::from_utf8(bytes).ok()?;
    // One key has one name, or a write would meet another message than the one that was read.
    (self::token(&key) == token).then_some(key)
}

/// The names of one site.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    site: String,
}

impl Names {
    pub(crate) fn new(site: &str) -> Self {
        Self { site: site.to_owned() }
    }

    /// A subject of this site's.
    pub(crate) fn subject(&self, rest: &str) -> String {
        format!("hotloader.{}.{rest}", self.site)
    }

    /// A stream that is no bucket.
    pub(crate) fn stream_of(&self, kind: &str) -> String {
        format!("hotloader-{}-{kind}", self.site)
    }

    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("hotloader.{}.topic.{topic}", self.site)
    }

    /// The topic of a subject that [`topic`](Self::topic) has made.
    pub(crate) fn topic_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let site = subject.strip_prefix("hotloader.")?.strip_prefix(self.site.as_str())?;
        site.strip_prefix(".topic.")
    }

    /// As `nats kv` knows it.
    pub(crate) fn bucket(&self) -> String {
        format!("hotloader-{}-store", self.site)
    }

    pub(crate) fn stream(&self) -> String {
        format!("KV_{}", self.bucket())
    }

    /// Where a key is written.
    pub(crate) fn entry(&self, key: &str) -> String {
        format!("$KV.{}.{}", self.bucket(), token(key))
    }

    /// Where all keys are written.
    pub(crate) fn entries(&self) -> String {
        format!("$KV.{}.>", self.bucket())
    }

    /// Where NATS repeats all that is written.
    pub(crate) fn changes(&self) -> String {
        format!("hotloader.{}.store.>", self.site)
    }
}

/// 128 bits that nobody else has, as text.
pub(crate) fn random() -> String {
    // Each has keys of its own from the operating system.
    let bits = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", bits(), bits())
}

/// From zero up to that, another each time: what many servers do is not done by all at once.
pub(crate) fn jitter(most: std::time::Duration) -> std::time::Duration {
    let share = RandomState::new().hash_one(0_u8) % 1000;
    most * u32::try_from(share).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_name_that_is_one_part_of_a_subject() {
        for plain in ["poll", "here.1", "a b", "räume", "*", ">", "a=b", "=2E", ".", "\"", "日本"] {
            let token = token(plain);
            assert!(!token.contains(['.', '*', '>', ' ']) && token.is_ascii(), "{token}");
            assert_eq!(key(&token).as_deref(), Some(plain));
        }
        for foreign in ["a.b", "=2e", "=", "=2", "=FF", "=61"] {
            assert_eq!(key(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_site_hears_of_its_own_topics_only() {
        let names = Names::new("shop");
        assert_eq!(names.topic_of(&names.topic("chat.room")), Some("chat.room"));
        assert_eq!(Names::new("sho").topic_of(&names.topic("chat")), None);
        assert_eq!(Names::new("shop-2").topic_of(&names.topic("chat")), None);
    }
}
