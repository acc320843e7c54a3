//! What a reload does with what is in a state, as functions of C that the prelude calls.
//!
//! | file | what it does |
//! |---|---|
//! | `snapshot` | before anything runs: takes down all that user code can reach |
//! | `before` | what the snapshot has of one table |
//! | `plan` | what the sources say of a file: its definitions before and now, what is edited |
//! | `again` | runs the new version of a file |
//! | `merge` | after that: which old object each new one stands for |
//! | `locals` | which locals go on |
//! | `definitions` | decides for each definition: what it became at run time, or what the source says now |
//! | `lists` | the same for the elements of a list |
//! | `kept` | objects of class libraries, of which the source does not tell |
//! | `rebind` | what is new gets to see the tables and locals that stay |
//! | `commit` | the end of a reload that went well |
//! | `settle` | in it: who holds an old function gets the new one |
//! | `beyond` | the same in tables that the snapshot had no room for |
//! | `registrations` | in it: what a load puts into tables of others is there once |
//! | `stale` | who goes on running old code nevertheless |
//! | `told` | what there is to tell of it |
//! | `upvalues` | the upvalues of a function, one after the other |
//!
//! Objects are known by where they lie (Lua moves none), in Rust's sets and maps, which take a tenth of what a
//! table of Lua takes. So that nothing comes to lie where another was, all that the snapshot has met is in a
//! list, and all that is remembered beyond that is added to it ([`Reload::hold`]). The lists are Lua's, and are
//! emptied after the reload.
//!
//! Safety of these files: each of these functions is called by the prelude only, with the arguments that it
//! names. Lua's stack has room for what they push ([`enter`]), and indexes are of what has been pushed. A
//! function of Lua that raises an error (out of memory) unwinds through here without dropping anything: so
//! whatever needs to be dropped belongs to the [`Reload`], or is gone when such a function is called. No code
//! of the user runs in here but for the file in `again`, which may reload others, and the collector only when
//! memory runs out: what is being worked with is held by the arguments, by what the prelude holds, or by those
//! lists.
#![allow(unsafe_code, reason = "Lua's own API: the safe one makes a handle of each value it meets")]

mod again;
mod before;
mod beyond;
mod commit;
mod definitions;
mod kept;
mod lists;
mod locals;
mod merge;
mod plan;
mod rebind;
mod registrations;
mod settle;
mod snapshot;
mod stale;
mod told;
mod upvalues;

use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, c_char, c_int},
    hash::BuildHasherDefault,
    ptr,
    sync::Arc,
};

use mlua::{
    Lua, Table,
    ffi::{
        lua_CFunction, lua_Integer, lua_State, lua_createtable, lua_getfield, lua_newuserdatauv,
        lua_pushcclosure, lua_pushcfunction, lua_pushvalue, lua_setfield, lua_setiuservalue,
        lua_setmetatable, lua_settop, lua_touserdata, lua_upvalueindex, luaL_error,
    },
};
use rustc_hash::{FxHashMap, FxHasher};

use self::plan::Plan;
pub(super) use self::told::{Told, What, take_told};
use super::{
    entries::{Entries, List},
    files::Files,
    names::Names,
    raw::origin,
    values::{Raw, RawTable, make_room},
};

type Identities = HashSet<usize, BuildHasherDefault<FxHasher>>;
type ByIdentity<V> = HashMap<usize, V, BuildHasherDefault<FxHasher>>;

/// Adds it to the functions that the prelude gets.
pub(super) fn add(lua: &Lua, host: &Table) -> mlua::Result<()> {
    // SAFETY: it is called by the prelude only, with the arguments that it names.
    unsafe { host.raw_set("reload_functions", lua.create_c_function(reload_functions)?) }
}

/// What is known of a reload while it is under way, and what the next one needs not find out again.
struct Reload {
    /// That of the call.
    l: *mut lua_State,
    /// What is known of the prelude.
    files: &'static Files,
    /// Those of `files`.
    names: &'static Names,
    /// `R`.
    reload: *const RawTable,

