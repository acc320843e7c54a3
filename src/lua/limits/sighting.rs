//! What can be seen of a thread that runs Lua from outside: whether it should have been back long ago, and
//! where the script was when it was seen last.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{clock::now, place::Place};

/// A script whose time is up is stopped within microseconds, unless it is inside a library function. It
/// gets that much more, since a busy machine may not run it for a while.
const GRACE: Duration = Duration::from_secs(2);

/// One thread that runs Lua, as the watchdog sees it.
#[derive(Debug)]
pub(crate) struct Sighting {
    /// When the thread has to be done with what it does, in the time of [`now`]; 0: it does nothing.
    due: AtomicU64,
    /// What it may take beside Lua code of the user, in nanoseconds.
    beside: AtomicU64,
    look: AtomicBool,
    /// The lock is held for a copy.
    place: Mutex<Place>,
}

impl Sighting {
    pub(in crate::lua) const fn new() -> Self {
        Self {
            due: AtomicU64::new(0),
            beside: AtomicU64::new(0),
            look: AtomicBool::new(false),
            place: Mutex::new(Place::NONE),
        }
    }

    /// The thread begins a unit of work. What it does beside Lua code of the user, which has budgets of
    /// its own, may take so long in one go.
    pub(crate) fn begin(&self, beside: Duration) {
        self.beside.store(nanos(beside), Relaxed);
        self.note(Place::NONE);
        self.left();
    }

    /// It is done.
    pub(crate) fn done(&self) {
        self.due.store(0, Relaxed);
    }

    /// How long ago the thread should have been done, if it should.
    pub(crate) fn overdue(&self) -> Option<Duration> {
        let due = Some(self.due.load(Relaxed)).filter(|&due| due > 0)?;
        now().checked_sub(due).map(Duration::from_nanos)
    }

    /// The script shall say where it is, if it can.
    pub(crate) fn look(&self) {
        self.look.store(true, Relaxed);
    }

    /// Where the script was when it was seen last in this unit of work, `file:line`; empty if it never was.
    pub(crate) fn place(&self) -> String {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).to_string()
    }

    /// Lua code of the user begins, and has to end by then.
    pub(in crate::lua) fn entered(&self, until: u64) {
        self.due.store(until.saturating_add(nanos(GRACE)), Relaxed);
    }

    /// It has ended.
    pub(in crate::lua) fn left(&self) {
        self.due.store(now().saturating_add(self.beside.load(Relaxed)), Relaxed);
    }

    pub(in crate::lua) fn is_looked_at(&self) -> bool {
        self.look.load(Relaxed)
    }

    pub(in crate::lua) fn note(&self, place: Place) {
        self.look.store(false, Relaxed);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
