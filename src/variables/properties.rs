//! The properties of a variable, with the priority each was given.
//!
//! A property's name may end in `:high`, `:med` or `:low`. That is no part of the name: it says when the
//! property is to be sent, and holds until another one says something else.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::reload::Role;
use crate::wire::Properties;

/// Nobody needs more properties, except by mistake in a loop.
const MAX_PROPERTIES: usize = 64;
/// Their names and values together, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;
/// What each takes beside its text, in bytes.
const EACH: usize = 64;

/// What comes first in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Priority {
    High,
    #[default]
    Medium,
    Low,
}

/// A name without its priority, and that.
pub(super) fn split(name: &str) -> (&str, Option<Priority>) {
    for (suffix, priority) in [(":high", Priority::High), (":med", Priority::Medium), (":low", Priority::Low)]
    {
        if let Some(name) = name.strip_suffix(suffix) {
            return (name, Some(priority));
        }
    }
    (name, None)
}

/// A variable has more properties than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a variable may have {MAX_PROPERTIES} properties with {MAX_BYTES} bytes of names and values together"
)]
pub(super) struct TooMany;

/// What is known of a variable beside its value.
#[derive(Debug, Default)]
pub(super) struct PropertySet {
    /// In no order. Few enough to be gone through.
    values: Vec<(Box<str>, Box<str>)>,
    /// Bytes of names and values.
    bytes: usize,
    /// Those with another priority than the usual one.
    priorities: BTreeMap<String, Priority>,
    /// What the browser has still to be told.
    unsent: BTreeSet<String>,
    /// What every pass asks for.
    inactive: bool,
    wrapped: bool,
    named_by_lua: bool,
}

impl PropertySet {
    /// What a browser gave, and so has.
    pub(super) fn given(properties: Properties) -> Result<Self, TooMany> {
        let mut set = Self::default();
        for (name, value) in properties {
            set.put(&name, value)?;
        }
        Ok(set)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Bytes that they take, roughly.
    pub(super) fn cost(&self) -> usize {
        self.bytes + self.values.len() * EACH
    }

    /// The value of a property, where the empty text counts as none.
    pub(super) fn get_set(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Takes what the browser has. Says whether it is something new.
    pub(super) fn put(&mut self, name: &str, value: String) -> Result<bool, TooMany> {
        let (name, priority) = split(name);
        let place = self.values.iter().position(|(known, _)| **known == *name);
        let known = place.map(|place| &*self.values[place].1);
        let is_new = known != Some(&*value);
        let bytes = self.bytes - known.map_or(0, |known| name.len() + known.len()) + name.len() + value.len();
        if bytes > MAX_BYTES || place.is_none() && self.values.len() >= MAX_PROPERTIES {
            return Err(TooMany);
        }
        if let Some(priority) = priority {
            self.priorities.insert(name.to_owned(), priority);
        }
        if !is_new {
            return Ok(false);
        }
        match name {
            "inactive" => self.inactive = !value.is_empty() && value != "false",
            "wrapper" => self.wrapped = !value.is_empty(),
            _ => {}
        }
        self.bytes = bytes;
        match place {
            Some(place) => self.values[place].1 = value.into(),
            None => {
                // Mostly the last one.
                self.values.reserve_exact(1);
                self.values.push((name.into(), value.into()));
            }
        }
        Ok(true)
    }

    /// Neither the variable nor its descendants are read or sent.
    pub(super) fn inactive(&self) -> bool {
        self.inactive
    }

    /// It asks for a wrapper.
    pub(super) fn wrapped(&self) -> bool {
        self.wrapped
    }

    /// Lua code has set a property that names a prototype.
    pub(super) fn named_by_lua(&self) -> bool {
        self.named_by_lua
    }

    /// Takes what the browser has still to be told, if it is something new.
    pub(super) fn tell(&mut self, name: &str, value: String) -> Result<bool, TooMany> {
        let new = self.put(name, value)?;
        self.named_by_lua |= Role::of(split(name).0).is_some();
        if new {
            self.unsent.insert(split(name).0.to_owned());
        }
        Ok(new)
    }

    /// The browser shall be told all of them.
    pub(super) fn tell_all(&mut self) {
        self.unsent.extend(self.values.iter().map(|(name, _)| name.to_string()));
    }

    pub(super) fn all_told(&self) -> bool {
        self.unsent.is_empty()
    }

    pub(super) fn priority(&self, name: &str) -> Priority {
        self.priorities.get(name).copied().unwrap_or_default()
    }

    /// What the browser has to be told now, the most urgent first.
    pub(super) fn take_untold(&mut self) -> BTreeMap<Priority, Properties> {
        let mut untold: BTreeMap<Priority, Properties> = BTreeMap::new();
        for name in std::mem::take(&mut self.unsent) {
            if let Some(value) = self.get(&name).map(str::to_owned) {
                untold.entry(self.priority(&name)).or_default().insert(name, value);
            }
        }
        untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_no_part_of_the_name_and_holds_until_another_is_given() {
        let mut set = PropertySet::given(Properties::from([("a:high".into(), "1".into())])).unwrap();
        assert_eq!((set.get("a"), set.get("a:high")), (Some("1"), None));
        set.put("a", "2".into()).unwrap();
        assert_eq!(set.priority("a"), Priority::High);
        set.put("a:low", "2".into()).unwrap();
        assert_eq!(set.priority("a"), Priority::Low);
        assert_eq!(split("a:b:med"), ("a:b", Some(Priority::Medium)));
    }

    #[test]
    fn a_browser_is_told_once_what_it_did_not_give_itself() {
        let mut set = PropertySet::given(Properties::from([("given".into(), "1".into())])).unwrap();
        assert!(set.all_told());
        assert!(set.tell("ours:low", "1".into()).unwrap() && !set.tell("ours", "1".into()).unwrap());
        assert_eq!(set.take_untold()[&Priority::Low]["ours"], "1");
        assert!(set.all_told());
        set.tell_all();
        assert_eq!(set.take_untold().len(), 2);
    }

    #[test]
    fn number_and_size_have_a_limit_and_one_that_is_replaced_gives_room() {
        let mut set = PropertySet::default();
        for n in 0..MAX_PROPERTIES {
            set.put(&n.to_string(), "x".into()).unwrap();
        }
        assert_eq!(set.put("more", "x".into()), Err(TooMany));
        assert_eq!(set.put("0", "y".repeat(MAX_BYTES)), Err(TooMany));
        assert!(set.put("0", "y".repeat(MAX_BYTES / 2)).unwrap());
        assert_eq!(set.put("1:high", "y".repeat(MAX_BYTES / 2)), Err(TooMany));
        assert!(set.put("0", "z".into()).unwrap() && set.put("1", "y".repeat(MAX_BYTES / 2)).unwrap());
        assert!(set.cost() < MAX_BYTES);
    }
}