    /// Never looked into: the library, and functions of ours.
    known: Identities,
    /// What was there before, and the variables of functions that were.
    seen: Identities,
    lists: Lists,
    /// Table, key and function for each function of Lua code that is in a table of the user. The lists hold them.
    slots: Vec<[Raw; 3]>,
    /// Table and key, where the key is such a function.
    keys: Vec<[Raw; 2]>,
    coroutines: Vec<Raw>,
    /// The handles of timers.
    timers: Identities,
    /// The snapshot has everything.
    is_complete: bool,

    /// Fresh table: the old one that stays in its place.
    replaced: ByIdentity<Raw>,
    /// Old tables that do.
    taken: Identities,
    /// Old function: its new version.
    follows: ByIdentity<Raw>,
    /// Chunks' names of what has run.
    sources: HashSet<Box<CStr>>,
    /// Fresh function: the old one whose place it takes.
    precedes: ByIdentity<Raw>,
    /// Old functions that the file does not hand to others any more when it is loaded.
    withdrawn: Identities,
    /// Old functions that have left the source, and the names that it gave them, or nil.
    left: ByIdentity<Raw>,
    /// Variable of a fresh function: a function that has the one that stays, and which it is there.
    joins: ByIdentity<(Raw, c_int)>,
    /// Functions that have the locals of files that ran, and do not see those that stay yet.
    captures: Vec<Raw>,
    /// What is known of files that run, by their records.
    plans: ByIdentity<Arc<Plan>>,
    /// Where each table begins in `tables`, once somebody has asked.
    index: ByIdentity<lua_Integer>,
    /// What was in large tables.
    maps: ByIdentity<FxHashMap<(u8, u64), Raw>>,
    /// The same by where the name lies.
    is_source: ByIdentity<bool>,

    merge: Merge,
    stale: stale::Counts,
    /// What there is to tell since it was last asked for.
    told: Vec<Told>,
}

/// What the snapshot leaves in `R`, for whoever has to undo the reload. To empty them after it takes less time
/// than to make new ones.
struct Lists {
    /// Table, metatable or false, index of its last value, key, value, key, value ... one after the other, the
    /// globals first. A list takes less time and leaves less garbage than a copy of each table.
    tables: List,
    /// The same, of what the prelude knows of files, prototypes and timers.
    ours: List,
    /// Function, index, value (`P` for nil) ... Those that functions share are there once.
    upvalues: List,
    /// All objects that have been met: tables and functions to be walked, first. Then it holds what is
    /// remembered beyond that.
    queue: List,
}

/// One merge, of a file or at the end.
struct Merge {
    /// How many there have been in this reload.
    number: u32,
    /// The name of the file's chunk.
    source: *const c_char,
    /// Objects that stay, each with the one that the file made.
    kept: Vec<[Raw; 2]>,
    rebound: Identities,
    /// By table or function: the merge that has been through it last.
    visited: ByIdentity<u32>,
    waiting: Vec<Raw>,
    /// Entries of one table, whose keys have been replaced.
    moved: Vec<[Raw; 2]>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            number: 0,
            source: ptr::null(),
            kept: Vec::new(),
            rebound: Identities::default(),
            visited: ByIdentity::default(),
            waiting: Vec::new(),
            moved: Vec::new(),
        }
    }
}

