//! NATS goes away, and comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hotloader_nats::{PublishError, Settings, WriteError};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};

use crate::{
    harness::{Server, put, settings},
    proxy::{Proxy, SWALLOWED, Way},
};

on_each_nats! {
    what_was_acknowledged_before_nats_was_killed_is_there_and_all_goes_on,
    calls_while_nats_is_away_fail_after_the_patience,
    calls_while_nats_is_stopped_fail_after_the_patience_and_it_is_back_when_it_goes_on,
    who_was_cut_off_reads_what_it_has_missed,
    who_hears_nothing_without_being_cut_off_finds_out,
    a_change_that_does_not_come_is_noticed_with_the_next_one,
    a_change_that_does_not_come_is_noticed_although_none_comes_after_it,
    a_slow_connection_only_takes_longer,
    a_write_that_nats_was_killed_under_is_done_once,
    a_store_that_was_wiped_is_empty_everywhere_and_takes_new_values,
}

/// One that is not waited for long.
async fn hasty(url: &str) -> Server {
    Server::with(Settings { patience: Duration::from_millis(500), ..settings(url) }).await
}

async fn what_was_acknowledged_before_nats_was_killed_is_there_and_all_goes_on(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    two.nats.subscribe("chat");
    two.hears("chat", "chat", &one).await;
    for n in 0..200 {
        one.set(&format!("key {n}"), &n.to_string()).await;
    }
    nats.kill();
    one.until_away(true).await;
    let away = one.nats.link().away.unwrap();
    assert!(away.problem.contains("lost"), "{}", away.problem);
    nats.run();
    one.until_away(false).await;
    two.until_away(false).await;
    for n in 0..200 {
        assert_eq!(one.get(&format!("key {n}")), Some(n.to_string()));
    }
    let before = two.heard().len();
    until("the subscription to be there again", async || {
        let _ = one.nats.publish("chat", "2".into());
        (two.heard().len() > before).then_some(())
    })
    .await;
    two.set("after", "1").await;
    one.sees("after", Some("1")).await;
    let late = Server::on(&nats.url()).await;
    assert_eq!(late.entries(), one.entries());
}

