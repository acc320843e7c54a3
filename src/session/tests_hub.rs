//! What sessions share, in the real pool: topics and the store, as Lua code has them.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{ClientId, Frame, LuaSessions, SessionHandle, SessionSettings};
use crate::{
    config::{BindingRule, HubConfig, LuaConfig, ReloadScope, SessionConfig},
    hub::{Hub, StoreResult},
    reload::{Generation, Outcome, Published, testing},
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A page that runs what it is given, and shows what it says.
const MAIN: &str = r#"
App = session:prototype("App", { said = "", heard = "" })
function App:run(code) self.said = assert(load(code))() end
function App:poll()
  local votes = store.get("votes")
  return votes and votes.yes
end
function App:keys()
  local keys = {}
  for _, entry in ipairs(store.list("here.")) do keys[#keys + 1] = entry.key end
  return table.concat(keys, " ")
end
if not session:getApp() then session:createAppVariable(App:new()) end
app = session:getApp()
"#;

/// A site with its sessions on one thread, so that none may block it.
struct Site {
    hub: Hub,
    sessions: LuaSessions,
    published: Arc<Published>,
}

/// The Lua code and the template below a heading of docs/shared-state.md.
fn on_the_page(heading: &str) -> (String, String) {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shared-state.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let block = |kind: &str| {
        let text = section.split(&format!("```{kind}\n")).nth(1).unwrap();
        text.split("```").next().unwrap().to_owned()
    };
    (block("lua"), block("html"))
}

impl Site {
    fn new(main: &str) -> Self {
        Self::with(main, Path::new("/nowhere"), |config| config.store = HubConfig::MEMORY.into())
    }

    fn with(main: &str, dir: &Path, configure: impl FnOnce(&mut HubConfig)) -> Self {
        Self::of(&[("main.lua", Some(main))], dir, BindingRule::Any, configure)
    }

    /// Browsers may ask for what its templates bind.
    fn written_in(dir: &Path, heading: &str) -> Self {
        let (main, template) = on_the_page(heading);
        let files = [("main.lua", Some(&*main)), ("App.DEFAULT.html", Some(&*template))];
        Self::of(&files, dir, BindingRule::Templates, |_| {})
    }

    fn of(
        files: &[(&str, Option<&str>)],
        dir: &Path,
        bindings: BindingRule,
        configure: impl FnOnce(&mut HubConfig),
    ) -> Self {
        let mut config = HubConfig::default();
        configure(&mut config);
        let hub = Hub::start(dir, &config).unwrap();
        let published = Arc::new(Published::default());
        published.publish_good(Arc::new(testing::save(&Generation::default(), files)));
        let settings = SessionSettings {
            session: SessionConfig { threads: 1, ..SessionConfig::default() },
            lua: LuaConfig { hotload: true, ..LuaConfig::default() },
            scope: ReloadScope::Loaded,
            bindings,
            refused: Default::default(),
            hub: Some(hub.clone()),
            published: published.clone(),
        };
        Self { hub, sessions: LuaSessions::start(settings).unwrap(), published }
    }

    async fn page(&self) -> Page {
        self.page_with(&["run(_)", "said", "heard", "poll()", "keys()"]).await
    }

    /// A browser with a variable for each of these paths, from 2 on; the first ones are actions or written.
    async fn page_with(&self, paths: &[&str]) -> Page {
        let session = self.sessions.create().await.unwrap();
        let (outbox, frames) = mpsc::channel(1024);
        let client = session.attach(outbox);
        let mut page = Page { session, client, frames, seen: Default::default() };
        let create = |(at, path): (usize, &&str)| {
            let is_action = ["run", "vote", "send"].iter().any(|name| path.starts_with(name));
            let access = if is_action {
                "action"
            } else if *path == "text" {
                "rw"
            } else {
                "r"
            };
            json!({ "type": "create", "data": { "id": at + 2, "parentId": 1, "watch": !is_action, "properties": { "path": path, "access": access } } })
        };
        page.send(paths.iter().enumerate().map(create).collect()).await;
        page
    }

    /// Saves `main.lua` and waits for what comes of it in each session.
    async fn save(&self, main: &str, pages: &[&Page]) -> Vec<Outcome> {
        let next = Arc::new(testing::save(&self.published.generation(), &[("main.lua", Some(main))]));
        self.published.publish(next.clone());
        let (outcomes, mut results) = mpsc::unbounded_channel();
        for page in pages {
            page.session.reload(next.clone(), outcomes.clone()).unwrap();
        }
        drop(outcomes);
        let mut all = Vec::new();
        while let Some(result) = results.recv().await {
            all.push(result.outcome);
        }
        all
    }

    fn stored(&self, key: &str) -> Option<String> {
        self.hub.store().unwrap().get(key).map(|entry| entry.value.to_string())
    }
}

const SAID: u64 = 3;
const HEARD: u64 = 4;
const POLL: u64 = 5;
const KEYS: u64 = 6;

struct Page {
    session: SessionHandle,
    client: ClientId,
    frames: mpsc::Receiver<Frame>,
    /// What it shows, by variable.
    seen: std::collections::HashMap<u64, Value>,
}

impl Page {
    async fn send(&mut self, messages: Vec<Value>) {
        self.begin(messages).await;
    }

    fn begin(&self, messages: Vec<Value>) -> impl Future<Output = ()> + use<> {
        let text = json!({ "userEvent": true, "messages": messages }).to_string();
        let done = self.session.receive(self.client, text);
        async move { done.await.unwrap() }
    }

    fn run_later(&self, code: &str) -> impl Future<Output = ()> + use<> {
        self.begin(vec![json!({ "type": "update", "data": { "varId": 2, "value": code } })])
    }

    /// Runs the code as a click does, and hands back what it returns.
    async fn run(&mut self, code: &str) -> Value {
        self.run_later(&format!("app.said = nil; {code}")).await;
        self.look();
        self.seen.get(&SAID).cloned().unwrap_or_default()
    }

    fn take(&mut self, frame: &Frame) {
        let frame: Value = serde_json::from_slice(frame.bytes()).unwrap();
        let messages = frame.as_array().cloned().unwrap_or_else(|| vec![frame]);
        for message in messages.iter().flat_map(|message| {
            message["messages"].as_array().cloned().unwrap_or_else(|| vec![message.clone()])
        }) {
            let data = &message["data"];
            if let (Some(id), Some(value)) = (data["varId"].as_u64(), data.get("value")) {
                self.seen.insert(id, value.clone());
            }
        }
    }

    fn look(&mut self) {
        while let Ok(frame) = self.frames.try_recv() {
            self.take(&frame);
        }
    }

    #[track_caller]
    fn shows(&mut self, id: u64, value: Value) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + DEADLINE;
            while self.seen.get(&id) != Some(&value) {
                let frame = timeout_at(deadline, self.frames.recv()).await;
                let frame =
                    frame.unwrap_or_else(|_| panic!("{place}: {value} is not shown: {:?}", self.seen));
                self.take(&frame.expect("the socket is open"));
            }
        }
    }
}

