//! The reconciler without a backend: hints are given, and so is the time.

use hotloader_backend::{DirSet, HintSet, Phase};

use super::{
    super::{
        reconcile::{Findings, Look, Reconciler, scan},
        settle::Calm,
    },
    *,
};

const MS: Duration = Duration::from_millis(1);

/// A reconciler whose watches are all it asks for.
pub(super) struct Bare {
    _keep: tempfile::TempDir,
    pub(super) base: PathBuf,
    pub(super) reconciler: Reconciler,
    pub(super) watched: DirSet,
    pub(super) now: Instant,
    rechecks: Vec<(PathBuf, Instant)>,
    pub(super) known: BTreeMap<String, Option<String>>,
    roots: Vec<Root>,
}

impl Bare {
    pub(super) fn new(prepare: impl FnOnce(&Path)) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(keep.path()).unwrap();
        prepare(&base);
        let roots = vec![lua_root(&base.join("lua"))];
        let mut bare = Self {
            _keep: keep,
            reconciler: Reconciler::new(&settings(), roots.clone()),
            watched: DirSet::new(),
            now: Instant::now(),
            rechecks: Vec::new(),
            known: BTreeMap::new(),
            roots,
            base,
        };
        bare.look(&HintSet::new());
        bare
    }

    pub(super) fn look(&mut self, hints: &HintSet) -> Findings {
        let none = HintSet::new();
        let (mut hints, mut before) = (hints, None);
        loop {
            match self.reconciler.look(hints, before.take(), &self.watched, Calm::ANY, self.now) {
                Look::Unwatched(unwatched) => {
                    self.watched.clone_from(&self.links().watched_dirs);
                    before = Some(unwatched);
                }
                Look::Early(_) => unreachable!("nobody asked for quiet"),
                Look::Done(findings) => {
                    if findings.walked {
                        self.watched.clone_from(&self.links().watched_dirs);
                    }
                    self.rechecks.extend(findings.rechecks.iter().cloned());
                    self.learn(&findings.changes);
                    return findings;
                }
            }
            hints = &none;
        }
    }

    pub(super) fn look_at<P: AsRef<Path>>(&mut self, paths: &[P]) -> Findings {
        let mut hints = HintSet::new();
        paths.iter().for_each(|path| hints.insert(path.as_ref(), Phase::Complete));
        self.look(&hints)
    }

    fn learn(&mut self, changes: &[Change]) {
        for change in changes {
            let name = change.name.to_str().unwrap().to_owned();
            let text = change.content().map(|content| String::from_utf8(content.bytes.to_vec()).unwrap());
            match &change.kind {
                ChangeKind::Added(_) => {
                    assert!(self.known.insert(name, text).is_none(), "added twice");
                }
                ChangeKind::Modified(_) => {
                    assert!(self.known.insert(name, text).is_some(), "modified before it was added");
                }
                ChangeKind::Unreadable(why) => {
                    self.known.insert(name, Some(format!("{why:?}")));
                }
                ChangeKind::Removed => {
                    assert!(self.known.remove(&name).is_some(), "removed before it was added")
                }
            }
        }
    }

    /// Lets time pass until nothing is to be looked at again.
    pub(super) fn rest(&mut self) {
        for _ in 0..100 {
            if self.rechecks.is_empty() {
                return;
            }
            self.now += 100 * MS;
            let now = self.now;
            let due: Vec<PathBuf> =
                self.rechecks.extract_if(.., |(_, at)| *at <= now).map(|(path, _)| path).collect();
            self.look_at(&due);
        }
        panic!("it finds no rest: {:?}", self.rechecks);
    }

    /// Does what is due until an audit has found something, or nothing is due for that long.
    pub(super) fn upkeep(&mut self, span: Duration) -> HintSet {
        let end = self.now + span;
        while let Some(at) = self.reconciler.next_work().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let work = self.reconciler.work(self.now);
            self.look(&work.look);
            if !work.found.is_empty() {
                return work.found;
            }
        }
        self.now = end;
        HintSet::new()
    }

    pub(super) fn links(&self) -> LinkView {
        self.reconciler.links()
    }

    pub(super) fn disk(&self) -> BTreeMap<String, Option<String>> {
        let mut disk = Self { known: BTreeMap::new(), ..Self::new_like(self) };
        disk.learn(&scan(&settings(), self.roots.clone()).0.changes);
        disk.known
    }

    fn new_like(other: &Self) -> Self {
        Self {
            _keep: tempfile::tempdir().unwrap(),
            base: other.base.clone(),
            reconciler: Reconciler::new(&settings(), Vec::new()),
            watched: DirSet::new(),
            now: other.now,
            rechecks: Vec::new(),
            known: BTreeMap::new(),
            roots: Vec::new(),
        }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.known[name].as_deref().unwrap()
    }
}

