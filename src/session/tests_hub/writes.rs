//! Calls of the store.

use super::*;

#[tokio::test]
async fn a_write_holds_up_its_own_session_and_no_thread() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::with(MAIN, dir.path(), |config| {
        (config.store, config.patience) = ("store.db".into(), Duration::from_secs(60));
    });
    let (mut one, mut two) = (site.page().await, site.page().await);
    one.run("store.set('a', 1)").await;
    let other = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waits = tokio::spawn(one.run_later("order = 'w' store.set('a', 2) order = order .. '1'"));
    let after = tokio::spawn(one.run_later("order = order .. '2' return order"));
    // There is one thread, and it is free.
    assert_eq!(two.run("return store.get('a')").await, json!(1));
    assert!(!waits.is_finished() && !after.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    waits.await.unwrap();
    after.await.unwrap();
    one.shows(SAID, json!("w12")).await;
    two.shows(SAID, json!(1)).await;
    assert_eq!(two.run("return store.get('a')").await, json!(2));
}

#[tokio::test]
async fn a_write_that_fails_is_an_error_that_can_be_caught_and_the_store_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::with(MAIN, dir.path(), |config| {
        (config.store, config.patience) = ("store.db".into(), Duration::from_millis(30));
    });
    let mut page = site.page().await;
    page.run("store.set('a', 1)").await;
    let other = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = page.run("local ok, why = pcall(store.set, 'a', 2) return why").await;
    assert!(said.as_str().unwrap().contains("locked by another program"), "{said}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(page.run("return store.get('a')").await, json!(1));
    assert_eq!(site.hub.counters().writes(StoreResult::Failed), 1);
}

#[tokio::test]
async fn where_a_write_cannot_wait_it_says_so() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    for (what, code) in [
        (
            "a coroutine",
            "local _, why = coroutine.resume(coroutine.create(function() store.set('a', 1) end)) return why",
        ),
        (
            "a wrapped one",
            "local ok, why = pcall(coroutine.wrap(function() store.set('a', 1) end)) return why",
        ),
        (
            "a sort",
            "local ok, why = pcall(table.sort, { 2, 1 }, function() store.set('a', 1) end) return why",
        ),
        ("gsub", "local ok, why = pcall(string.gsub, 'a', 'a', function() store.set('a', 1) end) return why"),
    ] {
        let said = page.run(code).await;
        assert!(
            said.as_str().is_some_and(|said| said.contains("store.set cannot wait here")),
            "{what}: {said}"
        );
    }
    page.run("function App:poll() local ok, why = pcall(store.set, 'a', 1) return (why:match('cannot wait here')) end").await;
    page.shows(POLL, json!("cannot wait here")).await;
    assert_eq!(site.stored("a"), None);
    // A coroutine of the user may read, and yields as ever.
    let code = "local f = coroutine.wrap(function() coroutine.yield(store.get('b')) end) store.set('b', 7) return f()";
    assert_eq!(page.run(code).await, json!(7));
    let said = page.run("local ok, why = pcall(coroutine.yield, 1) return 'after'").await;
    assert_ne!(said, json!("after"), "nobody would resume it");
    assert_eq!(page.run("return 1").await, json!(1));
}

#[tokio::test]
async fn changes_of_one_key_by_fifty_sessions_are_all_there() {
    let site = Site::new(MAIN);
    let mut pages = Vec::new();
    for _ in 0..50 {
        pages.push(site.page().await);
    }
    let code = "for _ = 1, 3 do store.update('n', function(n) return (n or 0) + 1 end) end";
    let all: Vec<_> = pages.iter().map(|page| tokio::spawn(page.run_later(code))).collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(site.stored("n").as_deref(), Some("150"));
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_with_its_limit() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    for (code, wanted) in [
        ("store.set('a')", "the value is nil; store.delete deletes a key"),
        ("store.set('a', print)", "a function has no form in JSON"),
        ("store.set('', 1)", "a key is a text that is not empty"),
        ("store.set(('k'):rep(300), 1)", "hub.max_key allows 256"),
        ("store.set('a', ('v'):rep(70000))", "hub.max_value allows 65536"),
        ("store.set('a', 1, { ttl = 0 })", "ttl has to be a number of milliseconds, more than 0"),
        ("store.get(1)", "the key has to be a string"),
        ("store.update('a', 1)", "store.update needs a function"),
        ("store.update('a', function() error('mine') end)", "mine"),
        ("session:publish('a b', 1)", "is no topic"),
        ("session:publish('a', ('v'):rep(70000))", "hub.max_value allows 65536"),
        ("session:subscribe('a..b', print)", "is no topic"),
        ("session:subscribe('a')", "needs a function"),
        ("for _ = 1, 101 do session:subscribe('a', print) end", "hub.subscriptions is 100"),
    ] {
        let said = page.run(&format!("local ok, why = pcall(function() {code} end) return why")).await;
        assert!(said.as_str().is_some_and(|said| said.contains(wanted)), "{code}: {said}");
    }
    let off = Site::with(MAIN, Path::new("/nowhere"), |config| config.store = HubConfig::OFF.into());
    let said = off.page().await.run("local ok, why = pcall(store.get, 'a') return why").await;
    assert!(said.as_str().unwrap().contains("hub.store is \"off\""), "{said}");
}

#[tokio::test]
async fn a_loop_that_writes_ends_with_the_budget() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    page.run("while true do pcall(store.set, 'a', 1) end").await;
    assert_eq!(page.run("return store.get('a')").await, json!(1), "and the session goes on");
}

#[tokio::test]
async fn a_table_that_was_read_is_the_same_object_until_the_store_has_another() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    page.run("store.set('a', { n = { 1 } })").await;
    assert_eq!(page.run("kept = store.get('a') return kept == store.get('a')").await, json!(true));
    assert_eq!(page.run("local e = store.list('a')[1] return e == store.list('a')[1]").await, json!(true));
    // Who changes it has not changed the store.
    assert_eq!(page.run("kept.n[1] = 2 return store.get('a').n[1]").await, json!(1));
    page.run("store.set('a', { n = { 3 } })").await;
    assert_eq!(page.run("return store.get('a').n[1]").await, json!(3));
}

#[tokio::test]
async fn calls_that_come_to_their_end_share_one_coroutine_and_what_fails_or_waits_leaves_it_alone() {
    let site = Site::new(MAIN);
    let mut page = site.page().await;
    let which = "return tostring(coroutine.running())";
    let first = page.run(which).await;
    assert_eq!(page.run(which).await, first);
    page.run("store.set('a', 1)").await;
    assert_eq!(page.run(which).await, first, "it has waited, and come to its end");
    page.run("kept = coroutine.running() error('no')").await;
    assert_eq!(page.run("return coroutine.status(kept)").await, json!("dead"));
    let next = page.run(which).await;
    assert_eq!(page.run(which).await, next);
    assert_eq!(page.run("return coroutine.resume(coroutine.running())").await, json!(false));
    page.run("coroutine.yield()").await;
    assert_eq!(page.run("return store.get('a')").await, json!(1));
}