const VOTE: &str = r#"return store.update("votes", function(votes)
  votes = votes or { yes = 0 }
  votes.yes = votes.yes + 1
  return votes
end).yes"#;

#[tokio::test]
async fn a_vote_in_one_window_shows_in_each_other_without_a_topic() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    assert_eq!(one.run(VOTE).await, json!(1));
    two.shows(POLL, json!(1)).await;
    assert_eq!(two.run(VOTE).await, json!(2), "who votes reads what it wrote");
    one.shows(POLL, json!(2)).await;
    two.run("store.set('here.b', 1) store.set('here.a', true)").await;
    one.shows(KEYS, json!("here.a here.b")).await;
    one.run("store.set('here.b', 1, { ttl = 20 })").await;
    two.shows(KEYS, json!("here.a")).await;
    one.run("store.delete('here.a')").await;
    two.shows(KEYS, json!("")).await;
}

fn write(id: u64, value: Value) -> Value {
    json!({ "type": "update", "data": { "varId": id, "value": value } })
}

#[tokio::test]
async fn the_poll_of_the_page_shows_a_vote_in_two_windows_and_after_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["voteYes()", "voteNo()", "yes()", "no()"];
    let site = Site::written_in(dir.path(), "A poll");
    let (mut one, mut two) = (site.page_with(&paths).await, site.page_with(&paths).await);
    two.shows(4, json!(0)).await;
    one.send(vec![write(2, Value::Null)]).await;
    one.send(vec![write(2, Value::Null), write(3, Value::Null)]).await;
    for page in [&mut one, &mut two] {
        page.shows(4, json!(2)).await;
        page.shows(5, json!(1)).await;
    }
    site.sessions.end_all();
    drop((site, one, two));
    let site = Site::written_in(dir.path(), "A poll");
    let mut again = site.page_with(&paths).await;
    again.shows(4, json!(2)).await;
    again.shows(5, json!(1)).await;
}

