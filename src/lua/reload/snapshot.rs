//! The walk over everything that user code can reach, before a reload, so that a bad one can be undone.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{ByIdentity, Identities, cells::RecentCells, prelude::Prelude};
use crate::lua::heap::{Class, Heap, Kind, Value};

/// By what tells keys from others. Keys that are long strings are not found there; a source has none.
pub(super) type Entries = FxHashMap<(Kind, u64), Value>;

/// Everything as it was.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The globals first.
    pub(super) tables: Vec<TableBefore>,
    /// What the prelude knows of files, prototypes and timers.
    pub(super) ours: Vec<TableBefore>,
    /// Of all tables, one after the other.
    pub(super) entries: Vec<(Value, Value)>,
    /// Those that functions share are there once.
    pub(super) upvalues: Vec<UpvalueBefore>,
    /// All objects that have been met: tables and functions to be walked, first.
    pub(super) met: Vec<Value>,
    identities: Identities,
    /// Each function of Lua code that is in a table of the user.
    pub(super) slots: Vec<Slot>,
    /// Table and key, where the key is such a function.
    pub(super) keys: Vec<[Value; 2]>,
    pub(super) coroutines: Vec<Value>,
    /// The handles of timers.
    pub(super) timers: Identities,
    /// Nothing was left out.
    pub(super) is_complete: bool,
    /// Where each table is in `tables`, once somebody has asked.
    pub(super) index: ByIdentity<usize>,
    /// What was in large tables.
    pub(super) maps: ByIdentity<Entries>,
}

/// What was in a table.
pub(super) struct TableBefore {
    pub(super) table: Value,
    pub(super) metatable: Value,
    /// Which of the entries of all tables are its own.
    pub(super) entries: Range<usize>,
}

/// A variable, known by a function that has it. The function may give it up only when it runs.
pub(super) struct UpvalueBefore {
    pub(super) function: Value,
    pub(super) index: i32,
    pub(super) value: Value,
}

/// A function in a table.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) table: Value,
    pub(super) key: Value,
    pub(super) function: Value,
}

impl Snapshot {
    /// Takes down everything, up to so many tables and functions.
    pub(super) fn take(&mut self, heap: Heap<'_>, prelude: &Prelude, max: usize) {
        self.is_complete = Walk { snapshot: self, heap, prelude, max }.everything();
        self.take_down_ours(heap, prelude);
    }

    /// For the next reload, with the room that this one took.
    pub(super) fn clear(&mut self) {
        let Self {
            tables,
            ours,
            entries,
            upvalues,
            met,
            identities,
            slots,
            keys,
            coroutines,
            timers,
            is_complete,
            index,
            maps,
        } = self;
        tables.clear();
        ours.clear();
        entries.clear();
        upvalues.clear();
        met.clear();
        identities.clear();
        slots.clear();
        keys.clear();
        coroutines.clear();
        timers.clear();
        *is_complete = false;
        index.clear();
        maps.clear();
    }

    /// Whether an object was there.
    pub(super) fn has_met(&self, object: Value) -> bool {
        self.identities.contains(&object.identity())
    }

    /// What the prelude knows of files, prototypes and timers.
    fn take_down_ours(&mut self, heap: Heap<'_>, prelude: &Prelude) {
        let names = &prelude.names;
        let of = |name| prelude.get(heap, name);
        self.take_down(heap, of(names.records));
        for record in prelude.records(heap) {
            self.take_down(heap, record);
            self.take_down(heap, heap.get(record, names.names));
            self.take_down(heap, heap.get(record, names.dispose));
        }
        self.take_down(heap, of(names.prototypes));
        for (_, info) in heap.entries(of(names.prototypes)) {
            self.take_down(heap, info);
        }
        self.take_down(heap, of(names.loaded));
        self.take_down(heap, of(names.timers));
        for (handle, _) in prelude.timers(heap) {
            self.timers.insert(handle.identity());
        }
    }

