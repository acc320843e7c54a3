//! The hot loader with real files and the real watcher, and sessions that do as they are told.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::{
    config::WatchConfig,
    watch::{Registry, Root},
};

const LONG: Duration = Duration::from_secs(20);

/// What a session makes of whatever it is given.
#[derive(Clone, Copy)]
enum Answer {
    Applied,
    Fails,
    Exhausted,
    /// Not until the test is over.
    Never,
    /// Ends before it could.
    Ends,
}

struct Host {
    sessions: Mutex<Vec<(u32, Answer)>>,
    /// Which session was asked for which generation.
    asked: mpsc::UnboundedSender<(u32, u64)>,
    refreshed: AtomicUsize,
    /// Browsers of these have not heard yet.
    refreshing: Mutex<Vec<Refreshing>>,
    heard: mpsc::UnboundedSender<u64>,
    announced: mpsc::UnboundedSender<ReloadReport>,
    reloaded: mpsc::UnboundedSender<ReloadReport>,
    unanswered: Mutex<Vec<OutcomeSender>>,
}

impl SessionHost for Host {
    type Session = (u32, Answer);
    type Id = u32;

    fn lua_sessions(&self) -> Vec<(u32, Answer)> {
        self.sessions.lock().unwrap().clone()
    }

    fn id(&self, session: &(u32, Answer)) -> u32 {
        session.0
    }

    fn is_idle(&self, _: &(u32, Answer)) -> bool {
        true
    }

    fn reload(&self, &(id, answer): &(u32, Answer), target: &Arc<Generation>, outcomes: &OutcomeSender) {
        self.asked.send((id, target.number)).unwrap();
        let diagnostic = Box::new(Diagnostic::about("lua/main.lua", Some(1), "no"));
        let outcome = match answer {
            Answer::Applied => Outcome::Applied { files: target.changed.clone() },
            Answer::Fails => Outcome::Kept { diagnostic, exhausted: false },
            Answer::Exhausted => Outcome::Kept { diagnostic, exhausted: true },
            Answer::Ends => return,
            Answer::Never => return self.unanswered.lock().unwrap().push(outcomes.clone()),
        };
        let (generation, unchanged, effects) = (target.number, Vec::new(), Effects::default());
        outcomes.send(ReloadOutcome { generation, outcome, unchanged, effects }).unwrap();
    }

    fn refresh(&self, _: &(u32, Answer), done: Refreshing) {
        self.refreshed.fetch_add(1, SeqCst);
        self.refreshing.lock().unwrap().push(done);
    }

    fn refreshed(&self, generation: u64, _: Duration) {
        // Nobody listens when the test is over.
        let _ = self.heard.send(generation);
    }

    fn announce(&self, report: &ReloadReport) {
        self.announced.send(report.clone()).unwrap();
    }

    fn reloaded(&self, report: &ReloadReport) {
        self.reloaded.send(report.clone()).unwrap();
    }
}

struct Running {
    site: TempDir,
    host: Arc<Host>,
    loader: HotLoader,
    published: Arc<Published>,
    asked: mpsc::UnboundedReceiver<(u32, u64)>,
    heard: mpsc::UnboundedReceiver<u64>,
    announced: mpsc::UnboundedReceiver<ReloadReport>,
    reloaded: mpsc::UnboundedReceiver<ReloadReport>,
}

impl Running {
    async fn with(sessions: &[Answer]) -> Self {
        let site = tempfile::tempdir().unwrap();
        fs::create_dir(site.path().join("lua")).unwrap();
        fs::write(site.path().join("lua/main.lua"), "x = 1").unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let (announce, announced) = mpsc::unbounded_channel();
        let (tell, reloaded) = mpsc::unbounded_channel();
        let (hear, heard) = mpsc::unbounded_channel();
        let host = Arc::new(Host {
            sessions: Mutex::new((1..).zip(sessions.iter().copied()).collect()),
            asked: ask,
            refreshed: AtomicUsize::new(0),
            refreshing: Mutex::default(),
            heard: hear,
            announced: announce,
            reloaded: tell,
            unanswered: Mutex::default(),
        });
        let published = Arc::new(Published::default());
        let lua_dir = site.path().join("lua");
        let root = Root {
            id: LUA_ROOT,
            dir: lua_dir.clone(),
            extensions: &["lua"],
            recursive: true,
            max_file: Root::MAX_FILE,
            optional: false,
        };
        let layout = SiteLayout { lua: "lua".into(), viewdefs: "viewdefs".into(), files: "data".into() };
        let (settings, registry) = (WatchConfig::default(), Registry::with_builtin());
        let loader = HotLoader::start(
            &settings,
            &registry,
            lua_dir,
            vec![root],
            layout,
            published.clone(),
            host.clone(),
        );
        let loader = loader.await.unwrap();
        Self { site, host, loader, published, asked, heard, announced, reloaded }
    }

    fn save(&self, text: &str) {
        fs::write(self.site.path().join("lua/main.lua"), text).unwrap();
    }