#[tokio::test]
async fn a_vote_in_the_same_instant_as_a_broken_main_file_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::written_in(dir.path(), "A poll");
    let paths = ["voteYes()", "voteNo()", "yes()", "no()"];
    let mut page = site.page_with(&paths).await;
    let (main, _) = on_the_page("A poll");
    let vote = tokio::spawn(page.begin(vec![write(2, Value::Null)]));
    let outcomes = site.save(&format!("{main}\nsession:getApp():voteYes()\nerror('broken')"), &[&page]).await;
    vote.await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Kept { .. }]), "{outcomes:?}");
    page.shows(4, json!(1)).await;
    assert_eq!(site.stored("poll").as_deref(), Some(r#"{"yes":1}"#));
}

#[tokio::test]
async fn the_chat_of_the_page_keeps_fifty_lines_and_rings_in_each_window() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::written_in(dir.path(), "A chat");
    let paths = ["send()", "text", "lines()", "heard()"];
    let (mut one, mut two) = (site.page_with(&paths).await, site.page_with(&paths).await);
    for n in 1..=52 {
        one.send(vec![write(3, json!(format!("line {n}"))), write(2, Value::Null)]).await;
    }
    let lines: Vec<_> = (3..=52).map(|n| format!("line {n}")).collect();
    for page in [&mut one, &mut two] {
        page.shows(4, json!(lines.join("\n"))).await;
        page.shows(5, json!("new: line 52")).await;
    }
}

#[tokio::test]
async fn who_is_here_counts_windows_until_they_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (main, template) = on_the_page("Who is here");
    // As on the page, only sooner.
    let main = main.replace("6000", "600").replace("2000", "100");
    let files = [("main.lua", Some(&*main)), ("App.DEFAULT.html", Some(&*template))];
    let site = Site::of(&files, dir.path(), BindingRule::Templates, |_| {});
    let (mut one, mut two) = (site.page_with(&["count()"]).await, site.page_with(&["count()"]).await);
    one.shows(2, json!(2)).await;
    two.shows(2, json!(2)).await;
    site.sessions.end(two.session.id());
    one.shows(2, json!(1)).await;
}

#[tokio::test]
async fn a_message_comes_to_all_that_listen_and_their_pages_show_it() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    let listen = "handle = session:subscribe('chat.*', function(value, topic) app.heard = app.heard .. topic .. value.text end)";
    one.run(listen).await;
    two.run(listen).await;
    one.run("session:publish('chat.room', { text = '!' }) session:publish('other', 1)").await;
    one.shows(HEARD, json!("chat.room!")).await;
    two.shows(HEARD, json!("chat.room!")).await;
    two.run("session:unsubscribe(handle)").await;
    one.run("session:publish('chat.room', { text = '?' })").await;
    one.shows(HEARD, json!("chat.room!chat.room?")).await;
    assert_eq!(two.run("return app.heard").await, json!("chat.room!"));
    // A watch hears of each key, and of its end.
    two.run("app.heard = '' store.watch('k', function(key, value) app.heard = app.heard .. key .. tostring(value) end)").await;
    one.run("store.set('k1', false)").await;
    two.shows(HEARD, json!("k1false")).await;
    one.run("store.delete('k1')").await;
    two.shows(HEARD, json!("k1falsek1nil")).await;
}

#[tokio::test]
async fn a_write_holds_up_its_own_session_and_no_thread() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::with(MAIN, dir.path(), |config| {
        (config.store, config.patience) = ("store.db".into(), Duration::from_secs(60));
    });
    let (mut one, mut two) = (site.page().await, site.page().await);
    one.run("store.set('a', 1)").await;
    let other = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waits = tokio::spawn(one.run_later("order = 'w' store.set('a', 2) order = order .. '1'"));
    let after = tokio::spawn(one.run_later("order = order .. '2' return order"));
    // There is one thread, and it is free.
    assert_eq!(two.run("return store.get('a')").await, json!(1));
    assert!(!waits.is_finished() && !after.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    waits.await.unwrap();
    after.await.unwrap();
    one.shows(SAID, json!("w12")).await;
    two.shows(SAID, json!(1)).await;
    assert_eq!(two.run("return store.get('a')").await, json!(2));
}

