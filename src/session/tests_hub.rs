//! What sessions share, in the real pool: topics and the store, as Lua code has them.

mod loading;
mod model;
mod page;
mod topics;
mod writes;

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
        Self::sharing(Hub::start(dir, &config).unwrap(), files, bindings)
    }

    fn sharing(hub: Hub, files: &[(&str, Option<&str>)], bindings: BindingRule) -> Self {
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

fn write(id: u64, value: Value) -> Value {
    json!({ "type": "update", "data": { "varId": id, "value": value } })
}
