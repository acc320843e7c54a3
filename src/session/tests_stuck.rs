//! Sessions whose thread does not come back from a library function, in the real pool.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use mlua::Function;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{LuaSessions, SessionGone, SessionHandle, SessionSettings, outbox::Frame};
use crate::{
    config::{LuaConfig, ReloadScope, SessionConfig},
    reload::{EditorLink, Generation, Outcome, Published, Telling, testing},
};

const DEADLINE: Duration = Duration::from_secs(30);

const MAIN: &str = "
App = session:prototype('App', { state = 'new' })
session:createAppVariable(App:new())
function stick()
  session:getApp().state = 'stuck'
  local began = os.clock()
  while os.clock() - began < 0.1 do end -- long enough to be seen
  hang(session:getApp())
end";

struct Site {
    sessions: LuaSessions,
    published: Arc<Published>,
}

impl Site {
    fn new(configure: impl FnOnce(&mut SessionConfig)) -> Self {
        let editor = EditorLink { pattern: "code://{path}:{line}".into(), site: "/site".into() };
        let telling = Telling { editor: Some(editor), ..Telling::default() };
        let published = Arc::new(Published::new(telling));
        published.publish_good(Arc::new(testing::save(&Generation::default(), &[("main.lua", Some(MAIN))])));
        let mut session = SessionConfig { threads: 2, ..SessionConfig::default() };
        // Long enough for `stick` to come to its point on a busy machine.
        session.budget.handler = Duration::from_secs(2);
        configure(&mut session);
        let (lua, scope) = (LuaConfig::default(), ReloadScope::Loaded);
        let settings = SessionSettings {
            session,
            lua,
            scope,
            bindings: Default::default(),
            refused: Default::default(),
            hub: None,
            published: published.clone(),
        };
        Self { sessions: LuaSessions::start(settings).unwrap(), published }
    }

    async fn session(&self) -> Browser {
        let session = self.sessions.create().await.unwrap();
        let (outbox, frames) = mpsc::channel(64);
        let client = session.attach(outbox);
        Browser { session, client, frames }
    }

    async fn lost(&self, count: usize) {
        let mut lost = self.sessions.follow_stuck();
        timeout(DEADLINE, lost.wait_for(|lost| *lost == count)).await.unwrap().unwrap();
    }
}

struct Browser {
    session: SessionHandle,
    client: super::ClientId,
    frames: mpsc::Receiver<Frame>,
}

impl Browser {
    /// Calls a function of the main file, in which `hang` ends when something is sent, and then notes that in the state.
    fn call(&self, function: &'static str) -> Sender<()> {
        let (end, ended) = channel();
        let ended: Mutex<Receiver<()>> = Mutex::new(ended);
        let work = move |lua: &mlua::Lua| {
            // The state is written here: Lua may be stopped for its deadline as soon as it runs again.
            let hang = lua.create_function(move |_, app: mlua::Table| {
                let _ = ended.lock().unwrap().recv();
                app.raw_set("state", "returned")
            })?;
            lua.globals().set("hang", hang)?;
            lua.globals().get::<Function>(function)?.call::<()>(())
        };
        self.session.execute(move |session| drop(session.with_lua(work))).unwrap();
        end
    }

    async fn eval(&self, code: &'static str) -> Result<String, SessionGone> {
        let work = move |lua: &mlua::Lua| lua.load(code).eval::<String>();
        let value =
            self.session.ask(move |session| session.with_lua(work).map_err(|error| error.to_string()));
        Ok(timeout(DEADLINE, value).await.unwrap()?.unwrap())
    }

    async fn message(&mut self, kind: &str) -> Value {
        let found = async {
            loop {
                let frame: Value = serde_json::from_slice(self.frames.recv().await.unwrap().bytes()).unwrap();
                if let Some(message) = frame.as_array().unwrap().iter().find(|m| m["type"] == kind) {
                    return message["data"].clone();
                }
            }
        };
        timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("no {kind}"))
    }

    fn ask_for_restart(&self) -> impl Future<Output = Result<(), SessionGone>> + use<> {
        let text = json!({ "messages": [{ "type": "restart" }] }).to_string();
        self.session.receive(self.client, text)
    }
}