#[tokio::test]
async fn a_write_that_fails_is_an_error_that_can_be_caught_and_the_store_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::with(MAIN, dir.path(), |config| {
        (config.store, config.patience) = ("store.db".into(), Duration::from_millis(30));
    });
    let mut page = site.page().await;
    page.run("store.set('a', 1)").await;
    let other = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = page.run("local ok, why = pcall(store.set, 'a', 2) return why").await;
    assert!(said.as_str().unwrap().contains("locked by another program"), "{said}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(page.run("return store.get('a')").await, json!(1));
    assert_eq!(site.hub.counters().writes(StoreResult::Failed), 1);
}

#[tokio::test]
async fn where_a_write_cannot_wait_it_says_so() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    for (what, code) in [
        (
            "a coroutine",
            "local _, why = coroutine.resume(coroutine.create(function() store.set('a', 1) end)) return why",
        ),
        (
            "a wrapped one",
            "local ok, why = pcall(coroutine.wrap(function() store.set('a', 1) end)) return why",
        ),
        (
            "a sort",
            "local ok, why = pcall(table.sort, { 2, 1 }, function() store.set('a', 1) end) return why",
        ),
        ("gsub", "local ok, why = pcall(string.gsub, 'a', 'a', function() store.set('a', 1) end) return why"),
    ] {
        let said = page.run(code).await;
        assert!(
            said.as_str().is_some_and(|said| said.contains("store.set cannot wait here")),
            "{what}: {said}"
        );
    }
    page.run("function App:poll() local ok, why = pcall(store.set, 'a', 1) return (why:match('cannot wait here')) end").await;
    page.shows(POLL, json!("cannot wait here")).await;
    assert_eq!(site.stored("a"), None);
    // A coroutine of the user may read, and yields as ever.
    let code = "local f = coroutine.wrap(function() coroutine.yield(store.get('b')) end) store.set('b', 7) return f()";
    assert_eq!(page.run(code).await, json!(7));
    let said = page.run("local ok, why = pcall(coroutine.yield, 1) return 'after'").await;
    assert_ne!(said, json!("after"), "nobody would resume it");
    assert_eq!(page.run("return 1").await, json!(1));
}

#[tokio::test]
async fn what_a_failing_version_sent_has_not_been_sent() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    two.run("session:subscribe('t', function(value) app.heard = app.heard .. value end)").await;
    let sends = r#"
      session:publish("t", "x")
      store.set("k", "x")
      store.update("n", function(n) return (n or 0) + 1 end)
      assert(store.get("k") == "x" and store.get("n") == 1, "it sees what it will have written")
      session:subscribe("t", function(value) app.heard = app.heard .. "again" end)
      assert(#store.list("k") == 1)
    "#;
    let outcomes = site.save(&format!("{MAIN}\n{sends}\nerror('half way')"), &[&one]).await;
    assert!(matches!(&outcomes[..], [Outcome::Kept { .. }]), "{outcomes:?}");
    one.run("session:publish('t', '1')").await;
    two.shows(HEARD, json!("1")).await;
    assert_eq!((site.stored("k"), site.stored("n")), (None, None));
    assert_eq!(one.run("return app.heard").await, json!(""), "its subscription is gone");

    let outcomes = site.save(&format!("{MAIN}\n{sends}"), &[&one]).await;
    assert!(matches!(&outcomes[..], [Outcome::Applied { .. }]), "{outcomes:?}");
    two.shows(HEARD, json!("1x")).await;
    one.run("return 1").await;
    assert_eq!((site.stored("k").as_deref(), site.stored("n").as_deref()), (Some("\"x\""), Some("1")));
}

#[tokio::test]
async fn a_session_that_cannot_start_has_sent_nothing() {
    let site = Site::new("store.set('a', 1) session:publish('t', 1) error('no')");
    let session = site.sessions.create().await.unwrap();
    assert!(session.start_error().await.is_some());
    assert_eq!((site.stored("a"), site.hub.counters().published()), (None, 0));
    let site = Site::new("store.update('starts', function(n) return (n or 0) + 1 end)");
    for n in 1..=3 {
        site.sessions.create().await.unwrap().summary().await.unwrap();
        assert_eq!(site.stored("starts"), Some(n.to_string()));
    }
}

