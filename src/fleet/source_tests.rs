//! A server's part in a fleet, with a depot that counts what is asked of it and a loader that runs nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::{
    reload::{Diagnostic, Faulted, ReloadReport},
    watch::ChangeSet,
};

/// A directory, and announcements as NATS has them.
#[derive(Debug)]
struct Announcer {
    dir: DirDepot,
    listeners: Mutex<Vec<mpsc::Sender<News>>>,
    asked_for_blobs: AtomicUsize,
    asked_for_pointers: AtomicUsize,
}

impl Announcer {
    fn look(&self) {
        for listener in self.listeners.lock().unwrap().iter() {
            listener.try_send(News::Look).unwrap();
        }
    }
}

impl Depot for Announcer {
    fn get(&self, address: Digest) -> Answered<'_, Option<Arc<[u8]>>> {
        self.asked_for_blobs.fetch_add(1, SeqCst);
        self.dir.get(address)
    }

    fn put(&self, address: Digest, bytes: Arc<[u8]>) -> Answered<'_, ()> {
        self.dir.put(address, bytes)
    }

    fn missing(&self, addresses: Vec<Digest>) -> Answered<'_, Vec<Digest>> {
        self.dir.missing(addresses)
    }

    fn pointer<'a>(&'a self, site: &'a str) -> Answered<'a, Option<Record>> {
        self.asked_for_pointers.fetch_add(1, SeqCst);
        self.dir.pointer(site)
    }

    fn point<'a>(&'a self, site: &'a str, after: u64, bytes: Vec<u8>) -> Answered<'a, u64> {
        self.dir.point(site, after, bytes)
    }

    fn pointers<'a>(&'a self, site: &'a str) -> Answered<'a, Vec<Record>> {
        self.dir.pointers(site)
    }

    fn report<'a>(&'a self, site: &'a str, server: &'a str, report: Vec<u8>) -> Answered<'a, ()> {
        self.dir.report(site, server, report)
    }

    fn reports<'a>(&'a self, site: &'a str) -> Answered<'a, BTreeMap<String, Vec<u8>>> {
        self.dir.reports(site)
    }

    fn announce<'a>(&'a self, _: &'a str, announcement: Announcement) -> Answered<'a, ()> {
        for listener in self.listeners.lock().unwrap().iter() {
            let _ = listener.try_send(News::Announced(announcement.clone()));
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn news(&self, _: &str) -> mpsc::Receiver<News> {
        let (sender, receiver) = mpsc::channel(8);
        self.listeners.lock().unwrap().push(sender);
        receiver
    }

    fn hints(&self, site: &str) -> watch::Receiver<u64> {
        self.dir.hints(site)
    }
}

/// What is in a file of every release.
const SAME: &str = "stays";

struct RunsNothing;

impl Loader for RunsNothing {
    type Checked = ();

    async fn check(&mut self, _: ChangeSet) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn run(&mut self, (): ()) -> oneshot::Receiver<ReloadReport> {
        let (sender, receiver) = oneshot::channel();
        sender.send(ReloadReport::default()).unwrap();
        receiver
    }

    async fn stop(self) {}
}

struct World {
    dir: TempDir,
    depot: Arc<Announcer>,
    key: Arc<SecretKey>,
    /// What fails in the sessions of its server.
    _faults: watch::Sender<Faulted>,
    pulse: Pulse,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let depot = Announcer {
            dir: DirDepot::new(dir.path().join("depot")),
            listeners: Mutex::default(),
            asked_for_blobs: AtomicUsize::new(0),
            asked_for_pointers: AtomicUsize::new(0),
        };
        let (faults, followed) = watch::channel(Faulted::default());
        let pulse = Pulse { sessions: Arc::new(|| (0, 0)), faults: followed };
        Self {
            dir,
            depot: Arc::new(depot),
            key: Arc::new(SecretKey::generate().unwrap()),
            _faults: faults,
            pulse,
        }
    }

    /// A blob in the cache.
    fn cached(&self, address: Digest) -> PathBuf {
        let digits = address.to_string();
        self.dir.path().join("cache/blobs").join(&digits[..2]).join(&digits[2..])
    }

    async fn serve(&self) -> Fleet {
        let settings = FleetSettings {
            site: "shop".into(),
            server: "a".into(),
            trust: vec![self.key.public()],
            max_size: 1 << 20,
            main: "lua/main.lua".into(),
            roots: Vec::new(),
        };
        let cache = Cache::open(&self.dir.path().join("cache")).unwrap();
        Fleet::start(settings, cache, self.depot.clone(), RunsNothing, self.pulse.clone()).await.unwrap()
    }

    fn publisher(&self, key: Arc<SecretKey>) -> Publisher {
        Publisher::new(Overview::new(self.depot.clone(), "shop".into(), Vec::new()), key)
    }

    async fn publish(&self, main: &str) -> Digest {
        let publisher = self.publisher(self.key.clone());
        let file = |(path, text): (&str, &str)| (path.to_owned(), Arc::from(text.as_bytes()));
        let files =
            [("lua/main.lua", main), ("lua/same.lua", SAME), ("html/same.css", SAME)].map(file).into();
        let packed = pack(&files, 1 << 20).unwrap();
        let fresh = publisher.send(&packed, |_| ()).await.unwrap();
        publisher.point(packed.root, Plan::default(), &Canaries::None, &fresh).await.unwrap();
        packed.root
    }
}

