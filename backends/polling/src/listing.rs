//! The entries of one directory, as they were at one moment and compared with those of another.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::SystemTime,
};

use hotloader_disk::{Fingerprint, each_entry};
use rustix::{
    fd::AsFd,
    ffi::CStr,
    fs::{Mode, OFlags, open},
    io::Errno,
};

use crate::{
    clock::PassTime,
    contents::Contents,
    key::{Absence, Identity, Key, Print},
    requests::Questions,
};

/// What is known of one entry: all of its key just after it was read, and later its print.
#[derive(Debug, Clone, Copy)]
struct Entry<K> {
    key: K,
    /// On the clock of the passes; until then it is looked at again, whatever its key says. 0: settled.
    look_until: u64,
}

/// The entries of one directory.
#[derive(Debug)]
pub(crate) struct Listing<K = Key> {
    /// Of the directory itself.
    identity: Identity,
    /// Each name, with a NUL behind it, in the order of `entries`.
    names: Vec<u8>,
    entries: Vec<Entry<K>>,
}

/// What is kept of the entries of one directory: 24 bytes for each, beyond its name.
pub(crate) type Record = Listing<Print>;

/// What a look at an entry said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It appeared, went or differs.
    Changed,
    /// It looks the same, but may have been written since.
    Again,
    /// It did not answer for a while and does now.
    Back,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self { identity: Identity::default(), names: Vec::new(), entries: Vec::new() }
    }
}

impl<K> Listing<K> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Listing {
    /// Lists a directory and asks for each entry; what was in this listing before is forgotten, its
    /// memory is kept. What vanishes meanwhile is not in it. `heard` is called whenever the file system
    /// has answered. What is mounted in it is not asked for.
    ///
    /// Of a part of it, of which the directory itself is the first, the server is asked, as far as questions allow.
    pub(crate) fn read(
        &mut self,
        dir: &Path,
        mount_points: Option<&HashSet<OsString>>,
        (part, questions): (Range<usize>, &Questions),
        mut contents: Option<&mut Contents>,
        mut heard: impl FnMut(),
    ) -> Result<(), Errno> {
        self.names.clear();
        self.entries.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(dir, flags, Mode::empty())?;
        // Before its entries are believed: only then does the kernel notice that it remembers others.
        self.identity = Fingerprint::of_open(&fd, questions.ask(!part.is_empty()))?.into();
        let mut at = 0;
        each_entry(&fd, |name, kind| {
            let is_mount_point =
                mount_points.is_some_and(|names| names.contains(OsStr::from_bytes(name.to_bytes())));
            at += 1;
            let ask = questions.ask(part.contains(&at) && !is_mount_point);
            let contents = contents.as_deref_mut();
            let key = match Key::of(fd.as_fd(), dir, name, kind, is_mount_point, ask, contents) {
                Ok(key) => key,
                Err(errno) if Absence::from(errno) == Absence::Gone => return Ok(()),
                Err(_) => Key::UNANSWERED,
            };
            heard();
            self.push(name, key);
            Ok(())
        })
    }

    fn push(&mut self, name: &CStr, key: Key) {
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.entries.push(Entry { key, look_until: 0 });
    }

    pub(crate) fn is_same_directory(&self, other: &Record) -> bool {
        self.identity == other.identity
    }

    /// What is to be kept of it, with no memory to spare.
    pub(crate) fn record(&self) -> Record {
        let entries = self.entries.iter().map(Entry::record).collect();
        Listing { identity: self.identity, names: self.names.as_slice().to_vec(), entries }
    }

    /// Marks what was changed just before `now`: it can be changed again and look the same.
    pub(crate) fn mark_young(&mut self, time: PassTime, now: SystemTime) {
        for entry in &mut self.entries {
            if entry.key.is_young(now) {
                entry.look_until = time.until(entry.key.racy_for());
            }
        }
    }

    #[cfg(test)]
    fn of(entries: &[(&CStr, Key)]) -> Self {
        let mut listing = Self::default();
        entries.iter().for_each(|(name, key)| listing.push(name, *key));
        listing
    }
}

