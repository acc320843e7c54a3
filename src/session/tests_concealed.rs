//! What users are told where nobody develops: that something went wrong, and where the log has it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ClientId, lua_session::LuaSession, tests::receive, tests_sandbox::session_of};
use crate::reload::{Diagnostic, Published, Telling};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` returns, and the log of it.
fn logged<R>(work: impl FnOnce() -> R) -> (R, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (result, log)
}

/// A session of a site without hot loading.
fn in_production(main: &str) -> LuaSession {
    session_of(main, |settings| {
        let telling = Telling { is_concealing: true, ..Telling::default() };
        let published = Published::new(telling);
        published.publish_good(settings.published.good());
        settings.published = Arc::new(published);
    })
}

/// The reference in what a user is told, which is nothing else.
fn reference(told: &str) -> &str {
    let reference =
        told.strip_prefix("Something went wrong (reference ").and_then(|rest| rest.strip_suffix(')'));
    reference.unwrap_or_else(|| panic!("{told}"))
}

#[test]
fn users_get_a_reference_and_the_log_has_what_failed() {
    let mut session = in_production(
        "App = session:prototype('App', {})\n\
         function App:click() error('the password is sesame') end\n\
         function App:shown() error('the cellar is open') end\n\
         session:createAppVariable(App:new())",
    );
    let (outbox, mut frames) = mpsc::channel(64);
    let client = ClientId::next();
    session.attach(client, outbox);
    let create = |id: u32, path: &str, access: &str| {
        let properties = json!({ "path": path, "access": access });
        json!({ "type": "create", "data": { "id": id, "parentId": 1, "properties": properties } })
    };
    let messages = json!({ "userEvent": true, "messages": [
        create(2, "click()", "action"), create(3, "shown()", "r"), create(4, "no.where", "r"),
        { "type": "update", "data": { "varId": 2, "value": null } },
        { "type": "update", "data": { "varId": 99, "value": null } },
    ]});
    let ((), log) = logged(|| {
        receive(&mut session, client, messages.to_string());
        session.after_unit();
    });
    let mut sent = String::new();
    while let Ok(frame) = frames.try_recv() {
        sent += &String::from_utf8_lossy(frame.bytes());
    }
    for inside in ["sesame", "cellar", "main.lua", "traceback"] {
        assert!(!sent.contains(inside), "{sent}");
    }
    let frame: Value = serde_json::from_str(&sent).unwrap();
    let errors: Vec<&Value> =
        frame.as_array().unwrap().iter().filter(|message| message["type"] == "error").collect();
    let told = |id: u32| errors.iter().find(|error| error["data"]["varId"] == id).unwrap()["data"].clone();
    for (id, code, why) in [
        (2, "handler-failed", "lua/main.lua:2: the password is sesame"),
        (3, "path-failure", "lua/main.lua:3: the cellar is open"),
    ] {
        assert_eq!(told(id)["code"], code);
        let description = told(id)["description"].as_str().unwrap().to_owned();
        let line = log.lines().find(|line| line.contains(reference(&description))).unwrap();
        assert!(line.contains(why) && line.contains(&session.id().short()), "{line}");
    }
    reference(told(4)["description"].as_str().unwrap());
    assert_eq!(told(99)["description"], "there is no variable 99", "what a browser sent it may read");
}

#[test]
fn of_a_failed_start_users_get_a_reference() {
    let mut session = in_production("started = true");
    session.start_error = Some(Diagnostic::from_lua("lua/main.lua:1: the password is sesame"));
    let (told, log) = logged(|| session.told_start_error().unwrap());
    assert_eq!(
        (told.file.as_str(), told.line, told.traceback.as_str(), told.excerpt.len()),
        ("", None, "", 0)
    );
    let line = log.lines().find(|line| line.contains(reference(&told.message))).unwrap();
    assert!(line.contains("lua/main.lua:1: the password is sesame"), "{line}");

    let (outbox, mut frames) = mpsc::channel(64);
    session.attach(ClientId::next(), outbox);
    let report = String::from_utf8_lossy(frames.try_recv().unwrap().bytes()).into_owned();
    assert!(
        report.contains(&told.message) && !report.contains("sesame") && !report.contains("main.lua"),
        "{report}"
    );
}
