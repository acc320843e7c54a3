//! What is counted of topics and the store.

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Messages and writes since the start, and how much is stored.
#[derive(Debug, Default)]
pub struct HubMetrics {
    /// Messages that sessions published.
    pub published: Gauge,
    /// Messages that came to a session.
    pub delivered: Gauge,
    /// Messages that were too many.
    pub dropped: Gauge,
    /// How long all writes took together.
    pub writing: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Keys in the store.
    pub keys: Gauge,
    /// Bytes in the store.
    pub bytes: Gauge,
    writes: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl HubMetrics {
    /// How many writes came to that.
    pub fn writes(&self, result: &'static str, count: i64) {
        self.writes.get_or_create(&[("result", result)]).set(count);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("published", "Messages that sessions published", self.published.clone());
        registry.register("delivered", "Messages that came to a session", self.delivered.clone());
        registry.register("messages_dropped", "Messages beyond hub.messages", self.dropped.clone());
        registry.register("store_writes", "Writes of the store by what came of them", self.writes.clone());
        registry.register_with_unit(
            "store_write",
            "Time that writes of the store took, all together",
            Unit::Seconds,
            self.writing.clone(),
        );
        registry.register("store_keys", "Keys in the store", self.keys.clone());
        registry.register("store_bytes", "Bytes of keys and values in the store", self.bytes.clone());
    }
}
