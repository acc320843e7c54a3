//! Durations ("20ms") and sizes ("64MiB") as they stand in the configuration.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }

    /// So many kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes, as much as an address can hold.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .into_iter()
            .find(|&(_, size)| self.0 >= size && self.0.is_multiple_of(size))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, size) = UNITS
            .into_iter()
            .find_map(|(unit, size)| Some((text.trim().strip_suffix(unit)?, size)))
            .ok_or(())?;
        let number: u64 = number.trim().parse().map_err(|_| ())?;
        number.checked_mul(size).map(Self).ok_or(())
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Written {
            wanted: "a size such as \"64MiB\", \"512KiB\" or \"100B\"",
            read: |text| text.parse().ok(),
        })
    }
}

/// `#[serde(with = "duration")]`: `"20ms"`, `"5s"`, `"24h"`, `"0"`.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use super::Written;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Written {
            wanted: "a duration such as \"20ms\", \"5s\" or \"24h\"",
            read: |text| match text {
                "0" => Some(Duration::ZERO),
                _ => humantime::parse_duration(text).ok(),
            },
        })
    }
}

/// Reads a value written as text, and says what is wanted also when a bare number stands there.
struct Written<T> {
    wanted: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> de::Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_the_largest_unit_that_divides_it() {
        for (bytes, text) in
            [(0, "0B"), (100, "100B"), (1 << 20, "1MiB"), (1536 << 10, "1536KiB"), (3 << 30, "3GiB")]
        {
            assert_eq!(ByteSize::bytes(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)));
        }
    }

    #[test]
    fn a_size_without_a_unit_or_beyond_64_bits_is_refused() {
        for text in ["64", "64MB", "MiB", "-1B", "1.5MiB", "", "99999999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(()), "{text}");
        }
    }
}