/// `reload_functions(P, R)`: they go to `R`.
unsafe extern "C-unwind" fn reload_functions(l: *mut lua_State) -> c_int {
    const PRELUDE: c_int = 1;
    const RELOAD: c_int = 2;
    const STATE: c_int = 3;
    const FUNCTIONS: [(&CStr, lua_CFunction); 8] = [
        (c"begin", snapshot::begin),
        (c"reload", again::reload),
        (c"commit_all", commit::commit_all),
        (c"finish", finish),
        (c"fields", plan::fields),
        (c"moved_call", plan::moved_call),
        (c"note", told::note),
        (c"take_notes", told::take_notes),
    ];
    unsafe {
        lua_settop(l, RELOAD);
        make_room(l);
        let state = lua_newuserdatauv(l, size_of::<*mut Reload>(), 1).cast::<*mut Reload>();
        state.write(ptr::null_mut());
        lua_createtable(l, 0, 1);
        lua_pushcfunction(l, drop_reload);
        lua_setfield(l, -2, c"__gc".as_ptr());
        lua_setmetatable(l, STATE);
        lua_getfield(l, PRELUDE, c"files".as_ptr());
        // The userdata holds it.
        let files = &*lua_touserdata(l, -1).cast::<Files>();
        lua_setiuservalue(l, STATE, 1);
        state.write(Box::into_raw(Box::new(Reload {
            l,
            files,
            names: &files.names,
            reload: RawTable::at(l, RELOAD),
            known: Identities::default(),
            seen: Identities::default(),
            lists: Lists::NONE,
            slots: Vec::new(),
            keys: Vec::new(),
            coroutines: Vec::new(),
            timers: Identities::default(),
            is_complete: false,
            replaced: ByIdentity::default(),
            taken: Identities::default(),
            follows: ByIdentity::default(),
            precedes: ByIdentity::default(),
            left: ByIdentity::default(),
            withdrawn: Identities::default(),
            joins: ByIdentity::default(),
            captures: Vec::new(),
            plans: ByIdentity::default(),
            index: ByIdentity::default(),
            maps: ByIdentity::default(),
            sources: HashSet::default(),
            is_source: ByIdentity::default(),
            merge: Merge::default(),
            stale: stale::Counts::default(),
            told: Vec::new(),
        })));
        (**state).know_library();
        for (name, function) in FUNCTIONS {
            lua_pushvalue(l, STATE);
            // Whoever has a function holds what it uses.
            lua_pushvalue(l, RELOAD);
            lua_pushcclosure(l, function, 2);
            lua_setfield(l, RELOAD, name.as_ptr());
        }
        0
    }
}

unsafe extern "C-unwind" fn drop_reload(l: *mut lua_State) -> c_int {
    unsafe {
        let state = lua_touserdata(l, 1).cast::<*mut Reload>();
        if !state.is_null() && !(*state).is_null() {
            drop(Box::from_raw(ptr::replace(state, ptr::null_mut())));
        }
        0
    }
}

/// `finish()`: the reload is over, in either way.
unsafe extern "C-unwind" fn finish(l: *mut lua_State) -> c_int {
    unsafe {
        enter(l, 0).finish();
        0
    }
}

/// The same for those that need a snapshot.
unsafe fn enter_reload<'a>(l: *mut lua_State, arguments: c_int) -> &'a mut Reload {
    unsafe {
        let reload = enter(l, arguments);
        if reload.lists.queue.end == 0 {
            luaL_error(l, c"no reload is under way".as_ptr());
        }
        reload
    }
}

/// Those of a table of ours; none of anything else.
unsafe fn entries(table: Raw) -> Entries {
    table.table().map_or(Entries::NONE, |table| unsafe { Entries::of(table) })
}

/// What each of the functions begins with: only its arguments are on the stack, and there is room.
unsafe fn enter<'a>(l: *mut lua_State, arguments: c_int) -> &'a mut Reload {
    unsafe {
        lua_settop(l, arguments);
        make_room(l);
        again(l)
    }
}

/// The same after code of the user has run.
unsafe fn again<'a>(l: *mut lua_State) -> &'a mut Reload {
    unsafe {
        let state = lua_touserdata(l, lua_upvalueindex(1)).cast::<*mut Reload>();
        let reload = &mut **state;
        reload.l = l;
        reload
    }
}

impl Lists {
    /// What has room for more values is let go after the reload: 256 KiB of each.
    const MAX_ROOM: lua_Integer = 16 * 1024;
    const NONE: Self = Self { tables: List::NONE, ours: List::NONE, upvalues: List::NONE, queue: List::NONE };
}

impl Reload {
    fn clear(&mut self) {
        self.seen.clear();
        self.lists = Lists::NONE;
        self.slots.clear();
        self.keys.clear();
        self.coroutines.clear();
        self.timers.clear();
        self.replaced.clear();
        self.taken.clear();
        self.follows.clear();
        self.precedes.clear();
        self.left.clear();
        self.withdrawn.clear();
        self.joins.clear();
        self.captures.clear();
        self.plans.clear();
        self.index.clear();
        self.maps.clear();
        self.sources.clear();
        self.is_source.clear();
        self.merge.number = 0;
        self.merge.visited.clear();
        self.merge.clear();
        self.stale.clear();
    }

