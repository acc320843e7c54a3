//! The watch half as a whole: real files, the real notify backend, no sleeps but deadlines.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::config::WatchConfig;

const LUA: RootId = RootId("lua");
const DEADLINE: Duration = Duration::from_secs(10);

/// What a consumer of all change sets knows.
struct Site {
    _keep: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
    handle: WatchHandle,
    sets: mpsc::Receiver<ChangeSet>,
    known: BTreeMap<String, String>,
}

fn settings() -> WatchConfig {
    WatchConfig { quiet: Duration::from_millis(5), ..WatchConfig::default() }
}

fn lua_root(dir: &Path) -> Root {
    Root { id: LUA, dir: dir.to_owned(), extension: Some("lua"), recursive: true }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// `ln -sfn`
fn relink(target: &str, link: &Path) {
    let temporary = link.with_file_name(".new-link");
    symlink(target, &temporary).unwrap();
    fs::rename(&temporary, link).unwrap();
}

impl Site {
    async fn with(prepare: impl FnOnce(&Path)) -> Self {
        Self::with_settings(&settings(), prepare).await
    }

    async fn with_settings(settings: &WatchConfig, prepare: impl FnOnce(&Path)) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        let root = base.join("lua");
        prepare(&base);
        let (handle, sets) = start(settings, vec![lua_root(&root)], &Registry::with_builtin()).await.unwrap();
        let mut site = Self { _keep: keep, base, root, handle, sets, known: BTreeMap::new() };
        let first = site.sets.recv().await.unwrap();
        assert!(first.initial);
        assert!(first.changes.iter().all(|change| matches!(change.kind, ChangeKind::Added(_))));
        site.learn(&first);
        site
    }

    fn learn(&mut self, set: &ChangeSet) {
        for change in &set.changes {
            let name = change.name.to_str().unwrap().to_owned();
            match &change.kind {
                ChangeKind::Added(content) => {
                    let text = String::from_utf8(content.bytes.to_vec()).unwrap();
                    assert!(self.known.insert(name, text).is_none(), "added twice");
                }
                ChangeKind::Modified(content) => {
                    let text = String::from_utf8(content.bytes.to_vec()).unwrap();
                    assert!(self.known.insert(name, text).is_some(), "modified before it was added");
                }
                ChangeKind::Removed => {
                    assert!(self.known.remove(&name).is_some(), "removed before it was added")
                }
            }
        }
    }

    /// Passes a barrier; returns what was delivered up to it.
    async fn sync(&mut self) -> Vec<ChangeSet> {
        let mut sets = Vec::new();
        {
            let barrier = self.handle.barrier();
            tokio::pin!(barrier);
            loop {
                tokio::select! {
                    passed = &mut barrier => break passed.unwrap(),
                    Some(set) = self.sets.recv() => sets.push(set),
                }
            }
        }
        while let Ok(set) = self.sets.try_recv() {
            sets.push(set);
        }
        for set in &sets {
            assert!(!set.changes.is_empty());
            self.learn(set);
        }
        sets
    }

    /// Passes a barrier and compares with what should be known.
    async fn check(&mut self, expected: &[(&str, &str)]) {
        self.sync().await;
        let expected = expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        assert_eq!(self.known, expected);
    }

    /// Waits until this is known, for what is not believed at first sight.
    async fn wait_for(&mut self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let deadline = Instant::now() + DEADLINE;
        while self.known != expected {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.sets.recv()).await {
                Ok(set) => self.learn(&set.unwrap()),
                Err(_) => panic!("is {:?}, should be {expected:?}", self.known),
            }
        }
    }

    async fn stop(self) {
        timeout(DEADLINE, self.handle.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn edits_atomic_saves_and_recreation_are_each_reported_by_content() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "0")).await;
    let file = site.root.join("x.lua");
    site.check(&[("x.lua", "0")]).await;
    write(&file, "1");
    site.check(&[("x.lua", "1")]).await;
    for save in ["2", "3"] {
        write(&site.root.join("x.lua.tmp"), save);
        fs::rename(site.root.join("x.lua.tmp"), &file).unwrap();
        site.check(&[("x.lua", save)]).await;
    }
    fs::remove_file(&file).unwrap();
    site.check(&[("x.lua", "3")]).await;
    write(&file, "4");
    site.check(&[("x.lua", "4")]).await;
    fs::remove_file(&file).unwrap();
    site.wait_for(&[]).await;
    write(&file, "5");
    site.check(&[("x.lua", "5")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_touch_or_an_equal_content_is_no_change() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "same")).await;
    let file = site.root.join("x.lua");
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(site.sync().await.is_empty());
    write(&file, "same");
    write(&site.root.join("y.tmp"), "same");
    fs::rename(site.root.join("y.tmp"), &file).unwrap();
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn names_that_do_not_belong_are_never_reported() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "")).await;
    write(&site.root.join(".#x.lua"), "1");
    write(&site.root.join("note.txt"), "1");
    write(&site.root.join("node_modules/y.lua"), "1");
    write(&site.base.join("other.lua"), "1");
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn new_directories_are_followed_however_fast_they_come() {
    let mut site = Site::with(|base| fs::create_dir(base.join("lua")).unwrap()).await;
    let mut expected = BTreeMap::new();
    for i in 0..40 {
        write(&site.root.join(format!("{i}/b/c/x.lua")), &i.to_string());
        expected.insert(format!("{i}/b/c/x.lua"), i.to_string());
        if i % 8 == 0 {
            site.sync().await;
            assert_eq!(site.known, expected);
            write(&site.root.join(format!("{i}/b/c/x.lua")), "again");
            expected.insert(format!("{i}/b/c/x.lua"), "again".into());
        }
    }
    site.sync().await;
    assert_eq!(site.known, expected);
    site.stop().await;
}

