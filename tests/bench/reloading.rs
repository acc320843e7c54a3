//! What a reload costs a session, beside bare mlua: as many states that load the same bytecode and call it.

use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BindingRule, LuaConfig, ReloadScope, SessionConfig},
    reload::{Compiler, Generation, LUA_ROOT, Outcome as Reloaded, Published, SiteLayout},
    session::{LuaSessions, SessionHandle, SessionSettings},
    watch::{Change, ChangeKind, ChangeSet, Content, Timing},
};
use mlua::{Lua, chunk::ChunkMode};

use crate::{Fallible, KIB, median, micros, within};

/// A site in memory and sessions of it, all on one thread.
pub(crate) struct Site {
    compiler: Compiler,
    published: Arc<Published>,
    pub(crate) sessions: Vec<SessionHandle>,
    _all: LuaSessions,
}

impl Site {
    pub(crate) async fn new(files: &[(&str, &str)], sessions: usize) -> Fallible<Self> {
        let compiler = Compiler::new(SiteLayout {
            lua: "lua".into(),
            viewdefs: "viewdefs".into(),
            files: "data".into(),
        })?;
        let published = Arc::new(Published::default());
        let first = compiler.compile(&Generation::default(), &change_set(files));
        published.publish_good(Arc::new(first));
        let all = LuaSessions::start(SessionSettings {
            session: SessionConfig { threads: 1, max: sessions, ..SessionConfig::default() },
            lua: LuaConfig { hotload: true, ..LuaConfig::default() },
            scope: ReloadScope::Loaded,
            bindings: BindingRule::Templates,
            refused: Arc::default(),
            hub: None,
            published: published.clone(),
        })?;
        let mut handles = Vec::new();
        for _ in 0..sessions {
            let handle = all.create().await?;
            if let Some(error) = handle.start_error().await {
                return Err(error.to_string().into());
            }
            handles.push(handle);
        }
        Ok(Self { compiler, published, sessions: handles, _all: all })
    }

    fn save(&self, name: &str, text: &str) -> Arc<Generation> {
        let next = self.compiler.compile(&self.published.generation(), &change_set(&[(name, text)]));
        let next = Arc::new(next);
        self.published.publish_good(next.clone());
        next
    }

    /// Reloads all sessions. Returns how long each took.
    async fn reload(&self, generation: &Arc<Generation>) -> Fallible<Vec<Duration>> {
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        for session in &self.sessions {
            let (generation, sender) = (generation.clone(), sender.clone());
            session.execute(move |session| {
                let began = Instant::now();
                let came = session.reload(&generation);
                let _ = sender.send((began.elapsed(), came.outcome));
            })?;
        }
        drop(sender);
        let mut times = Vec::new();
        while let Some((time, outcome)) = done.recv().await {
            match outcome {
                Reloaded::Applied { .. } => times.push(time),
                other => return Err(format!("a reload that was not applied: {other:?}").into()),
            }
        }
        Ok(times)
    }

    async fn collect(&self) -> Fallible<Vec<Duration>> {
        let mut times = Vec::new();
        for session in &self.sessions {
            times.push(within(session, |session| timed(|| session.with_lua(Lua::gc_collect))).await?);
        }
        Ok(times)
    }
}

fn change_set(files: &[(&str, &str)]) -> ChangeSet {
    let change = |&(name, text): &(&str, &str)| Change {
        root: LUA_ROOT,
        name: name.into(),
        path: Path::new("/site/lua").join(name),
        kind: ChangeKind::Modified(Content::new(text.as_bytes())),
    };
    let timing = Timing { first_hint: Instant::now(), settle: Duration::ZERO, reconcile: Duration::ZERO };
    ChangeSet { changes: files.iter().map(change).collect(), initial: false, timing }
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let began = Instant::now();
    let result = work();
    let time = began.elapsed();
    drop(result);
    time
}

/// A class of that many lines, as plain Lua has it: methods that use each other, locals of the file.
fn module(lines: usize, version: usize) -> String {
    let mut text = format!(
        "local Item = {{ version = {version} }}\nItem.__index = Item\n\n\
         local LIMITS = {{ low = 1, high = 100 }}\n\
         local function clamp(n) return math.max(LIMITS.low, math.min(n, LIMITS.high)) end\n\n\
         function Item.new(fields) return setmetatable(fields, Item) end\n\n"
    );
    for number in 1.. {
        if text.lines().count() + 11 > lines {
            break;
        }
        let _ = write!(
            text,
            "-- Step {number} of the way.\nfunction Item:step_{number}(amount)\n\
             \x20 local sum = self.count + clamp(amount) * {number}\n\
             \x20 if sum > LIMITS.high then\n\
             \x20   self.label = (\"%s: %d\"):format(self.name, sum)\n\
             \x20 end\n  self.count = sum + {version}\n  return self.count\nend\n\n"
        );
    }
    text + "return Item\n"
}

