//! What `/metrics` says: what the parts have counted, read when somebody asks.

use std::sync::Arc;

use tokio::sync::watch;

use super::fleet;
use crate::{
    fleet::FleetStatus,
    hub::{Hub, Store, StoreResult},
    reload::{Faulted, HotLoader},
    telemetry::{HubMetrics, Metrics},
    web::{MetricsText, WebSocketEndpoint},
};

pub(super) fn text(
    metrics: Arc<Metrics>,
    endpoint: WebSocketEndpoint,
    loader: Option<&HotLoader>,
    fleet: Option<watch::Receiver<FleetStatus>>,
    faults: watch::Receiver<Faulted>,
    hub: Hub,
) -> MetricsText {
    let health = loader.map(|loader| loader.watch().follow_health());
    Arc::new(move || {
        let pool = endpoint.sessions().pool();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.sessions.set(gauge(endpoint.sessions().len()));
        metrics.sockets.set(i64::try_from(endpoint.counters().open()).unwrap_or(i64::MAX));
        metrics.vm_threads.set(gauge(pool.threads));
        metrics.stuck_threads.set(gauge(pool.stuck));
        let dropped = endpoint.counters().stalled() + endpoint.counters().over();
        let counted = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.dropped_sockets.set(counted(dropped));
        metrics.refused_connections.set(counted(endpoint.counters().refused()));
        metrics.unread_answers.set(counted(endpoint.counters().unread()));
        metrics.refused.set(counted(endpoint.sessions().refused()));
        metrics.run_time_errors.set(counted(faults.borrow().count));
        if let Some(health) = &health {
            metrics.watching(&health.borrow());
        }
        if let Some(fleet) = &fleet {
            fleet::count(&metrics.fleet, &fleet.borrow());
        }
        count_hub(&metrics.hub, &hub);
        metrics.encode()
    })
}

fn count_hub(metrics: &HubMetrics, hub: &Hub) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let counters = hub.counters();
    metrics.published.set(number(counters.published()));
    metrics.delivered.set(number(counters.delivered()));
    metrics.dropped.set(number(counters.dropped()));
    for result in StoreResult::ALL {
        metrics.writes(result.name(), number(counters.writes(result)));
    }
    let size = hub.store().map(Store::size).unwrap_or_default();
    metrics.keys.set(i64::try_from(size.keys).unwrap_or(i64::MAX));
    metrics.bytes.set(i64::try_from(size.bytes).unwrap_or(i64::MAX));
    if let Some(link) = hub.topics().link() {
        let away = link.away.map(|(since, _)| since.elapsed().unwrap_or_default());
        metrics.link(link.engine, away);
    }
}
