//! What files send while they are loaded.

use super::*;

#[tokio::test]
async fn a_vote_in_the_same_instant_as_a_broken_main_file_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::written_in(dir.path(), "A poll");
    let paths = ["voteYes()", "voteNo()", "yes()", "no()"];
    let mut page = site.page_with(&paths).await;
    let (main, _) = on_the_page("A poll");
    let vote = tokio::spawn(page.begin(vec![write(2, Value::Null)]));
    let outcomes = site.save(&format!("{main}\nsession:getApp():voteYes()\nerror('broken')"), &[&page]).await;
    vote.await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Kept { .. }]), "{outcomes:?}");
    page.shows(4, json!(1)).await;
    assert_eq!(site.stored("poll").as_deref(), Some(r#"{"yes":1}"#));
}

#[tokio::test]
async fn what_a_failing_version_sent_has_not_been_sent() {
    let site = Site::new(MAIN);
    let (mut one, mut two) = (site.page().await, site.page().await);
    two.run("session:subscribe('t', function(value) app.heard = app.heard .. value end)").await;
    let sends = r#"
      session:publish("t", "x")
      store.set("k", "x")
      store.update("n", function(n) return (n or 0) + 1 end)
      assert(store.get("k") == "x" and store.get("n") == 1, "it sees what it will have written")
      session:subscribe("t", function(value) app.heard = app.heard .. "again" end)
      assert(#store.list("k") == 1)
    "#;
    let outcomes = site.save(&format!("{MAIN}\n{sends}\nerror('half way')"), &[&one]).await;
    assert!(matches!(&outcomes[..], [Outcome::Kept { .. }]), "{outcomes:?}");
    one.run("session:publish('t', '1')").await;
    two.shows(HEARD, json!("1")).await;
    assert_eq!((site.stored("k"), site.stored("n")), (None, None));
    assert_eq!(one.run("return app.heard").await, json!(""), "its subscription is gone");

    let outcomes = site.save(&format!("{MAIN}\n{sends}"), &[&one]).await;
    assert!(matches!(&outcomes[..], [Outcome::Applied { .. }]), "{outcomes:?}");
    two.shows(HEARD, json!("1x")).await;
    one.run("return 1").await;
    assert_eq!((site.stored("k").as_deref(), site.stored("n").as_deref()), (Some("\"x\""), Some("1")));
}

#[tokio::test]
async fn a_session_that_cannot_start_has_sent_nothing() {
    let site = Site::new("store.set('a', 1) session:publish('t', 1) error('no')");
    let session = site.sessions.create().await.unwrap();
    assert!(session.start_error().await.is_some());
    assert_eq!((site.stored("a"), site.hub.counters().published()), (None, 0));
    let site = Site::new("store.update('starts', function(n) return (n or 0) + 1 end)");
    for n in 1..=3 {
        site.sessions.create().await.unwrap().summary().await.unwrap();
        assert_eq!(site.stored("starts"), Some(n.to_string()));
    }
}
