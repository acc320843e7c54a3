//! Many sessions of the sample application, on two threads: from a save until the last one runs it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BindingRule, LuaConfig, ReloadScope, SessionConfig, WatchConfig},
    reload::{
        Generation, HotLoader, LUA_ROOT, OutcomeSender, Published, Refreshing, ReloadReport, SessionHost,
        SiteLayout,
    },
    session::{LuaSessions, SessionHandle, SessionId, SessionSettings},
    watch::{Registry, Root},
};
use tokio::sync::mpsc;

use crate::{Fallible, KIB, Verdict, median, micros, process};

/// Until all of them have collected what a start or a reload left.
const REST: Duration = Duration::from_secs(3);

/// What was measured.
pub(crate) struct Crowd {
    sessions: usize,
    /// Making one state, the main file included.
    creation: Duration,
    /// Bytes of the process for each session at rest.
    memory: f64,
    /// Bytes of its Lua state, of these.
    lua: usize,
    /// From a save to the last session, quiet time included.
    reload: Duration,
}

impl Crowd {
    pub(crate) fn judge(&self, verdicts: &mut Vec<Verdict>) {
        let count = self.sessions;
        let mut verdict = |what: String, measured: f64, target: f64, unit| {
            verdicts.push(Verdict { what, measured, target, unit });
        };
        verdict("creation of a session of the sample".into(), micros(self.creation) / 1e3, 1.0, "ms");
        println!("of the memory per idle session, its Lua state is {:.1} KiB\n", self.lua as f64 / KIB);
        verdict("memory per idle session of the sample".into(), self.memory / KIB, 48.0, "KiB");
        let what = format!("save until all {count} sessions of the sample run it");
        verdict(what, micros(self.reload) / 1e3, 1000.0, "ms");
    }
}

/// Sessions without browsers.
struct Host {
    sessions: LuaSessions,
    reports: mpsc::UnboundedSender<(Instant, ReloadReport)>,
}

impl SessionHost for Host {
    type Session = SessionHandle;
    type Id = SessionId;

    fn lua_sessions(&self) -> Vec<SessionHandle> {
        self.sessions.handles()
    }

    fn id(&self, session: &SessionHandle) -> SessionId {
        session.id()
    }

    fn is_idle(&self, session: &SessionHandle) -> bool {
        session.is_idle()
    }

    fn reload(&self, session: &SessionHandle, target: &Arc<Generation>, outcomes: &OutcomeSender) {
        let _ = session.reload(target.clone(), outcomes.clone());
    }

    fn refresh(&self, session: &SessionHandle, done: Refreshing) {
        let _ = session.execute(|_| drop(done));
    }

    fn announce(&self, _: &ReloadReport) {}

    fn reloaded(&self, report: &ReloadReport) {
        let _ = self.reports.send((Instant::now(), report.clone()));
    }
}

pub(crate) async fn measure(count: usize, saves: usize) -> Fallible<Crowd> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let site = tempfile::Builder::new().prefix("hotloader-bench-").tempdir_in(parent)?;
    let lua = site.path().join("lua");
    let main = copy_sample(&lua)?;
    let published = Arc::new(Published::default());
    let sessions = LuaSessions::start(SessionSettings {
        session: SessionConfig { threads: 2, max: count, ..SessionConfig::default() },
        lua: LuaConfig { hotload: true, ..LuaConfig::default() },
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Templates,
        refused: Arc::default(),
        hub: None,
        published: published.clone(),
    })?;
    let (reports, mut reported) = mpsc::unbounded_channel();
    let root = Root {
        id: LUA_ROOT,
        dir: lua.clone(),
        extensions: &["lua"],
        recursive: true,
        max_file: Root::MAX_FILE,
        optional: false,
    };
    let host = Arc::new(Host { sessions: sessions.clone(), reports });
    let layout = SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into(), files: "data".into() };
    let (watch, registry) = (WatchConfig::default(), Registry::with_builtin());
    let loader = HotLoader::start(&watch, &registry, lua, vec![root], layout, published, host).await?;

    let empty = process::memory(std::process::id())?;
    let mut creation = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        sessions.create().await?;
        creation.push(began.elapsed());
    }
    tokio::time::sleep(REST).await;
    let memory = (process::memory(std::process::id())? - empty) as f64 / count as f64;

    let lua_state = sessions.handles().first().ok_or("no sessions")?.summary().await?.memory;

    println!("{count} sessions of the sample application, saves of main.lua:");
    let text = fs::read_to_string(&main)?;
    let mut times = Vec::new();
    for save in 0..=saves {
        let text = text.replace("Hello from Lua", &format!("Hello for the {save}. time"));
        let used = process::processor(std::process::id())?;
        let began = Instant::now();
        fs::write(&main, text)?;
        let (ended, report) = reported.recv().await.ok_or("the loader has ended")?;
        if report.sessions != count || report.kept > 0 {
            return Err(format!("not taken by all sessions: {report:?}").into());
        }
        let used = process::processor(std::process::id())? - used;
        println!("{:>8.0} ms, {:.0} ms of a processor", micros(ended - began) / 1e3, micros(used) / 1e3);
        // The first one loads what reloads need.
        if save > 0 {
            times.push(ended - began);
        }
        tokio::time::sleep(REST).await;
    }
    loader.stop().await;
    sessions.end_all();
    Ok(Crowd { sessions: count, creation: median(creation), memory, lua: lua_state, reload: median(times) })
}

/// Returns its main file.
fn copy_sample(to: &Path) -> Fallible<PathBuf> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("lua"))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "lua")) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(to.join("main.lua"))
}
