//! Whatever a browser sends, its session answers, and goes on. `PROPTEST_CASES` has it try for longer.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ClientId, Frame, tests::receive, tests_sandbox::session_of};
use crate::wire::Batch;

const MAIN: &str = "
App = session:prototype('App', { count = 0, text = '', list = { { n = 1 }, { n = 2 } } })
function App:click() self.count = self.count + 1 end
function App:name() return 'name' end
function App:fails() error('no') end
session:createAppVariable(App:new())";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("(id|parentId|varId|value|type|data|properties|messages|path|.{0,4})", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let step = "(count|text|list|name\\(\\)|click\\(\\)|fails\\(\\)|fails\\(_\\)|\\.\\.|-?[0-9]{1,3}|_G|__index|.{0,5})";
    let more = "(|\\?access=(r|rw|w|action|x)|\\?wrapper=App&create=App|\\?.{0,9})";
    (vec(step, 0..5), more).prop_map(|(steps, more)| steps.join(".") + &more)
}

/// Messages that are nearly right.
fn message() -> impl Strategy<Value = Value> {
    let kind = "(create|update|watch|unwatch|destroy|error|restart|.{0,5})";
    (kind, -1..9_i64, -1..9_i64, path(), any_json()).prop_map(|(kind, id, parent, path, value)| {
        let properties = json!({ "path": path });
        json!({ "type": kind, "data": {
            "id": id, "varId": id, "parentId": parent, "value": value, "properties": properties,
        }})
    })
}

proptest! {
    #[test]
    fn whatever_comes_in_a_frame_is_read_or_refused(text in prop_oneof![".{0,80}", any_json().prop_map(|json| json.to_string())]) {
        Batch::parse(&text);
    }

    #[test]
    fn whatever_messages_come_the_session_answers_and_goes_on(batches in vec(vec(prop_oneof![message(), message(), any_json()], 0..8), 1..5)) {
        let mut session = session_of(MAIN, |_| {});
        let (outbox, mut frames) = mpsc::channel::<Frame>(64);
        let client = ClientId::next();
        session.attach(client, outbox);
        for messages in batches {
            receive(&mut session, client, json!({ "userEvent": true, "messages": messages }).to_string());
            prop_assert!(session.after_unit().is_some());
        }
        while frames.try_recv().is_ok() {}
        let create = json!([{ "type": "create", "data": { "id": 1000, "parentId": 1, "properties": { "path": "name()", "access": "r" } } }]);
        receive(&mut session, client, create.to_string());
        session.refresh_now();
        session.after_unit();
        let mut told = String::new();
        while let Ok(frame) = frames.try_recv() {
            told += &String::from_utf8_lossy(frame.bytes());
        }
        prop_assert!(told.contains(r#"{"varId":1000,"value":"name""#), "{}", told);
    }
}