#[test]
fn a4_what_no_hint_told_of_is_found_by_the_audit_and_counted_as_missed() {
    let mut bare = Bare::new(|base| {
        for file in ["a", "b", "c", "sub/d"] {
            write(&base.join(format!("lua/{file}.lua")), "1");
        }
        write(&base.join("ext/1"), "1");
        write(&base.join("ext/2"), "2");
        symlink("../ext/1", base.join("lua/link.lua")).unwrap();
    });
    assert!(bare.upkeep(9 * 1000 * MS).is_empty(), "not before its time");
    let lua = bare.base.join("lua");
    write(&lua.join("a.lua"), "edited");
    write(&lua.join("new.lua"), "new");
    fs::remove_file(lua.join("sub/d.lua")).unwrap();
    relink("../ext/2", &lua.join("link.lua"));
    // Seen by the audit, and hinted before the barrier.
    write(&lua.join("b.lua"), "hinted");
    let found = bare.upkeep(5 * 1000 * MS);
    assert!(found.covers(&lua.join("b.lua")));
    assert_eq!(bare.text("a.lua"), "1", "nothing is told before the barrier");
    bare.look_at(&[lua.join("b.lua")]);
    let findings = bare.look(&found);
    assert_eq!((findings.changes.len(), findings.vanished), (3, 1), "what was hinted is not missed");
    bare.rest();
    assert_eq!(bare.known, bare.disk());
    assert_eq!(bare.look(&found).vanished, 0, "it is told");
}

#[test]
fn a_look_that_comes_upon_a_save_of_just_now_waits_for_what_is_saved_with_it() {
    let mut bare = Bare::new(|base| {
        write(&base.join("lua/a.lua"), "a");
        write(&base.join("lua/b.lua"), "b");
    });
    bare.rest();
    let quiet = Duration::from_secs(3600);
    let calm = Calm::new(quiet, Instant::now() + quiet);
    let mut hints = HintSet::new();
    // As of another file: the saves are not hinted yet.
    hints.insert(bare.base.join("lua"), Phase::Complete);
    write(&bare.base.join("lua/a.lua"), "a2");
    write(&bare.base.join("lua/new.lua"), "n");
    let early = bare.reconciler.look(&hints, None, &bare.watched, calm, bare.now);
    assert!(matches!(early, Look::Early(rest) if rest <= quiet), "{early:?}");
    write(&bare.base.join("lua/b.lua"), "b2");
    // Without a hint: what was put off is known.
    let findings = bare.look(&HintSet::new());
    let names: Vec<_> = findings.changes.iter().map(|change| change.name.to_str().unwrap()).collect();
    assert_eq!(names, ["a.lua", "b.lua", "new.lua"]);

    // What was written before the quiet time, or has the content that was told, is no reason to wait.
    write(&bare.base.join("lua/a.lua"), "a2");
    let look = bare.reconciler.look(&hints, None, &bare.watched, calm, bare.now);
    assert!(matches!(look, Look::Done(findings) if findings.changes.is_empty()));
}

#[test]
fn an_audit_that_finds_nothing_asks_for_no_barrier_and_comes_again() {
    let mut bare = Bare::new(|base| write(&base.join("lua/a.lua"), "1"));
    // A stamp of the present is doubted; what was read is not told again.
    assert!(bare.upkeep(300 * 1000 * MS).is_empty());
    assert_eq!(bare.known, bare.disk());
    write(&bare.base.join("lua/a.lua"), "2");
    assert!(!bare.upkeep(60 * 1000 * MS).is_empty());
}

#[test]
fn a_file_that_gets_another_name_and_is_written_through_it_is_seen_and_nobody_is_accused() {
    let mut bare = Bare::new(|base| write(&base.join("lua/a.lua"), "1"));
    let other = bare.base.join("other");
    fs::hard_link(bare.base.join("lua/a.lua"), &other).unwrap();
    // The directory does not change, and the one with the other name is not watched.
    write(&other, "2");
    assert!(bare.upkeep(11 * 1000 * MS).is_empty(), "no barrier: the backend could not know");
    assert_eq!(bare.text("a.lua"), "2");
    write(&other, "3");
    assert!(bare.upkeep(2 * 1000 * MS).is_empty());
    assert_eq!(bare.text("a.lua"), "3", "from then on it is looked at often");
}

