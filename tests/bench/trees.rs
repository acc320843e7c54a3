//! The trees that are watched, saves in them, and the walk that everything is compared with.

use std::{
    fs,
    io::Write,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, statat};

use crate::Fallible;

/// Ten files in each directory, a hundred directories in each of the upper ones.
pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
    pub(crate) dirs: usize,
    _keep: tempfile::TempDir,
}

pub(crate) const FILES_IN_DIR: usize = 10;

impl Tree {
    pub(crate) fn new(within: &Path, dirs: usize) -> Fallible<Self> {
        let keep = tempfile::Builder::new().prefix("hotloader-bench-").tempdir_in(within)?;
        let dir = fs::canonicalize(keep.path())?.join("tree");
        fs::create_dir(&dir)?;
        for number in 0..dirs {
            let sub = Self::sub(&dir, number);
            fs::create_dir_all(&sub)?;
            for file in 0..FILES_IN_DIR {
                let text = format!("return {{ number = {} }}\n", number * FILES_IN_DIR + file);
                fs::write(sub.join(format!("module_{file}.lua")), text.repeat(8))?;
            }
        }
        Ok(Self { dir, dirs, _keep: keep })
    }

    fn sub(dir: &Path, number: usize) -> PathBuf {
        dir.join(format!("part_{:03}/package_{:02}", number / 100, number % 100))
    }

    pub(crate) fn files(&self) -> usize {
        self.dirs * FILES_IN_DIR
    }

    /// Bytes of all paths of files.
    pub(crate) fn path_bytes(&self) -> usize {
        let path = Self::sub(&self.dir, 0).join("module_0.lua");
        self.files() * path.as_os_str().len()
    }
}

/// Saves one file after the other, far apart, in place and atomically in turn.
pub(crate) struct Saves {
    dir: PathBuf,
    dirs: usize,
    number: usize,
}

impl Saves {
    pub(crate) fn new(dir: &Path, dirs: usize) -> Self {
        Self { dir: dir.to_owned(), dirs, number: 0 }
    }

    /// Which file of a tree of so many directories is saved at that place of the order, from 1.
    pub(crate) fn path(dir: &Path, dirs: usize, number: usize) -> PathBuf {
        let sub = Tree::sub(dir, number * 7919 % dirs);
        sub.join(format!("module_{}.lua", number % FILES_IN_DIR))
    }

    /// Returns the file, and the moment just before it was written.
    pub(crate) fn save(&mut self) -> Fallible<(PathBuf, Instant)> {
        self.number += 1;
        let path = Self::path(&self.dir, self.dirs, self.number);
        let sub = path.parent().ok_or("no directory")?;
        let text = format!("return {{ saved = {}, by = {} }}\n", self.number, std::process::id());
        let began = if self.number.is_multiple_of(2) {
            let mut file = fs::File::create(&path)?;
            let began = Instant::now();
            file.write_all(text.as_bytes())?;
            began
        } else {
            let temporary = sub.join("module.new");
            fs::write(&temporary, text)?;
            let began = Instant::now();
            fs::rename(&temporary, &path)?;
            began
        };
        Ok((path, began))
    }
}

/// Lists every directory and asks for every entry, on all processors: nobody who looks at a whole tree can
/// be faster. The best of some tries.
pub(crate) fn bare_walk(dir: &Path, tries: usize) -> Fallible<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..tries {
        let began = Instant::now();
        let queue = Mutex::new(vec![dir.to_owned()]);
        let open_dirs = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(|| {
                    while open_dirs.load(Ordering::Acquire) > 0 {
                        let next = queue.lock().map(|mut queue| queue.pop()).unwrap_or_default();
                        let Some(dir) = next else {
                            std::thread::yield_now();
                            continue;
                        };
                        let found = entries(&dir).unwrap_or_default();
                        open_dirs.fetch_add(found.len(), Ordering::AcqRel);
                        if let Ok(mut queue) = queue.lock() {
                            queue.extend(found);
                        }
                        open_dirs.fetch_sub(1, Ordering::AcqRel);
                    }
                });
            }
        });
        best = best.min(began.elapsed());
    }
    Ok(best)
}

fn entries(path: &Path) -> Fallible<Vec<PathBuf>> {
    let fd = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut dir = Dir::new(fd)?;
    let mut dirs = Vec::new();
    while let Some(entry) = dir.read() {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        let stat = statat(dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            dirs.push(path.join(name.to_str()?));
        }
    }
    Ok(dirs)
}
