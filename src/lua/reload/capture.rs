//! [`Capture`]: the function that a file hands over, by which its locals are known.

use rustc_hash::FxHashMap;

use crate::lua::heap::{Heap, Value};

/// A function that has the locals of a file, and which of its upvalues each is.
pub(super) struct Capture {
    pub(super) function: Value,
    places: FxHashMap<Box<[u8]>, i32>,
}

impl Capture {
    pub(super) fn new(heap: Heap<'_>, function: Value) -> Self {
        let names = heap.upvalue_names(function).into_iter();
        Self { function, places: names.map(|(index, name)| (name, index)).collect() }
    }

    pub(super) fn place(&self, name: &str) -> Option<i32> {
        self.places.get(name.as_bytes()).copied()
    }
}
