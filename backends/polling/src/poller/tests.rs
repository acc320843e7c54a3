//! The poller step by step: the looks are real, the time between them is not.

use std::{collections::BTreeMap, fs, path::PathBuf, pin::Pin};

use hotloader_backend::{BackendHandle, FileWatchBackend, HintSet, spawn};
use serde_json::json;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
    time::advance,
};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// The interval.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// As long as a look comes after another.
const PAUSE: Duration = Duration::from_millis(20);

/// Hands its inputs out.
struct Given(oneshot::Sender<BackendInputs>);

impl FileWatchBackend for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn run(
        self: Box<Self>,
        inputs: BackendInputs,
    ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
        self.0.send(inputs).unwrap();
        Box::pin(std::future::pending())
    }
}

struct Bench {
    _keep: tempfile::TempDir,
    root: PathBuf,
    handle: BackendHandle,
    stream: ReportStream,
    poller: Poller,
}

impl Bench {
    /// Watches an empty directory, long ago.
    async fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(keep.path()).unwrap();
        let (give, given) = oneshot::channel();
        let (handle, stream) = spawn(Box::new(Given(give)));
        handle.set_plan(WatchPlan::new(1, [root.clone()]));
        let options = BTreeMap::from([("interval".to_owned(), json!("1h"))]);
        let mut poller = Poller::new(Options::from_table(&options).unwrap(), given.await.unwrap());
        poller.take_plan().unwrap();
        poller.go_on();
        let mut bench = Self { _keep: keep, root, handle, stream, poller };
        bench.end_look().await;
        assert!(bench.stream.take().unwrap().armed.is_some());
        // The first listing is all there is to do: another look would be a second walk over everything.
        bench.wait(PAUSE).await;
        assert!(!bench.is_looking() && bench.told().is_empty());
        bench
    }

    fn write(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, "1").unwrap();
        path
    }

    /// Whether it is seen to whether the file system answers.
    fn is_looking(&self) -> bool {
        let never = Instant::now() + 2 * HOUR;
        self.poller.groups.iter().any(|group| group.wakes(never) != Some(never))
    }

    async fn wait(&mut self, time: Duration) {
        advance(time).await;
        self.poller.go_on();
    }

    async fn done(&mut self) -> Done {
        self.poller.finished.recv().await.unwrap()
    }

    fn end(&mut self, done: Done) {
        self.poller.finish(done).unwrap();
        self.poller.go_on();
    }

    async fn end_look(&mut self) {
        let done = self.done().await;
        self.end(done);
    }

    /// The same for one that took so much of a processor.
    async fn end_look_of(&mut self, used: Duration) {
        let mut done = self.done().await;
        done.outcome.as_mut().unwrap().used = used;
        self.end(done);
    }

    /// Time goes by, and a look begins and ends.
    async fn look_after(&mut self, time: Duration) {
        self.wait(time - MS).await;
        assert!(!self.is_looking(), "too early");
        self.wait(MS).await;
        assert!(self.is_looking(), "too late");
        self.end_look().await;
    }

    /// The same by the interval.
    async fn look_by_itself(&mut self) {
        self.wait(HOUR).await;
        self.end_look().await;
    }

    async fn barrier(&mut self) -> JoinHandle<()> {
        let barrier = self.handle.barrier();
        let waiting = tokio::spawn(async move { barrier.await.unwrap() });
        let request = self.poller.inputs.barriers.recv().await.unwrap();
        self.poller.take_barrier(request).unwrap();
        self.poller.go_on();
        waiting
    }

    fn told(&mut self) -> HintSet {
        self.stream.take().map(|collected| collected.hints).unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn two_files_that_a_look_falls_between_are_told_together() {
    let mut bench = Bench::new().await;
    let first = bench.write("first");
    bench.look_by_itself().await;
    assert!(bench.told().is_empty(), "more may come");
    let second = bench.write("second");
    bench.look_after(PAUSE).await;
    assert!(bench.told().is_empty(), "more came, so more may");
    bench.look_after(PAUSE).await;
    let told = bench.told();
    assert!(told.covers(&first) && told.covers(&second), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lone_save_waits_for_one_more_look() {
    let mut bench = Bench::new().await;
    let file = bench.write("x");
    bench.look_by_itself().await;
    bench.look_after(PAUSE).await;
    assert!(bench.told().covers(&file));
    bench.wait(PAUSE).await;
    assert!(!bench.is_looking());
}

#[tokio::test(start_paused = true)]
async fn who_never_stops_writing_is_held_back_for_a_tenth_of_a_second() {
    let mut bench = Bench::new().await;
    bench.write("0");
    bench.look_by_itself().await;
    for look in 1..5 {
        bench.write(&look.to_string());
        bench.look_after(PAUSE).await;
        assert!(bench.told().is_empty(), "after {look}");
    }
    bench.write("5");
    bench.look_after(PAUSE).await;
    assert_eq!(bench.told().len(), 6);
    // What comes now is found in its turn.
    bench.write("6");
    bench.wait(PAUSE).await;
    assert!(!bench.is_looking());
}

#[tokio::test(start_paused = true)]
async fn a_barrier_is_passed_when_all_that_was_held_is_told_and_tears_nothing() {
    let mut bench = Bench::new().await;
    let before = bench.write("before");
    bench.look_by_itself().await;
    let asked = bench.write("asked");
    let barrier = bench.barrier().await;
    bench.end_look().await;
    yield_now().await;
    assert!(!barrier.is_finished() && bench.told().is_empty(), "what belongs to it may come");
    let after = bench.write("after");
    bench.look_after(PAUSE).await;
    bench.look_after(PAUSE).await;
    let told = bench.told();
    assert!(told.covers(&before) && told.covers(&asked) && told.covers(&after), "{told:?}");
    barrier.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_barrier_is_passed_at_once_when_nothing_is_held() {
    let mut bench = Bench::new().await;
    let barrier = bench.barrier().await;
    bench.end_look().await;
    barrier.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_that_does_not_end_holds_nothing_back_for_long() {
    let mut bench = Bench::new().await;
    let file = bench.write("x");
    bench.look_by_itself().await;
    bench.wait(PAUSE).await;
    assert!(bench.is_looking());
    bench.wait(200 * MS).await;
    assert!(bench.told().is_empty());
    bench.wait(40 * MS).await;
    assert!(bench.told().covers(&file));
}

#[tokio::test(start_paused = true)]
async fn what_is_found_while_a_look_goes_on_is_held_no_longer_either() {
    let mut bench = Bench::new().await;
    let file = bench.write("x");
    bench.wait(HOUR).await;
    let collected = bench.poller.reported.next().await.unwrap();
    bench.poller.hold.add(collected, Instant::now());
    bench.wait(249 * MS).await;
    assert!(bench.told().is_empty());
    bench.wait(MS).await;
    assert!(bench.told().covers(&file));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_told_when_the_poller_is_stopped() {
    let mut bench = Bench::new().await;
    let file = bench.write("x");
    bench.look_by_itself().await;
    assert!(bench.told().is_empty());
    bench.poller.inputs.stop.cancel();
    let Bench { poller, mut stream, .. } = bench;
    poller.run().await.unwrap();
    assert!(stream.take().unwrap().hints.covers(&file));
}

#[tokio::test(start_paused = true)]
async fn p6_what_is_dear_is_not_looked_at_again_and_a_cheap_look_is_paid_for() {
    let mut bench = Bench::new().await;
    let file = bench.write("cheap");
    bench.wait(HOUR).await;
    let begun = Instant::now();
    bench.end_look_of(MS).await;
    bench.wait(PAUSE).await;
    bench.end_look_of(MS).await;
    assert!(bench.told().covers(&file));
    assert_eq!(bench.poller.load.rests_until(), begun + 2 * 20 * MS);

    let file = bench.write("dear");
    bench.wait(HOUR).await;
    bench.end_look_of(20 * MS).await;
    assert!(bench.told().covers(&file), "nothing more will be found soon");
    bench.wait(PAUSE).await;
    assert!(!bench.is_looking());
}
