//! Files that a person sends to a method: whole, bounded, and only to what a template binds for it.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Site,
    wrappers::{create, errors, property},
};
use crate::config::BindingRule;

const INBOX: &str = r#"
Inbox = session:prototype("Inbox", { count = 0, name = "" })
function Inbox:take(file)
  self.count, self.name, self.kind, self.size = self.count + 1, file.name, file.type, file.size
  SUM, LENGTH = 0, #file.content
  for i = 1, #file.content do SUM = SUM + file.content:byte(i) end
end
function Inbox:fail(file) error("not this one") end
function Inbox:save() self.count = -1 end
session:createAppVariable(Inbox:new())
"#;
const TEMPLATE: &str = r#"<template><input type="file" ui-upload="take(_)"><p ui-upload="fail(_)"></p>
    <b ui-value="name"></b><input ui-value="count"></template>"#;

/// Variable 2 takes files, 3 fails at them, 4 is text.
fn inbox() -> Site {
    let mut site = Site::with(&[("main.lua", INBOX), ("Inbox.DEFAULT.html", TEMPLATE)], |settings| {
        settings.bindings = BindingRule::Templates;
    });
    let action = |path: &str| json!({"path": path, "access": "action"});
    site.send(json!([
        create(2, 1, action("take(_)")),
        create(3, 1, action("fail(_)")),
        create(4, 1, json!({"path": "name", "access": "r"})),
    ]));
    site
}

fn piece(id: i64, number: i64, size: usize, at: usize, bytes: &[u8]) -> Value {
    let content = BASE64_STANDARD.encode(bytes);
    json!({"type": "upload", "data": {
        "varId": id, "number": number, "name": "a.csv", "size": size, "type": "text/csv", "at": at, "content": content,
    }})
}

#[test]
fn a_file_is_given_to_its_method_when_all_of_it_is_there_and_each_piece_is_acknowledged() {
    let mut site = inbox();
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let told = site.send(json!([piece(2, 1, 1000, 0, &bytes[..600])]));
    assert_eq!(property(&told, 2, "uploaded"), "1:600");
    assert_eq!(site.eval("return session:getApp().count"), "0");
    // What else is said comes in between.
    assert_eq!(site.eval("return 1"), "1");
    let told = site.send(json!([piece(2, 1, 1000, 600, &bytes[600..])]));
    assert_eq!(property(&told, 2, "uploaded"), "1:1000");
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    assert_eq!(site.eval("return SUM .. ' ' .. LENGTH"), format!("{sum} 1000"));
    let said = "local app = session:getApp() return app.name .. ' ' .. app.kind .. ' ' .. app.size";
    assert_eq!(site.eval(said), "a.csv text/csv 1000");
    let told = site.send(json!([piece(2, 2, 0, 0, b"")]));
    assert_eq!(property(&told, 2, "uploaded"), "2:0", "{told:?}");
    assert_eq!(site.eval("return session:getApp().count .. ' ' .. LENGTH"), "2 0");
}