#[tokio::test]
async fn directories_move_in_and_out_with_all_that_is_in_them() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "x")).await;
    write(&site.base.join("away/sub/y.lua"), "1");
    fs::rename(site.base.join("away"), site.root.join("here")).unwrap();
    site.check(&[("here/sub/y.lua", "1"), ("x.lua", "x")]).await;
    write(&site.root.join("here/sub/y.lua"), "2");
    site.check(&[("here/sub/y.lua", "2"), ("x.lua", "x")]).await;
    fs::rename(site.root.join("here"), site.root.join("there")).unwrap();
    site.wait_for(&[("there/sub/y.lua", "2"), ("x.lua", "x")]).await;
    write(&site.root.join("there/sub/y.lua"), "3");
    site.check(&[("there/sub/y.lua", "3"), ("x.lua", "x")]).await;
    fs::rename(site.root.join("there"), site.base.join("away")).unwrap();
    site.wait_for(&[("x.lua", "x")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_linked_file_is_followed_edited_replaced_retargeted_and_removed() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/a.lua"), "1");
        write(&base.join("ext/2/a.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/1/a.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    let link = site.root.join("x.lua");
    site.check(&[("x.lua", "1")]).await;
    assert_eq!(site.handle.links().symlink_targets[&link], site.base.join("ext/1/a.lua"));
    write(&site.base.join("ext/1/a.lua"), "1 edited");
    site.check(&[("x.lua", "1 edited")]).await;
    write(&site.base.join("ext/1/new"), "1 replaced");
    fs::rename(site.base.join("ext/1/new"), site.base.join("ext/1/a.lua")).unwrap();
    site.check(&[("x.lua", "1 replaced")]).await;

    relink("../ext/2/a.lua", &link);
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("ext/1/a.lua"), "nobody reads it");
    assert!(site.sync().await.is_empty(), "the old target is not ours any more");
    assert!(!site.handle.links().watched_dirs.contains(&site.base.join("ext/1")));
    write(&site.base.join("ext/2/a.lua"), "2 edited");
    site.check(&[("x.lua", "2 edited")]).await;

    fs::remove_file(&link).unwrap();
    symlink("../ext/1/a.lua", &link).unwrap();
    site.check(&[("x.lua", "nobody reads it")]).await;
    fs::remove_file(&link).unwrap();
    site.wait_for(&[]).await;
    assert!(site.handle.links().symlink_targets.is_empty());
    assert!(!site.handle.links().watched_dirs.contains(&site.base.join("ext/1")));
    site.stop().await;
}

#[tokio::test]
async fn a_linked_directory_is_followed_recreated_retargeted_and_removed() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/a.lua"), "1");
        write(&base.join("ext/2/b.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
    })
    .await;
    let link = site.root.join("d");
    symlink("../ext/1", &link).unwrap();
    site.check(&[("d/a.lua", "1")]).await;
    write(&site.base.join("ext/1/sub/c.lua"), "3");
    site.check(&[("d/a.lua", "1"), ("d/sub/c.lua", "3")]).await;
    for round in ["4", "5"] {
        fs::remove_dir_all(site.base.join("ext/1")).unwrap();
        write(&site.base.join("ext/1/a.lua"), round);
        site.wait_for(&[("d/a.lua", round)]).await;
        write(&site.base.join("ext/1/a.lua"), "later");
        site.check(&[("d/a.lua", "later")]).await;
    }
    relink("../ext/2", &link);
    site.wait_for(&[("d/b.lua", "2")]).await;
    write(&site.base.join("ext/2/b.lua"), "2 edited");
    site.check(&[("d/b.lua", "2 edited")]).await;
    fs::remove_file(&link).unwrap();
    site.wait_for(&[]).await;
    site.stop().await;
}

#[tokio::test]
async fn the_middle_of_a_chain_can_be_flipped() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/1/x.lua"), "1");
        write(&base.join("ext/2/x.lua"), "2");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("ext/1", base.join("current")).unwrap();
        symlink("../current/x.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    site.check(&[("x.lua", "1")]).await;
    relink("ext/2", &site.base.join("current"));
    site.check(&[("x.lua", "2")]).await;
    // A plain directory on the way is renamed away and replaced.
    fs::rename(site.base.join("ext"), site.base.join("old")).unwrap();
    write(&site.base.join("ext/2/x.lua"), "3");
    site.check(&[("x.lua", "3")]).await;
    write(&site.base.join("ext/2/x.lua"), "4");
    site.check(&[("x.lua", "4")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_dangling_link_becomes_valid_step_by_step() {
    let mut site = Site::with(|base| {
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/late/x.lua", base.join("lua/x.lua")).unwrap();
    })
    .await;
    site.check(&[]).await;
    fs::create_dir(site.base.join("ext")).unwrap();
    site.check(&[]).await;
    fs::create_dir(site.base.join("ext/late")).unwrap();
    site.check(&[]).await;
    write(&site.base.join("ext/late/x.lua"), "here");
    site.check(&[("x.lua", "here")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_kubernetes_flip_is_one_change_set() {
    let mut site = Site::with(|base| {
        write(&base.join("lua/..2024/x.lua"), "1");
        write(&base.join("lua/..2024/y.lua"), "1");
        symlink("..2024", base.join("lua/..data")).unwrap();
        symlink("..data/x.lua", base.join("lua/x.lua")).unwrap();
        symlink("..data/y.lua", base.join("lua/y.lua")).unwrap();
    })
    .await;
    for version in ["2025", "2026"] {
        write(&site.root.join(format!("..{version}/x.lua")), version);
        write(&site.root.join(format!("..{version}/y.lua")), version);
        let old = fs::read_link(site.root.join("..data")).unwrap();
        symlink(format!("..{version}"), site.root.join("..data_tmp")).unwrap();
        fs::rename(site.root.join("..data_tmp"), site.root.join("..data")).unwrap();
        fs::remove_dir_all(site.root.join(old)).unwrap();
        let sets = site.sync().await;
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].changes.len(), 2);
        site.check(&[("x.lua", version), ("y.lua", version)]).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn one_edit_reaches_each_name_of_the_file_and_content_is_shared() {
    let mut site = Site::with(|base| {
        write(&base.join("ext/a.lua"), "1");
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/a.lua", base.join("lua/x.lua")).unwrap();
        symlink("../ext/a.lua", base.join("lua/y.lua")).unwrap();
        symlink("../ext", base.join("lua/d")).unwrap();
    })
    .await;
    write(&site.base.join("ext/a.lua"), "2");
    let sets = site.sync().await;
    assert_eq!(sets.len(), 1);
    let names: Vec<_> = sets[0].changes.iter().map(|change| change.name.to_str().unwrap()).collect();
    assert_eq!(names, ["d/a.lua", "x.lua", "y.lua"]);
    let contents: Vec<_> = sets[0].changes.iter().filter_map(Change::content).collect();
    assert!(std::sync::Arc::ptr_eq(&contents[0].bytes, &contents[2].bytes));
    // Removing one leaves the others alive.
    fs::remove_file(site.root.join("x.lua")).unwrap();
    site.wait_for(&[("d/a.lua", "2"), ("y.lua", "2")]).await;
    write(&site.base.join("ext/a.lua"), "3");
    site.check(&[("d/a.lua", "3"), ("y.lua", "3")]).await;
    site.stop().await;
}

#[tokio::test]
async fn cycles_end() {
    let mut site = Site::with(|base| {
        write(&base.join("lua/sub/x.lua"), "1");
        symlink(".", base.join("lua/self")).unwrap();
        symlink("..", base.join("lua/sub/up")).unwrap();
        symlink("/", base.join("lua/everything")).unwrap();
        symlink("b.lua", base.join("lua/a.lua")).unwrap();
        symlink("a.lua", base.join("lua/b.lua")).unwrap();
    })
    .await;
    site.check(&[("sub/x.lua", "1")]).await;
    write(&site.root.join("sub/x.lua"), "2");
    site.check(&[("sub/x.lua", "2")]).await;
    site.stop().await;
}

#[tokio::test]
async fn the_root_may_go_and_come_and_its_parent_be_replaced() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    for round in ["2", "3"] {
        fs::remove_dir_all(&site.root).unwrap();
        site.wait_for(&[]).await;
        write(&site.root.join("x.lua"), round);
        site.check(&[("x.lua", round)]).await;
    }
    fs::rename(&site.root, site.base.join("old")).unwrap();
    write(&site.root.join("x.lua"), "4");
    site.check(&[("x.lua", "4")]).await;
    write(&site.root.join("x.lua"), "5");
    site.check(&[("x.lua", "5")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_root_may_come_late_and_be_a_link_that_is_retargeted() {
    let mut site = Site::with(|_| {}).await;
    site.check(&[]).await;
    write(&site.base.join("1/x.lua"), "1");
    write(&site.base.join("2/x.lua"), "2");
    symlink("1", &site.root).unwrap();
    site.check(&[("x.lua", "1")]).await;
    relink("2", &site.root);
    site.check(&[("x.lua", "2")]).await;
    write(&site.base.join("2/x.lua"), "2 edited");
    site.check(&[("x.lua", "2 edited")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_link_outside_the_allowed_roots_is_not_read() {
    let keep = tempfile::tempdir().unwrap();
    let outside = fs::canonicalize(keep.path()).unwrap();
    write(&outside.join("yes/a.lua"), "yes");
    write(&outside.join("no/a.lua"), "no");
    let narrow = WatchConfig { allowed_roots: vec![outside.join("yes")], ..settings() };
    let mut site = Site::with_settings(&narrow, |base| {
        write(&base.join("lua/in/a.lua"), "in");
        symlink("in/a.lua", base.join("lua/in.lua")).unwrap();
        symlink(outside.join("yes/a.lua"), base.join("lua/yes.lua")).unwrap();
        symlink(outside.join("no/a.lua"), base.join("lua/no.lua")).unwrap();
        symlink(outside.join("no"), base.join("lua/dir")).unwrap();
    })
    .await;
    site.check(&[("in.lua", "in"), ("in/a.lua", "in"), ("yes.lua", "yes")]).await;
    relink(outside.join("yes/a.lua").to_str().unwrap(), &site.root.join("no.lua"));
    site.check(&[("in.lua", "in"), ("in/a.lua", "in"), ("no.lua", "yes"), ("yes.lua", "yes")]).await;
    site.stop().await;
}

#[tokio::test]
async fn an_emptied_file_is_not_believed_at_once() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "1")).await;
    let file = site.root.join("x.lua");
    write(&file, "");
    assert!(site.sync().await.is_empty());
    write(&file, "2");
    site.check(&[("x.lua", "2")]).await;
    write(&file, "");
    site.wait_for(&[("x.lua", "")]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_save_arrives_without_a_barrier_and_a_busy_consumer_gets_the_newest() {
    let mut site = Site::with(|base| write(&base.join("lua/x.lua"), "0")).await;
    let file = site.root.join("x.lua");
    for i in 1..=50 {
        write(&file, &i.to_string());
    }
    site.wait_for(&[("x.lua", "50")]).await;
    assert!(site.handle.health().armed);
    site.handle.rescan().await.unwrap();
    assert!(site.sync().await.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn a_failed_backend_is_started_again_and_nothing_is_missed() {
    use hotloader_backend::{BackendFailure, BackendInputs, FileWatchBackend};
    use std::{future::Future, pin::Pin, sync::Arc};
    use tokio::sync::Notify;

    struct Mortal(Box<dyn FileWatchBackend>, Arc<Notify>);

    impl FileWatchBackend for Mortal {
        fn name(&self) -> &'static str {
            "mortal"
        }

        fn run(
            self: Box<Self>,
            inputs: BackendInputs,
        ) -> Pin<Box<dyn Future<Output = Result<(), BackendFailure>> + Send>> {
            Box::pin(async move {
                tokio::select! {
                    result = self.0.run(inputs) => result,
                    () = self.1.notified() => panic!("on purpose"),
                }
            })
        }
    }

    let death = Arc::new(Notify::new());
    let mut registry = Registry::with_builtin();
    let bell = death.clone();
    let notify = registry.find("notify").unwrap();
    registry.register("mortal", move |settings| Ok(Box::new(Mortal(notify(settings)?, bell.clone()))));

    let keep = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(keep.path()).unwrap();
    write(&root.join("x.lua"), "1");
    let settings = WatchConfig { backend: "mortal".into(), ..settings() };
    let (handle, mut sets) = start(&settings, vec![lua_root(&root)], &registry).await.unwrap();
    assert!(sets.recv().await.unwrap().initial);
    death.notify_one();
    let deadline = Instant::now() + DEADLINE;
    while handle.health().last_failure.is_none() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    write(&root.join("x.lua"), "2");
    let set = timeout(DEADLINE, sets.recv()).await.unwrap().unwrap();
    assert!(!set.initial);
    assert_eq!(&*set.changes[0].content().unwrap().bytes, b"2");
    handle.barrier().await.unwrap();
    handle.stop().await;
}

#[tokio::test]
async fn without_watching_everything_is_read_once() {
    let keep = tempfile::tempdir().unwrap();
    write(&keep.path().join("lua/sub/x.lua"), "1");
    write(&keep.path().join("lua/empty.lua"), "");
    let set = scan_once(&settings(), vec![lua_root(&keep.path().join("lua"))]).await.unwrap();
    assert!(set.initial);
    let names: Vec<_> = set.changes.iter().map(|change| change.name.to_str().unwrap()).collect();
    assert_eq!(names, ["empty.lua", "sub/x.lua"]);
    assert!(set.get(LUA, Path::new("sub/x.lua")).is_some());
}
