//! What goes on running the code of a replaced version: nobody can change it while it runs, or it has no
//! successor.

use super::{Identities, Reload, Told, What, snapshot::Slot};
use crate::{lua::heap::Value, reload::StaleKind};

/// How often it has been met, by kind and by where it is.
#[derive(Default)]
struct Counts(Vec<Count>);

struct Count {
    kind: StaleKind,
    source: String,
    line: u32,
    count: usize,
}

impl Counts {
    fn add(&mut self, kind: StaleKind, source: String, line: u32) {
        let is_it = |count: &&mut Count| count.kind == kind && count.line == line && count.source == source;
        match self.0.iter_mut().find(is_it) {
            Some(known) => known.count += 1,
            None => self.0.push(Count { kind, source, line, count: 1 }),
        }
    }
}

impl Reload<'_> {
    pub(super) fn tell_stale(&mut self) {
        let mut counts = Counts::default();
        self.count_timers(&mut counts);
        self.count_coroutines(&mut counts);
        self.count_slots(&mut counts);
        self.told.extend(counts.0.into_iter().map(|Count { kind, source, line, count }| {
            let what = What::Stale { kind, line, count };
            Told { source, what }
        }));
    }

    /// If it is of a file that has run, and was there before.
    fn count(&mut self, counts: &mut Counts, kind: StaleKind, function: Value) {
        if self.snapshot.has_met(function)
            && self.is_of_changed(function)
            && let Some(origin) = self.heap.origin(function)
        {
            counts.add(kind, self.heap.source(function), origin.lines.0);
        }
    }

    /// Those that were there before, and do not end with the version that started them.
    fn count_timers(&mut self, counts: &mut Counts) {
        let (heap, prelude) = (self.heap, self.prelude);
        for (handle, timer) in prelude.timers(heap) {
            if !prelude.has_ended(heap, timer) && self.snapshot.timers.contains(&handle.identity()) {
                self.count(counts, StaleKind::Timer, heap.get(timer, prelude.names.callback));
            }
        }
    }

    /// Those that are in the middle of something.
    fn count_coroutines(&mut self, counts: &mut Counts) {
        for at in 0.. {
            let Some(&coroutine) = self.snapshot.coroutines.get(at) else { return };
            let mut frames = self.heap.frames(coroutine).into_iter();
            if let Some((origin, source)) = frames.find(|(_, source)| self.sources.contains(source)) {
                counts.add(StaleKind::Coroutine, source, origin.lines.0);
            }
        }
    }

    /// Functions in tables of the user that have left the source.
    fn count_slots(&mut self, counts: &mut Counts) {
        let (heap, prelude) = (self.heap, self.prelude);
        let mut counted = Identities::default();
        for at in 0.. {
            let Some(&Slot { table, key, function }) = self.snapshot.slots.get(at) else { return };
            if self.follower(function).is_none()
                && self.is_of_changed(function)
                && heap.has(table, key, function)
                && !prelude.is_foreign(heap, table)
                && counted.insert(function.identity())
            {
                self.count(counts, StaleKind::Function, function);
            }
        }
    }
}
