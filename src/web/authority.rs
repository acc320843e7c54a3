//! `host[:port]` and `scheme://host[:port]`, read strictly and in one spelling.

use std::{fmt, net::Ipv6Addr};

/// A host and, where one was written, a port: of a Host header, of an Origin, of the configuration.
///
/// Two spellings of one host are equal: case, one trailing dot and the many forms of an IPv6 address
/// do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// Lower case; an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Authority {
    /// `None` for all that is not exactly a host with or without a port: user names, paths, spaces,
    /// anything outside ASCII.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest {
                "" => None,
                _ => Some(port(rest.strip_prefix(':')?)?),
            };
            return Some(Self { host: format!("[{address}]"), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, Some(port(digits)?)),
            None => (text, None),
        };
        Some(Self { host: name(host)?, port })
    }

    /// As [`Authority::parse`], and an IPv6 address may stand without brackets, as people write it in a
    /// configuration.
    pub(super) fn parse_configured(text: &str) -> Option<Self> {
        match text.parse::<Ipv6Addr>() {
            Ok(address) => Some(Self { host: format!("[{address}]"), port: None }),
            Err(_) => Self::parse(text),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An http or https origin; a default port is left out, as browsers do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebOrigin {
    pub(super) secure: bool,
    pub(super) authority: Authority,
}

impl WebOrigin {
    /// `None` for everything else: other schemes, `null`, anything after the authority.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let secure = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return None;
        };
        let authority = without_default_port(Authority::parse(authority)?, secure);
        Some(Self { secure, authority })
    }

    /// Whether a page of this origin was served by the server that goes by `host`.
    pub(super) fn is_served_by(&self, host: &Authority) -> bool {
        self.authority == without_default_port(host.clone(), self.secure)
    }
}

fn without_default_port(authority: Authority, secure: bool) -> Authority {
    let default = if secure { 443 } else { 80 };
    Authority { port: authority.port.filter(|&port| port != default), ..authority }
}

fn port(digits: &str) -> Option<u16> {
    // `parse` alone would take "+80".
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label_is_fine = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.split('.').all(label_is_fine).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Option<String> {
        Authority::parse(text).map(|authority| authority.to_string())
    }

    #[test]
    fn spellings_of_one_host_are_equal() {
        for (text, expected) in [
            ("localhost", "localhost"),
            ("LocalHost:8080", "localhost:8080"),
            ("localhost.", "localhost"),
            ("localhost.:8080", "localhost:8080"),
            ("my_box.local", "my_box.local"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]:8080", "[::1]:8080"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(spelled(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_host_is_nothing() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".localhost",
            "localhost..",
            ":8080",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "localhost:80@evil.example",
            "user@localhost",
            "user:80@localhost",
            "localhost/",
            "localhost#",
            "localhost?",
            "localhost\\",
            "local host",
            " localhost",
            "localhost ",
            "localhost,evil.example",
            "localhost%00",
            "lo\0calhost",
            "löcalhost",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1]:",
            "[::1].",
            "[::1%25lo]",
            "[localhost]",
            "[]",
            "http://localhost",
        ] {
            assert_eq!(spelled(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_configured_ipv6_address_needs_no_brackets() {
        for text in ["::1", "[::1]"] {
            let authority = Authority::parse_configured(text).map(|authority| authority.to_string());
            assert_eq!(authority.as_deref(), Some("[::1]"));
        }
    }

    #[test]
    fn an_origin_is_a_scheme_and_an_authority_and_nothing_after_it() {
        let origin = WebOrigin::parse("HTTPS://Example.org:443").expect("an origin");
        assert!(origin.secure);
        assert_eq!(origin.authority.to_string(), "example.org");
        for text in [
            "null",
            "",
            "example.org",
            "http://",
            "http:/localhost",
            "http:localhost",
            "http://localhost/",
            "http://localhost/path",
            "http://a@localhost",
            "http://localhost@evil.example",
            "ws://localhost",
            "file://localhost",
            "http://localhost http://evil.example",
            "http://http://localhost",
        ] {
            assert_eq!(WebOrigin::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_default_port_may_be_written_or_not() {
        let served = |origin: &str, host: &str| {
            WebOrigin::parse(origin).expect(origin).is_served_by(&Authority::parse(host).expect(host))
        };
        assert!(served("http://example.org", "example.org:80"));
        assert!(served("https://example.org", "example.org:443"));
        assert!(served("https://example.org:443", "example.org"));
        assert!(!served("http://example.org", "example.org:443"));
        assert!(!served("http://example.org:8080", "example.org"));
        assert!(!served("http://example.org", "example.org:8080"));
    }
}
