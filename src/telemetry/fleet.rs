//! What is counted of a server's part in a fleet.

use prometheus_client::{
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};

/// Whether releases can come, and which was the last.
#[derive(Debug, Default)]
pub struct FleetMetrics {
    /// Whether the depot answers.
    pub connected: Gauge,
    /// For how long that is so.
    pub age: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// The newest generation that was seen.
    pub generation: Gauge,
}

impl FleetMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("fleet_connected", "Whether the depot of releases answers", self.connected.clone());
        registry.register_with_unit(
            "fleet_age",
            "For how long the depot has answered, or has not",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register(
            "fleet_generation",
            "The newest generation of the site that was seen",
            self.generation.clone(),
        );
    }
}
