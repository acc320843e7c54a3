//! Who asks, and how: the address behind trusted proxies, and whether the way there is TLS.
//!
//! Headers say this, and anybody can write them. So they are read from trusted proxies only, and of a list of
//! addresses only the entries that these have added: from the end, up to the first that is not a trusted
//! proxy.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tokio::net::TcpStream;
use warp::http::{HeaderMap, header::FORWARDED};

use crate::config::ServerConfig;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Who is at the other end of a connection. The server adds it to each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    address: Option<IpAddr>,
    /// A program on this machine.
    pub(super) is_here: bool,
}

impl Peer {
    /// A program on this machine is known by its address: loopback, or the one that it connected to.
    pub(super) fn of(stream: &TcpStream) -> Self {
        let ends = stream.peer_addr().and_then(|peer| Ok((peer.ip().to_canonical(), stream.local_addr()?)));
        let is_here =
            |(peer, own): (IpAddr, SocketAddr)| peer.is_loopback() || peer == own.ip().to_canonical();
        let address = stream.peer_addr().ok().map(|peer| peer.ip().to_canonical());
        Self { address, is_here: ends.is_ok_and(is_here) }
    }
}

/// Who asks, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Of the browser, or of the first proxy that is not trusted.
    pub(super) address: Option<IpAddr>,
    /// The browser speaks TLS, with a trusted proxy.
    pub(super) is_tls: bool,
}

/// `server.trusted_proxies`
#[derive(Debug, Clone)]
pub(super) struct TrustedProxies(Vec<IpNet>);

/// An entry of `server.trusted_proxies` that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "server.trusted_proxies: \"{0}\" is no address and no network; write \"127.0.0.1\" or \"10.0.0.0/8\""
)]
pub struct ProxyConfigError(String);

impl TrustedProxies {
    /// # Errors
    /// An entry of the configuration cannot be understood.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, ProxyConfigError> {
        let network =
            |entry: &String| ServerConfig::network(entry).ok_or_else(|| ProxyConfigError(entry.clone()));
        Ok(Self(config.trusted_proxies.iter().map(network).collect::<Result<_, _>>()?))
    }

    /// Who has sent the request, by the connection and what trusted proxies say.
    pub(super) fn visitor(&self, peer: Option<Peer>, headers: &HeaderMap) -> Visitor {
        let peer = peer.and_then(|peer| peer.address);
        let Some(mut address) = peer.filter(|peer| self.trust(*peer)) else {
            return Visitor { address: peer, is_tls: false };
        };
        let mut is_tls = false;
        for hop in hops(headers).into_iter().rev() {
            is_tls = hop.is_tls;
            let Some(sender) = hop.sender else { break };
            address = sender;
            if !self.trust(sender) {
                break;
            }
        }
        Visitor { address: Some(address), is_tls }
    }

    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// What one proxy says of who has asked it.
#[derive(Debug, Clone, Copy)]
struct Hop {
    sender: Option<IpAddr>,
    is_tls: bool,
}

/// What proxies have said, the nearest last. If both forms are present, the older one counts: most proxies
/// write that one, and pass the other on as a browser sent it.
fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let senders: Vec<_> = list(headers, FORWARDED_FOR).map(address).collect();
    let protocols: Vec<_> = list(headers, FORWARDED_PROTO).map(is_https).collect();
    if senders.is_empty() && protocols.is_empty() {
        return list(headers, FORWARDED.as_str()).map(forwarded).collect();
    }
    let count = senders.len().max(1);
    // Most write one protocol, however many proxies there are.
    let one = protocols.last().copied().unwrap_or_default();
    let protocol = |at: usize| if protocols.len() == count { protocols[at] } else { one };
    let hop = |at: usize| Hop { sender: senders.get(at).copied().flatten(), is_tls: protocol(at) };
    (0..count).map(hop).collect()
}

/// The elements of a header that is a list.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn is_https(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("https") || protocol.eq_ignore_ascii_case("wss")
}

/// An address with or without a port. Anything else hides the address.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// One element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`.
fn forwarded(element: &str) -> Hop {
    let parameters = element.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let mut hop = Hop { sender: None, is_tls: false };
    for (name, value) in parameters {
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("for") {
            hop.sender = address(value);
        } else if name.eq_ignore_ascii_case("proto") {
            hop.is_tls = is_https(value);
        }
    }
    hop
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    /// What is known of a request from this address, where 10.0.0.0/8 and ::1 are trusted.
    fn seen(peer: &str, headers: &[(&'static str, &'static str)]) -> (String, bool) {
        let trusted = vec!["10.0.0.0/8".to_owned(), "::1".to_owned()];
        let proxies =
            TrustedProxies::new(&ServerConfig { trusted_proxies: trusted, ..ServerConfig::default() });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer { address: Some(peer.parse().expect("an address")), is_here: false };
        let visitor = proxies.expect("networks").visitor(Some(peer), &map);
        (visitor.address.expect("an address").to_string(), visitor.is_tls)
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        let said = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("203.0.113.5", &said), ("203.0.113.5".into(), false));
        assert_eq!(seen("10.1.2.3", &said), ("192.0.2.1".into(), true));
        assert_eq!(seen("::1", &said), ("192.0.2.1".into(), true));
        assert_eq!(seen("10.1.2.3", &[]), ("10.1.2.3".into(), false));
    }

    #[test]
    fn what_a_browser_has_put_into_the_list_is_not_believed() {
        let forged = [("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.9.9.9"), ("x-forwarded-proto", "https")];
        assert_eq!(seen("10.1.2.3", &forged), ("192.0.2.1".into(), true));
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(seen("10.1.2.3", &lines), ("192.0.2.1".into(), false));
        let nonsense = [("x-forwarded-for", "192.0.2.1, unknown")];
        assert_eq!(seen("10.1.2.3", &nonsense), ("10.1.2.3".into(), false));
        // nginx hands `Forwarded` on as it came.
        let both = [("forwarded", "for=1.1.1.1;proto=https"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(seen("10.1.2.3", &both), ("192.0.2.1".into(), false));
    }

    #[test]
    fn the_standard_header_is_read_as_well() {
        let one = [("forwarded", "for=\"[2001:db8::7]:4711\";proto=https;by=10.1.2.3")];
        assert_eq!(seen("10.1.2.3", &one), ("2001:db8::7".into(), true));
        let chain =
            [("forwarded", "for=1.1.1.1;proto=http, For=192.0.2.1;Proto=HTTPS, for=10.4.4.4;proto=http")];
        assert_eq!(seen("10.1.2.3", &chain), ("192.0.2.1".into(), true));
        assert_eq!(seen("10.1.2.3", &[("forwarded", "for=_hidden;proto=https")]), ("10.1.2.3".into(), true));
    }

    #[test]
    fn each_proxy_may_name_its_own_protocol_and_a_port() {
        let each = [("x-forwarded-for", "192.0.2.1:4711, 10.4.4.4"), ("x-forwarded-proto", "https, http")];
        assert_eq!(seen("10.1.2.3", &each), ("192.0.2.1".into(), true));
        assert_eq!(seen("10.1.2.3", &[("x-forwarded-proto", "https")]), ("10.1.2.3".into(), true));
    }

    #[test]
    fn an_entry_that_is_no_network_is_named() {
        let config = ServerConfig { trusted_proxies: vec!["proxy.local".into()], ..ServerConfig::default() };
        let error = TrustedProxies::new(&config).map(drop).expect_err("refused").to_string();
        assert!(error.contains("proxy.local") && error.contains("server.trusted_proxies"), "{error}");
    }
}