    /// What is nil takes a new place in its table when it comes back, so what is not there is false.
    unsafe fn finish(&mut self) {
        let Names { reloading, session, under_way, app, pending, records, done, .. } = *self.names;
        unsafe {
            for (table, name) in [
                (self.of_prelude(session), reloading),
                (Raw::of_table(self.reload), under_way),
                (Raw::of_table(self.reload), app),
                (Raw::of_table(self.files.prelude), pending),
            ] {
                if let Some(table) = table.table() {
                    self.set(table, name, Raw::FALSE);
                }
            }
            let mut records = entries(self.of_prelude(records));
            while let Some((_, record)) = records.take() {
                if let Some(table) = record.table() {
                    self.set(table, done, Raw::FALSE);
                }
            }
            self.empty_lists();
            // What it knows is of no use to the next.
            self.clear();
        }
    }

    unsafe fn empty_lists(&mut self) {
        let Names { tables, ours, upvalues, queue, .. } = *self.names;
        let Lists { tables: a, ours: b, upvalues: c, queue: d } = &mut self.lists;
        unsafe {
            for (name, list) in [(tables, a), (ours, b), (upvalues, c), (queue, d)] {
                list.empty();
                if list.room > Lists::MAX_ROOM {
                    RawTable::set(self.reload, self.l, name, Raw::FALSE);
                }
            }
        }
    }

    /// Was there before, or is of the library. A function of C is never looked into.
    fn is_seen(&self, object: Raw) -> bool {
        object.is_c_function()
            || self.seen.contains(&object.identity())
            || self.known.contains(&object.identity())
    }

    fn is_fresh(&self, object: Raw) -> bool {
        object.is_object() && !self.is_seen(object)
    }

    /// The old table that stays in place of a fresh one.
    fn stays_for(&self, table: Raw) -> Option<Raw> {
        if table.is_object() { self.replaced.get(&table.identity()).copied() } else { None }
    }

    /// The new version of a function.
    fn follower(&self, function: Raw) -> Option<Raw> {
        if function.is_function() { self.follows.get(&function.identity()).copied() } else { None }
    }

    /// Pins the object until the end of the reload.
    unsafe fn hold(&mut self, object: Raw) {
        unsafe { self.lists.queue.append(self.l, object) }
    }

    /// A field of a table of ours; nil if it is none.
    unsafe fn field(&self, table: Raw, name: Raw) -> Raw {
        table.table().map_or(Raw::NIL, |table| unsafe { RawTable::get(table, self.l, name) })
    }

    unsafe fn of_prelude(&self, name: Raw) -> Raw {
        unsafe { RawTable::get(self.files.prelude, self.l, name) }
    }

    unsafe fn of_reload(&self, name: Raw) -> Raw {
        unsafe { RawTable::get(self.reload, self.l, name) }
    }

    /// Puts a value into a table that others hold.
    unsafe fn set(&mut self, table: *const RawTable, key: Raw, value: Raw) {
        unsafe { RawTable::set(table, self.l, key, value) }
    }

    /// The name of the chunk that a function is from.
    unsafe fn source_of(&self, function: Raw) -> *const c_char {
        unsafe { origin(self.l, function).0 }
    }

    /// Whether it is from a file that has run.
    unsafe fn is_of_changed(&mut self, function: Raw) -> bool {
        unsafe {
            let name = self.source_of(function);
            self.is_changed(name)
        }
    }

    unsafe fn is_changed(&mut self, source: *const c_char) -> bool {
        if source.is_null() {
            return false;
        }
        let sources = &self.sources;
        let look = || unsafe { sources.contains(CStr::from_ptr(source)) };
        *self.is_source.entry(source.addr()).or_insert_with(look)
    }
}

impl Merge {
    /// For the next.
    fn clear(&mut self) {
        self.kept.clear();
        self.rebound.clear();
        self.waiting.clear();
        self.moved.clear();
    }
}
