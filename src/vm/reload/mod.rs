//! What a reload does with what is in a state, as functions of C that the prelude calls.
//!
//! | file | what it does |
//! |---|---|
//! | `snapshot` | before anything runs: takes down all that user code can reach |
//! | `again` | runs the new version of a file |
//! | `merge` | after that: what it made goes into the tables that others hold |
//! | `pairs` | finds what of the new version goes with what of the old one |
//! | `fill` | the tables that stay become what the new ones are |
//! | `rebind` | what is new gets to see the tables that stay |
//! | `commit` | the end of a reload that went well |
//! | `settle` | in it: who holds an old function gets the new one |
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
mod commit;
mod fill;
mod merge;
mod pairs;
mod rebind;
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
};

use mlua::{
    Lua, Table,
    ffi::{
        lua_CFunction, lua_Integer, lua_State, lua_createtable, lua_getfield, lua_newuserdatauv,
        lua_pushcclosure, lua_pushcfunction, lua_pushvalue, lua_setfield, lua_setiuservalue,
        lua_setmetatable, lua_settop, lua_touserdata, lua_upvalueindex, luaL_error,
    },
};
use rustc_hash::FxHasher;

use self::pairs::Pair;
pub(super) use self::told::{Told, What, take_told};
use super::{
    data::is_same,
    entries::{Entries, List},
    files::Files,
    names::Names,
    raw::origin,
    values::{Raw, RawTable, make_room, same_text},
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
    /// Where globals and prototypes begin in `tables`.
    places: ByIdentity<lua_Integer>,
    lists: Lists,
    /// Table, key and function for each function of Lua code that is in a table of the user. The lists hold them.
    slots: Vec<[Raw; 3]>,
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
    /// The same by where the name lies.
    is_source: ByIdentity<bool>,

    merge: Merge,
    /// Of changed tables at the end: the table, what was in it, what is.
    found: Vec<[Raw; 3]>,
    /// Files, each with the names of what it exports that have other values now.
    changed: Vec<(Raw, Vec<Raw>)>,
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
#[derive(Default)]
struct Merge {
    /// How many there have been in this reload.
    number: u32,
    /// The name of the file's chunk, and where it was last met, and where that of another was.
    source: Source,
    /// The function that was last asked whether it is from there, and the answer.
    asked: (usize, bool),
    /// Tables that go together.
    pairs: Vec<Pair>,
    metatables: Vec<[Raw; 2]>,
    /// Old ones, whose new versions are known.
    functions: Vec<Raw>,
    /// Upvalues that are done.
    matched: Identities,
    rebound: Identities,
    /// By table or function: the merge that has been through it last.
    visited: ByIdentity<u32>,
    waiting: Vec<Raw>,
    /// Entries of one table, whose keys have been replaced.
    moved: Vec<[Raw; 2]>,
    /// Of one search.
    looked: Identities,
    /// Globals that keep what they were before: name, value.
    staying: Vec<[Raw; 2]>,
    /// Names of what the file returns that have other values now.
    changed: Vec<Raw>,
}

/// The name of a chunk.
#[derive(Clone, Copy)]
struct Source {
    name: *const c_char,
    known: [*const c_char; 2],
}

impl Default for Source {
    fn default() -> Self {
        Self::of(c"".as_ptr())
    }
}

impl Source {
    fn of(name: *const c_char) -> Self {
        Self { name, known: [name, ptr::null()] }
    }

    /// Whether that is its name as well. Functions of one file have theirs in one place.
    unsafe fn is(&mut self, name: *const c_char) -> bool {
        match self.known {
            [same, _] if same == name => true,
            [_, other] if other == name => false,
            _ => {
                let same = unsafe { same_text(self.name, name) };
                self.known[usize::from(!same)] = name;
                same
            }
        }
    }
}

/// `reload_functions(P, R)`: they go to `R`.
unsafe extern "C-unwind" fn reload_functions(l: *mut lua_State) -> c_int {
    const PRELUDE: c_int = 1;
    const RELOAD: c_int = 2;
    const STATE: c_int = 3;
    const FUNCTIONS: [(&CStr, lua_CFunction); 6] = [
        (c"begin", snapshot::begin),
        (c"reload", again::reload),
        (c"commit_all", commit::commit_all),
        (c"finish", finish),
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
            places: ByIdentity::default(),
            lists: Lists::NONE,
            slots: Vec::new(),
            coroutines: Vec::new(),
            timers: Identities::default(),
            is_complete: false,
            replaced: ByIdentity::default(),
            taken: Identities::default(),
            follows: ByIdentity::default(),
            sources: HashSet::default(),
            is_source: ByIdentity::default(),
            merge: Merge::default(),
            found: Vec::new(),
            changed: Vec::new(),
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
        self.places.clear();
        self.lists = Lists::NONE;
        self.slots.clear();
        self.coroutines.clear();
        self.timers.clear();
        self.replaced.clear();
        self.taken.clear();
        self.follows.clear();
        self.sources.clear();
        self.is_source.clear();
        self.merge.number = 0;
        self.merge.visited.clear();
        self.merge.clear();
        self.found.clear();
        self.changed.clear();
        self.stale.clear();
    }

    /// What is nil takes a new place in its table when it comes back, so what is not there is false.
    unsafe fn finish(&mut self) {
        let Names { reloading, session, under_way, untouched, app, pending, records, done, .. } = *self.names;
        unsafe {
            for (table, name) in [
                (self.of_prelude(session), reloading),
                (Raw::of_table(self.reload), under_way),
                (Raw::of_table(self.reload), untouched),
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

    /// It lies where it lies until the end of the reload.
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

    /// Whether `value` is what the source set when `base` was copied from it.
    unsafe fn is_same_data(&self, base: Raw, value: Raw) -> bool {
        unsafe { is_same(self.l, self.files.foreign, self.files.mark, base, value) }
    }

    unsafe fn is_foreign(&self, table: Raw) -> bool {
        unsafe { self.files.foreign.has(self.l, table) }
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
        self.pairs.clear();
        self.metatables.clear();
        self.functions.clear();
        self.matched.clear();
        self.rebound.clear();
        self.waiting.clear();
        self.moved.clear();
        self.staying.clear();
        self.changed.clear();
    }
}
