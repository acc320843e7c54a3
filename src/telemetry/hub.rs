//! What is counted of topics and the store.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Messages and writes since the start, and how much is stored.
#[derive(Debug)]
pub struct HubMetrics {
    /// Messages that sessions published.
    pub published: Gauge,
    /// Messages that came to a session.
    pub delivered: Gauge,
    /// Messages that were too many.
    pub dropped: Gauge,
    /// Keys in the store.
    pub keys: Gauge,
    /// Bytes in the store.
    pub bytes: Gauge,
    writes: Family<Label, Gauge>,
    latencies: Family<Label, Histogram>,
    connected: Family<Label, Gauge>,
    away: Family<Label, Gauge<f64, AtomicU64>>,
}

type Label = [(&'static str, &'static str); 1];

impl HubMetrics {
    /// All at zero, but for how long writes of the store have taken.
    pub fn new(latencies: Family<Label, Histogram>) -> Self {
        let (published, delivered, dropped, keys, bytes, writes) = Default::default();
        let (connected, away) = Default::default();
        Self { published, delivered, dropped, keys, bytes, writes, latencies, connected, away }
    }

    /// How many writes came to that.
    pub fn writes(&self, result: &'static str, count: i64) {
        self.writes.get_or_create(&[("result", result)]).set(count);
    }

    /// How the connection to the engine is: for how long it has been away.
    pub fn link(&self, engine: &'static str, away: Option<Duration>) {
        self.connected.get_or_create(&[("engine", engine)]).set(i64::from(away.is_none()));
        self.away.get_or_create(&[("engine", engine)]).set(away.unwrap_or_default().as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("published", "Messages that sessions published", self.published.clone());
        registry.register("delivered", "Messages that came to a session", self.delivered.clone());
        registry.register("messages_dropped", "Messages beyond hub.messages", self.dropped.clone());
        registry.register("store_writes", "Writes of the store by what came of them", self.writes.clone());
        registry.register_with_unit(
            "store_write",
            "Time until a write of the store was answered",
            Unit::Seconds,
            self.latencies.clone(),
        );
        registry.register("store_keys", "Keys in the store", self.keys.clone());
        registry.register(
            "hub_connected",
            "1: the engine that many servers share is there",
            self.connected.clone(),
        );
        registry.register_with_unit("hub_away", "For how long it is not", Unit::Seconds, self.away.clone());
        registry.register("store_bytes", "Bytes of keys and values in the store", self.bytes.clone());
    }
}
