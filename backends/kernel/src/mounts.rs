//! The mount table. What is mounted over a directory gives no event of the directory, but the table can be asked
//! whether it changed.

use std::fs::File;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The mount table of this process; nothing where there is none, as on other systems than Linux.
#[derive(Debug)]
pub struct Mounts(Option<File>);

impl Mounts {
    /// Opens it. Says so where that should be possible and is not.
    pub fn open() -> Self {
        if !cfg!(target_os = "linux") {
            return Self(None);
        }
        let table = File::open("/proc/self/mountinfo").inspect_err(|error| {
            tracing::warn!(target: "watch", %error, "cannot read /proc/self/mountinfo; what is mounted over a \
                watched directory goes unnoticed until the next change above it");
        });
        Self(table.ok())
    }

    /// What can be waited for, with [`PollFlags::PRI`].
    pub fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }

    /// Whether it changed since it was asked last. The kernel tells of a change once.
    pub fn have_changed(&self) -> bool {
        self.0.as_ref().is_some_and(|table| {
            let mut waiting = [PollFd::new(table, PollFlags::PRI)];
            poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        })
    }
}