#[test]
fn an_audit_does_not_take_a_file_that_is_still_being_written_for_a_missed_change() {
    let mut bare = Bare::new(|base| write(&base.join("lua/a.lua"), "1"));
    let a = bare.base.join("lua/a.lua");
    write(&a, "");
    assert!(bare.look_at(&[&a]).changes.is_empty());
    assert!(bare.upkeep(11 * 1000 * MS).is_empty());
}

#[test]
fn s19_a_write_through_another_name_of_the_file_is_seen() {
    let mut bare = Bare::new(|base| {
        write(&base.join("ext/h"), "1");
        write(&base.join("lua/x.lua"), "1");
        fs::hard_link(base.join("ext/h"), base.join("lua/h.lua")).unwrap();
        fs::hard_link(base.join("lua/x.lua"), base.join("lua/y.lua")).unwrap();
    });
    write(&bare.base.join("ext/h"), "2");
    assert!(bare.upkeep(2 * 1000 * MS).is_empty());
    assert_eq!(bare.text("h.lua"), "2");
    // Both names are ours: one hint is enough for both.
    write(&bare.base.join("lua/x.lua"), "2");
    let x = bare.base.join("lua/x.lua");
    assert_eq!(bare.look_at(&[&x]).changes.len(), 2);
    // The pair is broken by a rename over one of them.
    write(&bare.base.join("lua/new"), "3");
    fs::rename(bare.base.join("lua/new"), bare.base.join("lua/h.lua")).unwrap();
    let h = bare.base.join("lua/h.lua");
    bare.look_at(&[&h]);
    write(&bare.base.join("ext/h"), "4");
    bare.upkeep(2 * 1000 * MS);
    bare.rest();
    assert_eq!(bare.known, bare.disk());
}

#[test]
fn a_loss_of_sync_finds_every_change() {
    let mut bare = Bare::new(|base| {
        for file in 0..200 {
            write(&base.join(format!("lua/{}/{file}.lua", file % 60)), "1");
        }
    });
    let lua = bare.base.join("lua");
    assert!(bare.look(&HintSet::everywhere()).changes.is_empty());
    write(&lua.join("3/3.lua"), "2");
    write(&lua.join("new/new.lua"), "2");
    fs::remove_dir_all(lua.join("5")).unwrap();
    bare.look(&HintSet::everywhere());
    bare.rest();
    assert_eq!(bare.known, bare.disk());
}

#[test]
fn however_often_links_are_flipped_nothing_is_left_behind() {
    /// Directories, nothing, a link to one, and the directory that the link is in.
    const DIRS: [&str; 6] = ["../ext/1", "../ext/2", "../ext/1/sub", "../nowhere", "../ext/chain", "."];
    /// Files, nothing, a link to one, and the link itself.
    const FILES: [&str; 5] =
        ["../ext/1/sub/a.lua", "../ext/2/sub/a.lua", "../nowhere.lua", "../ext/chain.lua", "x.lua"];
    let mut bare = Bare::new(|base| {
        for version in ["1", "2"] {
            write(&base.join(format!("ext/{version}/sub/a.lua")), version);
            write(&base.join(format!("ext/{version}/only{version}.lua")), version);
        }
        symlink("2", base.join("ext/chain")).unwrap();
        symlink("2/sub/a.lua", base.join("ext/chain.lua")).unwrap();
        fs::create_dir(base.join("lua")).unwrap();
    });
    let (d, x) = (bare.base.join("lua/d"), bare.base.join("lua/x.lua"));
    // Each way with each other one.
    let round = |bare: &mut Bare| {
        for flip in 0..DIRS.len() * FILES.len() {
            relink(DIRS[flip % DIRS.len()], &d);
            relink(FILES[flip % FILES.len()], &x);
            bare.now += MS;
            bare.look_at(&[&d, &x]);
        }
        bare.rest();
    };
    // What is remembered, without the numbers in it.
    let remembered = |bare: &Bare| {
        let text = format!("{:?}", bare.reconciler);
        text.chars().filter(|letter| !letter.is_ascii_digit()).count()
    };
    round(&mut bare);
    let before = (bare.links(), remembered(&bare));
    for _ in 0..10 {
        round(&mut bare);
    }
    assert_eq!((bare.links(), remembered(&bare)), before);
    assert_eq!(bare.watched, before.0.watched_dirs);
    assert_eq!(bare.known, bare.disk());
    assert!(bare.reconciler.is_at_rest(), "{:#?}", bare.reconciler);
}