impl Record {
    /// Takes over what was read just now, and says what differs.
    ///
    /// No wall clock is asked: an entry is looked at again for some time after its key was *first seen*,
    /// whatever its time stamps say.
    pub(crate) fn update(
        &mut self,
        now: &mut Listing,
        time: PassTime,
        mut found: impl FnMut(&OsStr, Finding),
    ) {
        if self.names == now.names {
            let pairs = self.entries.iter_mut().zip(&mut now.entries);
            for ((before, entry), name) in pairs.zip(names(&now.names)) {
                if let Some(finding) = entry.judge(before, time) {
                    found(name, finding);
                }
                *before = entry.record();
            }
            return;
        }
        let mut known: HashMap<&OsStr, &Entry<Print>> = names(&self.names).zip(&self.entries).collect();
        for (name, entry) in names(&now.names).zip(&mut now.entries) {
            let finding = match known.remove(name) {
                Some(before) => entry.judge(before, time),
                None => Some(entry.changed(time)),
            };
            if let Some(finding) = finding {
                found(name, finding);
            }
        }
        known.into_keys().for_each(|name| found(name, Finding::Changed));
        *self = now.record();
    }

    /// Forgets what these entries were: what is there at the next look is new.
    pub(crate) fn forget(&mut self, forgotten: &HashSet<&OsStr>) {
        for (name, entry) in names(&self.names).zip(&mut self.entries) {
            if forgotten.contains(name) {
                entry.key = Key::FORGOTTEN.print();
            }
        }
    }
}

impl Entry<Key> {
    fn record(&self) -> Entry<Print> {
        Entry { key: self.key.print(), look_until: self.look_until }
    }

    fn changed(&mut self, time: PassTime) -> Finding {
        self.look_until = time.until(self.key.racy_for());
        Finding::Changed
    }

    fn judge(&mut self, before: &Entry<Print>, time: PassTime) -> Option<Finding> {
        if self.key == Key::UNANSWERED {
            return None;
        }
        if before.key == Print::UNANSWERED {
            self.changed(time);
            return Some(Finding::Back);
        }
        if self.key.print() != before.key || self.key == Key::FORGOTTEN {
            return Some(self.changed(time));
        }
        let until = before.look_until;
        if until == 0 {
            return None;
        }
        self.look_until = if time.is_over(until) { 0 } else { until };
        time.is_due(until, self.key.racy_for()).then_some(Finding::Again)
    }
}

