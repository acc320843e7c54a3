//! `/_hot/`: the status page, its files, and the WebSocket that keeps it up to date.
//!
//! The page is a mirror: what it shows comes in named parts from a [`StatusSource`], and a part is sent again
//! when it differs from what this browser has. While nobody looks, nothing is asked.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use include_dir::{Dir, include_dir};
use serde::Deserialize;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use warp::{
    http::{HeaderMap, header::CONTENT_SECURITY_POLICY},
    reply::Response,
};

use super::{
    kept::embedded,
    replies::with,
    socket::{self, SocketLimits},
    upgrade::BrowserStream,
};
use crate::session::Frame;

/// The page, inside the binary.
static PAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/web/status");
/// How often the parts are looked at while somebody looks at the page.
const LOOK: Duration = Duration::from_millis(500);
/// At most this many browsers may look at the page.
const MAX_VIEWERS: usize = 16;
/// Frames that may wait for one of them. The parts are asked for again when there is room.
const OUTBOX: usize = 4;
/// The page needs nothing from elsewhere, and what it shows can't run.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'";

/// A named part of the status page, as its script expects it.
pub type StatusPart = (&'static str, serde_json::Value);

/// What the status page shows.
pub trait StatusSource: Send + Sync + 'static {
    /// All parts, as they are now.
    fn parts(&self) -> Pin<Box<dyn Future<Output = Vec<StatusPart>> + Send + '_>>;

    /// Somebody pressed the restart button of a session, which is known by its short name.
    fn restart(&self, session: &str);

    /// Somebody pressed the button that ends a session.
    fn end(&self, session: &str);
}

/// The status page of a server.
#[derive(Clone)]
pub(super) struct StatusPage {
    source: Arc<dyn StatusSource>,
    viewers: Arc<AtomicUsize>,
}

/// What a browser may ask.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Request {
    Restart(String),
    End(String),
}

impl StatusPage {
    pub(super) fn new(source: Arc<dyn StatusSource>) -> Self {
        Self { source, viewers: Arc::default() }
    }

    /// `GET /_hot/` and what the page is made of.
    pub(super) fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
        let name = if name.is_empty() { "index.html" } else { name };
        let response = embedded(&PAGE, name, headers)?;
        Some(with(response, CONTENT_SECURITY_POLICY, POLICY))
    }

    /// A place for one more who looks; `None` when there are too many.
    pub(super) fn admit(&self) -> Option<Viewer> {
        if self.viewers.fetch_add(1, Relaxed) >= MAX_VIEWERS {
            self.viewers.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Viewer(self.clone()))
    }
}

/// Somebody who looks at the page.
pub(super) struct Viewer(StatusPage);

impl Viewer {
    /// Serves the socket to its end.
    pub(super) async fn serve(
        self,
        stream: Box<BrowserStream>,
        limits: SocketLimits,
        stop: CancellationToken,
    ) {
        let source = &self.0.source;
        let (outbox, frames) = mpsc::channel(OUTBOX);
        let receive = |text: String| async move {
            match serde_json::from_str(&text) {
                Ok(Request::Restart(session)) => source.restart(&session),
                Ok(Request::End(session)) => source.end(&session),
                Err(error) => tracing::debug!(%error, "the status page asked for something unknown"),
            }
            Ok(())
        };
        tokio::select! {
            _ = socket::run(stream, frames, Arc::default(), receive, stop, limits) => {}
            () = feed(source.as_ref(), outbox) => {}
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Relaxed);
    }
}

/// Sends each part when it differs from what was sent.
async fn feed(source: &dyn StatusSource, outbox: mpsc::Sender<Frame>) {
    let mut sent: HashMap<&str, String> = HashMap::new();
    loop {
        for (part, value) in source.parts().await {
            let text = serde_json::json!({ "part": part, "value": value }).to_string();
            if sent.get(part) == Some(&text) {
                continue;
            }
            if outbox.send(Frame::from(text.clone())).await.is_err() {
                return;
            }
            sent.insert(part, text);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// `clock` differs at each look, `still` never.
    #[derive(Default)]
    struct Counting(AtomicU64);

    impl StatusSource for Counting {
        fn parts(&self) -> Pin<Box<dyn Future<Output = Vec<StatusPart>> + Send + '_>> {
            let n = self.0.fetch_add(1, Relaxed);
            Box::pin(async move { vec![("clock", n.into()), ("still", "x".into())] })
        }

        fn restart(&self, _: &str) {}

        fn end(&self, _: &str) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_sent_at_first_and_then_when_it_changes() {
        let (outbox, mut frames) = mpsc::channel(1);
        let source = Counting::default();
        let expected = [
            r#"{"part":"clock","value":0}"#,
            r#"{"part":"still","value":"x"}"#,
            r#"{"part":"clock","value":1}"#,
            r#"{"part":"clock","value":2}"#,
        ];
        let feeding = feed(&source, outbox);
        let reading = async {
            for frame in expected {
                assert_eq!(frames.recv().await, Some(Frame::from(frame.to_owned())));
            }
        };
        tokio::select! { () = feeding => unreachable!("it goes on"), () = reading => {} }
    }

    #[test]
    fn only_so_many_may_look_and_a_place_becomes_free_again() {
        let page = StatusPage::new(Arc::new(Counting::default()));
        let mut viewers: Vec<_> = (0..MAX_VIEWERS).map_while(|_| page.admit()).collect();
        assert_eq!(viewers.len(), MAX_VIEWERS);
        assert!(page.admit().is_none());
        viewers.pop();
        assert!(page.admit().is_some());
    }
}
