//! Topics.

use hotloader_test_support::{
    nats::{NatsServer, Version},
    on_each_nats, until,
};

use crate::harness::Server;

on_each_nats! {
    messages_of_each_publisher_come_in_order_and_once,
    patterns_that_overlap_hear_a_message_once_each,
    there_is_one_subscription_for_each_pattern_however_many_sessions_have_it,
}

async fn messages_of_each_publisher_come_in_order_and_once(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let reader = Server::on(&nats.url()).await;
    let publishers = [Server::on(&nats.url()).await, Server::on(&nats.url()).await];
    reader.nats.subscribe("of.*");
    for publisher in &publishers {
        reader.hears("of.*", "of.ready", publisher).await;
    }
    let count = 2000;
    for n in 0..count {
        for (name, publisher) in publishers.iter().enumerate() {
            // What waits is bounded: a test that publishes faster than NATS takes it waits for its turn.
            let topic = format!("of.{name}");
            until("room", async || publisher.nats.publish(&topic, n.to_string().into()).ok()).await;
        }
    }
    reader.nats.publish("of.0", "\"own\"".into()).unwrap();
    let of = |name: usize| {
        let topic = format!("of.{name}");
        let all = reader.heard().into_iter().filter(|(_, heard, _)| *heard == topic);
        all.map(|(_, _, value)| value).collect::<Vec<_>>()
    };
    until("all messages", async || (of(0).len() == count && of(1).len() == count).then_some(())).await;
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!((of(0), of(1)), (expected.clone(), expected), "and its own come back to no server");
}

async fn patterns_that_overlap_hear_a_message_once_each(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (reader, publisher) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    let patterns = ["chat.room", "chat.*", "chat.>", "*.room", ">"];
    for pattern in patterns {
        reader.nats.subscribe(pattern);
    }
    for pattern in patterns {
        reader.hears(pattern, "chat.room", &publisher).await;
    }
    publisher.nats.publish("chat.room", "1".into()).unwrap();
    publisher.nats.publish("chat.room.one", "2".into()).unwrap();
    publisher.nats.publish("chat.räume", "3".into()).unwrap();
    publisher.nats.publish("end", "4".into()).unwrap();
    let ended = async || reader.heard().iter().any(|(_, topic, _)| topic == "end").then_some(());
    until("the last one", ended).await;
    let heard = |wanted: &str| {
        let all = reader.heard().into_iter().filter(|(_, _, value)| value == wanted);
        let mut patterns: Vec<String> = all.map(|(pattern, _, _)| pattern).collect();
        patterns.sort();
        patterns
    };
    until("each", async || (heard("1").len() == 5).then_some(())).await;
    assert_eq!(heard("1"), ["*.room", ">", "chat.*", "chat.>", "chat.room"]);
    assert_eq!(heard("2"), [">", "chat.>"]);
    assert_eq!(heard("3"), [">", "chat.*", "chat.>"]);
}

async fn there_is_one_subscription_for_each_pattern_however_many_sessions_have_it(version: Version) {
    let Some(nats) = NatsServer::start(version) else { return };
    let (reader, publisher) = (Server::on(&nats.url()).await, Server::on(&nats.url()).await);
    for _ in 0..100 {
        reader.nats.subscribe("chat");
    }
    reader.hears("chat", "chat", &publisher).await;
    for _ in 0..99 {
        reader.nats.unsubscribe("chat");
    }
    let values = |of: &str| reader.heard().iter().filter(|(_, _, value)| value == of).count();
    publisher.nats.publish("chat", "1".into()).unwrap();
    until("the message", async || (values("1") > 0).then_some(())).await;
    assert_eq!(values("1"), 1);
    reader.nats.unsubscribe("chat");
    reader.nats.unsubscribe("unknown");
    reader.nats.subscribe("other");
    reader.hears("other", "other", &publisher).await;
    publisher.nats.publish("chat", "2".into()).unwrap();
    publisher.nats.publish("other", "3".into()).unwrap();
    until("the other topic", async || (values("3") == 1).then_some(())).await;
    assert_eq!(values("2"), 0);
}