#[test]
fn equal_content_behind_another_link_is_no_change_unless_the_old_file_has_other_names() {
    let mut bare = Bare::new(|base| {
        for version in ["1", "2"] {
            write(&base.join(format!("ext/{version}/a.lua")), "same");
        }
        fs::create_dir(base.join("lua")).unwrap();
        symlink("../ext/1/a.lua", base.join("lua/x.lua")).unwrap();
    });
    let (x, y) = (bare.base.join("lua/x.lua"), bare.base.join("lua/y.lua"));
    relink("../ext/2/a.lua", &x);
    assert!(bare.look_at(&[&x]).changes.is_empty());
    // Who is told of the old file under another name must not take the two for one.
    symlink("../ext/1/a.lua", &y).unwrap();
    let findings = bare.look_at(&[&y]);
    assert_eq!(findings.changes.len(), 1);
    bare.rest();
    relink("../ext/1/a.lua", &x);
    assert_eq!(bare.look_at(&[&x]).changes.len(), 0, "x was told as ext/2/a.lua, which nobody else is");
    write(&bare.base.join("ext/1/a.lua"), "edited");
    let edited = bare.base.join("ext/1/a.lua");
    let changes = bare.look_at(&[&edited]).changes;
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change.path == edited));
    // Now both are that file, as far as anybody knows.
    write(&bare.base.join("ext/2/a.lua"), "edited");
    relink("../ext/2/a.lua", &x);
    assert_eq!(bare.look_at(&[&x]).changes.len(), 1);
}

#[test]
fn what_only_shares_a_directory_with_modules_is_no_hint() {
    let bare = Bare::new(|base| {
        write(&base.join("lua/x.lua"), "1");
        write(&base.join("lua/x.log"), "1");
        write(&base.join("lua/behind.txt"), "2");
        symlink("behind.txt", base.join("lua/y.lua")).unwrap();
        symlink("late.txt", base.join("lua/z.lua")).unwrap();
    });
    let lua = bare.base.join("lua");
    fs::create_dir(lua.join("new")).unwrap();
    let matters = |name: &str| {
        let mut hints = HintSet::new();
        hints.insert(lua.join(name), Phase::Complete);
        bare.reconciler.keep_concerning(&mut hints);
        !hints.is_empty()
    };
    for name in ["x.lua", "gone.lua", "behind.txt", "late.txt", "new"] {
        assert!(matters(name), "{name}");
    }
    for name in ["x.log", "x.db-journal"] {
        assert!(!matters(name), "{name}");
    }
}

#[test]
fn an_emptied_file_is_believed_when_it_stays_so_and_a_saved_one_at_once() {
    let mut bare = Bare::new(|base| write(&base.join("lua/x.lua"), "1"));
    let x = bare.base.join("lua/x.lua");
    write(&x, "");
    assert!(bare.look_at(&[&x]).changes.is_empty());
    write(&x, "2");
    assert_eq!(bare.look_at(&[&x]).changes.len(), 1);
    write(&x, "");
    let emptied = bare.now;
    assert!(bare.look_at(&[&x]).changes.is_empty());
    bare.rest();
    assert!(bare.now - emptied >= Duration::from_secs(5));
    assert_eq!(bare.known["x.lua"].as_deref(), Some(""));
    assert!(bare.reconciler.is_at_rest());
}

#[test]
fn nobody_searches_for_the_writer_of_a_file_of_which_the_backend_says_that_it_is_closed() {
    let mut bare = Bare::new(|base| write(&base.join("lua/x.lua"), "1"));
    let x = bare.base.join("lua/x.lua");
    write(&x, "2");
    let _writer = fs::File::options().append(true).open(&x).unwrap();
    let mut look = |phase| {
        let mut hints = HintSet::new();
        hints.insert(&x, phase);
        bare.look(&hints).changes.len()
    };
    assert_eq!(look(Phase::Closed), 1);
    write(&x, "3");
    assert_eq!(look(Phase::Complete), 0);
    assert_eq!(look(Phase::Closed), 0, "it was found open before");
}

