//! The entries of one directory, as they were at one moment and compared with those of another.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    ffi::CStr,
    fs::{Dir, Mode, OFlags, fstat, open},
    io::Errno,
};

use crate::key::{Absence, Key, identity};

/// What is known of one entry.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    /// Milliseconds on the [`Clock`]; until then a write can leave the key as it is. 0: settled.
    racy_until: u64,
}

/// The entries of one directory: 64 bytes for each, beyond its name.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Device and inode of the directory.
    identity: (u64, u64),
    /// Each name, with a NUL behind it, in the order of `entries`.
    names: Vec<u8>,
    entries: Vec<Entry>,
}

/// What a look at an entry said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It appeared, went or differs.
    Changed,
    /// It looks the same, but may have been written since within one tick of its clock.
    Racy,
    /// It did not answer for a while and does now.
    Back,
}

/// Milliseconds since the start of the poller; never 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> u64 {
        self.0.elapsed().as_millis() as u64 + 1
    }

    /// A moment that is over by the millisecond after the duration.
    fn after(self, duration: Duration) -> u64 {
        self.now() + duration.as_millis() as u64 + 1
    }
}

impl Listing {
    /// Lists a directory and asks for each entry. What vanishes meanwhile is not in it.
    pub(crate) fn read(dir: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(dir, flags, Mode::empty())?;
        let identity = identity(&fstat(&fd)?);
        let mut listing = Self { identity, ..Self::default() };
        let mut dir = Dir::new(fd)?;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name();
            if [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            let key = match Key::of(dir.fd()?, name) {
                Ok(key) => key,
                Err(errno) if Absence::from(errno) == Absence::Gone => continue,
                Err(_) => Key::UNANSWERED,
            };
            listing.push(name, key);
        }
        listing.names.shrink_to_fit();
        listing.entries.shrink_to_fit();
        Ok(listing)
    }

    fn push(&mut self, name: &CStr, key: Key) {
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.entries.push(Entry { key, racy_until: 0 });
    }

    pub(crate) fn is_same_directory(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Marks what was changed just before `now`: it can be changed again and look the same.
    pub(crate) fn mark_young(&mut self, clock: Clock, now: SystemTime) {
        for entry in &mut self.entries {
            if entry.key.is_young(now) {
                entry.racy_until = clock.after(entry.key.racy_for());
            }
        }
    }

    /// Compares with the listing before, and takes over from it what is still to be watched for.
    ///
    /// No wall clock is asked: an entry is racy for some time after its key was *first seen*, whatever
    /// its time stamps say.
    pub(crate) fn compare(
        &mut self,
        before: &Self,
        clock: Clock,
        begun: Begun,
        mut found: impl FnMut(&OsStr, Finding),
    ) {
        if self.names == before.names {
            let pairs = self.entries.iter_mut().zip(&before.entries);
            for ((entry, before), name) in pairs.zip(names(&self.names)) {
                if let Some(finding) = entry.judge(before, clock, begun) {
                    found(name, finding);
                }
            }
            return;
        }
        let mut known: HashMap<&OsStr, &Entry> = names(&before.names).zip(&before.entries).collect();
        for (name, entry) in names(&self.names).zip(&mut self.entries) {
            let finding = match known.remove(name) {
                Some(before) => entry.judge(before, clock, begun),
                None => Some(entry.changed(clock)),
            };
            if let Some(finding) = finding {
                found(name, finding);
            }
        }
        known.into_keys().for_each(|name| found(name, Finding::Changed));
    }

    #[cfg(test)]
    fn of(entries: &[(&CStr, Key)]) -> Self {
        let mut listing = Self::default();
        entries.iter().for_each(|(name, key)| listing.push(name, *key));
        listing
    }
}

/// When a listing was begun, on the [`Clock`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun(u64);

impl Begun {
    pub(crate) fn now(clock: Clock) -> Self {
        Self(clock.now())
    }
}

impl Entry {
    fn changed(&mut self, clock: Clock) -> Finding {
        let racy_for = self.key.racy_for();
        self.racy_until = if racy_for.is_zero() { 0 } else { clock.after(racy_for) };
        Finding::Changed
    }

