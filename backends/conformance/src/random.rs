//! Random operations: what nobody thought of.
//!
//! A sequence is made from its number, the seed: its operations are the same each time. In half of them
//! one writer is at work and the view is compared with a model in memory as well, which knows nothing of
//! the disk; in the others two or three writers are, on threads, and what comes of it depends on how
//! these run.
//!
//! A file with several names is never written in place: no kernel event tells of its other names. Whoever
//! stands on backends looks at such files by itself.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use crate::{
    View,
    model::{Effect, Model},
    operation::{OUTSIDE, Operation, ROOT, Steps},
    tools::chmod,
};

/// How many tests share the sequences.
const SHARDS: u64 = 4;

/// A sequence that failed once among others is run this often when it is asked for by number.
const AGAIN: u64 = 20;

/// xorshift64*: all that is needed is that it is the same each time.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed.wrapping_add(1)) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn place(&mut self) -> Steps {
        if self.one_in(60) {
            return vec![ROOT];
        }
        let mut place = vec![if self.one_in(12) { OUTSIDE } else { ROOT }];
        for _ in 0..=self.below(3) {
            place.push(["a", "b", "c"][self.below(3) as usize]);
        }
        place
    }

    fn target(&mut self) -> &'static str {
        ["a", "b", "c", ".", "../a", "../b", "a/b", "nowhere"][self.below(8) as usize]
    }

    fn operation(&mut self, step: u64) -> Operation {
        let one = self.place();
        let other = self.place();
        // Sizes repeat, contents do not.
        let text = format!("{step:04}");
        match self.below(24) {
            0..=3 => Operation::Write(one, text),
            4 | 5 => Operation::Append(one, text),
            6 => Operation::Truncate(one, self.below(4)),
            7..=9 => Operation::Save(one, text),
            10..=13 => Operation::Mkdir(one),
            14..=16 => Operation::Rename(one, other),
            17 => Operation::HardLink(one, other),
            18 => Operation::Symlink(one, self.target()),
            19 => Operation::Retarget(one, self.target()),
            20 => Operation::Remove(one),
            21 => Operation::RemoveTree(one),
            22 => Operation::Chmod(one, self.one_in(2)),
            _ => Operation::SetTime(one, [0, 1, 1_000_000_000, 4_000_000_000][self.below(4) as usize]),
        }
    }
}

/// Where the operations take place.
#[derive(Debug, Clone)]
struct Ground {
    root: PathBuf,
    outside: PathBuf,
    /// Names the temporary files of a writer.
    writer: usize,
}

impl Ground {
    fn of(view: &View, writer: usize) -> Self {
        Self { root: view.root().to_owned(), outside: view.outside(), writer }
    }

    fn at(&self, place: &Steps) -> PathBuf {
        let base = if place[0] == ROOT { &self.root } else { &self.outside };
        place[1..].iter().fold(base.clone(), |path, step| path.join(step))
    }

    /// Does it; whether it worked.
    fn apply(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Write(place, text) => {
                self.has_one_name(place) && fs::write(self.at(place), text).is_ok()
            }
            Operation::Append(place, text) => {
                use std::io::Write;
                let open = || fs::OpenOptions::new().append(true).open(self.at(place));
                self.has_one_name(place)
                    && open().and_then(|mut file| file.write_all(text.as_bytes())).is_ok()
            }
            Operation::Truncate(place, length) => {
                let open = || fs::OpenOptions::new().write(true).open(self.at(place));
                self.has_one_name(place) && open().and_then(|file| file.set_len(*length)).is_ok()
            }
            Operation::Save(place, text) => {
                self.replace(place, |temporary| fs::write(temporary, text).is_ok())
            }
            Operation::Retarget(place, target) => {
                self.replace(place, |temporary| symlink(target, temporary).is_ok())
            }
            Operation::Mkdir(place) => fs::create_dir(self.at(place)).is_ok(),
            Operation::Rename(from, to) => fs::rename(self.at(from), self.at(to)).is_ok(),
            Operation::HardLink(from, to) => fs::hard_link(self.at(from), self.at(to)).is_ok(),
            Operation::Symlink(place, target) => symlink(target, self.at(place)).is_ok(),
            Operation::Remove(place) => fs::remove_file(self.at(place)).is_ok(),
            Operation::RemoveTree(place) => fs::remove_dir_all(self.at(place)).is_ok(),
            Operation::Chmod(place, is_closed) => self.has_one_name(place) && self.chmod(place, *is_closed),
            Operation::SetTime(place, seconds) => {
                let modified = Timespec { tv_sec: *seconds, tv_nsec: 0 };
                let untouched = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
                let times = Timestamps { last_access: untouched, last_modification: modified };
                utimensat(CWD, self.at(place), &times, AtFlags::SYMLINK_NOFOLLOW).is_ok()
            }
        }
    }

    fn replace(&self, place: &Steps, make: impl FnOnce(&Path) -> bool) -> bool {
        let path = self.at(place);
        let temporary = path.with_file_name(format!(".temporary{}", self.writer));
        let done = make(&temporary) && fs::rename(&temporary, &path).is_ok();
        if !done {
            let _ = fs::remove_file(&temporary);
        }
        done
    }

    fn chmod(&self, place: &Steps, is_closed: bool) -> bool {
        let path = self.at(place);
        // Following a link.
        let Ok(metadata) = fs::metadata(&path) else { return false };
        let open = if metadata.is_dir() { 0o755 } else { 0o644 };
        let mode = if is_closed { 0 } else { open };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
    }

    fn has_one_name(&self, place: &Steps) -> bool {
        fs::metadata(self.at(place)).is_ok_and(|it| it.is_dir() || it.nlink() == 1)
            || fs::symlink_metadata(self.at(place)).is_err()
            || fs::metadata(self.at(place)).is_err()
    }

    /// As it was at first, whatever was done.
    fn clear(&self) {
        let site = self.root.parent().unwrap();
        for dir in [site.parent().unwrap(), site] {
            // A link may have led here.
            chmod(dir, 0o755);
            for entry in
                fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).filter(|path| path != site)
            {
                open_all(&entry);
                fs::remove_dir_all(&entry).or_else(|_| fs::remove_file(&entry)).unwrap();
            }
        }
        fs::create_dir(&self.root).unwrap();
        fs::create_dir_all(&self.outside).unwrap();
    }
}