    async fn report(&mut self) -> ReloadReport {
        timeout(LONG, self.reloaded.recv()).await.expect("a reload in time").unwrap()
    }

    fn asked(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).map(|(id, _)| id).collect()
    }
}

#[tokio::test]
async fn what_is_there_at_the_start_is_the_first_good_generation() {
    let running = Running::with(&[Answer::Applied]).await;
    assert_eq!(running.published.good().number, 1);
    assert!(running.published.good().file("main.lua".as_ref()).is_some());
    assert_eq!(running.loader.lua_dir(), running.site.path().join("lua"));
    assert!(running.loader.watched_dirs().contains(&running.site.path().join("lua").canonicalize().unwrap()));
}

#[tokio::test]
async fn a_saved_file_reaches_every_session_and_each_is_refreshed() {
    let mut running = Running::with(&[Answer::Applied; 5]).await;
    running.save("x = 2");
    let report = running.report().await;
    assert_eq!((report.status, report.sessions, report.applied), (ReloadStatus::Ok, 5, 5));
    assert_eq!(running.asked(), [1, 2, 3, 4, 5]);
    assert_eq!(running.host.refreshed.load(SeqCst), 5);
    assert_eq!(running.published.good().number, 2);
    assert!(running.announced.try_recv().is_err(), "a good reload is told by the sessions themselves");
}

#[tokio::test]
async fn when_the_last_session_has_told_its_browsers_that_is_known_and_nobody_has_waited_for_it() {
    let mut running = Running::with(&[Answer::Applied; 3]).await;
    running.save("x = 2");
    running.report().await;
    let last = running.host.refreshing.lock().unwrap().split_off(2);
    running.host.refreshing.lock().unwrap().clear();
    // The next save comes through meanwhile.
    running.save("x = 3");
    assert_eq!(running.report().await.generation, 3);
    assert!(running.heard.try_recv().is_err());
    drop(last);
    assert_eq!(timeout(LONG, running.heard.recv()).await.expect("in time"), Some(2));
}

#[tokio::test]
async fn an_error_stands_for_those_who_come_until_the_next_good_save() {
    let mut running = Running::with(&[Answer::Applied, Answer::Fails]).await;
    running.save("x = 2");
    let report = running.report().await;
    assert_eq!((report.status, report.applied, report.kept), (ReloadStatus::Partial, 1, 1));
    let announced = timeout(LONG, running.announced.recv()).await.unwrap().unwrap();
    assert_eq!(announced.errors[0].sessions, 1);
    assert_eq!(running.published.standing().unwrap().generation, 2);
    running.host.sessions.lock().unwrap()[1].1 = Answer::Applied;
    running.save("x = 3");
    running.report().await;
    let cleared = async {
        while running.published.standing().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, cleared).await.expect("the error is gone");
}

#[tokio::test]
async fn a_loop_costs_two_sessions_their_budget_and_spares_the_others() {
    let mut running = Running::with(&[Answer::Exhausted; 9]).await;
    running.save("while true do end");
    let report = running.report().await;
    assert_eq!(running.asked().len(), 2);
    assert_eq!((report.status, report.sessions, report.kept), (ReloadStatus::Failed, 9, 9));
    timeout(LONG, running.announced.recv()).await.unwrap().unwrap();
    assert_eq!(running.published.good().number, 1, "new sessions don't start from it");
}

#[tokio::test]
async fn the_first_two_sessions_may_end_and_the_others_are_asked_all_the_same() {
    for first in [Answer::Ends, Answer::Exhausted] {
        let mut running = Running::with(&[first, Answer::Ends, Answer::Applied, Answer::Applied]).await;
        running.save("x = 2");
        let report = running.report().await;
        assert_eq!(running.asked().len(), 4);
        assert_eq!(report.applied, 2);
    }
}

#[tokio::test]
async fn a_slow_session_does_not_hold_up_the_next_save() {
    let mut running = Running::with(&[Answer::Never, Answer::Applied, Answer::Applied]).await;
    running.save("x = 2");
    while timeout(LONG, running.asked.recv()).await.expect("all are asked").unwrap() != (3, 2) {}
    running.save("x = 3");
    while timeout(LONG, running.asked.recv()).await.expect("all are asked again").unwrap() != (3, 3) {}
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_save_that_waits_for_a_busy_session_is_told_of() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let running = Running::with(&[Answer::Never, Answer::Applied]).await;
    running.save("x = 2");
    let told = async {
        while !String::from_utf8_lossy(&log.0.lock().unwrap())
            .contains("queued lua/main.lua: 1 session is busy")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, told).await.expect("a word about it");
}

#[tokio::test]
async fn stopping_drops_reloads_that_have_not_ended() {
    let mut running = Running::with(&[Answer::Never]).await;
    running.save("x = 2");
    timeout(LONG, running.asked.recv()).await.expect("it is asked").unwrap();
    timeout(LONG, running.loader.stop()).await.expect("it stops");
    let outcomes = running.host.unanswered.lock().unwrap().pop().unwrap();
    assert!(outcomes.is_closed(), "nobody waits for the session any more");
}
