//! What `/metrics` says of the watch backends.

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use std::sync::atomic::AtomicU64;

use crate::watch::{BackendHealth, Health};

type Real = Gauge<f64, AtomicU64>;
type Label = [(&'static str, String); 1];

/// Gauges for each backend, as they were when they were asked for last. What a backend counts for itself
/// begins anew with it, so all of these are gauges.
#[derive(Debug, Default)]
pub(super) struct WatchMetrics {
    covered: Gauge,
    missed: Gauge,
    in_use: Gauge,
    rechecks: Gauge,
    dirs: Family<Label, Gauge>,
    limited: Family<Label, Gauge>,
    failures: Family<Label, Gauge>,
    barrier: Family<Label, Real>,
    cpu_share: Family<Label, Real>,
    passes: Family<Label, Gauge>,
    requests: Family<Label, Gauge>,
    pass: Family<Label, Real>,
}

impl WatchMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("watch");
        registry.register(
            "covered",
            "1 if every directory that should be is watched by a backend that answers",
            self.covered.clone(),
        );
        registry.register(
            "missed",
            "Changes that no backend reported and a look at everything found",
            self.missed.clone(),
        );
        registry.register(
            "in_use",
            "Files in use, which are looked at more often than others",
            self.in_use.clone(),
        );
        registry.register("rechecks", "Looks at files in use, whoever watches them", self.rechecks.clone());
        registry.register("dirs", "Directories a backend watches", self.dirs.clone());
        registry.register(
            "limited_dirs",
            "Directories a backend should watch and cannot, for a limit",
            self.limited.clone(),
        );
        registry.register("failures", "Failures of a backend since it was chosen", self.failures.clone());
        registry.register_with_unit(
            "barrier",
            "How long the last proof took that everything was reported",
            Unit::Seconds,
            self.barrier.clone(),
        );
        registry.register("cpu_share", "Share of one processor that a backend uses", self.cpu_share.clone());
        registry.register(
            "requests",
            "Questions that a backend had a server answer, and not the kernel's memory",
            self.requests.clone(),
        );
        registry.register("passes", "Looks of a backend at everything it watches", self.passes.clone());
        registry.register_with_unit(
            "pass",
            "How long the last such look took",
            Unit::Seconds,
            self.pass.clone(),
        );
    }

    pub(super) fn set(&self, health: &Health) {
        self.covered.set(health.covered.into());
        self.missed.set(whole(health.missed));
        self.in_use.set(whole(health.in_use as u64));
        self.rechecks.set(whole(health.rechecked));
        // A backend that has gone must not keep its last values.
        self.dirs.clear();
        self.limited.clear();
        self.failures.clear();
        self.barrier.clear();
        self.cpu_share.clear();
        self.passes.clear();
        self.requests.clear();
        self.pass.clear();
        health.backends.iter().for_each(|backend| self.set_backend(backend));
    }

    fn set_backend(&self, backend: &BackendHealth) {
        let label = [("backend", backend.name.clone())];
        self.dirs.get_or_create(&label).set(whole(backend.dirs as u64));
        self.limited.get_or_create(&label).set(whole(backend.limited as u64));
        self.failures.get_or_create(&label).set(whole(backend.failures));
        if let Some((_, took)) = backend.barrier {
            self.barrier.get_or_create(&label).set(took.as_secs_f64());
        }
        if backend.vitals.passes > 0 {
            self.cpu_share.get_or_create(&label).set(backend.vitals.cpu_share);
            self.passes.get_or_create(&label).set(whole(backend.vitals.passes));
            self.requests.get_or_create(&label).set(whole(backend.vitals.requests));
            self.pass.get_or_create(&label).set(backend.vitals.last_pass.as_secs_f64());
        }
    }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
