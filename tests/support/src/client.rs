//! [`Browser`]: what a browser does, without a browser: a session, a WebSocket, variables.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{DEADLINE, http, server::Server};

/// A WebSocket to a session.
pub type Socket = WebSocketStream<TcpStream>;

/// A tab that looks at a session.
pub struct Browser {
    /// The id of the session.
    pub session: String,
    socket: Socket,
    last_id: u64,
    ids: HashMap<String, u64>,
    /// The newest value of each variable.
    values: HashMap<u64, Value>,
    /// Each frame as it came: an array of messages.
    pub frames: Vec<Vec<Value>>,
    /// The Close that ended it.
    pub closed: Option<CloseFrame>,
}

impl Browser {
    /// Opens a new session, with its page, its socket, and the application's variables.
    pub async fn open(server: &Server) -> Self {
        let session = begin(server.addr()).await;
        Self::tab(server, &session).await
    }

    /// Opens one more tab of a session.
    pub async fn tab(server: &Server, session: &str) -> Self {
        let mut browser = Self::connected(server, session).await;
        browser.send(json!([{ "type": "watch", "data": { "varId": 1 } }])).await;
        browser
    }

    /// Opens a socket, and says not a word.
    pub async fn connected(server: &Server, session: &str) -> Self {
        let socket = connect(server.addr(), session, &[]).await.unwrap();
        Self {
            session: session.to_owned(),
            socket,
            last_id: 1,
            ids: HashMap::new(),
            values: HashMap::new(),
            frames: Vec::new(),
            closed: None,
        }
    }

    /// Opens the application on [`Site::new`](crate::site::Site::new), all of it on the page.
    pub async fn open_app(server: &Server) -> Self {
        let mut browser = Self::open(server).await;
        browser.show(&["label()", "word()", "count"]).await;
        browser.sees("count", 0).await;
        browser
    }

    /// Sends a batch of messages.
    pub async fn send(&mut self, batch: Value) {
        self.send_text(&batch.to_string()).await;
    }

    /// Sends a frame as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Makes a variable of each path, below the application.
    pub async fn show(&mut self, paths: &[&str]) {
        let messages: Vec<Value> = paths.iter().map(|path| self.create(path)).collect();
        self.send(json!(messages)).await;
    }

    fn create(&mut self, path: &str) -> Value {
        self.last_id += 1;
        self.ids.insert(path.to_owned(), self.last_id);
        let access = if path == "click()" { "action" } else { "rw" };
        json!({ "type": "create", "data": { "id": self.last_id, "parentId": 1, "properties": { "path": path, "access": access } } })
    }

    /// The id of the variable that [`Browser::show`] made of the path.
    pub fn id(&self, path: &str) -> u64 {
        self.ids[path]
    }

    /// Clicks the button of the application.
    pub async fn click(&mut self) {
        let mut messages = Vec::new();
        if !self.ids.contains_key("click()") {
            messages.push(self.create("click()"));
        }
        messages.push(json!({ "type": "update", "data": { "varId": self.id("click()"), "value": null } }));
        self.send(json!({ "userEvent": true, "messages": messages })).await;
    }

    /// The newest value of a path; null if there is none.
    pub fn value(&self, path: &str) -> &Value {
        self.ids.get(path).and_then(|id| self.values.get(id)).unwrap_or(&Value::Null)
    }

    /// Waits until the variable has the value.
    pub async fn sees(&mut self, path: &str, value: impl Into<Value>) {
        let value = value.into();
        self.wait_until(&format!("{path} = {value}"), |browser| *browser.value(path) == value).await;
    }

    /// Waits until a click has been answered: what was sent before it has been worked on.
    pub async fn counts(&mut self, count: i64) {
        self.click().await;
        self.sees("count", count).await;
    }

    /// Waits for a message of the type that fits; one that has been there already does, too.
    pub async fn told(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let find = |browser: &Self| browser.messages(kind).find(|data| fits(data)).cloned();
        self.wait_until(&format!("a {kind} message"), |browser| find(browser).is_some()).await;
        find(self).unwrap()
    }

    /// Waits for the `reload` message of that status, and forgets what was there before.
    pub async fn reload(&mut self, status: &str) -> Value {
        let data = self.told("reload", |data| data["status"] == status).await;
        self.frames.clear();
        data
    }

    /// The data of all messages of a type.
    pub fn messages<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.frames.iter().flatten();
        all.filter(move |message| message["type"] == kind).map(|message| &message["data"])
    }

    /// Takes in frames until the condition holds.
    pub async fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = (Instant::now() + DEADLINE).into();
        while !holds(self) {
            let next = timeout_at(deadline, self.socket.next()).await;
            let Ok(next) = next else {
                panic!(
                    "waited {DEADLINE:?} for {what}; values: {:?}; frames: {}",
                    self.seen(),
                    json!(self.frames)
                );
            };
            match next {
                Some(Ok(Message::Text(text))) => self.take(text.as_str()),
                Some(Ok(Message::Close(close))) => self.closed = close,
                Some(Ok(_)) => {}
                end => {
                    assert!(holds(self), "the socket ended ({end:?}) while waiting for {what}");
                    return;
                }
            }
        }
    }

    /// Waits for the end of the socket; gives the code of its Close.
    pub async fn close_code(&mut self) -> CloseCode {
        self.wait_until("the Close", |browser| browser.closed.is_some()).await;
        self.closed.as_ref().unwrap().code
    }

    fn take(&mut self, text: &str) {
        let messages: Vec<Value> = serde_json::from_str(text).unwrap();
        for message in &messages {
            let data = &message["data"];
            if message["type"] == "restart" {
                // What the page of a browser does: all variables are made anew by whoever wants them.
                self.values.clear();
                self.ids.clear();
                self.last_id = 1;
            }
            if message["type"] == "update"
                && let Some(value) = data.get("value")
            {
                self.values.insert(data["varId"].as_u64().unwrap(), value.clone());
            }
        }
        self.frames.push(messages);
    }

    fn seen(&self) -> HashMap<&str, &Value> {
        self.ids.keys().map(|path| (path.as_str(), self.value(path))).collect()
    }
}

/// `GET /`: a new session's id.
pub async fn begin(addr: SocketAddr) -> String {
    let answer = http::get(addr, "/").await;
    assert_eq!(answer.status, 307, "{answer:?}");
    answer.header("location").unwrap().trim_start_matches('/').to_owned()
}

/// The WebSocket of a session, with more headers than a browser's own.
pub async fn connect(
    addr: SocketAddr,
    session: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, Error> {
    let mut request = format!("ws://{addr}/ws/{session}").into_client_request().unwrap();
    request.headers_mut().insert("cookie", http::cookies(&format!("/ws/{session}")).parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(addr).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}