#[tokio::test]
async fn a_stuck_session_is_told_of_with_the_line_seen_last_and_begins_anew_under_its_id() {
    let site = Site::new(|_| {});
    let mut browser = site.session().await;
    let end = browser.call("stick");
    let waiting = browser.session.receive(browser.client, "[]".into());
    site.lost(1).await;

    let told = browser.message("reload").await;
    assert_eq!((&told["status"], &told["offerRestart"]), (&json!("failed"), &json!(true)));
    let error = &told["errors"][0];
    assert_eq!((&error["file"], &error["line"]), (&json!("lua/main.lua"), &json!(7)), "{error}");
    assert_eq!(error["editor"], "code://site/lua/main.lua:7");
    assert!(error["message"].as_str().unwrap().starts_with("the session is stuck since "), "{error}");
    assert_eq!(browser.session.stuck().unwrap().position(), "lua/main.lua:7");
    // What was sent meanwhile is given up without the socket.
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap(), Ok(()));
    // So is what comes now.
    assert_eq!(browser.session.receive(browser.client, "[]".into()).await, Ok(()));
    assert_eq!(browser.eval("return ''").await, Err(SessionGone));
    // A browser that comes now is told as well.
    let (outbox, mut frames) = mpsc::channel(64);
    browser.session.attach(outbox);
    assert!(String::from_utf8_lossy(frames.recv().await.unwrap().bytes()).contains("is stuck since"));

    let id = browser.session.id();
    browser.ask_for_restart().await.unwrap();
    assert_eq!(browser.message("restart").await["reason"], "a browser asked for it");
    assert_eq!(browser.eval("return session:getApp().state").await.unwrap(), "new");
    assert_eq!(site.sessions.get(id).unwrap().stuck(), None);
    assert_eq!((site.sessions.len(), site.sessions.pool().lost), (1, 1));
    // Its browsers are those of the new state.
    browser
        .session
        .execute(|session| session.broadcast(&"[{\"type\":\"hello\"}]".to_owned().into()))
        .unwrap();
    browser.message("hello").await;

    end.send(()).unwrap();
    site.lost(0).await;
    assert_eq!(browser.eval("return session:getApp().state").await.unwrap(), "new", "the old state is gone");
    assert_eq!(site.sessions.pool().stuck, 1);
}

#[tokio::test]
async fn a_stuck_session_goes_on_if_its_thread_comes_back_before_a_restart() {
    let site = Site::new(|_| {});
    let mut browser = site.session().await;
    let end = browser.call("stick");
    site.lost(1).await;
    assert_eq!(browser.message("reload").await["status"], "failed");
    let (outbox, mut late) = mpsc::channel(64);
    browser.session.attach(outbox);
    late.recv().await.unwrap();
    end.send(()).unwrap();
    assert_eq!(browser.message("reload").await["status"], "ok");
    assert_eq!(browser.eval("return session:getApp().state").await.unwrap(), "returned");
    site.lost(0).await;
    browser
        .session
        .execute(|session| session.broadcast(&"[{\"type\":\"hello\"}]".to_owned().into()))
        .unwrap();
    browser.message("hello").await;
    let seen = timeout(DEADLINE, async {
        while !String::from_utf8_lossy(late.recv().await.unwrap().bytes()).contains("hello") {}
    });
    seen.await.expect("who came meanwhile belongs to it");
}

