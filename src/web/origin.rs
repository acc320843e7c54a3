//! Who may talk to this server: the checks of Host and Origin, as pure functions of the headers.
//!
//! The Host check defends against DNS rebinding: a page of `evil.example` whose name suddenly resolves to
//! 127.0.0.1 is of the same origin as our server for the browser, but its requests still carry
//! `Host: evil.example`. The Origin check defends against pages of other sites that open a WebSocket to
//! us: browsers let them, and leave it to the server to refuse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use warp::http::{
    HeaderMap,
    header::{HOST, HeaderName, ORIGIN},
};

use super::authority::{Authority, WebOrigin};
use crate::config::ServerConfig;

/// Hosts and origins that may reach the server.
#[derive(Debug, Clone)]
pub(super) struct OriginPolicy {
    hosts: Vec<Authority>,
    origins: Vec<AllowedOrigin>,
}

#[derive(Debug, Clone)]
enum AllowedOrigin {
    Web(WebOrigin),
    /// Of another scheme, such as a browser extension's: compared as it is written.
    Other(String),
}

/// An entry of the configuration that is no host or no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginConfigError {
    /// In `server.allowed_hosts`.
    #[error("server.allowed_hosts: \"{0}\" is no host; write \"example.org\" or \"example.org:8443\"")]
    Host(String),
    /// In `server.allowed_origins`.
    #[error("server.allowed_origins: \"{0}\" is no origin; write \"https://example.org\", without a path")]
    Origin(String),
}

/// Why a request is refused. The text goes to the one who asked: it names the value and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("The request has no Host header, or more than one.")]
    NoHost,
    #[error("The Host header {0:?} is not a host name with an optional port.")]
    MalformedHost(String),
    #[error(
        "The host {0:?} is not one this server answers to. If it should be, add it to \
         `server.allowed_hosts` in the configuration."
    )]
    ForeignHost(String),
    #[error(
        "Requests from the origin {0:?} are not allowed. If they should be, add it to \
         `server.allowed_origins` in the configuration."
    )]
    ForeignOrigin(String),
    #[error("A page of another site, or of another port, sent this request.")]
    CrossSite,
    #[error("A part of a page, or a browser in advance, asked for a session. Open the address itself.")]
    BackgroundRequest,
}

/// Proof that Host and Origin of a request were checked. A WebSocket is granted to nobody without it, so
/// that no route can forget to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted(());

#[cfg(test)]
impl Admitted {
    pub(super) fn in_a_test() -> Self {
        Self(())
    }
}

impl OriginPolicy {
    /// Loopback names are always allowed; `server.host` is, unless it stands for every address.
    ///
    /// # Errors
    /// An entry of `server.allowed_hosts` or `server.allowed_origins` cannot be understood.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, OriginConfigError> {
        let loopback =
            [Ipv4Addr::LOCALHOST.to_string(), format!("[{}]", Ipv6Addr::LOCALHOST), "localhost".into()];
        let mut hosts = loopback.map(|host| Authority { host, port: None }).to_vec();
        let is_unspecified = config.host.parse().is_ok_and(|address: IpAddr| address.is_unspecified());
        if !is_unspecified {
            // A host to listen on that is no host name fails at binding, with its own message.
            hosts.extend(Authority::parse_configured(&config.host));
        }
        for entry in &config.allowed_hosts {
            let host = Authority::parse_configured(entry);
            hosts.push(host.ok_or_else(|| OriginConfigError::Host(entry.clone()))?);
        }
        let origins = config.allowed_origins.iter().map(|entry| AllowedOrigin::parse(entry));
        Ok(Self { hosts, origins: origins.collect::<Result<_, _>>()? })
    }

    /// Whether the request is addressed to this server; on every route.
    ///
    /// # Errors
    /// The refusal, to be answered with 403.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.allowed_host(headers).map(drop)
    }

    /// Whether a page that may has sent the request; on every WebSocket, and wherever something is changed.
    ///
    /// A request without an Origin comes from a program: browsers send one with every WebSocket.
    ///
    /// # Errors
    /// The refusal, to be answered with 403.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Admitted, Refusal> {
        let host = self.allowed_host(headers)?;
        if !headers.contains_key(ORIGIN) {
            return Ok(Admitted(()));
        }
        let origin = only(headers, &ORIGIN).ok_or_else(|| Refusal::ForeignOrigin(shown(headers, &ORIGIN)))?;
        let parsed = WebOrigin::parse(origin);
        let own = parsed.as_ref().is_some_and(|origin| origin.is_served_by(&host));
        if own || self.origins.iter().any(|allowed| allowed.matches(origin, parsed.as_ref())) {
            return Ok(Admitted(()));
        }
        Err(Refusal::ForeignOrigin(shown(headers, &ORIGIN)))
    }

    fn allowed_host(&self, headers: &HeaderMap) -> Result<Authority, Refusal> {
        if headers.get_all(HOST).iter().count() != 1 {
            return Err(Refusal::NoHost);
        }
        let host = only(headers, &HOST)
            .and_then(Authority::parse)
            .ok_or_else(|| Refusal::MalformedHost(shown(headers, &HOST)))?;
        let is_allowed = |allowed: &Authority| {
            allowed.host == host.host && (allowed.port.is_none() || allowed.port == host.port)
        };
        if self.hosts.iter().any(is_allowed) { Ok(host) } else { Err(Refusal::ForeignHost(host.to_string())) }
    }
}

