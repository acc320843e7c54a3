//! The last reloads, for the time line.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::Calendar;
use crate::reload::{ReloadReport, Stages};

/// So many are kept.
const KEPT: usize = 40;
/// A thousand sessions may have as many notes and errors.
const SHOWN: usize = 20;

/// What the last reloads did, newest first.
#[derive(Debug, Default)]
pub struct ReloadLog {
    calendar: Calendar,
    reloads: Mutex<VecDeque<Value>>,
}

impl ReloadLog {
    /// Remembers one that has just ended.
    pub fn add(&self, report: &ReloadReport) {
        let now = std::time::Instant::now();
        let began = now.checked_sub(report.duration).unwrap_or(now);
        let entry = describe(report, self.calendar.at(began));
        let mut reloads = self.reloads();
        reloads.truncate(KEPT - 1);
        reloads.push_front(entry);
    }

    /// Browsers were told of a generation, `took` after the last session ran it.
    pub fn refreshed(&self, generation: u64, took: Duration) {
        let mut reloads = self.reloads();
        let entry = reloads.iter_mut().find(|entry| entry["generation"] == generation);
        if let Some(stages) = entry.and_then(|entry| entry["stages"].as_object_mut()) {
            stages.insert("refresh".into(), ms(took).into());
        }
    }

    pub(super) fn to_json(&self) -> Value {
        self.reloads().iter().cloned().collect()
    }

    fn reloads(&self) -> MutexGuard<'_, VecDeque<Value>> {
        // Whole entries come and go: a panic leaves nothing half done.
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(report: &ReloadReport, at: u64) -> Value {
    let Stages { settle, reconcile, compile, apply } = report.stages;
    json!({
        "at": at,
        "generation": report.generation,
        "status": report.status,
        "files": report.files,
        "durationMs": ms(report.duration),
        "stages": {
            "settle": ms(settle), "reconcile": ms(reconcile), "compile": ms(compile), "apply": ms(apply),
        },
        "sessions": report.sessions,
        "alone": report.alone,
        "applied": report.applied,
        "kept": report.kept,
        "notes": report.notes.iter().take(SHOWN).collect::<Vec<_>>(),
        "errors": report.errors.iter().take(SHOWN).collect::<Vec<_>>(),
    })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::Generation;

    fn report(number: u64) -> ReloadReport {
        let generation = Generation { number, ..Generation::default() };
        ReloadReport::new(&generation, 1, &[], Duration::from_millis(12))
    }

    #[test]
    fn the_newest_comes_first_and_the_oldest_go() {
        let log = ReloadLog::default();
        for number in 1..=u64::try_from(KEPT).unwrap() + 5 {
            log.add(&report(number));
        }
        let json = log.to_json();
        assert_eq!(json.as_array().map(Vec::len), Some(KEPT));
        assert_eq!((&json[0]["generation"], &json[KEPT - 1]["generation"]), (&45.into(), &6.into()));
        assert_eq!((&json[0]["status"], &json[0]["durationMs"]), (&"ok".into(), &12.0.into()));
    }

    #[test]
    fn how_long_browsers_took_to_hear_of_a_reload_is_told_with_it_later() {
        let log = ReloadLog::default();
        log.add(&report(1));
        log.add(&report(2));
        log.refreshed(1, Duration::from_micros(1500));
        let json = log.to_json();
        assert_eq!(
            (&json[1]["stages"]["refresh"], &json[0]["stages"]["refresh"]),
            (&1.5.into(), &Value::Null)
        );
    }
}