/// Waits until it runs it, and a restart would begin with it.
async fn runs(fleet: &Fleet, root: Digest) {
    let mut status = fleet.follow();
    let running = status.wait_for(|status| {
        let answer = status.answer.as_ref().filter(|answer| answer.root == root);
        answer.is_some_and(|answer| matches!(answer.outcome, Outcome::Applied { .. }))
    });
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_release_that_was_announced_with_its_blobs_is_run_without_asking_for_them() {
    let world = World::new();
    let first = world.publish("x = 1").await;
    let fleet = world.serve().await;
    runs(&fleet, first).await;
    let asked = world.depot.asked_for_blobs.load(SeqCst);
    assert!(asked > 0, "who comes later asks for all of it");
    let second = world.publish("x = 2").await;
    runs(&fleet, second).await;
    assert_eq!(world.depot.asked_for_blobs.load(SeqCst), asked);
    fleet.stop().await;
    // What was announced is in the cache.
    fs::remove_dir_all(world.dir.path().join("depot")).unwrap();
    let again = world.serve().await;
    assert_eq!(again.follow().borrow().running, Some(second));
}

#[tokio::test]
async fn content_that_stays_is_read_once_after_a_start_and_damage_is_seen_then() {
    let world = World::new();
    let first = world.publish("x = 1").await;
    let fleet = world.serve().await;
    runs(&fleet, first).await;
    let asked = world.depot.asked_for_blobs.load(SeqCst);
    let same = world.cached(Digest::of(SAME.as_bytes()));
    fs::write(&same, "damaged").unwrap();
    let second = world.publish("x = 2").await;
    runs(&fleet, second).await;
    assert_eq!(world.depot.asked_for_blobs.load(SeqCst), asked, "nobody has looked at it");
    let style = world.dir.path().join("cache/current/html/same.css");
    assert_eq!(fs::read_to_string(style).unwrap(), SAME);
    fleet.stop().await;
    let fleet = world.serve().await;
    runs(&fleet, second).await;
    assert_eq!(world.depot.asked_for_blobs.load(SeqCst), asked + 1);
    assert_eq!(fs::read_to_string(&same).unwrap(), SAME);
}

#[tokio::test]
async fn a_release_that_cannot_be_laid_out_beside_what_is_there_is_read_anew_with_the_next_look() {
    let world = World::new();
    let first = world.publish("x = 1").await;
    let fleet = world.serve().await;
    runs(&fleet, first).await;
    fs::remove_file(world.dir.path().join("cache/current/html/same.css")).unwrap();
    let second = world.publish("x = 2").await;
    let mut status = fleet.follow();
    let waits = status.wait_for(|status| {
        let outcome = status.answer.as_ref().map(|answer| &answer.outcome);
        matches!(outcome, Some(Outcome::Waiting { why }) if why.contains("same.css"))
    });
    tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap().unwrap();
    world.depot.look();
    runs(&fleet, second).await;
    let style = world.dir.path().join("cache/current/html/same.css");
    assert_eq!(fs::read_to_string(style).unwrap(), SAME);
}

#[tokio::test]
async fn what_a_stranger_announces_is_not_followed_and_leads_to_the_pointer_that_is_there() {
    let world = World::new();
    let first = world.publish("x = 0").await;
    let fleet = world.serve().await;
    // Whoever begins to listen looks; that is over now.
    runs(&fleet, first).await;
    let stranger = SecretKey::generate().unwrap();
    let files = Files::from([("lua/main.lua".to_owned(), Arc::from(&b"evil()"[..]))]);
    let packed = pack(&files, 1 << 20).unwrap();
    let forged = super::pointer::tests::pointer(9, packed.root, None).sign(&stranger);
    // The pointer of a publisher whose own announcement is lost.
    let listeners = std::mem::take(&mut *world.depot.listeners.lock().unwrap());
    let good = world.publish("x = 1").await;
    *world.depot.listeners.lock().unwrap() = listeners;
    world.depot.announce("shop", Announcement::new(forged, &packed.blobs)).await.unwrap();
    runs(&fleet, good).await;
    assert_eq!(fleet.follow().borrow().seq, 2, "nothing of the stranger was seen");
}

#[tokio::test]
async fn however_many_hints_a_stranger_sends_they_soon_lead_to_one_look_a_second() {
    let world = World::new();
    let first = world.publish("x = 1").await;
    let fleet = world.serve().await;
    runs(&fleet, first).await;
    let listener = world.depot.listeners.lock().unwrap()[0].clone();
    let (before, began) = (world.depot.asked_for_pointers.load(SeqCst), Instant::now());
    while began.elapsed() < Duration::from_millis(500) {
        listener.send(News::Announced(Announcement::default())).await.unwrap();
        listener.send(News::Look).await.unwrap();
    }
    let all_are_heard = listener.reserve_many(listener.max_capacity()).await;
    all_are_heard.unwrap();
    let looks = world.depot.asked_for_pointers.load(SeqCst) - before;
    // Seven pauses of less than a second, and one may have come by itself.
    let most = 9 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(looks <= most, "{looks} looks, and not more than {most}");
}