#[tokio::test]
async fn a_stuck_session_costs_one_thread_and_nobody_else_anything() {
    let site = Site::new(|_| {});
    let mut bad = site.session().await;
    let end = bad.call("stick");
    site.lost(1).await;
    assert_eq!(bad.message("reload").await["errors"][0]["line"], 7);
    let pool = site.sessions.pool();
    assert!(pool.threads >= 2, "another thread took its place: {pool:?}");
    let good = site.session().await;
    assert_eq!(good.eval("return session:getApp().state").await.unwrap(), "new");
    assert!(bad.session.restart_if_stuck("the test"));
    assert!(!bad.session.restart_if_stuck("the test"), "it is not any more");
    assert_eq!(bad.eval("return session:getApp().state").await.unwrap(), "new");
    drop(end);
}

#[tokio::test]
async fn while_as_many_as_may_be_are_stuck_those_that_begin_anew_wait_and_others_go_on() {
    let site = Site::new(|session| session.max_stuck = 1);
    let mut bad = site.session().await;
    let end = bad.call("stick");
    site.lost(1).await;
    bad.message("reload").await;
    assert!(bad.session.restart_if_stuck("the test"));
    let waits = bad.eval("return session:getApp().state");
    tokio::pin!(waits);
    let good = site.session().await;
    for _ in 0..20 {
        let answer = good.eval("return session:getApp().state");
        tokio::select! {
            biased;
            answer = answer => assert_eq!(answer.unwrap(), "new"),
            early = &mut waits => panic!("{early:?}"),
        }
    }
    // The one place is taken, and who gets stuck now keeps its thread; still others go on.
    let worse = site.session().await;
    let end_of_worse = worse.call("stick");
    site.lost(2).await;
    assert_eq!(good.eval("return session:getApp().state").await.unwrap(), "new");
    drop(end_of_worse);
    site.lost(1).await;
    drop(end);
    site.lost(0).await;
    assert_eq!(waits.await.unwrap(), "new");
}

#[tokio::test]
async fn a_reload_does_not_wait_for_a_stuck_session() {
    let site = Site::new(|_| {});
    let browser = site.session().await;
    let end = browser.call("stick");
    let (outcomes, mut came) = tokio::sync::mpsc::unbounded_channel();
    let next = Arc::new(testing::save(&site.published.generation(), &[("main.lua", Some("X = 1"))]));
    site.published.publish(next.clone());
    // One that waits in the mailbox, and one that comes when it is known.
    browser.session.reload(next.clone(), outcomes.clone()).unwrap();
    site.lost(1).await;
    browser.session.reload(next, outcomes).unwrap();
    for _ in 0..2 {
        let outcome = timeout(DEADLINE, came.recv()).await.unwrap().unwrap();
        let Outcome::Kept { diagnostic, exhausted: true } = outcome.outcome else { panic!("{outcome:?}") };
        assert!(diagnostic.message.contains("is stuck since"), "{diagnostic}");
    }
    assert!(came.recv().await.is_none(), "no more than one each");
    end.send(()).unwrap();
    site.lost(0).await;
}

#[tokio::test]
async fn a_stuck_session_that_nobody_looks_at_ends_after_its_timeout() {
    let site = Site::new(|session| session.timeout = Duration::from_millis(100));
    let browser = site.session().await;
    let _end = browser.call("stick");
    site.lost(1).await;
    browser.session.detach(browser.client);
    let deadline = Instant::now() + DEADLINE;
    while !site.sessions.is_empty() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(browser.eval("return ''").await, Err(SessionGone));
}

#[tokio::test]
async fn work_that_is_long_but_within_its_budgets_is_not_taken_for_stuck() {
    let site = Site::new(|session| session.budget.handler = Duration::from_secs(10));
    let browser = site.session().await;
    // Longer than the grace, in one unit of work and several runs.
    let work = |lua: &mlua::Lua| lua.load("local t = os.clock() while os.clock() - t < 1.2 do end").exec();
    let done = browser.session.ask(move |session| (0..3).map(|_| session.with_lua(work)).all(|r| r.is_ok()));
    assert_eq!(timeout(DEADLINE, done).await.unwrap(), Ok(true));
    assert_eq!(site.sessions.pool().stuck, 0);
}
