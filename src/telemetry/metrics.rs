//! What `/metrics` counts.

use std::time::Duration;

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{fleet::FleetMetrics, hub::HubMetrics, watching::WatchMetrics};
use crate::{
    reload::{ReloadReport, ReloadStatus},
    watch::Health,
};

/// The server's counters and gauges. Made once at the start and passed on as `Arc<Metrics>`; counting is
/// an atomic addition and never blocks.
#[derive(Debug)]
pub struct Metrics {
    /// Sessions that live.
    pub sessions: Gauge,
    /// WebSockets that are open.
    pub sockets: Gauge,
    /// Threads that run Lua.
    pub vm_threads: Gauge,
    /// Units of work that are, or were, stuck in C code that nothing can interrupt.
    pub stuck_threads: Gauge,
    /// Sets of changes that came out of the watched directories.
    pub change_sets: Counter,
    /// WebSockets given up because their browser took too long to take a frame, or too much memory.
    pub dropped_sockets: Gauge,
    /// Connections turned away because there were too many.
    pub refused_connections: Gauge,
    /// HTTP connections let go because an answer was not read.
    pub unread_answers: Gauge,
    /// What browsers asked for and no template binds.
    pub refused: Gauge,
    /// What failed in sessions while they ran.
    pub run_time_errors: Gauge,
    /// Topics and the store.
    pub hub: HubMetrics,
    /// The part in a fleet, where there is one.
    pub fleet: FleetMetrics,
    reloads: Family<Label, Counter>,
    stages: Family<Label, Histogram>,
    watching: WatchMetrics,
    registry: Registry,
}

type Label = [(&'static str, &'static str); 1];

/// The part of a change's way that took so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReloadStage {
    /// First hint until it was quiet.
    Settle,
    /// Reading the disk.
    Reconcile,
    /// Parsing the files, once for all sessions.
    Compile,
    /// Running them, until the last session is done.
    Apply,
}

impl Metrics {
    /// All at zero, beside what is counted of topics and the store.
    pub fn new(hub: HubMetrics) -> Self {
        let metrics = Self {
            sessions: Gauge::default(),
            sockets: Gauge::default(),
            vm_threads: Gauge::default(),
            stuck_threads: Gauge::default(),
            change_sets: Counter::default(),
            dropped_sockets: Gauge::default(),
            refused_connections: Gauge::default(),
            unread_answers: Gauge::default(),
            refused: Gauge::default(),
            run_time_errors: Gauge::default(),
            hub,
            fleet: FleetMetrics::default(),
            reloads: Family::default(),
            stages: Family::new_with_constructor(stage_histogram as fn() -> Histogram),
            watching: WatchMetrics::default(),
            registry: Registry::default(),
        };
        // A counter of what never happened is 0 and not absent: alerts need the series from the start.
        for status in [ReloadStatus::Ok, ReloadStatus::Partial, ReloadStatus::Failed] {
            drop(metrics.reloads.get_or_create(&label(status)));
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = self.registry.sub_registry_with_prefix("hotloader");
        registry.register("sessions", "Sessions that live", self.sessions.clone());
        registry.register("sockets", "WebSockets that are open", self.sockets.clone());
        registry.register("vm_threads", "Threads that run Lua", self.vm_threads.clone());
        registry.register(
            "stuck_threads",
            "Units of work that ran longer than any budget allows, since the start",
            self.stuck_threads.clone(),
        );
        registry.register("change_sets", "Sets of changes found on disk", self.change_sets.clone());
        registry.register(
            "dropped_sockets",
            "WebSockets given up because their browser did not take a frame in time, or took too much memory",
            self.dropped_sockets.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections turned away because there were too many of their address, or at all",
            self.refused_connections.clone(),
        );
        registry.register(
            "unread_answers",
            "HTTP connections let go because an answer was not read in time",
            self.unread_answers.clone(),
        );
        registry.register(
            "refused",
            "Values and calls that browsers asked for and may not have",
            self.refused.clone(),
        );
        registry.register(
            "run_time_errors",
            "Handlers, timers, subscriptions and getters that failed, and sessions that could not start",
            self.run_time_errors.clone(),
        );
        registry.register("reloads", "Reloads by how they went", self.reloads.clone());
        registry.register_with_unit(
            "reload_stage",
            "Time a change spent in each stage of its way",
            Unit::Seconds,
            self.stages.clone(),
        );
        self.watching.register(registry);
        self.hub.register(registry);
        self
    }

    /// These, with those of a fleet.
    #[must_use]
    pub fn in_fleet(mut self) -> Self {
        self.fleet.register(self.registry.sub_registry_with_prefix("hotloader"));
        self
    }

    /// Notes how the watch backends are.
    pub fn watching(&self, health: &Health) {
        self.watching.set(health);
    }

    /// Counts one reload, and the time it spent in each stage.
    pub fn reload(&self, report: &ReloadReport) {
        self.change_sets.inc();
        self.reloads.get_or_create(&label(report.status)).inc();
        let stages = &report.stages;
        self.stage(ReloadStage::Settle, stages.settle);
        self.stage(ReloadStage::Reconcile, stages.reconcile);
        self.stage(ReloadStage::Compile, stages.compile);
        self.stage(ReloadStage::Apply, stages.apply);
    }

    /// Counts the time one change spent in one stage.
    fn stage(&self, stage: ReloadStage, took: Duration) {
        self.stages.get_or_create(&stage.label()).observe(took.as_secs_f64());
    }

    /// All of it as OpenMetrics text, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Only a metric that cannot be written as text could do this, and a string takes any.
            tracing::error!("the metrics could not be encoded");
        }
        text
    }
}

/// `status`, in the words of the `reload` message.
fn label(status: ReloadStatus) -> Label {
    [("status", status.as_str())]
}

impl ReloadStage {
    fn label(self) -> Label {
        let name = match self {
            Self::Settle => "settle",
            Self::Reconcile => "reconcile",
            Self::Compile => "compile",
            Self::Apply => "apply",
        };
        [("stage", name)]
    }
}

/// From what compiling a file takes to what a budget ends.
fn stage_histogram() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::Diagnostic;

    fn metrics() -> Metrics {
        let histogram: fn() -> Histogram = stage_histogram;
        Metrics::new(HubMetrics::new(Family::new_with_constructor(histogram)))
    }

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = metrics();
        metrics.sessions.inc();
        metrics.sessions.inc();
        metrics.sessions.dec();
        let error = Diagnostic::about("lua/a.lua", Some(1), "no");
        let mut report = ReloadReport::of_start(1, error);
        report.stages.compile = Duration::from_micros(300);
        metrics.reload(&report);

        let text = metrics.encode();

        for line in [
            "hotloader_sessions 1",
            "hotloader_change_sets_total 1",
            "hotloader_reloads_total{status=\"failed\"} 1",
            "hotloader_reload_stage_seconds_bucket{le=\"0.00025\",stage=\"compile\"} 0",
            "hotloader_reload_stage_seconds_bucket{le=\"0.0005\",stage=\"compile\"} 1",
            "hotloader_reload_stage_seconds_count{stage=\"compile\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_series_without_a_stage_is_there_before_anything_happened() {
        let text = metrics().encode();
        for series in [
            "sessions",
            "sockets",
            "vm_threads",
            "stuck_threads",
            "change_sets_total",
            "dropped_sockets",
            "refused",
            "run_time_errors",
            "reloads_total{status=\"ok\"}",
            "reloads_total{status=\"partial\"}",
            "reloads_total{status=\"failed\"}",
        ] {
            let line = format!("hotloader_{series} 0");
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
