//! The properties of a variable, with the priority each was given.
//!
//! A property's name may end in `:high`, `:med` or `:low`. That is no part of the name: it says when the
//! property is to be sent, and holds until another one says something else.

use std::collections::{BTreeMap, BTreeSet};

use super::message::Properties;

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

/// What is known of a variable beside its value.
#[derive(Debug, Default)]
pub(super) struct PropertySet {
    values: Properties,
    /// Few have another than the usual one.
    priorities: BTreeMap<String, Priority>,
    /// What the browser has not got: it neither gave it itself nor was told.
    unsent: BTreeSet<String>,
    /// What every pass asks for.
    inactive: bool,
    wrapped: bool,
}

impl PropertySet {
    /// What a browser gave, and so has.
    pub(super) fn given(properties: Properties) -> Self {
        let mut set = Self::default();
        for (name, value) in properties {
            set.put(&name, value);
        }
        set
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The same, where the empty text counts as none.
    pub(super) fn get_set(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn values(&self) -> &Properties {
        &self.values
    }

    /// Takes what the browser has. Says whether it is something new.
    pub(super) fn put(&mut self, name: &str, value: String) -> bool {
        let (name, priority) = split(name);
        if let Some(priority) = priority {
            self.priorities.insert(name.to_owned(), priority);
        }
        if self.values.get(name) == Some(&value) {
            return false;
        }
        match name {
            "inactive" => self.inactive = !value.is_empty() && value != "false",
            "wrapper" => self.wrapped = !value.is_empty(),
            _ => {}
        }
        self.values.insert(name.to_owned(), value);
        true
    }

    /// Neither the variable nor its descendants are read or sent.
    pub(super) fn inactive(&self) -> bool {
        self.inactive
    }

    /// It asks for a wrapper.
    pub(super) fn wrapped(&self) -> bool {
        self.wrapped
    }

    /// Takes what the browser has still to be told, if it is something new.
    pub(super) fn tell(&mut self, name: &str, value: String) -> bool {
        let new = self.put(name, value);
        if new {
            self.unsent.insert(split(name).0.to_owned());
        }
        new
    }

    /// The browser shall be told all of them.
    pub(super) fn tell_all(&mut self) {
        self.unsent.extend(self.values.keys().cloned());
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
            if let Some(value) = self.values.get(&name).cloned() {
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
        let mut set = PropertySet::given(Properties::from([("a:high".into(), "1".into())]));
        assert_eq!((set.get("a"), set.get("a:high")), (Some("1"), None));
        set.put("a", "2".into());
        assert_eq!(set.priority("a"), Priority::High);
        set.put("a:low", "2".into());
        assert_eq!(set.priority("a"), Priority::Low);
        assert_eq!(split("a:b:med"), ("a:b", Some(Priority::Medium)));
    }

    #[test]
    fn a_browser_is_told_once_what_it_did_not_give_itself() {
        let mut set = PropertySet::given(Properties::from([("given".into(), "1".into())]));
        assert!(set.all_told());
        assert!(set.tell("ours:low", "1".into()) && !set.tell("ours", "1".into()));
        assert_eq!(set.take_untold()[&Priority::Low]["ours"], "1");
        assert!(set.all_told());
        set.tell_all();
        assert_eq!(set.take_untold().len(), 2);
    }
}
