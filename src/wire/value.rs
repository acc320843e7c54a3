//! [`Encoded`]: a value in a message.

use std::{ops::Deref, sync::Arc};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::account::Charge;

/// A value as the protocol writes it. Comparing two tells whether a browser has to hear of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoded {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without a fraction.
    Integer(i64),
    /// Finite.
    Float(f64),
    /// Text; invalid UTF-8 was replaced.
    Text(Box<str>),
    /// A long text, held once for all variables that show it.
    Long(LongText),
    /// `{"obj": N}`: an object; its fields are never sent.
    Object(u64),
    /// Elements, none of them an array.
    Array(Elements),
}

impl Encoded {
    /// Bytes that it takes as JSON, roughly.
    pub(crate) fn wire(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 5,
            Self::Integer(_) | Self::Float(_) => 12,
            Self::Text(text) => wire_length(text),
            Self::Long(text) => text.wire(),
            Self::Object(_) => 16,
            Self::Array(elements) => elements.wire(),
        }
    }

    /// Bytes that it holds and does not share.
    pub(crate) fn own_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => 0,
        }
    }

    pub(crate) fn is_empty_array(&self) -> bool {
        matches!(self, Self::Array(elements) if elements.is_empty())
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Long(value) => serializer.serialize_str(value),
            Self::Object(id) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("obj", id)?;
                map.end()
            }
            Self::Array(elements) => {
                let mut seq = serializer.serialize_seq(Some(elements.len()))?;
                for element in &**elements {
                    seq.serialize_element(element)?;
                }
                seq.end()
            }
        }
    }
}

/// A text that variables share.
#[derive(Debug, Clone)]
pub struct LongText(pub(super) Arc<Text>);

#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: Box<str>,
    pub(super) wire: usize,
    /// Given back with the last variable that shows it.
    pub(super) _charge: Charge,
}

impl LongText {
    /// Bytes that it takes as JSON.
    pub(crate) fn wire(&self) -> usize {
        self.0.wire
    }
}

impl Deref for LongText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for LongText {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

/// The elements of an array that variables share.
#[derive(Debug, Clone)]
pub struct Elements(pub(super) Arc<Listed>);

#[derive(Debug)]
pub(super) struct Listed {
    pub(super) elements: Vec<Encoded>,
    pub(super) wire: usize,
    /// Given back with the last variable that shows it.
    pub(super) _charge: Charge,
}

impl Elements {
    /// Bytes that it takes as JSON.
    pub(crate) fn wire(&self) -> usize {
        self.0.wire
    }
}

impl Deref for Elements {
    type Target = [Encoded];

    fn deref(&self) -> &[Encoded] {
        &self.0.elements
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

/// The bytes of a text as JSON.
pub(crate) fn wire_length(text: &str) -> usize {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + 2 + text.bytes().map(extra).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_on_the_wire_is_that_of_the_json() {
        for text in ["", "a", "\"\\", "\u{1}\u{7f}é", "\n\t"] {
            let json = serde_json::to_string(text).unwrap();
            let short_forms = text.matches(['\n', '\t']).count() * 4;
            assert_eq!(wire_length(text), json.len() + short_forms, "{text:?}");
        }
    }
}
