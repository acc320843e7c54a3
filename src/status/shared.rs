//! What sessions share: topics and the store.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::hub::Hub;

/// As the page shows it.
pub(super) fn describe(hub: &Hub) -> Value {
    let topics = hub.topics().counts().into_iter().map(|topic| {
        json!({ "topic": topic.pattern, "subscriptions": topic.subscriptions, "messages": topic.messages })
    });
    let counters = hub.counters();
    let store = hub.store().map(|store| {
        let size = store.size();
        json!({ "keys": size.keys, "bytes": size.bytes })
    });
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let link = hub.topics().link().map(|link| {
        let away = link.away.map(|(at, problem)| json!({ "since": since(at), "problem": problem }));
        json!({ "engine": link.engine, "url": link.url, "away": away })
    });
    json!({
        "link": link,
        "topics": topics.collect::<Vec<_>>(),
        "store": store,
        "published": counters.published(),
        "delivered": counters.delivered(),
        "dropped": counters.dropped(),
    })
}
