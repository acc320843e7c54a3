//! What a process uses.

use std::{fs, time::Duration};

use crate::Fallible;

/// Resident memory of a process and those it started, in bytes.
#[allow(dead_code, reason = "the measurements of topics have no use for it")]
pub(crate) fn memory(pid: u32) -> Fallible<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = text.split(' ').nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Processor time used so far.
#[allow(dead_code, reason = "the measurements of a fleet have no use for it")]
pub(crate) fn processor(pid: u32) -> Fallible<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').ok_or("no stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Fallible<u64> { Ok(fields.get(at).ok_or("no stat")?.parse()?) };
    Ok(Duration::from_secs_f64(
        (ticks(11)? + ticks(12)?) as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}
