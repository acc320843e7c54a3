//! Where the releases of a fleet are.

use std::sync::Arc;

use bytes::Bytes;
use hotloader_nats::{Pointer, Releases, ReleasesError, Settings};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};

use crate::harness::settings;

on_each_nats! {
    a_blob_is_there_as_it_was_put_also_for_others_and_after_nats_was_killed,
    of_many_who_publish_at_once_one_is_first_and_the_others_are_told,
    the_last_64_pointers_of_each_site_are_kept,
    the_newest_report_of_each_server_is_read,
    a_hint_comes_with_each_report_and_announcements_as_they_were_sent_also_when_nats_is_back,
    while_nats_is_away_each_request_is_an_error_that_says_where_it_should_be,
}

async fn releases(nats: &NatsServer) -> Arc<Releases> {
    Arc::new(Releases::connect(Settings { has_store: false, ..settings(&nats.url()) }).await.unwrap())
}

/// As large as a blob gets.
fn large() -> Bytes {
    (0..900 * 1024_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect()
}

async fn a_blob_is_there_as_it_was_put_also_for_others_and_after_nats_was_killed(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let (one, two) = (releases(&nats).await, releases(&nats).await);
    let address = "0f".repeat(32);
    assert_eq!(two.get(&address).await.unwrap(), None);
    assert!(two.addresses().await.unwrap().is_empty());
    one.put(&address, large()).await.unwrap();
    assert_eq!(two.get(&address).await.unwrap(), Some(large()));
    one.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(two.get("empty").await.unwrap(), Some(Bytes::new()));
    assert_eq!(two.addresses().await.unwrap(), [address.clone(), "empty".to_owned()].into());
    // What somebody has put there by mistake can be put right.
    one.put("empty", Bytes::from_static(b"wrong")).await.unwrap();
    one.put("empty", Bytes::new()).await.unwrap();
    nats.kill();
    nats.run();
    let late = releases(&nats).await;
    assert_eq!(late.get(&address).await.unwrap(), Some(large()));
    assert_eq!(late.get("empty").await.unwrap(), Some(Bytes::new()));
    let error = one.put(&address, Bytes::from(vec![0; 2 << 20])).await.unwrap_err();
    assert!(error.to_string().contains("payload"), "{error}");
}

async fn of_many_who_publish_at_once_one_is_first_and_the_others_are_told(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let all = [releases(&nats).await, releases(&nats).await, releases(&nats).await];
    assert_eq!(all[0].pointer("shop").await.unwrap(), None);
    for after in 0..10 {
        let tries = all.iter().map(|one| one.point("shop", after, Bytes::from(after.to_string())));
        let done = futures_util::future::join_all(tries).await;
        let first: Vec<_> = done.iter().filter_map(|done| done.as_ref().ok()).collect();
        assert_eq!(first, [&(after + 1)], "{done:?}");
        assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(ReleasesError::Overtaken))), "{done:?}");
        for one in &all {
            let pointer = Pointer { revision: after + 1, bytes: after.to_string().into() };
            assert_eq!(one.pointer("shop").await.unwrap(), Some(pointer));
        }
    }
    let late = all[1].point("shop", 3, Bytes::new()).await;
    assert!(matches!(late, Err(ReleasesError::Overtaken)), "{late:?}");
}

async fn the_last_64_pointers_of_each_site_are_kept(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let one = releases(&nats).await;
    assert_eq!(one.pointers("shop").await.unwrap(), []);
    for after in 0..70 {
        assert_eq!(one.point("shop", after, Bytes::from(after.to_string())).await.unwrap(), after + 1);
        if after % 7 == 0 {
            one.point("other", after / 7, Bytes::from_static(b"other")).await.unwrap();
        }
    }
    let kept = one.pointers("shop").await.unwrap();
    let expected: Vec<_> = (7..=70)
        .map(|revision: u64| Pointer { revision, bytes: (revision - 1).to_string().into() })
        .collect();
    assert_eq!(kept, expected);
    assert_eq!(one.pointers("other").await.unwrap().len(), 10);
}

async fn the_newest_report_of_each_server_is_read(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (releases(&nats).await, releases(&nats).await);
    assert!(one.reports("shop").await.unwrap().is_empty());
    for server in 0..300 {
        one.report("shop", &format!("srv.{server}"), Bytes::from_static(b"old")).await.unwrap();
    }
    for server in 0..300 {
        two.report("shop", &format!("srv.{server}"), Bytes::from(server.to_string())).await.unwrap();
    }
    two.report("other", "srv.1", Bytes::from_static(b"of another site")).await.unwrap();
    let reports = one.reports("shop").await.unwrap();
    assert_eq!(reports.len(), 300);
    assert!((0..300).all(|server| reports[&format!("srv.{server}")] == server.to_string()));
}

async fn a_hint_comes_with_each_report_and_announcements_as_they_were_sent_also_when_nats_is_back(
    version: Version,
) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let (one, two) = (releases(&nats).await, releases(&nats).await);
    let (mut heard, hints) = (two.announcements("shop"), two.hints("shop"));
    assert_eq!(heard.recv().await, Some(None), "it listens from now on, and what was before has to be read");
    until("it to listen, which is a hint of its own", async || (*hints.borrow() > 0).then_some(())).await;
    one.report("shop", "a", Bytes::new()).await.unwrap();
    until("a hint", async || (*hints.borrow() > 1).then_some(())).await;

    one.point("shop", 0, Bytes::from_static(b"first")).await.unwrap();
    assert!(one.point("shop", 0, Bytes::from_static(b"lost")).await.is_err());
    one.announce("blog", vec![Bytes::from_static(b"of another site")]).await.unwrap();
    one.announce("shop", vec![large(), Bytes::from_static(b"last")]).await.unwrap();
    let mut announced = Vec::new();
    while announced.len() < 2 {
        announced.extend(heard.recv().await.unwrap());
    }
    assert_eq!(announced, [large(), Bytes::from_static(b"last")], "and neither a pointer nor another site's");

    nats.kill();
    nats.run();
    assert_eq!(heard.recv().await, Some(None), "what was missed has to be read");
    let announced = async || {
        let _ = one.announce("shop", vec![Bytes::from_static(b"later")]).await;
        heard.try_recv().ok().flatten()
    };
    assert_eq!(until("an announcement", announced).await, Bytes::from_static(b"later"));
}

async fn while_nats_is_away_each_request_is_an_error_that_says_where_it_should_be(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let patience = std::time::Duration::from_millis(300);
    let one = Releases::connect(Settings { patience, ..settings(&nats.url()) }).await.unwrap();
    nats.kill();
    let results = [
        one.get("a").await.err(),
        one.put("a", Bytes::new()).await.err(),
        one.pointer("shop").await.err(),
        one.point("shop", 0, Bytes::new()).await.err(),
        one.pointers("shop").await.err(),
        one.report("shop", "a", Bytes::new()).await.err(),
        one.reports("shop").await.err(),
    ];
    for error in results {
        let text = error.expect("an error").to_string();
        assert!(text.contains(&nats.url()), "{text}");
    }
}
