//! The browsers: each with a session and a socket of its own, and a page that shows what others have said.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hotloader_test_support::{server::Server, site::Site};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Fallible, SETUP,
    connect::{Socket, connect},
};

/// Clicks publish, or write; each page shows what it has heard, and what the store has.
const MAIN: &str = r#"
local App = session:prototype("App", { said = 0, heard = 0, count = 0, written = 0 })
function App:say() self.said = self.said + 1 session:publish("said", self.said) end
function App:burst() for _ = 1, 100 do session:publish("said", 0) end end
function App:write() store.set("votes", { yes = self.written + 1 }) self.written = self.written + 1 end
function App:votes() local votes = store.get("votes") return votes and votes.yes or 0 end
if not session:getApp() then session:createAppVariable(App:new()) end
local app = session:getApp()
session:subscribe("said", function(n) app.heard = n app.count = app.count + 1 end)
"#;
const VIEWDEF: &str = r#"<template><i ui-value="heard"></i><i ui-value="count"></i><i ui-value="votes()"></i>
<i ui-value="written"></i><i ui-value="said"></i><b ui-action="say()"></b><b ui-action="burst()"></b><b ui-action="write()"></b></template>"#;

/// Nothing takes that long.
const LIMIT: Duration = Duration::from_secs(20);

/// A button of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Button {
    Say = 10,
    Burst = 11,
    Write = 12,
}

/// A running server with that site.
pub(crate) async fn serve() -> (Site, Server) {
    serve_with("").await
}

/// With more in its configuration.
pub(crate) async fn serve_with(config: &str) -> (Site, Server) {
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", MAIN),
            ("viewdefs/App.DEFAULT.html", VIEWDEF),
            ("config/config.toml", &format!("hub.messages = 1000000\n{config}")),
        ],
    );
    let server = Server::with(SETUP, &site.dir(), &[]).await;
    (site, server)
}

/// A page that shows one of its values as variable 2, and has the buttons.
pub(crate) struct Page {
    socket: Socket,
}

impl Page {
    pub(crate) async fn open(address: &str, shows: &str) -> Fallible<Self> {
        let mut socket = connect(address).await?;
        let create = |id: u32, path: &str, access: &str| {
            format!(
                r#"{{"type":"create","data":{{"id":{id},"parentId":1,"properties":{{"path":"{path}","access":"{access}"}}}}}}"#
            )
        };
        let text = format!(
            r#"{{"userEvent":true,"messages":[{{"type":"watch","data":{{"varId":1}}}},{},{},{},{}]}}"#,
            create(2, shows, "r"),
            create(10, "say()", "action"),
            create(11, "burst()", "action"),
            create(12, "write()", "action"),
        );
        socket.send(text.into()).await?;
        let mut page = Self { socket };
        page.value().await?;
        Ok(page)
    }

    pub(crate) async fn click(&mut self, button: Button) -> Fallible<Instant> {
        let text = format!(
            r#"{{"userEvent":true,"messages":[{{"type":"update","data":{{"varId":{},"value":null}}}}]}}"#,
            button as u32
        );
        let began = Instant::now();
        self.socket.send(text.into()).await?;
        Ok(began)
    }

    /// The next value of what it shows.
    pub(crate) async fn value(&mut self) -> Fallible<u64> {
        loop {
            let frame = tokio::time::timeout(LIMIT, self.socket.next()).await?;
            let frame = frame.ok_or("the server has closed the socket")??;
            if let Some(value) = shown(frame.to_text()?) {
                return Ok(value);
            }
        }
    }
}

fn shown(frame: &str) -> Option<u64> {
    frame.split("\"varId\":2,\"value\":").nth(1)?.split('}').next()?.parse().ok()
}

/// Pages that only look.
pub(crate) struct Others {
    tasks: JoinSet<()>,
    values: mpsc::UnboundedReceiver<(u64, Instant)>,
}

impl Others {
    pub(crate) async fn open(address: &str, count: usize, shows: &str) -> Fallible<Self> {
        let (sender, values) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (mut page, sender) = (Page::open(address, shows).await?, sender.clone());
            tasks.spawn(async move {
                while let Some(Ok(frame)) = page.socket.next().await {
                    let Some(value) = frame.to_text().ok().and_then(shown) else { continue };
                    let _ = sender.send((value, Instant::now()));
                }
            });
        }
        Ok(Self { tasks, values })
    }

    /// When the last of them shows that value.
    pub(crate) async fn all_show(&mut self, wanted: u64) -> Fallible<Instant> {
        let mut missing = self.tasks.len();
        let all = async {
            loop {
                let (value, at) = self.values.recv().await.ok_or("no page is left")?;
                missing -= usize::from(value == wanted);
                if missing == 0 {
                    return Fallible::Ok(at);
                }
            }
        };
        tokio::time::timeout(LIMIT, all).await.map_err(|_| format!("not all show {wanted}"))?
    }
}
