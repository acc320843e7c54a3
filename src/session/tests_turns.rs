//! Long batches, in the real pool: done in turns, and yet one unit of work.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::{LuaSession, LuaSessions, SessionHandle, SessionSettings, slice};
use crate::{
    config::{LuaConfig, ReloadScope, SessionConfig},
    reload::{Generation, Outcome, Published, testing},
};

const DEADLINE: Duration = Duration::from_secs(30);
const CLICKS: usize = 40;

/// Each click takes longer than a turn, and says which version of the code did it.
const MAIN: &str = "
local App = session:prototype('App', { log = '' })
function App:click()
  local began = os.clock()
  while os.clock() - began < 0.001 do end
  self.log = self.log .. 'VERSION'
end
if not session:getApp() then session:createAppVariable(App:new()) end";

fn version(version: &str) -> String {
    MAIN.replace("VERSION", version)
}

/// On one thread, so that each has to wait for the others.
fn on_one_thread(main: &str) -> (LuaSessions, Arc<Published>) {
    let published = Arc::new(Published::default());
    published.publish_good(Arc::new(save(&Generation::default(), main)));
    let settings = SessionSettings {
        session: SessionConfig { threads: 1, ..SessionConfig::default() },
        lua: LuaConfig { hotload: true, ..LuaConfig::default() },
        scope: ReloadScope::Loaded,
        bindings: crate::config::BindingRule::Any,
        refused: Default::default(),
        hub: None,
        published: published.clone(),
    };
    (LuaSessions::start(settings).unwrap(), published)
}

fn save(before: &Generation, text: &str) -> Generation {
    testing::save(before, &[("main.lua", Some(text))])
}

/// A page, and so many clicks on it.
fn clicks(count: usize) -> String {
    let create = |id: i64, path: &str, access: &str| json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": { "path": path, "access": access } } });
    let mut messages = vec![create(2, "log", "r"), create(3, "click()", "action")];
    messages.extend(vec![json!({ "type": "update", "data": { "varId": 3, "value": null } }); count]);
    json!({ "userEvent": true, "messages": messages }).to_string()
}

#[tokio::test]
async fn others_have_their_turn_in_the_middle_of_a_batch() {
    let (sessions, _) = on_one_thread(&version("1"));
    let [busy, other] = [sessions.create().await.unwrap(), sessions.create().await.unwrap()];
    let (outbox, _frames) = mpsc::channel(64);
    let client = busy.attach(outbox);
    let (told, mut is_done) = mpsc::unbounded_channel();
    let after = busy.clone();
    // Both are there before the thread takes either.
    let begin = move |_: &mut LuaSession| {
        let batch = after.receive(client, clicks(CLICKS));
        other.execute(move |_| told.send(batch.now_or_never().is_some()).unwrap()).unwrap();
    };
    sessions.create().await.unwrap().execute(begin).unwrap();
    assert_eq!(timeout(DEADLINE, is_done.recv()).await.unwrap(), Some(false));
}

#[tokio::test]
async fn who_has_used_up_a_slice_waits_behind_those_who_want_little() {
    /// Two sessions that want something in turn.
    fn hop(
        now: SessionHandle,
        next: SessionHandle,
        left: usize,
        order: std::sync::mpsc::Sender<&'static str>,
    ) {
        let then = now.clone();
        let turn = move |_: &mut LuaSession| {
            order.send("little").unwrap();
            if left > 0 {
                hop(next, then, left - 1, order);
            }
        };
        now.execute(turn).unwrap();
    }
    let (sessions, _) = on_one_thread("");
    let [greedy, one, two] = [
        sessions.create().await.unwrap(),
        sessions.create().await.unwrap(),
        sessions.create().await.unwrap(),
    ];
    let mut before = Vec::new();
    // On a busy machine those who want little might use up a slice as well.
    greedy.execute(|_| slice::stop_the_clock()).unwrap();
    // One turn of eight is for those who wait behind, and that may be the first; with another number of turns each
    // time, it is not always. Without two queues it would be at most one, however often.
    for hops in 12..32 {
        let (order, said) = std::sync::mpsc::channel();
        let (again, one, two) = (greedy.clone(), one.clone(), two.clone());
        let work = move |_: &mut LuaSession| {
            let more = order.clone();
            again.execute(move |_| more.send("much").unwrap()).unwrap();
            hop(one, two, hops, order);
            slice::use_up();
        };
        greedy.execute(work).unwrap();
        let said: Vec<_> = std::iter::from_fn(|| said.recv_timeout(DEADLINE).ok()).collect();
        assert_eq!(said.len(), hops + 2);
        before.push(said.iter().take_while(|who| **who == "little").count());
        if before.last().is_some_and(|before| *before >= 3) {
            return;
        }
    }
    panic!("{before:?}");
}

#[tokio::test]
async fn a_batch_is_done_in_turns_and_a_reload_waits_for_its_end() {
    let (sessions, published) = on_one_thread(&version("1"));
    let session = sessions.create().await.unwrap();
    let (outbox, mut frames) = mpsc::channel(64);
    let client = session.attach(outbox);

    let done = session.receive(client, clicks(CLICKS));
    let next = Arc::new(save(&published.generation(), &version("2")));
    published.publish(next.clone());
    let (outcomes, mut came) = mpsc::unbounded_channel();
    session.reload(next, outcomes).unwrap();
    let again = json!({ "userEvent": true, "messages": [{ "type": "update", "data": { "varId": 3, "value": null } }] });
    let after = session.receive(client, again.to_string());

    timeout(DEADLINE, done).await.unwrap().unwrap();
    timeout(DEADLINE, after).await.unwrap().unwrap();
    let outcome = timeout(DEADLINE, came.recv()).await.unwrap().unwrap().outcome;
    assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    let mut logs = Vec::new();
    while let Ok(frame) = frames.try_recv() {
        let messages: Vec<Value> = serde_json::from_slice(frame.bytes()).unwrap();
        let values = messages.iter().filter(|message| message["data"]["varId"] == 2);
        logs.extend(values.filter_map(|message| message["data"]["value"].as_str()).map(str::to_owned));
    }
    let (whole, then) = ("1".repeat(CLICKS), "1".repeat(CLICKS) + "2");
    assert_eq!(
        logs,
        [whole, then],
        "browsers hear of a batch when it is done, and the reload comes after it"
    );
}
