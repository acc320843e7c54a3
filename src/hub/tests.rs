//! The in-process engine by itself: what is acknowledged stays, nobody's change is lost, everybody hears the last.

use std::{
    path::Path,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::config::ByteSize;

fn config() -> HubConfig {
    HubConfig::default()
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &config()).unwrap()
}

fn put(key: &str, value: &str) -> Write {
    Write { key: key.into(), value: Some(value.into()), ttl: None, expected: None }
}

/// Writes and waits.
fn write(store: &dyn Store, write: Write) -> Result<u64, StoreError> {
    let (sender, answer) = mpsc::channel();
    store.write(write, Box::new(move |result| sender.send(result).unwrap()));
    answer.recv_timeout(Duration::from_secs(20)).expect("it is answered")
}

fn text(store: &dyn Store, key: &str) -> Option<String> {
    store.get(key).map(|entry| entry.value.to_string())
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Adds 1 to a number, as `store.update` does it.
fn add_one(store: &dyn Store, key: &str) {
    loop {
        let before = store.get(key);
        let number: i64 = before.as_ref().map_or(0, |entry| entry.value.parse().unwrap());
        let expected = Some(before.map_or(0, |entry| entry.revision));
        match write(store, Write { expected, ..put(key, &(number + 1).to_string()) }) {
            Ok(_) => return,
            Err(StoreError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn who_is_answered_can_read_it_and_another_run_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/store.db");
    let store = open(&path);
    assert!(!path.exists(), "it is made with the first write");
    assert!(write(&store, put("a", "1")).unwrap() > 0);
    assert_eq!(text(&store, "a").as_deref(), Some("1"));
    write(&store, put("b", "[2]")).unwrap();
    write(&store, Write { value: None, ..put("a", "") }).unwrap();
    assert_eq!(text(&store, "a"), None);
    drop(store);
    let store = open(&path);
    assert_eq!(store.list("").iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["b"]);
    assert_eq!(store.size(), StoreSize { keys: 1, bytes: 4 });
}

#[test]
fn nobody_else_on_the_machine_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path);
    write(&store, put("a", "1")).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn changes_by_many_at_once_are_neither_lost_nor_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir.path().join("store.db")));
    let (writers, each) = (50, 4);
    let start = Arc::new(Barrier::new(writers));
    let threads: Vec<_> = (0..writers)
        .map(|_| {
            let (store, start) = (store.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                (0..each).for_each(|_| add_one(store.as_ref(), "n"));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(text(store.as_ref(), "n"), Some((writers * each).to_string()));
}

#[test]
fn a_change_of_what_is_not_as_expected_is_refused() {
    let store = SqliteStore::in_memory(&config()).unwrap();
    let first = write(&store, Write { expected: Some(0), ..put("a", "1") }).unwrap();
    assert_eq!(write(&store, Write { expected: Some(0), ..put("a", "2") }), Err(StoreError::Conflict));
    assert_eq!(
        write(&store, Write { expected: Some(first + 1), ..put("a", "2") }),
        Err(StoreError::Conflict)
    );
    write(&store, Write { expected: Some(first), ..put("a", "3") }).unwrap();
    assert_eq!(text(&store, "a").as_deref(), Some("3"));
}

#[test]
fn a_key_with_a_time_ends_by_itself_and_one_that_is_written_again_stays() {
    let store = SqliteStore::in_memory(&config()).unwrap();
    let ttl = Some(Duration::from_millis(30));
    write(&store, Write { ttl, ..put("short", "1") }).unwrap();
    write(&store, Write { ttl, ..put("kept", "1") }).unwrap();
    write(&store, put("kept", "2")).unwrap();
    until("the end", || store.get("short").is_none());
    assert_eq!(text(&store, "kept").as_deref(), Some("2"));
}

#[test]
fn what_is_more_than_is_allowed_is_refused_and_the_rest_of_its_transaction_is_written() {
    let config = HubConfig { max_keys: 2, max_size: ByteSize::bytes(20), ..config() };
    let store = SqliteStore::in_memory(&config).unwrap();
    write(&store, put("a", "1")).unwrap();
    write(&store, put("b", "1")).unwrap();
    let error = write(&store, put("c", "1")).unwrap_err();
    assert_eq!(error.to_string(), "the number of keys is 3, and hub.max_keys allows 2");
    let error = write(&store, put("a", &"1".repeat(30))).unwrap_err();
    assert!(error.to_string().contains("hub.max_size"), "{error}");
    write(&store, Write { value: None, ..put("b", "") }).unwrap();
    write(&store, put("c", "1")).unwrap();
}

#[test]
fn what_another_process_writes_is_there_within_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let (one, other) = (open(&path), open(&path));
    write(&one, put("a", "1")).unwrap();
    until("the other to see it", || text(&other, "a").as_deref() == Some("1"));
    write(&other, put("a", "2")).unwrap();
    add_one(&other, "n");
    add_one(&one, "n");
    assert_eq!(text(&one, "n").as_deref(), Some("2"));
    write(&other, Write { value: None, ..put("a", "") }).unwrap();
    until("the one to see its end", || one.get("a").is_none());
}

#[test]
fn a_file_that_is_none_of_ours_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let foreign = || rusqlite::Connection::open(&path).unwrap();
    foreign().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = SqliteStore::open(&path, &config()).unwrap_err();
    assert!(matches!(&error, HubError::Foreign { .. }), "{error}");
    std::fs::remove_file(&path).unwrap();

    write(&open(&path), put("a", "1")).unwrap();
    until("the file to be let go", || foreign().execute_batch("PRAGMA user_version = 99").is_ok());
    let error = SqliteStore::open(&path, &config()).unwrap_err();
    assert!(error.to_string().contains("has the format 99, and this program knows 1"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_with_its_name_and_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    std::fs::write(&path, "this is no database, and long enough to be looked at as if it were one").unwrap();
    let error = SqliteStore::open(&path, &config()).unwrap_err().to_string();
    assert!(error.contains("store.db") && error.contains("move it away"), "{error}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = SqliteStore::open(&path, &config()).unwrap_err().to_string();
    assert!(error.contains("can't be opened") && error.contains("hub.store"), "{error}");
}

#[test]
fn a_file_that_another_has_locked_fails_the_write_after_the_patience_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let config = HubConfig { patience: Duration::from_millis(50), ..config() };
    let store = SqliteStore::open(&path, &config).unwrap();
    write(&store, put("a", "1")).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = write(&store, put("a", "2")).unwrap_err();
    assert!(error.to_string().contains("locked by another program for longer than hub.patience"), "{error}");
    assert_eq!(text(&store, "a").as_deref(), Some("1"));
    let error = SqliteStore::open(&path, &config).unwrap_err();
    assert!(matches!(&error, HubError::Locked { .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    write(&store, put("a", "3")).unwrap();
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(std::sync::atomic::AtomicUsize);

impl Wake for Bell {
    fn delivered(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    fn answered(&self) {}
}

fn hub(config: HubConfig) -> Hub {
    Hub::start(Path::new("/nowhere"), &HubConfig { store: HubConfig::MEMORY.into(), ..config }).unwrap()
}

/// All that waits for it.
fn taken(port: &mut Port) -> Vec<(Handle, String, Option<String>)> {
    std::iter::from_fn(|| port.take().0)
        .map(|one| (one.handle, one.name.to_string(), one.value.map(|value| value.to_string())))
        .collect()
}

#[test]
fn messages_come_to_who_listens_in_order_and_to_nobody_after_the_end() {
    let hub = hub(config());
    let (mut one, mut two) = (hub.port(Arc::new(())), hub.port(Arc::new(())));
    one.subscribe(1, "chat.*").unwrap();
    two.subscribe(1, "chat.room").unwrap();
    for n in ["1", "2", "3"] {
        two.publish("chat.room", n.into()).unwrap();
    }
    one.publish("other", "4".into()).unwrap();
    let expected: Vec<_> = ["1", "2", "3"].map(|n| (1, "chat.room".to_owned(), Some(n.to_owned()))).to_vec();
    assert_eq!(taken(&mut one), expected);
    assert_eq!(taken(&mut two), expected, "who publishes hears it, too");
    one.end(1);
    drop(two);
    assert_eq!(hub.topics().counts(), []);
    one.publish("chat.room", "5".into()).unwrap();
    assert_eq!(taken(&mut one), []);
}

#[test]
fn more_messages_than_allowed_are_dropped_and_counted_both_ways() {
    let hub = hub(HubConfig { messages: 3, ..config() });
    let (mut one, mut two) = (hub.port(Arc::new(())), hub.port(Arc::new(())));
    let mut reader = hub.port(Arc::new(()));
    reader.subscribe(1, "t").unwrap();
    for _ in 0..4 {
        one.publish("t", "1".into()).unwrap();
    }
    two.publish("t", "2".into()).unwrap();
    assert_eq!(one.take_dropped(), 1, "of its own");
    assert_eq!(taken(&mut reader).len(), 3);
    assert_eq!(reader.take_dropped(), 1, "of what came");
    assert_eq!((hub.counters().published(), hub.counters().delivered(), hub.counters().dropped()), (4, 3, 2));
    let error = one.publish("t", "1".repeat(70_000).into()).unwrap_err();
    assert!(error.contains("hub.max_value"), "{error}");
}

#[test]
fn a_session_has_no_more_subscriptions_than_allowed() {
    let mut port = hub(HubConfig { subscriptions: 2, ..config() }).port(Arc::new(()));
    port.subscribe(1, "a").unwrap();
    port.watch(2, "a").unwrap();
    assert!(port.subscribe(3, "b").unwrap_err().contains("hub.subscriptions is 2"));
    port.end(1);
    port.subscribe(3, "b").unwrap();
}

#[test]
fn a_watch_ends_at_the_last_value_however_slow_its_session_is() {
    let hub = hub(HubConfig { messages: 1, ..config() });
    let bell = Arc::new(Bell::default());
    let mut port = hub.port(bell.clone());
    port.watch(7, "vote.").unwrap();
    let store = hub.store().unwrap();
    for n in 0..50 {
        write(store, put("vote.a", &n.to_string())).unwrap();
    }
    write(store, put("other", "1")).unwrap();
    write(store, put("vote.b", "1")).unwrap();
    write(store, Write { value: None, ..put("vote.b", "") }).unwrap();
    assert_eq!(bell.0.load(std::sync::atomic::Ordering::Relaxed), 1, "it has not looked yet");
    let expected = [(7, "vote.a".to_owned(), Some("49".to_owned())), (7, "vote.b".to_owned(), None)];
    assert_eq!(taken(&mut port), expected);
}

#[test]
fn who_has_read_a_key_or_a_prefix_is_told_of_each_change_and_nobody_else_is() {
    let hub = hub(config());
    let store = hub.store().unwrap();
    let mut ports = [(); 3].map(|()| hub.port(Arc::new(())));
    assert_eq!(ports[0].get("a.b"), Ok(None));
    assert_eq!(ports[1].list("a."), Ok(Vec::new()));
    ports[2].get("other").unwrap();
    let changed = |ports: &mut [Port; 3]| ports.each_mut().map(|port| port.take().1);
    write(store, put("a.b", "1")).unwrap();
    assert_eq!(changed(&mut ports), [true, true, false]);
    assert_eq!(changed(&mut ports), [false; 3]);
    write(store, Write { value: None, ..put("a.b", "") }).unwrap();
    assert_eq!(changed(&mut ports), [true, true, false]);
}

#[tokio::test]
async fn of_keys_of_the_servers_own_only_the_server_hears() {
    let store = SqliteStore::in_memory(&config()).unwrap();
    let mut own = store.follow_own();
    write(&store, put("a", "1")).unwrap();
    assert!(!own.has_changed().unwrap());
    write(&store, put(&format!("{OWN}a"), "1")).unwrap();
    assert!(own.has_changed().unwrap());
    own.mark_unchanged();
    write(&store, Write::delete(&format!("{OWN}a"))).unwrap();
    assert!(own.has_changed().unwrap());
    assert!(store.list("").iter().all(|(key, _)| **key == *"a"));
}

/// Where the process that is killed writes.
const VICTIM: &str = "HOTLOADER_TEST_STORE";

/// Not a test by itself: the process that the next one kills.
#[test]
#[ignore = "it writes until it is killed"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = open(Path::new(&path));
    for n in 0.. {
        write(&store, put(&format!("key {n}"), &n.to_string())).unwrap();
        println!("wrote {n}");
    }
}

#[test]
fn what_was_acknowledged_before_the_process_was_killed_is_there() {
    use std::io::{BufRead as _, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    for round in 1..=3 {
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["hub::tests::writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The test's own name may stand before the first.
        let number = |line: String| line.split("wrote ").nth(1)?.parse::<u64>().ok();
        let mut written = lines.filter_map(number);
        assert_eq!(written.by_ref().find(|n| *n == round * 20), Some(round * 20));
        victim.kill().unwrap();
        let last = written.last().unwrap_or(round * 20);
        victim.wait().unwrap();
        let store = open(&path);
        for n in 0..=last {
            assert_eq!(text(&store, &format!("key {n}")), Some(n.to_string()), "of {last}");
        }
    }
}

#[cfg(not(feature = "nats"))]
#[tokio::test]
async fn a_build_without_nats_says_how_to_get_it() {
    let config = HubConfig { engine: crate::config::HubEngine::Nats, ..config() };
    let error = Hub::connect(Path::new("/nowhere"), &config, &Default::default()).await.unwrap_err();
    let said = "this build has no NATS: build with --features nats, or set hub.engine = \"local\"";
    assert_eq!(error.to_string(), said);
}
