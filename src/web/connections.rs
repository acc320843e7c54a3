//! Which connections are taken: so many of one address, and so many at all.
//!
//! What is counted are the [`Permit`]s that are held. Only the accepting task hands them out, so a count that
//! it reads may include a connection that is just closing, and never misses one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::visitor::TrustedProxies;
use crate::config::ServerConfig;

/// How often an address, and the server as a whole, is said to be full.
const BETWEEN_LINES: Duration = Duration::from_secs(60);
/// When there are more addresses than this, those without connections are forgotten.
const FEW_ADDRESSES: usize = 1024;

/// Who has how many.
pub(super) struct Connections {
    most: usize,
    most_of_one: usize,
    all: Counted,
    by_address: HashMap<IpAddr, Counted>,
    forget_at: usize,
    proxies: TrustedProxies,
}

#[derive(Default)]
struct Counted {
    held: Arc<()>,
    /// When it was last said that there are too many.
    said: Option<Instant>,
}

/// Of one connection among all, for as long as its descriptor is open.
#[derive(Debug)]
pub(super) struct Permit(#[allow(dead_code, reason = "to be held is what it is for")] Arc<()>);

/// Of one connection among those of its address, for as long as it speaks HTTP: the WebSockets of an
/// address are bounded by their sessions. A trusted proxy has as many as it likes: it bounds them itself.
#[derive(Debug)]
pub(super) struct AddressPermit(#[allow(dead_code, reason = "to be held is what it is for")] Option<Arc<()>>);

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error(
        "too many connections of one address at once; server.connections_per_address is {0} (a proxy that \
         bounds them itself belongs into server.trusted_proxies)"
    )]
    Address(usize),
    #[error("too many connections at once: {0} (server.max_connections; ulimit -n)")]
    Server(usize),
}

impl Connections {
    pub(super) fn new(config: &ServerConfig, proxies: TrustedProxies) -> Self {
        let most = match config.max_connections {
            0 => three_quarters_of_the_descriptors(),
            most => most,
        };
        Self {
            most,
            most_of_one: config.connections_per_address,
            all: Counted::default(),
            by_address: HashMap::new(),
            forget_at: FEW_ADDRESSES,
            proxies,
        }
    }

    /// Takes places for one more connection.
    ///
    /// # Errors
    /// There is none. It is in the log then, each minute at most.
    pub(super) fn admit(&mut self, from: IpAddr, now: Instant) -> Result<(Permit, AddressPermit), Full> {
        if self.all.count() >= self.most {
            let full = Full::Server(self.most);
            if self.all.is_to_be_said(now) {
                tracing::warn!("{full}");
            }
            return Err(full);
        }
        if self.proxies.trust(from.to_canonical()) {
            return Ok((Permit(self.all.held.clone()), AddressPermit(None)));
        }
        if self.by_address.len() >= self.forget_at {
            self.by_address.retain(|_, of_one| of_one.count() > 0 || of_one.was_said(now));
            self.forget_at = (self.by_address.len() * 2).max(FEW_ADDRESSES);
        }
        let network = network(from);
        let of_one = self.by_address.entry(network).or_default();
        if of_one.count() >= self.most_of_one {
            let full = Full::Address(self.most_of_one);
            if of_one.is_to_be_said(now) {
                tracing::warn!(address = %network, "{full}");
            }
            return Err(full);
        }
        Ok((Permit(self.all.held.clone()), AddressPermit(Some(of_one.held.clone()))))
    }
}

impl Counted {
    fn count(&self) -> usize {
        Arc::strong_count(&self.held) - 1
    }

    fn was_said(&self, now: Instant) -> bool {
        self.said.is_some_and(|said| now.duration_since(said) < BETWEEN_LINES)
    }

    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let is = !self.was_said(now);
        if is {
            self.said = Some(now);
        }
        is
    }
}

/// What counts as one address: of IPv6, the 64 bits that somebody is given as a whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// The rest is for files: those of the site, and whatever else is open.
fn three_quarters_of_the_descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    limit / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize, most_of_one: usize) -> Connections {
        let limits = ServerConfig {
            max_connections: most,
            connections_per_address: most_of_one,
            trusted_proxies: vec!["192.0.2.0/24".into()],
            ..ServerConfig::default()
        };
        Connections::new(&limits, TrustedProxies::new(&limits).expect("networks"))
    }

    fn from(connections: &mut Connections, address: &str) -> Result<(Permit, AddressPermit), Full> {
        connections.admit(address.parse().expect("an address"), Instant::now())
    }

    #[test]
    fn one_address_has_so_many_and_others_have_theirs() {
        let mut connections = connections(100, 2);
        let one = from(&mut connections, "10.0.0.1").expect("a place");
        let _two = from(&mut connections, "10.0.0.1").expect("a place");
        assert_eq!(from(&mut connections, "10.0.0.1").err(), Some(Full::Address(2)));
        assert_eq!(from(&mut connections, "::ffff:10.0.0.1").err(), Some(Full::Address(2)), "the same");
        assert!(from(&mut connections, "10.0.0.2").is_ok());
        drop(one);
        assert!(from(&mut connections, "10.0.0.1").is_ok());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let mut connections = connections(100, 1);
        let _held = from(&mut connections, "2001:db8:1:2::1").expect("a place");
        assert_eq!(from(&mut connections, "2001:db8:1:2:ffff::9").err(), Some(Full::Address(1)));
        assert!(from(&mut connections, "2001:db8:1:3::1").is_ok());
    }

    #[test]
    fn a_trusted_proxy_has_as_many_as_it_likes() {
        let mut connections = connections(100, 1);
        let held: Vec<_> = (0..5).map(|_| from(&mut connections, "192.0.2.7")).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(connections.all.count(), 5, "but not more than all");
    }

    #[test]
    fn a_websocket_counts_among_all_and_not_for_its_address() {
        let mut connections = connections(2, 1);
        let (_one, http) = from(&mut connections, "10.0.0.1").expect("a place");
        drop(http);
        let _two = from(&mut connections, "10.0.0.1").expect("a place");
        assert_eq!(from(&mut connections, "10.0.0.2").err(), Some(Full::Server(2)));
    }

    #[test]
    fn who_is_full_is_said_once_a_minute() {
        let mut counted = Counted::default();
        let start = Instant::now();
        assert!(counted.is_to_be_said(start));
        assert!(!counted.is_to_be_said(start + BETWEEN_LINES / 2));
        assert!(counted.is_to_be_said(start + BETWEEN_LINES));
    }

    #[test]
    fn addresses_that_have_left_are_forgotten() {
        let mut connections = connections(10, 1);
        for n in 0..5 * u32::try_from(FEW_ADDRESSES).expect("few") {
            let address = IpAddr::from(n.to_be_bytes());
            drop(connections.admit(address, Instant::now()).expect("a place"));
        }
        assert!(connections.by_address.len() <= FEW_ADDRESSES);
    }
}
