//! From one version of the files to the next, in one state: all of it or none of it.
//!
//! Where an edited value is decided: `definitions`.
//!
//! | file | what it does |
//! |---|---|
//! | `apply` | a generation in one state, step by step: the policy that sessions and embedders share |
//! | `transaction` | the steps: begin, run files, commit or roll back, call hooks, migrate objects |
//! | `failures` | generations that failed one after the other |
//! | `notes` | what there is to tell, as notes for people |
//! | | what is done to what is in the state: |
//! | `reloader` | the interface: begin, merge a file that has run, commit, roll back |
//! | `snapshot` | before anything runs: takes down all that user code can reach |
//! | `before` | what the snapshot has of one table |
//! | `rollback` | puts everything back as the snapshot has it |
//! | `plan` | what the sources say of a file: its definitions before and now, what is edited |
//! | `merge` | after a file has run: which old object each new one stands for |
//! | `made` | what the definitions of a file are at run time |
//! | `capture` | the function by which the locals of a file are known |
//! | `locals` | which locals go on |
//! | `definitions` | decides for each definition: what it became at run time, or what the source says now |
//! | `lists` | the same for the elements of a list |
//! | `left_out` | what the old version had and the new one has not |
//! | `own_registrations` | what a load puts into tables of its own file by calls |
//! | `kept` | objects of class libraries, of which the source does not tell |
//! | `rebind` | what is new gets to see the tables and locals that stay |
//! | `settle` | the end of a reload that went well: who holds an old function gets the new one |
//! | `beyond` | the same in tables that the snapshot had no room for |
//! | `registrations` | in it: what a load puts into tables of others is there once |
//! | `records`, `unnamed` | in that: records that were made for a function, and functions without a name |
//! | `unedited` | in it: data that statements have written which nobody has edited is what it was |
//! | `stale` | who goes on running old code nevertheless |
//! | `told` | what there is to tell of it |
//! | `prelude` | what of the prelude's tables a reload uses; `names` are their fields |
//! | `cells` | variables that were met a moment ago |
//!
//! Files run in Lua (`prelude/load.lua`, `prelude/reload.lua`), since one may require another; what is done before
//! and after that is done here, through [`Heap`](super::heap::Heap), which is safe. Objects are known by their
//! addresses: Lua moves none, and the heap holds each that has been met until the end of the reload, so that no
//! other comes to lie there.

mod apply;
mod before;
mod beyond;
mod capture;
mod cells;
mod definitions;
mod failures;
mod kept;
mod left_out;
mod lists;
mod locals;
mod made;
mod merge;
mod names;
mod notes;
mod own_registrations;
mod plan;
mod prelude;
mod rebind;
mod records;
mod registrations;
mod reloader;
mod rollback;
mod settle;
mod snapshot;
mod stale;
mod told;
mod transaction;
mod unedited;
mod unnamed;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::BuildHasherDefault,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use rustc_hash::{FxHashMap, FxHasher};

pub(crate) use self::{
    apply::{Applied, Rules},
    failures::Failures,
};
use self::{plan::Plan, prelude::Prelude, snapshot::Snapshot};
pub(super) use self::{
    reloader::{Reloader, functions, note_made},
    told::{Told, What},
};
use super::heap::{Heap, Kind, Value};

type Identities = HashSet<usize, BuildHasherDefault<FxHasher>>;
type ByIdentity<V> = HashMap<usize, V, BuildHasherDefault<FxHasher>>;

/// A reload at work in its state.
struct Reload<'a> {
    heap: Heap<'a>,
    prelude: &'a Prelude,
    progress: &'a mut Progress,
}

/// What is known of a reload while it is under way.
#[derive(Default)]
struct Progress {
    snapshot: Snapshot,
    /// Fresh table: the old one that stays in its place.
    replaced: ByIdentity<Value>,
    /// Old tables that do.
    taken: Identities,
    /// Old function: its new version.
    follows: ByIdentity<Value>,
    /// Chunks' names of what has run.
    sources: HashSet<String>,
    /// Fresh function: the old one whose place it takes.
    precedes: ByIdentity<Value>,
    /// Old functions that the file does not hand to others any more when it is loaded.
    withdrawn: Identities,
    /// Old functions that have left the source, and the names that it gave them, or nil.
    left: ByIdentity<Value>,
    /// Variable of a fresh function: a function that has the one that stays, and which it is there.
    joins: ByIdentity<(Value, i32)>,
    /// Functions that have the locals of files that ran, and do not see those that stay yet.
    captures: Vec<Value>,
    /// What is known of files that run, by their real paths.
    plans: FxHashMap<Vec<u8>, Arc<Plan>>,
    /// By the chunk of a function: whether it is of a file that has run.
    is_changed: ByIdentity<bool>,
    merge: Merge,
    /// Slots of tables that were there before, which definitions of files that ran have decided.
    decided: HashSet<(usize, (Kind, u64)), BuildHasherDefault<FxHasher>>,
    /// What the files that ran put into tables by calls, beside what their versions before have put there.
    registered: Registered,
    /// What there is to tell since it was last asked for.
    told: Vec<Told>,
}

