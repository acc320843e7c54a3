//! What sessions share: topics and the store.

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
    json!({
        "topics": topics.collect::<Vec<_>>(),
        "store": store,
        "published": counters.published(),
        "delivered": counters.delivered(),
        "dropped": counters.dropped(),
    })
}