/// Whether somebody visits the address that makes a session: no frame, no image or script of a page, and no
/// browser that only guesses where its user goes next. A page of another site could otherwise fill the
/// server with sessions.
///
/// # Errors
/// The refusal, to be answered with 403.
pub(super) fn check_is_visit(headers: &HeaderMap) -> Result<(), Refusal> {
    // Browsers set these themselves, no page can. Programs do not send them, nor do browsers to names of a
    // network without TLS.
    let is_document = headers.get("sec-fetch-dest").is_none_or(|part| part == "document");
    let purposes = ["sec-purpose", "purpose"].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
    let is_guess = purposes.into_iter().any(|purpose| purpose.to_ascii_lowercase().contains("prefetch"));
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|header| header == value);
    let foreign = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    let is_foreign_part = foreign && !is("sec-fetch-mode", "navigate");
    if is_document && !is_guess && !is_foreign_part { Ok(()) } else { Err(Refusal::BackgroundRequest) }
}

/// Whether a browser sends the request for a page of another site, or of another port of this host. An
/// Origin can be missing there: some browsers leave it out of a form's POST.
///
/// # Errors
/// The refusal, to be answered with 403.
pub(super) fn check_is_not_cross_site(headers: &HeaderMap) -> Result<(), Refusal> {
    // Programs do not send it.
    let site = headers.get("sec-fetch-site");
    if site.is_none_or(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(Refusal::CrossSite)
}

/// Whether a page is asked for, and not a part of one: a picture with a relative address is looked for
/// below the session, too.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    // Programs say nothing of it.
    headers.get("sec-fetch-dest").is_none_or(|part| part == "document" || part == "iframe")
}

impl AllowedOrigin {
    fn parse(entry: &str) -> Result<Self, OriginConfigError> {
        let wrong = || OriginConfigError::Origin(entry.to_owned());
        let (scheme, _) = entry.split_once("://").ok_or_else(wrong)?;
        if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") {
            return WebOrigin::parse(entry).map(Self::Web).ok_or_else(wrong);
        }
        Ok(Self::Other(entry.to_owned()))
    }

    fn matches(&self, origin: &str, parsed: Option<&WebOrigin>) -> bool {
        match self {
            Self::Web(allowed) => parsed == Some(allowed),
            Self::Other(allowed) => allowed.eq_ignore_ascii_case(origin),
        }
    }
}

