//! The client process: many browsers, each with a session and a real WebSocket of its own.
//!
//! All of them live on one thread, so that they take as little as possible from the server, which
//! shares the processors with them: a frame is searched for the value and not parsed.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{connect::connect, server::version};

/// What every browser shows: the page of the application, and one text in it.
const CREATE: &str = r#"{"userEvent":true,"messages":[
    {"type":"watch","data":{"varId":1}},
    {"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"text()"}}}]}"#;
/// Nothing takes that long.
const LIMIT: Duration = Duration::from_secs(20);

/// Browsers that are connected; dropping them closes their sockets.
pub(crate) struct Browsers {
    round: Arc<Round>,
    tasks: JoinSet<()>,
}

/// What all browsers wait for.
#[derive(Default)]
struct Round {
    state: Mutex<State>,
    done: Notify,
}

#[derive(Default)]
struct State {
    /// As it stands in a frame.
    value: Arc<str>,
    missing: usize,
    last: Option<Instant>,
}

impl Browsers {
    /// Opens so many sessions; returns when all browsers show version 0.
    pub(crate) async fn open(address: &str, count: usize) -> io::Result<Self> {
        let mut browsers = Self { round: Arc::default(), tasks: JoinSet::new() };
        for _ in 0..count {
            browsers.expect(0, 1);
            let mut socket = connect(address).await?;
            socket.send(Message::text(CREATE)).await.map_err(io::Error::other)?;
            let round = browsers.round.clone();
            browsers.tasks.spawn(async move {
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(text) = message {
                        round.hear(&text);
                    }
                }
            });
            browsers.all().await?;
        }
        Ok(browsers)
    }

    /// From now on all browsers wait for this version.
    pub(crate) fn await_version(&self, number: u32) {
        self.expect(number, self.tasks.len());
    }

    fn expect(&self, number: u32, missing: usize) {
        let value = format!("\"value\":\"{}\"", version(number)).into();
        *self.round.state() = State { value, missing, last: None };
    }

    /// When the last browser got what they wait for.
    pub(crate) async fn all(&self) -> io::Result<Instant> {
        let done = async {
            loop {
                if let Some(last) = self.round.state().last {
                    return last;
                }
                self.round.done.notified().await;
            }
        };
        let missing = || {
            let missing = self.round.state().missing;
            io::Error::other(format!("after {LIMIT:?} {missing} browsers don't have the new value"))
        };
        timeout(LIMIT, done).await.map_err(|_| missing())
    }
}

impl Round {
    fn hear(&self, frame: &str) {
        let mut state = self.state();
        if state.missing > 0 && frame.contains(&*state.value) {
            state.missing -= 1;
            if state.missing == 0 {
                state.last = Some(Instant::now());
                self.done.notify_one();
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
