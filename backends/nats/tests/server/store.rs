//! The store.

use std::time::Duration;

use hotloader_nats::{Write, WriteError};
use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};

use crate::harness::{Server, put, settings};

on_each_nats! {
    what_one_server_writes_another_reads_and_a_later_one_finds,
    a_change_of_what_is_not_as_expected_is_refused,
    a_key_may_be_any_text,
    two_sites_on_one_nats_do_not_meet,
    a_key_with_a_time_ends_on_all_servers_and_can_be_made_again,
    a_key_that_is_written_again_does_not_end,
    what_has_ended_is_kept_by_nobody,
    many_keys_are_there_when_a_server_starts,
    what_is_no_value_is_passed_over,
    a_key_that_an_operator_purges_can_be_made_again,
}

async fn what_one_server_writes_another_reads_and_a_later_one_finds(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    let revision = one.set("a", "1").await;
    assert_eq!(one.get("a").as_deref(), Some("1"), "who is answered can read it");
    two.sees("a", Some("1")).await;
    assert_eq!(two.entry("a").unwrap().revision, revision);
    two.set("b", "[2]").await;
    two.delete("a").await;
    assert_eq!(two.get("a"), None);
    one.sees("a", None).await;
    one.sees("b", Some("[2]")).await;
    let late = Server::on(&nats.url()).await;
    assert_eq!(late.entries(), one.entries());
    assert_eq!(late.entries().len(), 1);
}

async fn a_change_of_what_is_not_as_expected_is_refused(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    let expecting = |expected, value: &str| Write { expected: Some(expected), ..put("a", value) };
    let first = one.write(expecting(0, "1")).await.unwrap();
    assert!(matches!(two.write(expecting(0, "2")).await, Err(WriteError::Conflict)));
    assert_eq!(two.get("a").as_deref(), Some("1"), "who is refused can read why");
    let second = two.write(expecting(first, "2")).await.unwrap();
    assert!(matches!(one.write(expecting(first, "3")).await, Err(WriteError::Conflict)));
    // Made, ended, made again: at NATS the end of a value stands there, or nothing.
    for (server, value) in [(&one, "2"), (&two, "4"), (&one, "4")] {
        server.sees("a", Some(value)).await;
        server.delete("a").await;
        server.write(expecting(0, "4")).await.unwrap();
    }
    assert!(one.entry("a").unwrap().revision > second);
    assert!(matches!(
        one.write(Write { value: None, ..expecting(second, "") }).await,
        Err(WriteError::Conflict)
    ));
}

async fn a_key_may_be_any_text(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    for key in ["here.1", "a b", ".", "*", ">", "räume/日本", "=2E", "\"", &"long ".repeat(51)] {
        one.set(key, "1").await;
        two.sees(key, Some("1")).await;
        two.delete(key).await;
        one.sees(key, None).await;
    }
}

async fn two_sites_on_one_nats_do_not_meet(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let one = Server::on(&nats.url()).await;
    let two = Server::with(hotloader_nats::Settings { site: "site-2".into(), ..settings(&nats.url()) }).await;
    two.nats.subscribe(">");
    two.hears(">", "ready", &two_again(&nats).await).await;
    let before = two.heard().len();
    one.nats.publish("chat", "1".into()).unwrap();
    one.set("a", "1").await;
    two.set("a", "2").await;
    assert_eq!((one.get("a").as_deref(), two.get("a").as_deref()), (Some("1"), Some("2")));
    assert!(two.heard()[before..].iter().all(|(_, topic, _)| topic == "ready"), "{:?}", two.heard());
}

async fn two_again(nats: &NatsServer) -> Server {
    Server::with(hotloader_nats::Settings { site: "site-2".into(), ..settings(&nats.url()) }).await
}

async fn a_key_with_a_time_ends_on_all_servers_and_can_be_made_again(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    let short = Write { ttl: Some(Duration::from_millis(300)), expected: Some(0), ..put("here", "true") };
    for round in 0..2 {
        one.write(short.clone()).await.unwrap_or_else(|error| panic!("{round}: {error}"));
        two.sees("here", Some("true")).await;
        one.sees("here", None).await;
        two.sees("here", None).await;
    }
    let late = Server::on(&nats.url()).await;
    assert_eq!(late.get("here"), None);
    two.write(Write { expected: Some(0), ..put("here", "1") }).await.unwrap();
}

async fn a_key_that_is_written_again_does_not_end(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    let ttl = Some(Duration::from_millis(100));
    one.write(Write { ttl, ..put("kept", "1") }).await.unwrap();
    one.write(Write { ttl, ..put("other", "1") }).await.unwrap();
    two.set("kept", "2").await;
    one.sees("other", None).await;
    assert_eq!(one.get("kept").as_deref(), Some("2"));
    assert_eq!(two.get("kept").as_deref(), Some("2"));
}

async fn what_has_ended_is_kept_by_nobody(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let one = Server::on(&nats.url()).await;
    one.set("stays", "1").await;
    for n in 0..20 {
        let key = format!("here.{n}");
        let ttl = (n % 2 == 0).then_some(Duration::from_millis(50));
        one.write(Write { ttl, ..put(&key, "true") }).await.unwrap();
        if ttl.is_none() {
            one.delete(&key).await;
        }
    }
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("KV_hotloader-site-store").await.unwrap();
    let messages = async || stream.get_info().await.unwrap().state.messages;
    until("what has ended to be removed", async || (messages().await == 1).then_some(())).await;
}

async fn many_keys_are_there_when_a_server_starts(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let one = Server::on(&nats.url()).await;
    let writes = (0..2000).map(|n| {
        let one = &one;
        async move { one.set(&format!("key {n}"), &n.to_string()).await }
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(one.entries().len(), 2000);
    let late = Server::on(&nats.url()).await;
    assert_eq!(late.entries(), one.entries());
}

async fn what_is_no_value_is_passed_over(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let one = Server::on(&nats.url()).await;
    one.nats.subscribe("chat");
    let client = async_nats::connect(nats.url()).await.unwrap();
    let long = format!("\"{}\"", "x".repeat(70_000));
    for bad in ["not json", "{", "\u{0}", &long] {
        client.publish("$KV.hotloader-site-store.bad", bad.to_owned().into()).await.unwrap();
        client.publish("hotloader.site.topic.chat", bad.to_owned().into()).await.unwrap();
        // What is repeated by NATS has its numbers; whoever sends that has none.
        client.publish("hotloader.site.store.forged", "1".into()).await.unwrap();
    }
    client.publish("$KV.hotloader-site-store.good", "1".into()).await.unwrap();
    one.sees("good", Some("1")).await;
    assert_eq!(one.entries().len(), 1);
    one.hears("chat", "chat", &Server::on(&nats.url()).await).await;
    assert!(one.heard().iter().all(|(_, _, value)| value == "\"ready\""));
    one.write(Write { expected: Some(0), ..put("bad", "2") }).await.unwrap();
}

async fn a_key_that_an_operator_purges_can_be_made_again(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (one, two) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    one.set("a", "5").await;
    two.sees("a", Some("5")).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("KV_hotloader-site-store").await.unwrap();
    // Nobody is told of that.
    stream.purge().filter("$KV.hotloader-site-store.a").await.unwrap();
    one.add("a", 1).await.unwrap();
    two.sees("a", Some("1")).await;
}
