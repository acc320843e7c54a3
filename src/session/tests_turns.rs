//! Long batches, in the real pool: done in turns, and yet one unit of work.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::{LuaSessions, SessionSettings};
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

#[tokio::test]
async fn a_batch_is_done_in_turns_and_a_reload_waits_for_its_end() {
    let published = Arc::new(Published::default());
    let save = |before: &Generation, text: &str| testing::save(before, &[("main.lua", Some(text))]);
    published.publish_good(Arc::new(save(&Generation::default(), &version("1"))));
    let session = SessionConfig { threads: 1, ..SessionConfig::default() };
    let lua = LuaConfig { hotload: true, ..LuaConfig::default() };
    let settings = SessionSettings {
        session,
        lua,
        scope: ReloadScope::Loaded,
        bindings: crate::config::BindingRule::Any,
        refused: Default::default(),
        published: published.clone(),
    };
    let sessions = LuaSessions::start(settings).unwrap();
    let session = sessions.create().await.unwrap();
    let (outbox, mut frames) = mpsc::channel(64);
    let client = session.attach(outbox);

    let create = |id: i64, path: &str, access: &str| json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": { "path": path, "access": access } } });
    let mut messages = vec![create(2, "log", "r"), create(3, "click()", "action")];
    messages.extend(vec![json!({ "type": "update", "data": { "varId": 3, "value": null } }); CLICKS]);
    let batch = json!({ "userEvent": true, "messages": messages }).to_string();
    let done = session.receive(client, batch);
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