    fn take_down(&mut self, heap: Heap<'_>, table: Value) {
        if table.table().is_some() {
            let start = self.entries.len();
            heap.entries_into(table, &mut self.entries);
            let (metatable, entries) = (heap.metatable(table), start..self.entries.len());
            self.ours.push(TableBefore { table, metatable, entries });
        }
    }
}

struct Walk<'a> {
    snapshot: &'a mut Snapshot,
    heap: Heap<'a>,
    prelude: &'a Prelude,
    /// So many tables, and so many functions.
    max: usize,
}

impl Walk<'_> {
    /// Says whether it came to the end of everything.
    fn everything(&mut self) -> bool {
        self.meet(self.prelude.globals);
        self.meet_prototypes();
        self.meet_what_is_held_for_users();
        let mut cells = RecentCells::default();
        let (mut at, mut tables, mut functions) = (0, 0, 0);
        while let Some(&object) = self.snapshot.met.get(at) {
            at += 1;
            if object.table().is_some() {
                tables += 1;
                if tables <= self.max {
                    self.table(object);
                }
            } else if object.is_function() {
                functions += 1;
                if functions <= self.max {
                    self.function(object, &mut cells);
                }
            }
        }
        tables <= self.max && functions <= self.max
    }

    fn meet_prototypes(&mut self) {
        let names = &self.prelude.names;
        for (_, info) in self.heap.entries(self.prelude.get(self.heap, names.prototypes)) {
            self.meet(self.heap.get(info, names.prototype));
        }
    }

    /// Tables and functions that we hold for user code.
    fn meet_what_is_held_for_users(&mut self) {
        let (heap, prelude) = (self.heap, self.prelude);
        let names = &prelude.names;
        for record in prelude.records(heap) {
            for name in [names.exports, names.capture, names.data, names.accept] {
                self.meet(heap.get(record, name));
            }
            for (_, function) in heap.entries(heap.get(record, names.dispose)) {
                self.meet(function);
            }
        }
        self.meet(prelude.get(heap, names.app));
        self.meet(prelude.get(heap, names.variables));
        for (_, timer) in prelude.timers(heap) {
            self.meet(heap.get(timer, names.callback));
            self.meet(heap.get(timer, names.object));
        }
        for (instance, _) in heap.entries(prelude.get(heap, names.instances)) {
            self.meet(instance);
        }
    }

    /// Takes note of what somebody holds. Says whether it is a function that can be replaced.
    fn meet(&mut self, value: Value) -> bool {
        let class = value.class();
        if class == Class::Other || self.prelude.is_known(value) {
            return false;
        }
        if value.is_c_function() {
            if let Some(coroutine) = self.heap.wrapped(value) {
                self.meet(coroutine);
            }
            return false;
        }
        if self.snapshot.identities.insert(value.identity()) {
            self.snapshot.met.push(value);
            if class == Class::Coroutine {
                self.snapshot.coroutines.push(value);
            }
        }
        class == Class::Function
    }

    fn table(&mut self, table: Value) {
        let start = self.snapshot.entries.len();
        self.heap.entries_into(table, &mut self.snapshot.entries);
        let end = self.snapshot.entries.len();
        let metatable = self.heap.metatable(table);
        self.meet(metatable);
        self.snapshot.tables.push(TableBefore { table, metatable, entries: start..end });
        for at in start..end {
            let Some(&(key, value)) = self.snapshot.entries.get(at) else { return };
            if self.meet(value) {
                self.snapshot.slots.push(Slot { table, key, function: value });
            }
            if key.is_object() && self.meet(key) {
                self.snapshot.keys.push([table, key]);
            }
        }
    }

    fn function(&mut self, function: Value, cells: &mut RecentCells) {
        let mut from = 1;
        while let Some(upvalue) = self.heap.next_upvalue(function, from, |cell| cells.has(cell)) {
            from = upvalue.index + 1;
            cells.add(upvalue.cell);
            if !upvalue.is_env && self.snapshot.identities.insert(upvalue.cell) {
                let (index, value) = (upvalue.index, upvalue.value);
                self.snapshot.upvalues.push(UpvalueBefore { function, index, value });
                self.meet(value);
            }
        }
    }
}
