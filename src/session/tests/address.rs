//! The address and the title of the page: `session.url`, `session:navigate` and the properties of variable 1.

use serde_json::{Value, json};

use super::wrappers::{board, property};

#[test]
fn an_address_below_the_session_is_the_property_url_of_variable_1() {
    let mut site = board();
    site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    site.session.visit("/");
    assert_eq!(site.send(json!([])), Vec::<Value>::new());
    site.session.visit("/cards/7?x=1");
    assert_eq!(property(&site.send(json!([])), 1, "url"), "/cards/7?x=1");
    let mut site = site.another_browser();
    assert_eq!(
        property(&site.send(json!([{"type": "watch", "data": {"varId": 1}}])), 1, "url"),
        "/cards/7?x=1"
    );
    site.session.visit("/");
    assert_eq!(property(&site.send(json!([])), 1, "url"), "/");
}

#[test]
fn a_script_knows_the_address_and_leads_all_browsers_to_another() {
    let mut site = board();
    site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    assert_eq!(site.eval("return session.url"), "/");
    site.session.visit("/cards/7?x=1");
    assert_eq!(site.eval("return session.url"), "/cards/7?x=1");
    assert_eq!(property(&site.run("session:navigate('/cards/8')"), 1, "url"), "/cards/8");
    assert_eq!(site.eval("return session.url"), "/cards/8");
    for bad in ["'cards'", "nil", "''", "'/a\\nb'", "'/' .. ('x'):rep(2000)"] {
        let told = site.run(&format!("REFUSED = not pcall(session.navigate, session, {bad})"));
        assert_eq!((told, site.eval("return REFUSED")), (vec![], "true".to_owned()), "{bad}");
    }
}

#[test]
fn a_browser_that_goes_back_is_believed_and_the_others_follow() {
    let mut site = board();
    site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    let go = |url: &str| json!([{"type": "update", "data": {"varId": 1, "properties": {"url": url}}}]);
    assert_eq!(site.send(go("/back")), Vec::<Value>::new(), "it knows");
    assert_eq!(site.eval("return session.url"), "/back");
    for bad in ["back", "", "/a\u{0}b", &format!("/{}", "x".repeat(2000))] {
        site.send(go(bad));
        assert_eq!(site.eval("return session.url"), "/back", "{bad:?}");
    }
    let mut site = site.another_browser();
    assert_eq!(property(&site.send(json!([{"type": "watch", "data": {"varId": 1}}])), 1, "url"), "/back");
}

#[test]
fn the_title_of_the_app_is_that_of_the_window_whenever_it_changes() {
    let mut site = board();
    site.send(json!([{"type": "watch", "data": {"varId": 1}}]));
    assert_eq!(property(&site.run("BOARD.title = 'One'"), 1, "title"), "One");
    assert_eq!(site.run("BOARD.other = 1"), Vec::<Value>::new());
    assert_eq!(property(&site.run("BOARD.title = nil; Board.title = 'All'"), 1, "title"), "All");
    assert_eq!(property(&site.run("BOARD.title = ('é'):rep(1000)"), 1, "title"), "é".repeat(200));
    // Whatever else the field is, it is not the title, and no code runs for it.
    assert_eq!(property(&site.run("BOARD.title = function() error('called') end"), 1, "title"), "");
}