fn names(names: &[u8]) -> impl Iterator<Item = &OsStr> {
    names.split_inclusive(|&byte| byte == 0).map(|name| OsStr::from_bytes(&name[..name.len() - 1]))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, FileTimes},
        path::PathBuf,
        time::Duration,
    };

    use super::*;
    use crate::clock::Clock;

    fn time(clock: Clock, begun: u64) -> PassTime {
        PassTime { clock, begun, previous: begun.saturating_sub(1), echo: Duration::ZERO }
    }

    fn read(dir: &Path) -> Listing {
        let mut listing = Listing::default();
        listing.read(dir, None, (0..0, &Questions::new(0)), None, || {}).unwrap();
        listing
    }

    fn compare(before: &mut Record, now: &[(&CStr, Key)], begun: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut now = Listing::of(now);
        before.update(&mut now, time(Clock::new(), begun), |_, finding| found.push(finding));
        found
    }

    struct Dir {
        _keep: tempfile::TempDir,
        path: PathBuf,
        known: Record,
        clock: Clock,
    }

    impl Dir {
        /// With a file `x` of long ago as far as `known` is concerned.
        fn new() -> Self {
            let keep = tempfile::tempdir().unwrap();
            let path = keep.path().to_owned();
            fs::write(path.join("x"), "1").unwrap();
            let known = read(&path).record();
            Self { _keep: keep, path, known, clock: Clock::new() }
        }

        fn look(&mut self) -> Vec<(String, Finding)> {
            let mut found = Vec::new();
            let time = time(self.clock, self.clock.now());
            self.known.update(&mut read(&self.path), time, |name, finding| {
                found.push((name.to_str().unwrap().to_owned(), finding));
            });
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        }

        /// Forgets that anything is racy.
        fn settle(&mut self) {
            self.look();
            self.known.entries.iter_mut().for_each(|entry| entry.look_until = 0);
            assert!(self.look().is_empty());
        }

        fn set_mtime(&self, at: SystemTime) {
            let file = File::options().write(true).open(self.path.join("x")).unwrap();
            file.set_times(FileTimes::new().set_modified(at)).unwrap();
        }
    }

    fn changed(name: &str) -> (String, Finding) {
        (name.to_owned(), Finding::Changed)
    }

    #[test]
    fn an_edit_of_the_same_size_and_mtime_is_seen_by_its_ctime() {
        let mut dir = Dir::new();
        dir.settle();
        let mtime = fs::metadata(dir.path.join("x")).unwrap().modified().unwrap();
        // Two writes within one tick are the racy rule's business.
        let ctime = |dir: &Dir| dir.known.entries[0].key;
        let before = ctime(&dir);
        let mut found = Vec::new();
        while ctime(&dir) == before {
            fs::write(dir.path.join("x"), "2").unwrap();
            dir.set_mtime(mtime);
            found = dir.look();
        }
        assert_eq!(found, [changed("x")]);
    }

    #[test]
    fn an_mtime_that_goes_backwards_is_seen() {
        let mut dir = Dir::new();
        dir.settle();
        dir.set_mtime(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(dir.look(), [changed("x")]);
    }

    #[test]
    fn a_rename_over_it_an_addition_and_a_removal_are_seen() {
        let mut dir = Dir::new();
        fs::write(dir.path.join("y"), "2").unwrap();
        fs::write(dir.path.join("z"), "3").unwrap();
        dir.settle();
        fs::rename(dir.path.join("y"), dir.path.join("x")).unwrap();
        fs::write(dir.path.join("new"), "4").unwrap();
        assert_eq!(dir.look(), [changed("new"), changed("x"), changed("y")]);
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_seen_even_if_it_has_the_same_inode_and_times() {
        let link = |target| Key::for_test(0o120_777, target);
        let mut known = Listing::of(&[(c"l", link(1))]).record();
        assert_eq!(compare(&mut known, &[(c"l", link(2))], 1), [Finding::Changed]);
    }

    #[test]
    fn what_is_in_a_subdirectory_is_no_change_of_it_and_to_be_another_one_is() {
        let mut dir = Dir::new();
        fs::create_dir(dir.path.join("sub")).unwrap();
        dir.settle();
        fs::write(dir.path.join("sub/y"), "1").unwrap();
        assert_eq!(dir.look(), []);
        fs::remove_dir_all(dir.path.join("sub")).unwrap();
        // It mostly gets the same inode.
        fs::create_dir(dir.path.join("sub")).unwrap();
        assert_eq!(dir.look(), [changed("sub")]);
        fs::remove_dir_all(dir.path.join("sub")).unwrap();
        fs::write(dir.path.join("sub"), "1").unwrap();
        assert_eq!(dir.look(), [changed("sub")]);
    }

    #[test]
    fn p4_what_changed_is_looked_at_until_its_clock_must_have_ticked_and_once_more() {
        let x = [(c"x", Key::for_test(0o100_644, 0))];
        let mut known = Record::default();
        assert_eq!(compare(&mut known, &x, 1), [Finding::Changed]);
        let until = known.entries[0].look_until;
        assert_eq!(compare(&mut known, &x, until), [Finding::Again]);
        assert_eq!(compare(&mut known, &x, until + 1), [Finding::Again]);
        assert_eq!(compare(&mut known, &x, until + 2), []);
    }

    #[test]
    fn what_was_young_when_it_was_first_seen_is_looked_at_again_and_what_was_old_is_not() {
        let mut dir = Dir::new();
        let at = time(dir.clock, 1);
        let mut read = read(&dir.path);
        read.mark_young(at, SystemTime::now() + Duration::from_secs(5));
        assert_eq!(read.entries[0].look_until, 0);
        let now = fs::metadata(dir.path.join("x")).unwrap().modified().unwrap();
        read.mark_young(at, now);
        dir.known = read.record();
        assert_eq!(dir.look(), [("x".to_owned(), Finding::Again)]);
    }

    #[test]
    fn p8_an_entry_that_does_not_answer_is_not_gone_and_is_told_when_it_is_back() {
        let mut known = Listing::of(&[(c"x", Key::for_test(0o100_644, 0))]).record();
        assert_eq!(compare(&mut known, &[(c"x", Key::UNANSWERED)], 1), []);
        assert_eq!(compare(&mut known, &[(c"x", Key::for_test(0o100_644, 0))], 2), [Finding::Back]);
    }

    #[test]
    fn an_entry_takes_no_more_than_24_bytes() {
        assert!(size_of::<Entry<Print>>() <= 24, "{}", size_of::<Entry<Print>>());
    }
}