fn open_all(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        chmod(path, 0o755);
        fs::read_dir(path).unwrap().flatten().for_each(|entry| open_all(&entry.path()));
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, and is {value}")))
}

/// Runs those of `sequences` random sequences that belong to this shard of four. The environment can say
/// otherwise, by `CONFORMANCE_CASES` and `CONFORMANCE_SEED`.
///
/// # Panics
///
/// When the view is wrong after one of them; the message begins with its seed.
pub async fn operations(mut view: View, shard: u64, sequences: u64) {
    match number("CONFORMANCE_SEED") {
        Some(seed) if seed % SHARDS == shard => {
            for _ in 0..AGAIN {
                sequence(&mut view, seed).await;
            }
        }
        Some(_) => {}
        None => {
            let sequences = number("CONFORMANCE_CASES").unwrap_or(sequences);
            for seed in (0..sequences).filter(|seed| seed % SHARDS == shard) {
                sequence(&mut view, seed).await;
            }
        }
    }
    view.stop().await;
}

async fn sequence(view: &mut View, seed: u64) {
    Ground::of(view, 0).clear();
    if (seed / SHARDS).is_multiple_of(2) {
        one_writer(view, seed).await;
    } else {
        several_writers(view, seed).await;
    }
}

async fn one_writer(view: &mut View, seed: u64) {
    let ground = Ground::of(view, 0);
    let (mut random, mut model) = (Random::new(seed), Model::new());
    let mut done = Vec::new();
    for step in 0..30 {
        let operation = random.operation(step);
        match model.apply(&operation) {
            Effect::Unclear => continue,
            outcome => {
                let worked = ground.apply(&operation);
                done.push((operation, worked));
                assert_eq!(
                    outcome == Effect::Done,
                    worked,
                    "seed {seed}: the model errs in the last of {done:?}"
                );
            }
        }
        // Sometimes the view keeps up, sometimes it finds a heap of changes.
        if random.one_in(6) {
            check_with_model(view, &model, seed, &done).await;
        }
    }
    check_with_model(view, &model, seed, &done).await;
}

async fn check_with_model(view: &mut View, model: &Model, seed: u64, done: &[(Operation, bool)]) {
    let after = format!("CONFORMANCE_SEED={seed}, {done:?}");
    view.check(&after).await;
    view.is(&model.entries(view.root()), &format!("(by the model) {after}"));
}

async fn several_writers(view: &mut View, seed: u64) {
    // Names of one file may come only where nothing was looked at before: see the top.
    let (has_hard_links, is_followed, rounds) = match seed / (2 * SHARDS) % 3 {
        0 => (true, false, 1),
        1 => (false, true, 1),
        _ => (false, false, 2),
    };
    let mut log = Vec::new();
    for round in 0..rounds {
        let writers: Vec<_> = (0..2 + (seed / 7 % 2) as usize)
            .map(|writer| {
                let ground = Ground::of(view, writer);
                let mut random = Random::new(seed * 16 + round * 4 + writer as u64);
                thread::spawn(move || {
                    let mut done = Vec::new();
                    for step in 0..15 {
                        let operation = random.operation(1000 * (writer as u64 + 1) + 100 * round + step);
                        if has_hard_links || !matches!(operation, Operation::HardLink(..)) {
                            let worked = ground.apply(&operation);
                            done.push((operation, worked));
                        }
                    }
                    done
                })
            })
            .collect();
        while is_followed && writers.iter().any(|writer| !writer.is_finished()) {
            view.follow().await;
        }
        log.extend(writers.into_iter().map(|writer| writer.join().unwrap()));
        view.check(&format!("CONFORMANCE_SEED={seed}, round {round}, each writer by itself: {log:?}")).await;
    }
}