#[tokio::test]
async fn ten_saves_make_one_subscription_and_it_calls_the_newest_code() {
    let main = |version: usize| {
        format!(
            "{MAIN}\nsession:subscribe('t', function(value) app.heard = app.heard .. value .. '{version}' end)\nstore.watch('w', function() app.heard = app.heard .. 'w{version}' end)"
        )
    };
    let site = Site::new(&main(0));
    let (mut one, mut two) = (site.page().await, site.page().await);
    for version in 1..=10 {
        site.save(&main(version), &[&one, &two]).await;
    }
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 2);
    two.run("session:publish('t', 'v')").await;
    one.shows(HEARD, json!("v10")).await;
    two.run("store.set('w', 1)").await;
    one.shows(HEARD, json!("v10w10")).await;
    // Its line has left the file.
    site.save(MAIN, &[&one, &two]).await;
    assert_eq!(site.hub.topics().counts(), []);
}

#[tokio::test]
async fn a_session_that_has_ended_listens_to_nothing() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    let listen = "session:subscribe('t', function() end) store.watch('', function() end) store.get('a')";
    one.run(listen).await;
    two.run(listen).await;
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 2);
    site.sessions.end(one.session.id());
    assert_eq!(site.hub.topics().counts()[0].subscriptions, 1);
    two.session.restart("a test wants it").unwrap();
    two.session.summary().await.unwrap();
    assert_eq!(site.hub.topics().counts(), [], "a new state begins with none");
}

#[tokio::test]
async fn changes_of_one_key_by_fifty_sessions_are_all_there() {
    let site = Site::new(MAIN);
    let mut pages = Vec::new();
    for _ in 0..50 {
        pages.push(site.page().await);
    }
    let code = "for _ = 1, 3 do store.update('n', function(n) return (n or 0) + 1 end) end";
    let all: Vec<_> = pages.iter().map(|page| tokio::spawn(page.run_later(code))).collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(site.stored("n").as_deref(), Some("150"));
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_with_its_limit() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    for (code, wanted) in [
        ("store.set('a')", "the value is nil; store.delete deletes a key"),
        ("store.set('a', print)", "a function has no form in JSON"),
        ("store.set('', 1)", "a key is a text that is not empty"),
        ("store.set(('k'):rep(300), 1)", "hub.max_key allows 256"),
        ("store.set('a', ('v'):rep(70000))", "hub.max_value allows 65536"),
        ("store.set('a', 1, { ttl = 0 })", "ttl has to be a number of milliseconds, more than 0"),
        ("store.get(1)", "the key has to be a string"),
        ("store.update('a', 1)", "store.update needs a function"),
        ("store.update('a', function() error('mine') end)", "mine"),
        ("session:publish('a b', 1)", "is no topic"),
        ("session:publish('a', ('v'):rep(70000))", "hub.max_value allows 65536"),
        ("session:subscribe('a..b', print)", "is no topic"),
        ("session:subscribe('a')", "needs a function"),
        ("for _ = 1, 101 do session:subscribe('a', print) end", "hub.subscriptions is 100"),
    ] {
        let said = page.run(&format!("local ok, why = pcall(function() {code} end) return why")).await;
        assert!(said.as_str().is_some_and(|said| said.contains(wanted)), "{code}: {said}");
    }
    let off = Site::with(MAIN, Path::new("/nowhere"), |config| config.store = HubConfig::OFF.into());
    let said = off.page().await.run("local ok, why = pcall(store.get, 'a') return why").await;
    assert!(said.as_str().unwrap().contains("hub.store is \"off\""), "{said}");
}

#[tokio::test]
async fn a_loop_that_writes_ends_with_the_budget() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    page.run("while true do pcall(store.set, 'a', 1) end").await;
    assert_eq!(page.run("return store.get('a')").await, json!(1), "and the session goes on");
}

#[tokio::test]
async fn a_table_that_was_read_is_the_same_object_until_the_store_has_another() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    page.run("store.set('a', { n = { 1 } })").await;
    assert_eq!(page.run("kept = store.get('a') return kept == store.get('a')").await, json!(true));
    assert_eq!(page.run("local e = store.list('a')[1] return e == store.list('a')[1]").await, json!(true));
    // Who changes it has not changed the store.
    assert_eq!(page.run("kept.n[1] = 2 return store.get('a').n[1]").await, json!(1));
    page.run("store.set('a', { n = { 3 } })").await;
    assert_eq!(page.run("return store.get('a').n[1]").await, json!(3));
}
