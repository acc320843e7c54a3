//! Listing a whole tree of directories on several threads.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    ignore::Ignore,
    listing::{FileSystemMemo, Kind, Listing},
    parallel::{FEW_DIRS, in_parallel, threads},
};

/// What became of a directory that was stale or unknown.
pub(crate) enum Prefetched {
    AsBefore,
    New(Arc<Listing>),
}

/// Lists every directory at and below `top` that `known` does not have or has as stale. What cannot be
/// listed is left out: whoever asks for it next finds out why. So is what is `beyond`. It ends at `most` directories.
pub(crate) fn list_below(
    top: &Path,
    recursive: bool,
    ignore: &Ignore,
    most: usize,
    beyond: impl Fn(&Path) -> bool + Sync,
    known: impl Fn(&Path) -> Option<(Arc<Listing>, bool)> + Sync,
) -> Vec<(Arc<Path>, Prefetched)> {
    let more = |dir: &Path, listing: &Listing, into: &mut Vec<PathBuf>| {
        if recursive {
            into.extend(subdirectories(dir, listing, ignore).filter(|dir| !beyond(dir)));
        }
    };
    let look = |dir: PathBuf, into: &mut Vec<PathBuf>, memo: &mut FileSystemMemo| {
        let known = known(&dir);
        let (listing, found) = match known {
            Some((listing, true)) => (listing, None),
            Some((listing, false)) if listing.is_current(&dir) => (listing, Some(Prefetched::AsBefore)),
            _ => {
                let listing = Listing::read_with(&dir, memo).ok()?;
                more(&dir, &listing, into);
                return Some((dir.into(), Prefetched::New(Arc::new(listing))));
            }
        };
        more(&dir, &listing, into);
        found.map(|found| (dir.into(), found))
    };
    let (mut found, mut memo) = (Vec::new(), FileSystemMemo::default());
    let mut todo = vec![top.to_owned()];
    let mut looked = 0;
    while looked < FEW_DIRS
        && let Some(dir) = todo.pop()
    {
        found.extend(look(dir, &mut todo, &mut memo));
        looked += 1;
    }
    if todo.is_empty() {
        return found;
    }
    let queue = Queue::new(todo, most);
    let many: Vec<_> = std::thread::scope(|scope| {
        let worker = || {
            let (mut found, mut more, mut memo) = (Vec::new(), Vec::new(), FileSystemMemo::default());
            while let Some(batch) = queue.take(&mut more) {
                found.extend(batch.into_iter().filter_map(|dir| look(dir, &mut more, &mut memo)));
            }
            found
        };
        let others: Vec<_> = (1..threads()).map(|_| scope.spawn(worker)).collect();
        let mut found = worker();
        for other in others {
            match other.join() {
                Ok(more) => found.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    found.extend(many);
    found
}

/// Looks again at directories, of which `listed` says how they were. Returns those that are not so any more:
/// as they are now, or `None` if that cannot be seen.
pub(crate) fn list_again<'a>(
    dirs: &[Arc<Path>],
    listed: impl Fn(&Path) -> Option<&'a Listing> + Sync,
) -> Vec<(Arc<Path>, Option<Listing>)> {
    let look = |dirs: &[Arc<Path>]| {
        let known = dirs.iter().filter_map(|dir| Some((dir, listed(dir)?)));
        let changed = known.filter(|(dir, listing)| !listing.is_current(dir));
        let changed = changed.map(|(dir, listing)| (dir, listing, Listing::read(dir).ok()));
        let changed = changed.filter(|(_, before, now)| now.as_ref().is_none_or(|now| !now.is_same(before)));
        changed.map(|(dir, _, now)| (dir.clone(), now)).collect::<Vec<_>>()
    };
    in_parallel(dirs, FEW_DIRS, look)
}

/// The directories that are wanted of those in a directory.
pub(crate) fn subdirectories(
    dir: &Path,
    listing: &Listing,
    ignore: &Ignore,
) -> impl Iterator<Item = PathBuf> {
    let dirs = listing.iter().filter(|(_, name, kind)| *kind == Kind::Dir && !ignore.matches(name));
    dirs.map(|(_, name, _)| dir.join(name))
}

/// Directories that nobody has looked at yet.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    most: usize,
}

struct State {
    todo: Vec<PathBuf>,
    busy: usize,
    total: usize,
}

impl Queue {
    const BATCH: usize = 16;

    fn new(todo: Vec<PathBuf>, most: usize) -> Self {
        let total = todo.len();
        Self { state: Mutex::new(State { todo, busy: threads(), total }), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in what was found and takes something to look at; `None` when all is done.
    fn take(&self, found: &mut Vec<PathBuf>) -> Option<Vec<PathBuf>> {
        let mut state = self.lock();
        state.total += found.len();
        if state.total <= self.most {
            state.todo.append(found);
        }
        found.clear();
        state.busy -= 1;
        if state.todo.len() > Self::BATCH || (state.busy == 0 && state.todo.is_empty()) {
            self.changed.notify_all();
        }
        loop {
            if !state.todo.is_empty() {
                state.busy += 1;
                let at = state.todo.len().saturating_sub(Self::BATCH);
                return Some(state.todo.split_off(at));
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
