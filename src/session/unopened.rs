//! Sessions that were begun and that no browser has connected to yet: cheap, few, and the first to go.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use super::id::SessionId;

/// How often the log tells that an address begins too many.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Who begins sessions. A network of IPv6 counts as one address: it has 2⁶⁴ of them for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(Option<IpAddr>);

impl Source {
    fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address => address,
        }))
    }
}

/// An address has begun as many sessions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded {
    /// Nobody has been told for a while.
    pub(super) is_news: bool,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unopened {
    last: u64,
    by_age: BTreeMap<u64, SessionId>,
    begun: HashMap<SessionId, (u64, Source)>,
    by_source: HashMap<Source, usize>,
    /// Those that the log has told of in the last minute.
    told: HashMap<Source, Instant>,
}

impl Unopened {
    /// Notes a session of that address, of which there may be `most`.
    ///
    /// # Errors
    /// There are as many already.
    pub(super) fn add(&mut self, id: SessionId, address: Option<IpAddr>, most: usize) -> Result<(), Crowded> {
        let source = Source::of(address);
        let count = self.by_source.get(&source).copied().unwrap_or_default();
        if count >= most {
            return Err(self.crowded(source, Instant::now()));
        }
        self.last += 1;
        self.by_source.insert(source, count + 1);
        self.begun.insert(id, (self.last, source));
        self.by_age.insert(self.last, id);
        Ok(())
    }

    fn crowded(&mut self, source: Source, now: Instant) -> Crowded {
        self.told.retain(|_, at| now.saturating_duration_since(*at) < TOLD_EVERY);
        let is_news = !self.told.contains_key(&source);
        self.told.entry(source).or_insert(now);
        Crowded { is_news }
    }

    /// A browser has connected to it, or it has ended. Says whether it was one of these.
    pub(super) fn remove(&mut self, id: SessionId) -> bool {
        let Some((age, source)) = self.begun.remove(&id) else { return false };
        self.by_age.remove(&age);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        true
    }

    /// The one that makes room.
    pub(super) fn oldest(&self) -> Option<SessionId> {
        self.by_age.first_key_value().map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_oldest_goes_first_and_what_has_gone_makes_room_for_its_address() {
        let mut unopened = Unopened::default();
        let ids: Vec<_> = (0..3).map(|_| SessionId::random().unwrap()).collect();
        assert_eq!(unopened.add(ids[0], from("192.0.2.1"), 2), Ok(()));
        assert_eq!(unopened.add(ids[1], from("192.0.2.1"), 2), Ok(()));
        assert!(unopened.add(ids[2], from("192.0.2.1"), 2).is_err());
        assert_eq!(unopened.add(ids[2], from("192.0.2.2"), 2), Ok(()), "another address");
        assert_eq!(unopened.oldest(), Some(ids[0]));
        assert!(unopened.remove(ids[0]) && !unopened.remove(ids[0]));
        assert_eq!(unopened.oldest(), Some(ids[1]));
        assert_eq!(unopened.add(ids[0], from("192.0.2.1"), 2), Ok(()));
        assert!(ids.iter().all(|id| unopened.remove(*id)));
        assert!(unopened.by_age.is_empty() && unopened.by_source.is_empty() && unopened.begun.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_addresses_are_themselves() {
        assert_eq!(Source::of(from("2001:db8:1:2::1")), Source::of(from("2001:db8:1:2:ffff::9")));
        assert_ne!(Source::of(from("2001:db8:1:2::1")), Source::of(from("2001:db8:1:3::1")));
        assert_eq!(Source::of(from("::ffff:192.0.2.1")), Source::of(from("192.0.2.1")));
        assert_ne!(Source::of(from("::ffff:192.0.2.1")), Source::of(from("::ffff:192.0.2.2")));
    }

    #[test]
    fn an_address_that_begins_too_many_is_news_once_a_minute() {
        let mut unopened = Unopened::default();
        let (one, other, now) =
            (Source::of(from("192.0.2.1")), Source::of(from("192.0.2.2")), Instant::now());
        let mut is_news = |source, after| unopened.crowded(source, now + Duration::from_secs(after)).is_news;
        assert!(is_news(one, 0));
        assert!(!is_news(one, 59));
        assert!(is_news(other, 59));
        assert!(is_news(one, 60));
        assert!(!is_news(one, 61));
    }
}
