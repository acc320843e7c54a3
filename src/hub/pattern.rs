//! [`Pattern`]: the topics that a subscription is for.

/// The topics that a subscription is for: parts with dots between them, of which `*` stands for any one part
/// and a last `>` for one or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// # Errors
    /// What a pattern has to be.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_parts(text)?;
        let parts = text.split('.').count();
        for (at, part) in text.split('.').enumerate() {
            let is_wild = part == "*" || part == ">" && at + 1 == parts;
            if !is_wild && part.contains(['*', '>']) {
                return Err(format!(
                    "{text:?} is no pattern of topics: \"*\" stands for a whole part, \">\" for all the last ones"
                ));
            }
        }
        Ok(Self(text.into()))
    }

    /// # Errors
    /// What a topic has to be.
    pub fn check_topic(text: &str) -> Result<(), String> {
        check_parts(text)?;
        if text.contains(['*', '>']) {
            return Err(format!("{text:?} is no topic: \"*\" and \">\" are for subscriptions"));
        }
        Ok(())
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one topic.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '>'])
    }

    /// Whether that topic is among them.
    pub fn matches(&self, topic: &str) -> bool {
        let mut parts = topic.split('.');
        for wanted in self.0.split('.') {
            match (wanted, parts.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                (wanted, Some(part)) if wanted == "*" || wanted == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

fn check_parts(text: &str) -> Result<(), String> {
    const LONGEST: usize = 256;
    if text.len() > LONGEST {
        return Err(format!("a topic has at most {LONGEST} bytes, and this one has {}", text.len()));
    }
    let is_bad = |part: &str| part.is_empty() || part.contains(|c: char| c.is_whitespace() || c.is_control());
    if text.split('.').any(is_bad) {
        return Err(format!(
            "{text:?} is no topic: it is made of parts without spaces, with single dots between them"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_topics_that_nats_says() {
        for (pattern, topic, is_one) in [
            ("chat", "chat", true),
            ("chat", "chat.room", false),
            ("chat.*", "chat.room", true),
            ("chat.*", "chat", false),
            ("chat.*", "chat.room.one", false),
            ("*.room", "chat.room", true),
            ("chat.>", "chat.room.one", true),
            ("chat.>", "chat", false),
            (">", "chat", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(topic), is_one, "{pattern} {topic}");
        }
    }

    #[test]
    fn what_is_no_topic_or_pattern_is_refused() {
        for text in ["", ".", "a..b", "a.", "a b", "a\n", "a>", "a*.b", ">.a", &"x".repeat(300)] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
        for text in ["a.*", ">", ""] {
            assert!(Pattern::check_topic(text).is_err(), "{text:?}");
        }
        assert!(Pattern::check_topic("chat.räume").is_ok());
    }
}