fn main_file(instances: usize) -> String {
    format!(
        "local Item = require \"item\"\nitems = items or {{}}\nfor i = #items + 1, {instances} do\n\
         \x20 items[i] = Item.new {{ name = \"item \" .. i, count = i }}\nend\n"
    )
}

/// What one file costs to reload, in many sessions.
pub(crate) struct Figures {
    lines: usize,
    instances: usize,
    bare: Duration,
    ours: Duration,
    /// Of the garbage, later.
    bare_collection: Duration,
    collection: Duration,
}

impl Figures {
    pub(crate) const HEAD: &'static str =
        "reload of      with   |  bare mlua    session    ratio |  garbage: bare    session";

    pub(crate) fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.bare.as_secs_f64()
    }

    pub(crate) fn print(&self) {
        println!(
            "{:>5} lines {:>4} objects |{:>8.1} µs{:>8.1} µs{:>8.2} |{:>12.1} µs{:>8.1} µs",
            self.lines,
            self.instances,
            micros(self.bare),
            micros(self.ours),
            self.ratio(),
            micros(self.bare_collection),
            micros(self.collection),
        );
    }
}

/// Bare mlua and sessions in turns, on one thread.
pub(crate) async fn measure(
    lines: usize,
    instances: usize,
    count: usize,
    rounds: usize,
) -> Fallible<Figures> {
    let main = main_file(instances);
    let site = Site::new(&[("main.lua", &main), ("item.lua", &module(lines, 0))], count).await?;
    let mut states = bare_states(&site, count, &main)?;
    let (mut bare, mut ours, mut bare_collection, mut collection) = (vec![], vec![], vec![], vec![]);
    for round in 0..=rounds {
        let generation = site.save("item.lua", &module(lines, round + 1));
        let (back, times) = bare_round(&site, states, &generation).await?;
        states = back;
        let reloads = site.reload(&generation).await?;
        let collections = site.collect().await?;
        // The first one loads what reloads need.
        if round > 0 {
            bare.extend(times.iter().map(|times| times.0));
            bare_collection.extend(times.iter().map(|times| times.1));
            ours.extend(reloads);
            collection.extend(collections);
        }
    }
    let (bare, ours) = (median(bare), median(ours));
    let (bare_collection, collection) = (median(bare_collection), median(collection));
    Ok(Figures { lines, instances, bare, ours, bare_collection, collection })
}

/// States in which the same has run.
fn bare_states(site: &Site, count: usize, main: &str) -> Fallible<Vec<Lua>> {
    let generation = site.published.generation();
    let mut states = Vec::new();
    for _ in 0..count {
        let lua = Lua::new();
        let item = load(&lua, &generation)?.call::<mlua::Value>(())?;
        lua.globals().set("require", lua.create_function(move |_, ()| Ok(item.clone()))?)?;
        lua.load(main).exec()?;
        states.push(lua);
    }
    Ok(states)
}

fn load(lua: &Lua, generation: &Generation) -> mlua::Result<mlua::Function> {
    let file = generation.file(Path::new("item.lua"));
    let bytecode = file.map(|file| file.bytecode.as_slice()).unwrap_or_default();
    lua.load(bytecode).set_mode(ChunkMode::Binary).into_function()
}

/// The states back, and for each how long loading and calling took, and the garbage of it.
async fn bare_round(
    site: &Site,
    states: Vec<Lua>,
    generation: &Arc<Generation>,
) -> Fallible<(Vec<Lua>, Vec<(Duration, Duration)>)> {
    let generation = generation.clone();
    let done = within(&site.sessions[0], move |_| {
        let mut times = Vec::new();
        for lua in &states {
            let began = Instant::now();
            load(lua, &generation)?.call::<()>(())?;
            times.push((began.elapsed(), Duration::ZERO));
        }
        for (lua, times) in states.iter().zip(&mut times) {
            times.1 = timed(|| lua.gc_collect());
        }
        mlua::Result::Ok((states, times))
    });
    Ok(done.await??)
}

/// Bytes that each reload of a large file leaves in a session.
pub(crate) async fn growth(reloads: usize) -> Fallible<f64> {
    let main = main_file(crate::INSTANCES);
    let site = Site::new(&[("main.lua", &main), ("item.lua", &module(1000, 0))], 1).await?;
    let mut used = [0; 2];
    for (used, reloads) in used.iter_mut().zip([20, reloads]) {
        for version in 0..reloads {
            site.reload(&site.save("item.lua", &module(1000, version + 1))).await?;
        }
        site.collect().await?;
        *used = within(&site.sessions[0], |session| session.used_memory()).await?;
    }
    println!("\na session of it uses {:.0} KiB", used[1] as f64 / KIB);
    Ok((used[1] as f64 - used[0] as f64) / reloads as f64)
}
