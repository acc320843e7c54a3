//! The thread that empties the kernel's queue. The queue is finite, so it only folds.

use std::{
    ffi::OsStr,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    sync::{Arc, Mutex},
};

use hotloader_backend::Phase;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify::{self, Event, ReadFlags},
    io::Errno,
};

use hotloader_kernel::{Mounts, Notes, lock};

use crate::table::Table;

/// How much of the queue is taken at once, in bytes: some 2,000 events.
const BUFFER: usize = 64 * 1024;

/// What happens to a directory itself, seen from inside.
const SELF: ReadFlags =
    ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT).union(ReadFlags::IGNORED);

pub(crate) struct Reader {
    inotify: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    table: Arc<Mutex<Table>>,
    notes: Arc<Notes>,
    mounts: Mounts,
}

impl Reader {
    pub(crate) fn new(
        inotify: Arc<OwnedFd>,
        stop: Arc<OwnedFd>,
        table: Arc<Mutex<Table>>,
        notes: Arc<Notes>,
    ) -> Self {
        Self { inotify, stop, table, notes, mounts: Mounts::open() }
    }

    /// Reads until it is told to stop, or cannot.
    pub(crate) fn run(self) {
        if let Err(errno) = self.read() {
            self.notes.failed(errno);
        }
    }

    fn read(&self) -> Result<(), Errno> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let mut waiting =
                vec![PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            waiting.extend(self.mounts.file().map(|mounts| PollFd::new(mounts, PollFlags::PRI)));
            match poll(&mut waiting, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if waiting[1].revents().contains(PollFlags::IN) {
                return Ok(());
            }
            // The kernel tells of a change once.
            if waiting.get(2).is_some_and(|mounts| !mounts.revents().is_empty()) {
                self.notes.suspect_all();
            }
            loop {
                match events.next() {
                    Ok(event) => self.event(&event),
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
    }

    fn event(&self, event: &Event<'_>) {
        let flags = event.events();
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            // Those that are on their way may be among what was lost.
            lock(&self.table).cookies.clear();
            self.notes.lost();
            return;
        }
        if flags.contains(ReadFlags::IGNORED) {
            let cookie = lock(&self.table).cookies.remove(&event.wd());
            if let Some(number) = cookie {
                // What was mounted before the barrier is noted before it.
                if self.mounts.have_changed() {
                    self.notes.suspect_all();
                }
                self.notes.cookie(number);
                return;
            }
        }
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        let phase = if flags.contains(ReadFlags::MODIFY) {
            Phase::Writing
        } else if flags.contains(ReadFlags::CLOSE_WRITE) {
            Phase::Closed
        } else {
            Phase::Complete
        };
        let is_about_a_directory = flags.contains(ReadFlags::ISDIR) || flags.intersects(SELF);
        for dir in lock(&self.table).paths(event.wd()) {
            let path = name.map_or_else(|| dir.to_path_buf(), |name| dir.join(name));
            if is_about_a_directory {
                self.notes.suspect(&path);
            }
            self.notes.reports().hint(path, phase);
        }
    }
}
