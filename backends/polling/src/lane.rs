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

use tokio::sync::mpsc::UnboundedSender;

use crate::pass::{Outcome, Pulse, STACK};

/// That an order is done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) lane: u64,
    /// `None`: it panicked.
    pub(crate) outcome: Option<Outcome>,
}

/// The end of the thread that others hold. Dropping it ends the thread as soon as the system call that
/// it is in returns; until then it holds nothing of anybody else's.
#[derive(Debug)]
pub(crate) struct Lane<O> {
    orders: Sender<O>,
    pulse: Arc<Pulse>,
}

impl<O: Send + 'static> Lane<O> {
    /// Each order is answered by one message, and none is given before the answer to the one before has
    /// come: that bounds both channels. What `make` makes does the work, and returns `None` if it was told to stop.
    pub(crate) fn start<W>(
        id: u64,
        done: UnboundedSender<Done>,
        make: impl FnOnce(Arc<Pulse>) -> W,
    ) -> io::Result<Self>
    where
        W: FnMut(O) -> Option<Outcome> + Send + 'static,
    {
        let (orders, inbox) = mpsc::channel();
        let pulse = Arc::new(Pulse::default());
        let worker = make(pulse.clone());
        thread::Builder::new()
            .name("hotloader-poll".into())
            .stack_size(STACK)
            .spawn(move || work(id, worker, &inbox, done))?;
        Ok(Self { orders, pulse })
    }

    pub(crate) fn give(&self, order: O) {
        // A thread that has gone has said so.
        let _ = self.orders.send(order);
    }

    /// Grows whenever the file system has answered.
    pub(crate) fn answers(&self) -> u64 {
        self.pulse.answers.load(Ordering::Relaxed)
    }
}

impl<O> Drop for Lane<O> {
    fn drop(&mut self) {
        self.pulse.stop.store(true, Ordering::Relaxed);
    }
}

fn work<O>(
    lane: u64,
    mut worker: impl FnMut(O) -> Option<Outcome>,
    orders: &Receiver<O>,
    done: UnboundedSender<Done>,
) {
    let mut last_word = LastWord { lane, done };
    while let Ok(order) = orders.recv() {
        let Some(outcome) = worker(order) else { return };
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