async fn calls_while_nats_is_away_fail_after_the_patience(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let one = hasty(&nats.url()).await;
    one.set("a", "1").await;
    nats.kill();
    one.until_away(true).await;
    let begun = Instant::now();
    let error = one.write(put("a", "2")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(matches!(error, WriteError::Away(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("away since") && text.contains("hub.patience"), "{text}");
    assert_eq!(one.get("a").as_deref(), Some("1"), "what is stored can be read");
    let refused = async || one.nats.publish("chat", "1".into()).err();
    let error = until("publishing to fail", refused).await;
    assert!(matches!(error, PublishError::Away(_)), "{error}");
    nats.run();
    one.until_away(false).await;
    assert_eq!(one.get("a").as_deref(), Some("1"), "nothing was written after all");
    one.set("a", "3").await;
}

async fn calls_while_nats_is_stopped_fail_after_the_patience_and_it_is_back_when_it_goes_on(
    version: Version,
) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (hasty(&nats.url()).await, Server::on(&nats.url()).await);
    one.set("a", "1").await;
    nats.suspend();
    let begun = Instant::now();
    let error = one.write(put("a", "2")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(matches!(error, WriteError::Unanswered | WriteError::Away(_)), "{error}");
    one.until_away(true).await;
    nats.resume();
    one.until_away(false).await;
    one.set("b", "1").await;
    two.sees("b", Some("1")).await;
    let value = one.get("a");
    two.sees("a", value.as_deref()).await;
}

async fn who_was_cut_off_reads_what_it_has_missed(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let proxy = Proxy::to(nats.addr()).await;
    let (one, two) = (Server::on(&proxy.url()).await, Server::on(&nats.url()).await);
    two.set("gone", "1").await;
    two.set("stays", "1").await;
    one.sees("stays", Some("1")).await;
    proxy.set(Way::Cut);
    one.until_away(true).await;
    two.set("new", "1").await;
    two.set("stays", "2").await;
    two.delete("gone").await;
    assert_eq!(one.get("stays").as_deref(), Some("1"));
    assert!(!two.is_away());
    proxy.set(Way::Open);
    one.until_away(false).await;
    assert_eq!(one.entries(), two.entries());
}

async fn who_hears_nothing_without_being_cut_off_finds_out(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let proxy = Proxy::to(nats.addr()).await;
    let (one, two) = (hasty(&proxy.url()).await, Server::on(&nats.url()).await);
    two.set("a", "1").await;
    one.sees("a", Some("1")).await;
    proxy.set(Way::Stalled);
    one.until_away(true).await;
    two.set("a", "2").await;
    proxy.set(Way::Open);
    one.sees("a", Some("2")).await;
    one.until_away(false).await;
}

/// A change is written by the second, and does not come to the first.
async fn swallow(nats: &NatsServer) -> (Server, Server, Proxy) {
    let proxy = Proxy::to(nats.addr()).await;
    let (one, two) = (Server::on(&proxy.url()).await, Server::on(&nats.url()).await);
    one.nats.subscribe("after");
    one.hears("after", "after", &two).await;
    proxy.set(Way::Swallowing);
    two.set(SWALLOWED, "1").await;
    // What comes by the same connection comes later.
    let before = one.heard().len();
    until("what is published after it", async || {
        let _ = two.nats.publish("after", "2".into());
        (one.heard().len() > before + 1).then_some(())
    })
    .await;
    assert_eq!(one.get(SWALLOWED), None);
    proxy.set(Way::Open);
    (one, two, proxy)
}

async fn a_change_that_does_not_come_is_noticed_with_the_next_one(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two, _proxy) = swallow(&nats).await;
    two.set("next", "1").await;
    one.sees("next", Some("1")).await;
    assert_eq!(one.get(SWALLOWED).as_deref(), Some("1"));
    assert!(!one.is_away());
}

async fn a_change_that_does_not_come_is_noticed_although_none_comes_after_it(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, _two, _proxy) = swallow(&nats).await;
    one.sees(SWALLOWED, Some("1")).await;
    assert!(!one.is_away());
}

async fn a_slow_connection_only_takes_longer(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let proxy = Proxy::to(nats.addr()).await;
    proxy.set(Way::Slow(Duration::from_millis(40)));
    let (one, two) = (Arc::new(Server::on(&proxy.url()).await), Arc::new(Server::on(&nats.url()).await));
    let add = |server: Arc<Server>| async move {
        for _ in 0..10 {
            server.add("n", 1).await.unwrap();
        }
    };
    tokio::join!(add(one.clone()), add(two.clone()), add(one.clone()));
    one.sees("n", Some("30")).await;
    two.sees("n", Some("30")).await;
    assert!(!one.is_away());
}

async fn a_write_that_nats_was_killed_under_is_done_once(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let server = Arc::new(Server::on(&nats.url()).await);
    let writers: Vec<_> = (0..10)
        .map(|writer| {
            let server = server.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    // Of its own key without an expectation, and of one that all write.
                    server.set(&format!("own {writer}"), "1").await;
                    server.add("n", 1).await.unwrap();
                }
            })
        })
        .collect();
    for so_far in [50, 150, 250] {
        let number = || server.get("n").map_or(0, |number| number.parse::<i64>().unwrap());
        until("some writes", async || (number() >= so_far).then_some(())).await;
        nats.kill();
        nats.run();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    server.sees("n", Some("500")).await;
    assert_eq!(Server::on(&nats.url()).await.get("n").as_deref(), Some("500"));
}

async fn a_store_that_was_wiped_is_empty_everywhere_and_takes_new_values(version: Version) {
    let Some(mut nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    for n in 0..20 {
        one.set("old", &n.to_string()).await;
    }
    two.sees("old", Some("19")).await;
    nats.kill();
    nats.wipe();
    nats.run();
    one.sees("old", None).await;
    two.sees("old", None).await;
    one.add("old", 1).await.unwrap();
    two.sees("old", Some("1")).await;
}
