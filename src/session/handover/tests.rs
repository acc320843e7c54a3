//! Two runs of a server that share a store.

use tokio::sync::mpsc;

use super::*;
use crate::{
    config::{BindingRule, HubConfig, LuaConfig, ReloadScope, SessionConfig},
    reload::{Generation, Published, testing},
    session::SessionSettings,
};

const COUNTS: &str = "count = 0\n\
    function session:snapshot() return { count = count }, 2 end\n\
    function session:restore(data, version) count = data.count + 100 * version end";

fn hub() -> Hub {
    let config = HubConfig { store: HubConfig::MEMORY.into(), ..HubConfig::default() };
    Hub::start(std::path::Path::new("/nowhere"), &config).unwrap()
}

fn server(hub: &Hub, main: &str) -> LuaSessions {
    let published = std::sync::Arc::new(Published::default());
    published.publish_good(std::sync::Arc::new(testing::save(
        &Generation::default(),
        &[("main.lua", Some(main))],
    )));
    let settings = SessionSettings {
        session: SessionConfig { threads: 1, ..SessionConfig::default() },
        lua: LuaConfig { hotload: true, ..LuaConfig::default() },
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Any,
        refused: Default::default(),
        hub: Some(hub.clone()),
        published,
    };
    LuaSessions::start(settings).unwrap()
}

async fn count(session: &SessionHandle) -> i64 {
    session.ask(|session| session.with_lua(|lua| lua.globals().get("count")).unwrap()).await.unwrap()
}

async fn add(session: &SessionHandle, by: i64) {
    let add = move |lua: &mlua::Lua| lua.globals().set("count", lua.globals().get::<i64>("count")? + by);
    session.ask(move |session| session.with_lua(add).unwrap()).await.unwrap();
}

async fn fetched(sessions: &LuaSessions, id: SessionId, secret: &str) -> Option<SessionHandle> {
    match sessions.fetch(id, &[secret.to_owned()]).await {
        Found::Session(session) => Some(session),
        _ => None,
    }
}

#[tokio::test]
async fn what_a_session_had_is_there_after_a_drain_and_only_for_its_own_browser() {
    let hub = hub();
    let (old, new) = (server(&hub, COUNTS), server(&hub, COUNTS));
    let session = old.create().await.unwrap();
    let (outbox, mut frames) = mpsc::channel(8);
    session.attach(outbox);
    add(&session, 7).await;
    let (id, secret) = (session.id(), session.secret());
    assert_eq!(old.drain(Duration::from_secs(5)).await, Drained { sessions: 1, stored: 1 });
    while frames.recv().await.is_some() {}
    assert!(matches!(old.begin(None), Err(super::super::CreateError::Draining)));
    assert!(matches!(old.fetch(id, std::slice::from_ref(&secret)).await, Found::NotNow));

    assert!(matches!(new.fetch(id, &["0".repeat(32)]).await, Found::SomebodyElses));
    let stored = hub.store().unwrap().get(&key(id)).unwrap().value;
    assert!(!stored.contains(&secret), "{stored}");
    let here = fetched(&new, id, &secret).await.unwrap();
    assert_eq!((here.id(), count(&here).await), (id, 207));
    assert!(here.opens_with(&secret));
    assert!(hub.all_stored("").unwrap().next().is_none(), "sites and operators see none of it");
}

#[tokio::test]
async fn of_two_servers_that_want_a_session_one_has_it() {
    let hub = hub();
    for _ in 0..3 {
        let [old, one, two] = [0; 3].map(|_| server(&hub, COUNTS));
        let session = old.create().await.unwrap();
        let (id, secret) = (session.id(), session.secret());
        old.drain(Duration::from_secs(5)).await;
        let (first, second) = tokio::join!(
            tokio::time::timeout(LAG, fetched(&one, id, &secret)),
            tokio::time::timeout(LAG, fetched(&two, id, &secret))
        );
        let won = [first, second].iter().filter(|found| matches!(found, Ok(Some(_)))).count();
        assert_eq!((won, one.len() + two.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_session_that_another_server_is_asked_for_goes_there_with_what_it_has() {
    let hub = hub();
    let [old, one, two] = [0; 3].map(|_| server(&hub, COUNTS));
    let session = old.create().await.unwrap();
    let (id, secret) = (session.id(), session.secret());
    old.drain(Duration::from_secs(5)).await;
    let here = fetched(&one, id, &secret).await.unwrap();
    add(&here, 5).await;
    let looking = tokio::spawn(one.clone().give_up_what_others_want());
    let there = fetched(&two, id, &secret).await.unwrap();
    assert_eq!(count(&there).await, 405);
    assert!(one.get(id).is_none());
    looking.abort();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_overruled_and_gives_the_session_up_when_it_is_back() {
    let hub = hub();
    let [old, one, two] = [0; 3].map(|_| server(&hub, COUNTS));
    let session = old.create().await.unwrap();
    let (id, secret) = (session.id(), session.secret());
    old.drain(Duration::from_secs(5)).await;
    fetched(&one, id, &secret).await.unwrap();
    // It does not look, as if it were stopped in its tracks.
    let there = fetched(&two, id, &secret).await.unwrap();
    assert_eq!(count(&there).await, 200);
    let looking = tokio::spawn(one.clone().give_up_what_others_want());
    while one.get(id).is_some() {
        sleep(LOOK).await;
    }
    assert!(two.get(id).is_some());
    looking.abort();
}

#[tokio::test]
async fn what_a_server_that_was_overruled_hands_on_takes_nothing_from_the_one_that_has_the_session() {
    let hub = hub();
    let [old, one, two] = [0; 3].map(|_| server(&hub, COUNTS));
    let session = old.create().await.unwrap();
    let (id, secret) = (session.id(), session.secret());
    old.drain(Duration::from_secs(5)).await;
    fetched(&one, id, &secret).await.unwrap();
    fetched(&two, id, &secret).await.unwrap();
    let there = read(&hub, id).unwrap();
    // It is drained before it has heard that it was overruled.
    assert_eq!(one.drain(Duration::from_secs(5)).await, Drained { sessions: 1, stored: 0 });
    assert_eq!(read(&hub, id).unwrap(), there);
}

#[tokio::test]
async fn a_session_whose_start_fails_elsewhere_keeps_what_it_had() {
    let hub = hub();
    let [old, broken, new] = [COUNTS, "error('no')", COUNTS].map(|main| server(&hub, main));
    let session = old.create().await.unwrap();
    add(&session, 3).await;
    let (id, secret) = (session.id(), session.secret());
    old.drain(Duration::from_secs(5)).await;
    fetched(&broken, id, &secret).await.unwrap();
    broken.drain(Duration::from_secs(5)).await;
    assert_eq!(count(&fetched(&new, id, &secret).await.unwrap()).await, 203);
}

#[tokio::test]
async fn without_a_hook_or_with_one_that_fails_or_gives_too_much_nothing_is_kept() {
    let hub = hub();
    for main in [
        "x = 1",
        "function session:snapshot() error('no') end",
        "function session:snapshot() return print end",
        "function session:snapshot() return ('x'):rep(70000) end",
        "session.snapshot = 7",
    ] {
        let sessions = server(&hub, main);
        let id = sessions.create().await.unwrap().id();
        assert_eq!(
            sessions.drain(Duration::from_secs(5)).await,
            Drained { sessions: 1, stored: 0 },
            "{main}"
        );
        assert!(read(&hub, id).is_none(), "{main}");
    }
}