#[test]
fn what_no_event_tells_of_a_file_in_use_is_found_by_looking_at_it() {
    let mut bare = Bare::new(|base| {
        write(&base.join("lua/x.lua"), "1");
        write(&base.join("lua/sub/y.lua"), "1");
    });
    let (x, sub) = (bare.base.join("lua/x.lua"), bare.base.join("lua/sub"));
    let y = sub.join("y.lua");
    let files = [x.clone(), y.clone(), bare.base.join("lua/unknown.lua")].into();
    let recheck = |bare: &mut Bare| {
        let now = bare.now;
        bare.reconciler.recheck(&files, now)
    };
    assert!(recheck(&mut bare).is_empty());
    let elsewhere = bare.base.join("elsewhere");
    fs::hard_link(&x, &elsewhere).unwrap();
    fs::write(&elsewhere, "22").unwrap();
    let found = recheck(&mut bare);
    assert!(found.covers(&x) && !found.covers(&sub), "{found:?}");
    bare.look(&found);
    assert_eq!(bare.known["x.lua"], Some("22".into()));
    fs::rename(&sub, bare.base.join("before")).unwrap();
    write(&y, "another");
    let found = recheck(&mut bare);
    assert!(found.covers(&sub) && !found.covers(&x), "{found:?}");
    bare.look(&found);
    assert_eq!(bare.known["sub/y.lua"], Some("another".into()));
    fs::remove_file(&x).unwrap();
    assert!(recheck(&mut bare).covers(&x));
}

#[test]
fn of_a_settled_hint_what_is_left_of_the_quiet_time_is_waited_for() {
    let mut bare = Bare::new(|base| write(&base.join("lua/x.lua"), "1"));
    let x = bare.base.join("lua/x.lua");
    let written = Instant::now();
    write(&x, "2");
    let mut hints = HintSet::new();
    hints.insert(&x, Phase::Settled);
    let quiet = Duration::from_secs(3600);
    let age = || fs::metadata(&x).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    while age() < 50 * MS {
        std::thread::yield_now();
    }
    let now = Instant::now();
    let look = bare.reconciler.look(&hints, None, &bare.watched, Calm::new(quiet, now), now);
    let Look::Early(rest) = look else { panic!("it was written just now") };
    // Time stamps are up to 10 ms behind.
    assert!(rest < quiet - 40 * MS && rest + written.elapsed() + 10 * MS >= quiet, "{rest:?}");
    let calm = Calm::new(20 * MS, Instant::now());
    assert!(matches!(bare.reconciler.look(&hints, None, &bare.watched, calm, now), Look::Done(_)));
}

#[test]
fn a_file_over_the_limit_is_told_with_its_size_and_again_when_it_can_be_read() {
    let mut bare = Bare::new(|base| {
        write(&base.join("lua/x.lua"), "1");
        write(&base.join("lua/big.lua"), &"-".repeat(Root::MAX_FILE + 1));
    });
    let (x, big) = (bare.base.join("lua/x.lua"), bare.base.join("lua/big.lua"));
    let size = |size: usize| Some(format!("TooLarge {{ size: {size}, limit: {} }}", Root::MAX_FILE));
    assert_eq!(bare.known["big.lua"], size(Root::MAX_FILE + 1));
    for more in [2, 3] {
        write(&x, &"-".repeat(Root::MAX_FILE + more));
        bare.look_at(&[&x]);
        assert_eq!(bare.known["x.lua"], size(Root::MAX_FILE + more));
    }
    assert!(bare.look_at(&[&x]).changes.is_empty(), "it is told once");
    write(&x, "1");
    bare.look_at(&[&x]);
    assert_eq!(bare.known["x.lua"].as_deref(), Some("1"));
    fs::remove_file(&big).unwrap();
    bare.look_at(&[&big]);
    bare.rest();
    assert!(!bare.known.contains_key("big.lua"));
}

#[test]
fn a_root_that_the_audit_names_is_followed_anew() {
    let mut bare = Bare::new(|base| {
        write(&base.join("r1/lua/x.lua"), "1");
        write(&base.join("r2/lua/x.lua"), "2");
        symlink("r1/lua", base.join("lua")).unwrap();
    });
    relink("r2/lua", &bare.base.join("lua"));
    bare.look_at(&[bare.base.join("lua")]);
    bare.rest();
    assert_eq!(bare.known["x.lua"].as_deref(), Some("2"));
}
