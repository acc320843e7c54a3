//! Whose session it is: the browser's that began it, and nobody else's.
//!
//! The id of a session is public: it stands in the address, and in the cookie `ui-session`, which scripts
//! read. Cookies know no ports, so that one also goes to every other server of the host. What opens a
//! session is a second cookie, which no script can read, and which browsers send to the addresses of its
//! session only.

use warp::http::{HeaderMap, header::COOKIE};

use crate::config::Base;
use crate::session::{Found, LuaSessions, SessionHandle, SessionId};

/// The cookie that holds a session's secret.
const NAME: &str = "hot-session";
/// Behind TLS: browsers take a cookie of such a name from TLS only, and never send it without.
const SECURE_NAME: &str = "__Secure-hot-session";

/// The cookie that says which session the browser was in last. Released clients read it.
const LAST: &str = "ui-session";

/// Why a session is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotYours {
    #[error("There is no session {0}.")]
    Unknown(SessionId),
    #[error(
        "Session {0} is somebody else's: it belongs to the browser that began it (session.share lets \
         everybody in)."
    )]
    SomebodyElses(SessionId),
    #[error(
        "Session {0} is not here just now: the server is about to end, or has no room. Try again in a moment."
    )]
    NotNow(SessionId),
}

/// The session of that id, if the request brings its secret. Every route to a session goes through here.
///
/// # Errors
/// There is no such session, or it was begun by another browser.
pub(super) fn open(
    sessions: &LuaSessions,
    id: SessionId,
    headers: &HeaderMap,
    is_tls: bool,
) -> Result<SessionHandle, NotYours> {
    let session = sessions.get(id).ok_or(NotYours::Unknown(id))?;
    // Programs on other ports can add cookies of the same name. They must not lock anybody out.
    if sessions.config().share || secrets(headers, is_tls).any(|secret| session.opens_with(secret)) {
        return Ok(session);
    }
    Err(NotYours::SomebodyElses(id))
}

/// [`open`], also of a session that another server, or an earlier run of this one, has left in the store.
///
/// # Errors
/// There is no such session, it was begun by another browser, or this is not the moment.
pub(super) async fn find(
    sessions: &LuaSessions,
    id: SessionId,
    headers: &HeaderMap,
    is_tls: bool,
) -> Result<SessionHandle, NotYours> {
    match open(sessions, id, headers, is_tls) {
        Err(NotYours::Unknown(_)) => {}
        found => return found,
    }
    let brought: Vec<String> = secrets(headers, is_tls).map(str::to_owned).collect();
    match sessions.fetch(id, &brought).await {
        Found::Session(session) => Ok(session),
        Found::SomebodyElses => Err(NotYours::SomebodyElses(id)),
        Found::NotNow => Err(NotYours::NotNow(id)),
        Found::Nowhere => Err(NotYours::Unknown(id)),
    }
}

/// The values of `Set-Cookie` that give a browser the secret: one for the pages, one for the socket.
pub(super) fn cookies(session: &SessionHandle, is_tls: bool, base: &Base) -> [String; 2] {
    let (id, secret) = (session.id(), session.secret());
    let (name, secure) = if is_tls { (SECURE_NAME, "; Secure") } else { (NAME, "") };
    [format!("/{id}"), format!("/ws/{id}")]
        .map(|path| format!("{name}={secret}; Path={}; HttpOnly; SameSite=Lax{secure}", base.path(&path)))
}

/// The session that the browser was in last, if it still lives. The cookie only says where to go. It is no
/// secret: any server of the host can read and change it. The session's own address asks for the secret.
pub(super) fn last_visited(sessions: &LuaSessions, headers: &HeaderMap) -> Option<SessionId> {
    last_ids(headers).find(|id| sessions.get(*id).is_some())
}

/// The value of `Set-Cookie` that says in which session the browser is.
pub(super) fn visited(id: SessionId, base: &Base) -> String {
    format!("{LAST}={id}; Path={}; SameSite=Lax", base.path("/"))
}

/// What makes a browser forget a session that it cannot open: `/` would lead there again and again.
pub(super) fn forgotten(id: SessionId, headers: &HeaderMap, base: &Base) -> Option<String> {
    let path = base.path("/");
    last_ids(headers).any(|last| last == id).then(|| format!("{LAST}=; Path={path}; Max-Age=0; SameSite=Lax"))
}

fn last_ids(headers: &HeaderMap) -> impl Iterator<Item = SessionId> {
    cookies_of(headers).filter(|(name, _)| *name == LAST).filter_map(|(_, id)| id.parse().ok())
}

/// What the request brings. Behind TLS the cookie without the prefix is not taken: it could have been put
/// there without TLS.
fn secrets(headers: &HeaderMap, is_tls: bool) -> impl Iterator<Item = &str> {
    cookies_of(headers)
        .filter(move |(name, _)| *name == SECURE_NAME || !is_tls && *name == NAME)
        .map(|(_, value)| value)
}

/// The cookies of a request, by name.
fn cookies_of(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn brought(cookie: &'static str, is_tls: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static(cookie));
        secrets(&headers, is_tls).map(str::to_owned).collect()
    }

    #[test]
    fn all_cookies_of_the_name_are_looked_at_and_no_other() {
        assert_eq!(
            brought("a=1; hot-session=x;hot-session=y; ui-session=z; xhot-session=1", false),
            ["x", "y"]
        );
        assert!(brought("hot-session; Hot-Session=x", false).is_empty());
    }

    #[test]
    fn behind_tls_only_the_cookie_with_the_prefix_counts() {
        let both = "hot-session=x; __Secure-hot-session=y";
        assert_eq!(brought(both, true), ["y"]);
        assert_eq!(brought(both, false), ["x", "y"]);
    }
}
