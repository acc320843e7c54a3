//! The AfterBatch pass: what a session does after each click to find out what the browser has to hear of.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BindingRule, LuaConfig, ReloadScope, SessionConfig},
    reload::{Compiler, Generation, LUA_ROOT, Published, SiteLayout, VIEWDEF_ROOT},
    session::{LuaSessions, SessionHandle, SessionSettings},
    watch::{Change, ChangeKind, ChangeSet, Content, RootId, Timing},
};
use tokio::sync::mpsc;

use crate::{Fallible, Verdict, micros, quantile};

/// Three variables of each are watched, and one for the card itself.
const CARDS: usize = 250;
const MAIN: &str = r#"
    local Card = session:prototype("Card", { title = "", votes = 0 })
    function Card:stars() return ("*"):rep(self.votes % 10) end
    local App = session:prototype("App")
    if not session:getApp() then
      local cards = {}
      for i = 1, 250 do cards[i] = Card:new { title = "card " .. i, votes = i } end
      session:createAppVariable(App:new { cards = cards })
    end
    function change(n) session:getApp().cards[78].votes = n end
"#;

const APP: &str = "<template><div ui-viewlist=cards></div></template>";
const CARD: &str =
    "<template><b ui-value=title></b><b ui-value=votes></b><b ui-value='stars()'></b></template>";

/// A page that shows all cards: 1,001 variables, of which the first is the list.
fn page() -> String {
    let mut creates = vec![serde_json::json!({"type": "watch", "data": {"varId": 1}}), create(2, 1, "cards")];
    for card in 0..CARDS {
        let id = 10 + card * 4;
        creates.push(create(id, 2, &card.to_string()));
        for (at, path) in [(1, "title"), (2, "votes"), (3, "stars()")] {
            creates.push(create(id + at, id, path));
        }
    }
    serde_json::json!(creates).to_string()
}

fn create(id: usize, parent: usize, path: &str) -> serde_json::Value {
    let properties = serde_json::json!({ "path": path, "access": "r" });
    serde_json::json!({"type": "create", "data": {"id": id, "parentId": parent, "properties": properties}})
}

pub(crate) async fn measure(rounds: i64, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let (_sessions, session) = session().await?;
    let (outbox, mut frames) = mpsc::channel(64);
    let client = session.attach(outbox);
    session.receive(client, page()).await?;
    while !frames.recv().await.ok_or("no frame")?.bytes().ends_with(b"}]") {}
    let mut times = Vec::new();
    for round in 1..=rounds {
        times.push(pass(&session, round).await?);
        let frame = frames.try_recv()?;
        let frame = std::str::from_utf8(frame.bytes())?;
        if frame.matches("varId").count() != 2 || frames.try_recv().is_ok() {
            return Err(format!("more or less than the two variables that show the change: {frame}").into());
        }
    }
    let median = micros(quantile(&mut times, 0.5));
    println!("a pass over 1,001 watched variables: p99 {:.0} µs", micros(quantile(&mut times, 0.99)));
    let what = "AfterBatch, 1,000 watched variables of which one changed, median";
    verdicts.push(Verdict::at_most(what, median, 300.0, "µs"));
    Ok(())
}

/// From the end of the work that changes one card until the session begins with the next work, which is
/// queued already: the pass, and the frame that comes of it put into the socket's channel.
async fn pass(session: &SessionHandle, round: i64) -> Fallible<Duration> {
    let (queued, is_queued) = std::sync::mpsc::channel::<()>();
    let (ended, end) = tokio::sync::oneshot::channel();
    session.execute(move |session| {
        let _ = is_queued.recv();
        let changed =
            session.with_lua(|lua| lua.globals().get::<mlua::Function>("change")?.call::<()>(round));
        let _ = ended.send(changed.map(|()| Instant::now()));
    })?;
    let (began, begin) = tokio::sync::oneshot::channel();
    session.execute(move |_| {
        let _ = began.send(Instant::now());
    })?;
    queued.send(())?;
    let end = end.await?.map_err(|error| error.to_string())?;
    Ok(begin.await? - end)
}

/// One session, without a server.
async fn session() -> Fallible<(LuaSessions, SessionHandle)> {
    let compiler =
        Compiler::new(SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into(), files: "data".into() })?;
    let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
    let change = |root: RootId, name: &str, text: &str| Change {
        root,
        name: name.into(),
        path: Path::new("/site").join(root.0).join(name),
        kind: ChangeKind::Modified(Content::new(text.as_bytes())),
    };
    let changes = vec![
        change(LUA_ROOT, "main.lua", MAIN),
        change(VIEWDEF_ROOT, "App.DEFAULT.html", APP),
        change(VIEWDEF_ROOT, "Card.DEFAULT.html", CARD),
    ];
    let saved = ChangeSet { changes, initial: false, timing };
    let published = Arc::new(Published::default());
    published.publish_good(Arc::new(compiler.compile(&Generation::default(), &saved)));
    let sessions = LuaSessions::start(SessionSettings {
        session: SessionConfig { threads: 1, max: 1, ..SessionConfig::default() },
        lua: LuaConfig { hotload: true, ..LuaConfig::default() },
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Templates,
        refused: Arc::default(),
        hub: None,
        published,
    })?;
    let session = sessions.create().await?;
    match session.start_error().await {
        Some(error) => Err(error.to_string().into()),
        None => Ok((sessions, session)),
    }
}