/// What files put into tables by calls: see `unedited`.
#[derive(Default)]
struct Registered {
    /// Something else than before.
    has_others: bool,
    /// All of it: what was there has been put back by a hook, say.
    is_anew: bool,
    /// Texts and numbers of statements that have come.
    come: BTreeSet<Box<str>>,
    /// Those of statements that have left.
    gone: BTreeSet<Box<str>>,
}

/// One merge, of a file or at the end.
#[derive(Default)]
struct Merge {
    /// How many there have been in this reload.
    number: u32,
    /// The name of the file's chunk.
    source: String,
    /// Objects that stay, each with the one that the file made.
    kept: Vec<[Value; 2]>,
    /// Lists of functions in these, if what the source says of them is known.
    lists: Vec<[Value; 2]>,
    fills_lists: bool,
    rebound: Identities,
    /// By table or function: the merge that has been through it last.
    visited: ByIdentity<u32>,
    waiting: Vec<Value>,
}

impl Progress {
    /// For the next reload, with the room that this one took.
    fn clear(&mut self) {
        let Self {
            snapshot,
            replaced,
            taken,
            follows,
            sources,
            precedes,
            withdrawn,
            left,
            joins,
            captures,
            plans,
            is_changed,
            merge,
            decided,
            registered,
            told,
        } = self;
        decided.clear();
        *registered = Registered::default();
        snapshot.clear();
        replaced.clear();
        taken.clear();
        follows.clear();
        sources.clear();
        precedes.clear();
        withdrawn.clear();
        left.clear();
        joins.clear();
        captures.clear();
        plans.clear();
        is_changed.clear();
        merge.clear();
        merge.number = 0;
        merge.visited.clear();
        told.clear();
    }
}

impl Merge {
    /// What was gone through in the last one need not be again.
    fn clear(&mut self) {
        self.source.clear();
        self.kept.clear();
        self.lists.clear();
        self.fills_lists = false;
        self.rebound.clear();
        self.waiting.clear();
    }
}

impl Deref for Reload<'_> {
    type Target = Progress;

    fn deref(&self) -> &Progress {
        self.progress
    }
}

impl DerefMut for Reload<'_> {
    fn deref_mut(&mut self) -> &mut Progress {
        self.progress
    }
}

impl Reload<'_> {
    /// Was there before, or is of the library. A function of C is never looked into.
    fn is_seen(&self, object: Value) -> bool {
        object.is_c_function() || self.snapshot.has_met(object) || self.prelude.is_known(object)
    }

    fn is_fresh(&self, object: Value) -> bool {
        object.is_object() && !self.is_seen(object)
    }

    /// The old table that stays in place of a fresh one.
    fn stays_for(&self, table: Value) -> Option<Value> {
        if table.is_object() { self.replaced.get(&table.identity()).copied() } else { None }
    }

    /// What stays in place of a fresh value, or that value.
    fn lasting(&self, value: Value) -> Value {
        self.stays_for(value).unwrap_or(value)
    }

    /// The new version of a function.
    fn follower(&self, function: Value) -> Option<Value> {
        if function.is_function() { self.follows.get(&function.identity()).copied() } else { None }
    }

    /// The new version of a function of a file that has run: a file may have exported one of another file.
    fn newest(&mut self, function: Value) -> Option<Value> {
        let new = self.follower(function)?;
        self.is_of_changed(function).then_some(new)
    }

    /// Whether it is from a file that has run.
    fn is_of_changed(&mut self, function: Value) -> bool {
        let Some(origin) = self.heap.origin(function) else { return false };
        let (heap, Progress { sources, is_changed, .. }) = (self.heap, &mut *self.progress);
        *is_changed.entry(origin.chunk).or_insert_with(|| sources.contains(&heap.source(function)))
    }

    /// Something with a class or a prototype.
    fn is_instance(&self, value: Value) -> bool {
        !self.heap.metatable(value).is_nil() || self.prelude.is_prototype(self.heap, value)
    }

    fn tell(&mut self, what: What) {
        let source = self.merge.source.clone();
        self.told.push(Told { source, what });
    }

    fn begin_merge(&mut self) {
        self.merge.clear();
        self.merge.number += 1;
    }
}