/// The value of a header that is there once, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// The header as a person may read it, short enough for a message.
fn shown(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(", ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn policy(host: &str, allowed_hosts: &[&str], allowed_origins: &[&str]) -> OriginPolicy {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let config = ServerConfig {
            host: host.into(),
            allowed_hosts: owned(allowed_hosts),
            allowed_origins: owned(allowed_origins),
            ..ServerConfig::default()
        };
        OriginPolicy::new(&config).expect("a policy")
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn host_allowed(policy: &OriginPolicy, host: &str) -> bool {
        policy.check_host(&headers(&[("host", host)])).is_ok()
    }

    fn origin_allowed(policy: &OriginPolicy, host: &str, origin: &str) -> bool {
        policy.admit(&headers(&[("host", host), ("origin", origin)])).is_ok()
    }

    #[test]
    fn loopback_names_are_allowed_with_any_port() {
        let policy = policy("127.0.0.1", &[], &[]);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]:8080",
        ] {
            assert!(host_allowed(&policy, host), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        let policy = policy("127.0.0.1", &[], &[]);
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "xlocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "127.1",
            "2130706433",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "192.168.1.5",
        ] {
            let refusal = policy.check_host(&headers(&[("host", host)]));
            assert!(matches!(refusal, Err(Refusal::ForeignHost(_))), "{host}: {refusal:?}");
        }
    }

    #[test]
    fn a_missing_double_or_malformed_host_is_refused() {
        let policy = policy("127.0.0.1", &[], &[]);
        assert_eq!(policy.check_host(&headers(&[])), Err(Refusal::NoHost));
        let twice = headers(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(policy.check_host(&twice), Err(Refusal::NoHost));
        for host in
            ["", "user@localhost", "localhost:80@evil.example", "localhost/", "localhost, evil.example"]
        {
            let refusal = policy.check_host(&headers(&[("host", host)]));
            assert!(matches!(refusal, Err(Refusal::MalformedHost(_))), "{host}: {refusal:?}");
        }
    }

    #[test]
    fn the_host_listened_on_is_allowed_unless_it_is_every_address() {
        assert!(host_allowed(&policy("192.168.1.5", &[], &[]), "192.168.1.5:8080"));
        assert!(host_allowed(&policy("Dev.Example", &[], &[]), "dev.example"));
        assert!(host_allowed(&policy("2001:db8::1", &[], &[]), "[2001:db8::1]:8080"));
        assert!(!host_allowed(&policy("0.0.0.0", &[], &[]), "0.0.0.0:8080"));
        assert!(!host_allowed(&policy("::", &[], &[]), "[::]:8080"));
    }

    #[test]
    fn an_allowed_host_with_a_port_is_allowed_with_that_port_only() {
        let policy = policy("127.0.0.1", &["example.org", "Other.Example.:8443"], &[]);
        assert!(host_allowed(&policy, "example.org"));
        assert!(host_allowed(&policy, "example.org:1234"));
        assert!(host_allowed(&policy, "other.example:8443"));
        assert!(!host_allowed(&policy, "other.example"));
        assert!(!host_allowed(&policy, "other.example:8444"));
        assert!(!host_allowed(&policy, "sub.example.org"));
    }

    #[test]
    fn the_servers_own_pages_are_allowed() {
        let policy = policy("127.0.0.1", &["example.org"], &[]);
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("LOCALHOST", "http://localhost"),
            ("localhost", "http://localhost:80"),
            // A proxy before us ends TLS and hands the Host on.
            ("example.org", "https://example.org"),
            ("example.org:443", "https://example.org"),
        ] {
            assert!(origin_allowed(&policy, host, origin), "{host} {origin}");
        }
    }

    #[test]
    fn pages_of_others_are_refused_even_on_the_same_machine() {
        let policy = policy("127.0.0.1", &["example.org"], &[]);
        for (host, origin) in [
            ("localhost:8080", "http://evil.example"),
            ("localhost:8080", "http://localhost:3000"),
            ("localhost:8080", "http://localhost"),
            ("localhost:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "https://example.org"),
            ("localhost:8080", "null"),
            ("localhost:8080", ""),
            ("localhost:8080", "http://localhost:8080@evil.example"),
            ("localhost:8080", "http://localhost:8080.evil.example"),
            ("localhost:8080", "http://localhost:8080/"),
            ("localhost:8080", "http://localhost:8080, http://evil.example"),
            ("localhost:8080", "ws://localhost:8080"),
        ] {
            let refusal = policy.admit(&headers(&[("host", host), ("origin", origin)]));
            assert!(matches!(refusal, Err(Refusal::ForeignOrigin(_))), "{host} {origin}: {refusal:?}");
        }
        let twice =
            headers(&[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")]);
        assert!(policy.admit(&twice).is_err());
    }

    #[test]
    fn a_rebound_name_is_refused_though_host_and_origin_agree() {
        let policy = policy("127.0.0.1", &[], &[]);
        assert!(!origin_allowed(&policy, "evil.example:8080", "http://evil.example:8080"));
    }

    #[test]
    fn a_program_without_an_origin_is_allowed() {
        assert_eq!(policy("127.0.0.1", &[], &[]).admit(&headers(&[("host", "localhost")])), Ok(Admitted(())));
    }

    #[test]
    fn listed_origins_are_allowed_exactly() {
        let listed = ["https://App.example:443", "http://app.example:3000", "chrome-extension://abcdef"];
        let policy = policy("127.0.0.1", &[], &listed);
        for origin in ["https://app.example", "http://app.example:3000", "chrome-extension://abcdef"] {
            assert!(origin_allowed(&policy, "localhost:8080", origin), "{origin}");
        }
        for origin in ["http://app.example", "https://app.example:3000", "https://x.app.example", "null"] {
            assert!(!origin_allowed(&policy, "localhost:8080", origin), "{origin}");
        }
        assert!(!origin_allowed(&policy, "evil.example", "https://app.example"), "the host is checked too");
    }

    #[test]
    fn a_wrong_entry_of_the_configuration_is_named() {
        let hosts = ServerConfig { allowed_hosts: vec!["http://x".into()], ..ServerConfig::default() };
        assert_eq!(OriginPolicy::new(&hosts).err(), Some(OriginConfigError::Host("http://x".into())));
        for entry in ["example.org", "null", "https://example.org/path", "*"] {
            let origins = ServerConfig { allowed_origins: vec![entry.into()], ..ServerConfig::default() };
            assert_eq!(OriginPolicy::new(&origins).err(), Some(OriginConfigError::Origin(entry.into())));
        }
    }

    #[test]
    fn a_refusal_names_the_value_and_the_key() {
        let policy = policy("127.0.0.1", &[], &[]);
        let host =
            policy.check_host(&headers(&[("host", "evil.example:80")])).expect_err("refused").to_string();
        assert!(host.contains("evil.example:80") && host.contains("server.allowed_hosts"), "{host}");
        let origin = policy.admit(&headers(&[("host", "localhost"), ("origin", "http://evil.example")]));
        let origin = origin.expect_err("refused").to_string();
        assert!(
            origin.contains("http://evil.example") && origin.contains("server.allowed_origins"),
            "{origin}"
        );
    }

    #[test]
    fn a_session_is_made_for_a_visit_and_not_for_a_part_of_a_page() {
        let asked = |dest: &str, site: &str, mode: &str| {
            let fetch = [("sec-fetch-dest", dest), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            check_is_visit(&headers(&fetch)).is_ok()
        };
        assert!(check_is_visit(&headers(&[])).is_ok(), "a program");
        assert!(asked("document", "none", "navigate"), "typed in");
        assert!(asked("document", "cross-site", "navigate"), "a link");
        for dest in
            ["iframe", "frame", "embed", "object", "image", "script", "style", "empty", "fencedframe", ""]
        {
            for site in ["none", "same-origin", "same-site", "cross-site"] {
                assert!(!asked(dest, site, "navigate"), "{dest} {site}");
            }
        }
        assert!(
            check_is_visit(&headers(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]))
                .is_err()
        );
    }

    #[test]
    fn what_a_browser_fetches_in_advance_makes_no_session() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch;anonymous-client-ip"),
            ("purpose", "prefetch"),
        ] {
            let fetch = [("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"), (name, value)];
            assert!(check_is_visit(&headers(&fetch)).is_err(), "{name}: {value}");
        }
    }
}