    fn judge(&mut self, before: &Entry, clock: Clock, begun: Begun) -> Option<Finding> {
        if self.key == Key::UNANSWERED {
            return None;
        }
        if before.key == Key::UNANSWERED {
            self.changed(clock);
            return Some(Finding::Back);
        }
        if self.key != before.key {
            return Some(self.changed(clock));
        }
        if before.racy_until == 0 {
            return None;
        }
        // Once more after the time is over: then nothing can hide any longer.
        self.racy_until = if begun.0 > before.racy_until { 0 } else { before.racy_until };
        Some(Finding::Racy)
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
    };

    use super::*;

    struct Dir {
        _keep: tempfile::TempDir,
        path: PathBuf,
        known: Listing,
        clock: Clock,
    }

    impl Dir {
        /// With a file `x` of long ago as far as `known` is concerned.
        fn new() -> Self {
            let keep = tempfile::tempdir().unwrap();
            let path = keep.path().to_owned();
            fs::write(path.join("x"), "1").unwrap();
            let known = Listing::read(&path).unwrap();
            Self { _keep: keep, path, known, clock: Clock::new() }
        }

        fn look(&mut self) -> Vec<(String, Finding)> {
            let mut found = Vec::new();
            let begun = Begun::now(self.clock);
            let mut now = Listing::read(&self.path).unwrap();
            now.compare(&self.known, self.clock, begun, |name, finding| {
                found.push((name.to_str().unwrap().to_owned(), finding));
            });
            self.known = now;
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        }

        /// Forgets that anything is racy.
        fn settle(&mut self) {
            self.look();
            self.known.entries.iter_mut().for_each(|entry| entry.racy_until = 0);
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
        let mut now = Listing::of(&[(c"l", link(2))]);
        let mut found = 0;
        let clock = Clock::new();
        now.compare(&Listing::of(&[(c"l", link(1))]), clock, Begun::now(clock), |_, _| found += 1);
        assert_eq!(found, 1);
    }

    #[test]
    fn a_file_in_a_subdirectory_is_no_change_of_the_subdirectory() {
        let mut dir = Dir::new();
        fs::create_dir(dir.path.join("sub")).unwrap();
        dir.settle();
        fs::write(dir.path.join("sub/y"), "1").unwrap();
        assert_eq!(dir.look(), []);
    }

    #[test]
    fn what_changed_is_looked_at_until_its_clock_must_have_ticked_and_once_more() {
        let key = Key::for_test(0o100_644, 0);
        let clock = Clock::new();
        let before = Listing::of(&[]);
        let mut first = Listing::of(&[(c"x", key)]);
        first.compare(&before, clock, Begun(1), |_, finding| assert_eq!(finding, Finding::Changed));
        let until = first.entries[0].racy_until;
        assert!(until > 20, "{until}");
        let look = |before: &Listing, begun| {
            let mut now = Listing::of(&[(c"x", key)]);
            let mut found = Vec::new();
            now.compare(before, clock, Begun(begun), |_, finding| found.push(finding));
            (now, found)
        };
        let (second, found) = look(&first, until);
        assert_eq!(found, [Finding::Racy]);
        let (third, found) = look(&second, until + 1);
        assert_eq!(found, [Finding::Racy]);
        assert_eq!(look(&third, until + 2).1, []);
    }

    #[test]
    fn what_was_young_when_it_was_first_seen_is_looked_at_again_and_what_was_old_is_not() {
        let mut dir = Dir::new();
        dir.known.mark_young(dir.clock, SystemTime::now() + Duration::from_secs(5));
        assert_eq!(dir.known.entries[0].racy_until, 0);
        let now = fs::metadata(dir.path.join("x")).unwrap().modified().unwrap();
        dir.known.mark_young(dir.clock, now);
        assert_eq!(dir.look(), [("x".to_owned(), Finding::Racy)]);
    }

    #[test]
    fn an_entry_that_does_not_answer_is_not_gone_and_is_told_when_it_is_back() {
        let key = Key::for_test(0o100_644, 0);
        let clock = Clock::new();
        let mut away = Listing::of(&[(c"x", Key::UNANSWERED)]);
        let mut found = Vec::new();
        away.compare(&Listing::of(&[(c"x", key)]), clock, Begun(1), |_, finding| found.push(finding));
        assert_eq!(found, []);
        let mut back = Listing::of(&[(c"x", key)]);
        back.compare(&away, clock, Begun(1), |_, finding| found.push(finding));
        assert_eq!(found, [Finding::Back]);
    }

    #[test]
    fn an_entry_takes_no_more_than_64_bytes() {
        assert!(size_of::<Entry>() <= 64, "{}", size_of::<Entry>());
    }
}
