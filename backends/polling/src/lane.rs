//! The thread that looks at one mount. A server that hangs holds up this thread and nothing else.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use hotloader_backend::{DirSet, ReportSink};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    mounts::MountPoints,
    pass::{Manner, Outcome, Pulse, STACK, Tree},
};

/// What the thread is to do.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) kind: OrderKind,
    /// What is mounted by now.
    pub(crate) mount_points: Arc<MountPoints>,
}

/// What kind of work it is.
#[derive(Debug)]
pub(crate) enum OrderKind {
    /// Look after these directories from now on, which are in order.
    Take(DirSet),
    /// Look at all of them, and ask the server so often.
    Pass { allowed: u32 },
}

/// That it has done so.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) lane: u64,
    /// `None`: it panicked.
    pub(crate) outcome: Option<Outcome>,
}

/// The end of the thread that others hold. Dropping it ends the thread as soon as the system call that
/// it is in returns; until then it holds nothing of anybody else's.
#[derive(Debug)]
pub(crate) struct Lane {
    orders: Sender<Order>,
    pulse: Arc<Pulse>,
}

impl Lane {
    /// Each order is answered by one message, and none is given before the answer to the one before has
    /// come: that bounds both channels.
    pub(crate) fn start(
        id: u64,
        manner: Manner,
        reports: ReportSink,
        done: UnboundedSender<Done>,
    ) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let pulse = Arc::new(Pulse::default());
        let tree = Tree::new(manner, reports, pulse.clone());
        thread::Builder::new()
            .name("hotloader-poll".into())
            .stack_size(STACK)
            .spawn(move || work(id, tree, &inbox, done))?;
        Ok(Self { orders, pulse })
    }

    pub(crate) fn give(&self, order: Order) {
        // A thread that has gone has said so.
        let _ = self.orders.send(order);
    }

    /// Grows whenever the file system has answered.
    pub(crate) fn answers(&self) -> u64 {
        self.pulse.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.pulse.stop.store(true, Ordering::Relaxed);
    }
}

fn work(lane: u64, mut tree: Tree, orders: &Receiver<Order>, done: UnboundedSender<Done>) {
    let mut last_word = LastWord { lane, done };
    while let Ok(Order { kind, mount_points }) = orders.recv() {
        let outcome = match kind {
            OrderKind::Take(dirs) => tree.take(dirs, &mount_points),
            OrderKind::Pass { allowed } => tree.pass(&mount_points, allowed),
        };
        let Some(outcome) = outcome else { return };
        last_word.say(Some(outcome));
    }
}

struct LastWord {
    lane: u64,
    done: UnboundedSender<Done>,
}

impl LastWord {
    fn say(&mut self, outcome: Option<Outcome>) {
        // Nobody may be waiting any more.
        let _ = self.done.send(Done { lane: self.lane, outcome });
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if thread::panicking() {
            self.say(None);
        }
    }
}
