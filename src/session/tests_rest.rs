//! Timers of sessions that nobody looks at.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{LuaSessions, SessionHandle, SessionSettings};
use crate::{
    config::{BindingRule, LuaConfig, ReloadScope, SessionConfig},
    reload::{Generation, Published, testing},
};

const MAIN: &str = "ticks, shots = 0, 0
session:setInterval(function() ticks = ticks + 1 end, 10)
session:setTimeout(function() shots = shots + 1 end, 400)";

fn sessions(rest: Duration) -> LuaSessions {
    let published = Arc::new(Published::default());
    published.publish_good(Arc::new(testing::save(&Generation::default(), &[("main.lua", Some(MAIN))])));
    let session = SessionConfig { rest, ..SessionConfig::default() };
    let (lua, scope) = (LuaConfig::default(), ReloadScope::Loaded);
    let (bindings, refused) = (BindingRule::Any, Arc::default());
    LuaSessions::start(SessionSettings { session, lua, scope, published, bindings, refused, hub: None })
        .unwrap()
}

async fn number(session: &SessionHandle, name: &'static str) -> i64 {
    session.ask(move |session| session.with_lua(|lua| lua.globals().get(name)).unwrap()).await.unwrap()
}

/// Waits until it has ticked so many times more: a clock that runs no faster than the machine.
async fn ticks(session: &SessionHandle, more: i64) {
    let goal = number(session, "ticks").await + more;
    while number(session, "ticks").await < goal {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn timers_rest_without_a_browser_and_go_on_with_the_next_one() {
    let rest = Duration::from_millis(200);
    let sessions = sessions(rest);
    let (resting, looked_at) = (sessions.create().await.unwrap(), sessions.create().await.unwrap());
    let (outbox, _frames) = mpsc::channel(64);
    looked_at.attach(outbox);
    // So many intervals take longer than the rest is away.
    ticks(&looked_at, 60).await;
    let at_rest = number(&resting, "ticks").await;
    ticks(&looked_at, 30).await;
    assert_eq!(number(&looked_at, "shots").await, 1);
    assert_eq!((number(&resting, "ticks").await, number(&resting, "shots").await), (at_rest, 0));

    let (outbox, _frames) = mpsc::channel(64);
    resting.attach(outbox);
    let (at_once, looked) = (number(&resting, "ticks").await, number(&looked_at, "ticks").await);
    ticks(&resting, 3).await;
    assert_eq!(number(&resting, "shots").await, 1, "what was due meanwhile fires once");
    // Thirty ticks and more were missed. Made up for, they would be ahead of the other session's by so many.
    let (gained, passed) =
        (number(&resting, "ticks").await - at_once, number(&looked_at, "ticks").await - looked);
    assert!(gained <= passed + 10, "{gained} ticks while the other session had {passed}");
}

#[tokio::test]
async fn timers_never_rest_where_that_is_zero() {
    let sessions = sessions(Duration::ZERO);
    let alone = sessions.create().await.unwrap();
    ticks(&alone, 60).await;
    assert_eq!(number(&alone, "shots").await, 1);
}
