//! Looking at many places of a disk on several threads.

use std::num::NonZero;

/// Fewer directories than this are listed faster by one thread than threads are started.
pub(crate) const FEW_DIRS: usize = 48;

/// More threads than this rarely make a disk faster.
const MAX_THREADS: usize = 8;

/// How many threads to look at the disk with.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS)
}

/// Does something with parts of a list, on several threads if there are more than a few in it. What comes
/// out is in the order of the list.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    all: &[T],
    few: usize,
    work: impl Fn(&[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let threads = threads().min(all.len() / few);
    if threads < 2 {
        return work(all);
    }
    std::thread::scope(|scope| {
        let work = &work;
        let parts = all.chunks(all.len().div_ceil(threads));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let join = |part: std::thread::ScopedJoinHandle<'_, Vec<R>>| match part.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let parts: Vec<Vec<R>> = parts.into_iter().map(join).collect();
        let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        parts.into_iter().for_each(|part| all.extend(part));
        all
    })
}