#[test]
fn a_streamed_file_is_given_piece_by_piece_however_large_it_is() {
    let lua = "Inbox = session:prototype('Inbox', { ended = EMPTY })
        GOT = {}
        function Inbox:take(piece)
          if piece.content == 'bad' then error('not this one') end
          GOT[#GOT + 1] = piece.name .. ' ' .. piece.at .. ' ' .. piece.content .. ' ' .. tostring(piece.last)
        end
        session:createAppVariable(Inbox:new())";
    let template = r#"<template><input type="file" ui-upload="take(_)?stream"></template>"#;
    let mut site = Site::with(&[("main.lua", lua), ("Inbox.DEFAULT.html", template)], |settings| {
        settings.bindings = BindingRule::Templates;
    });
    let streamed = json!({"path": "take(_)", "access": "action", "stream": "true"});
    site.send(json!([create(2, 1, streamed)]));
    let size = 1 << 40;
    let told = site.send(json!([piece(2, 1, size, 0, b"ab")]));
    assert_eq!(property(&told, 2, "uploaded"), "1:2");
    let told = site.send(json!([piece(2, 1, size, 2, b"cd")]));
    assert_eq!(property(&told, 2, "uploaded"), "1:4");
    assert_eq!(site.eval("return table.concat(GOT, ', ')"), "a.csv 0 ab false, a.csv 2 cd false");
    // It begins again, as after a lost connection; a method that raises ends it.
    let told = site.send(json!([piece(2, 2, 4, 0, b"a"), piece(2, 2, 4, 1, b"bad")]));
    assert!(errors(&told, 2)[0].1.contains("not this one"), "{told:?}");
    let told = site.send(json!([piece(2, 2, 4, 1, b"xyz")]));
    assert!(errors(&told, 2)[0].1.contains("0 bytes are there"), "{told:?}");
    site.send(json!([piece(2, 3, 2, 0, b"ab")]));
    assert_eq!(site.eval("return GOT[#GOT]"), "a.csv 0 ab true");
}

#[test]
fn only_what_a_template_binds_for_it_takes_a_file() {
    let mut site = inbox();
    site.send(json!([create(5, 1, json!({"path": "save(_)", "access": "action"}))]));
    for id in [1, 4, 5, 99] {
        let told = site.send(json!([piece(id, 1, 3, 0, b"abc")]));
        assert_eq!(errors(&told, id).len(), 1, "{id}: {told:?}");
        assert_eq!(property(&told, id, "uploaded"), Value::Null);
    }
    assert_eq!(site.eval("return session:getApp().count"), "0");
}

#[test]
fn a_file_that_is_too_large_or_does_not_fit_together_is_refused_and_gives_its_memory_back() {
    let mut site = inbox();
    let before = site.session.account.used();
    let told = site.send(json!([piece(2, 1, 5 << 20, 0, b"abc")]));
    let [(code, why)] = &errors(&told, 2)[..] else { panic!("{told:?}") };
    assert!(code == "limit" && why.contains("session.budget.upload"), "{why}");
    for (at, bytes) in [(1, &b"ab"[..]), (0, b"abcdef"), (0, b"")] {
        let told = site.send(json!([piece(2, 2, 5, at, bytes)]));
        assert_eq!(errors(&told, 2)[0].0, "bad-message", "{told:?}");
    }
    let mut broken = piece(2, 3, 5, 0, b"abc");
    broken["data"]["content"] = json!("%%%");
    assert_eq!(errors(&site.send(json!([broken])), 2)[0].0, "bad-message");
    for field in ["number", "size", "at", "content"] {
        let mut without = piece(2, 4, 3, 0, b"abc");
        without["data"][field] = json!(-1.5);
        assert_eq!(errors(&site.send(json!([without])), 2)[0].0, "bad-message", "{field}");
    }
    // A part counts while it waits, and no longer when its variable ends.
    site.send(json!([piece(2, 5, 3 << 20, 0, &vec![7; 500_000])]));
    assert!(site.session.account.used() >= before + 500_000);
    site.send(json!([{"type": "destroy", "data": {"varId": 2}}]));
    assert!(site.session.account.used() <= before);
    assert_eq!(site.eval("return session:getApp().count"), "0");
}

#[test]
fn many_files_at_once_take_no_more_than_one_may() {
    let mut site = inbox();
    let part = vec![7; 700_000];
    let mut taken = 0;
    for id in 100..140 {
        site.send(json!([create(id, 1, json!({"path": "take(_)", "access": "action"}))]));
        let told = site.send(json!([piece(id, 1, 3 << 20, 0, &part)]));
        let is_limited = errors(&told, id).iter().any(|(code, _)| code == "limit");
        taken += usize::from(!is_limited);
    }
    assert_eq!(taken, 1);
    assert!(site.session.account.used() <= 4 << 20);
}

#[test]
fn a_method_that_raises_is_told_and_the_next_file_is_taken() {
    let mut site = inbox();
    let told = site.send(json!([piece(3, 1, 3, 0, b"abc")]));
    let [(code, why)] = &errors(&told, 3)[..] else { panic!("{told:?}") };
    assert!(code == "handler-failed" && why.contains("not this one"), "{why}");
    assert_eq!(property(&site.send(json!([piece(2, 2, 3, 0, b"abc")])), 2, "uploaded"), "2:3");
}
