//! Whether a file system answers, asked by somebody who can wait.
//!
//! A call into a mount whose server stopped answering may never return, and nothing can end it. Who looks at
//! the disk without being told of a change there asks first, on a thread of its own, and leaves out what does
//! not answer: a save elsewhere must not wait for it. What is told of there is read on such threads as well: a server
//! may stop in the middle.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, bounded, unbounded};
use hotloader_disk::MountTable;
use rustix::fs::{major, minor, statfs};

/// A file system that takes longer is not looked at now.
const PATIENCE: Duration = Duration::from_millis(500);

/// One that was longer in answering is waited for longer, and so long at most: what takes that long would
/// never be read otherwise.
const LONGEST: Duration = Duration::from_secs(20);

/// For so long an answer holds: a server may stop at any moment, and a thread is not started for each
/// directory.
const HOLDS: Duration = Duration::from_millis(100);

/// So many places for each thread, and so many threads at most, which may all wait for ever.
const SHARE: usize = 4;
const MAX_THREADS: usize = 8;

/// What is known of file systems, by their devices.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    states: BTreeMap<u64, State>,
    /// How long each is waited for, if that is longer than usual.
    patience: BTreeMap<u64, Duration>,
}

#[derive(Debug)]
enum State {
    Answered(Instant),
    /// Threads wait for it.
    Asked {
        ended: Receiver<()>,
        since: Instant,
    },
}

impl Answers {
    /// Whether the file system of that device, on which the directory is, answers at once.
    pub(crate) fn answers(&mut self, device: u64, dir: &Path) -> bool {
        let dir = dir.to_owned();
        // Other calls may be answered by what the kernel has in memory.
        self.answers_to(device, move || {
            // An error is an answer, too.
            let _ = statfs(&dir);
        })
    }

    /// The answer to a question, unless it takes long, or somebody waits for that file system already.
    pub(crate) fn answer<T: Send + 'static>(
        &mut self,
        device: u64,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if let Some(State::Answered(_)) = self.states.get(&device) {
            self.states.remove(&device);
        }
        let (sender, answer) = bounded(1);
        let ask = move || {
            // Nobody may be waiting any more.
            let _ = sender.send(question());
        };
        if self.answers_to(device, ask) { answer.try_recv().ok() } else { None }
    }

    pub(crate) fn answers_to(&mut self, device: u64, question: impl FnOnce() + Send + 'static) -> bool {
        if matches!(self.states.get(&device), Some(State::Answered(at)) if at.elapsed() < HOLDS) {
            return true;
        }
        if !self.is_free(device) {
            return false;
        }
        let since = Instant::now();
        let (alive, ended) = bounded(0);
        // Without a thread nobody can ask, and the file system is not to blame.
        if !ask(question, alive) {
            return true;
        }
        match ended.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                self.is_late(device, ended, since);
                false
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                self.states.insert(device, State::Answered(Instant::now()));
                true
            }
        }
    }

    /// What a question comes to at each of these places, which are on that file system. When no answer comes for
    /// long, the others are `None`, and so are all while somebody waits for that file system already.
    pub(crate) fn answer_each<P: AsRef<Path> + Clone + Send + 'static, T: Send + 'static>(
        &mut self,
        device: u64,
        places: &[P],
        question: impl Fn(&Path) -> T + Send + Sync + 'static,
    ) -> Vec<Option<T>> {
        let mut found: Vec<Option<T>> = places.iter().map(|_| None).collect();
        if !self.is_free(device) {
            return found;
        }
        let (places_in, left) = unbounded();
        // Both ends are here: it cannot fail.
        places.iter().cloned().enumerate().for_each(|place| places_in.send(place).unwrap_or_default());
        drop(places_in);
        let (sender, answers) = unbounded();
        let (alive, ended) = bounded(0);
        let question = Arc::new(question);
        for _ in 0..places.len().div_ceil(SHARE).min(MAX_THREADS) {
            let (left, sender, question) = (left.clone(), sender.clone(), question.clone());
            let work = move || {
                // Until nobody waits any more.
                left.iter()
                    .all(|(at, place): (usize, P)| sender.send((at, question(place.as_ref()))).is_ok());
            };
            ask(work, alive.clone());
        }
        drop((alive, sender));
        let patience = self.patience.get(&device).copied().unwrap_or(PATIENCE);
        let (mut since, mut slowest) = (Instant::now(), Duration::ZERO);
        loop {
            match answers.recv_timeout(patience) {
                Ok((at, answer)) => {
                    if let Some(found) = found.get_mut(at) {
                        *found = Some(answer);
                    }
                    slowest = slowest.max(since.elapsed());
                    since = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.is_late(device, ended, since);
                    return found;
                }
            }
        }
        self.be_patient(device, slowest);
        self.states.insert(device, State::Answered(Instant::now()));
        found
    }

    /// One question at a time: threads that wait for a dead server are not to grow in number.
    fn is_free(&mut self, device: u64) -> bool {
        if let Some(State::Asked { ended, since }) = self.states.get(&device) {
            if ended.try_recv() == Err(TryRecvError::Empty) {
                return false;
            }
            let silence = since.elapsed();
            self.be_patient(device, silence);
            self.states.remove(&device);
            tracing::info!(target: "watch", mount = mount_of(device), silent_ms = silence.as_millis() as u64,
                "the file system answers again");
        }
        true
    }

    fn is_late(&mut self, device: u64, ended: Receiver<()>, since: Instant) {
        self.states.insert(device, State::Asked { ended, since });
        tracing::warn!(target: "watch", mount = mount_of(device), silent_ms = since.elapsed().as_millis() as u64,
            "a file system does not answer; what is on it stays as it was until it does");
    }

    fn be_patient(&mut self, device: u64, took: Duration) {
        if took * 2 > PATIENCE {
            self.patience.insert(device, (took * 2).min(LONGEST));
        } else {
            self.patience.remove(&device);
        }
    }
}

/// Where a file system is mounted, for people.
fn mount_of(device: u64) -> String {
    let table = MountTable::read();
    let at = table.visible().into_iter().find(|(_, mount)| mount.device == (major(device), minor(device)));
    at.map_or_else(|| "unknown".into(), |(at, _)| at.display().to_string())
}

/// Has a thread do it, which lets go of `alive` at its end. Returns whether there is one.
fn ask(work: impl FnOnce() + Send + 'static, alive: crossbeam_channel::Sender<()>) -> bool {
    let asker = thread::Builder::new().name("hotloader-ask".into()).stack_size(128 * 1024);
    let asker = asker.spawn(move || {
        work();
        drop(alive);
    });
    asker.is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_question_that_hangs_in_the_middle_holds_up_nobody_and_is_not_asked_twice() {
        let mut answers = Answers::default();
        let (end, ended) = bounded::<()>(1);
        assert_eq!(answers.answer(1, || 1), Some(1));
        assert_eq!(answers.answer(1, || 2), Some(2), "an answer to another question is none to this");
        let begun = Instant::now();
        assert_eq!(answers.answer(1, move || ended.recv().map_or(0, |()| 3)), None);
        assert!(begun.elapsed() < 10 * PATIENCE);
        let (asked, was_asked) = bounded(1);
        assert_eq!(answers.answer(1, move || asked.send(()).map_or(0, |()| 4)), None);
        assert!(was_asked.recv().is_err(), "two threads wait for it");
        assert_eq!(answers.answer(2, || 5), Some(5), "another one is not held up by it");
        end.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while answers.answer(1, || 6) != Some(6) {
            assert!(Instant::now() < deadline, "it is not asked again");
            thread::yield_now();
        }
    }

    #[test]
    fn one_place_that_hangs_holds_up_no_others_and_what_answers_late_is_waited_for_longer_next_time() {
        let mut answers = Answers::default();
        let places: Vec<PathBuf> = (0..20).map(|place| format!("/{place}").into()).collect();
        let (end, ended) = bounded::<()>(1);
        let hangs = move |place: &Path| if place == Path::new("/7") { ended.recv().is_ok() } else { true };
        let found = answers.answer_each(1, &places, hangs);
        let late: Vec<usize> = (0..20).filter(|&at| found[at].is_none()).collect();
        assert_eq!(late, [7]);
        assert!(
            answers.answer_each(1, &places, |_| ()).iter().all(Option::is_none),
            "more threads wait for it"
        );
        assert!(answers.answer_each(2, &places, |_| ()).iter().all(Option::is_some));
        end.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !answers.is_free(1) {
            assert!(Instant::now() < deadline, "it is not asked again");
            thread::yield_now();
        }
        assert!(answers.patience[&1] > PATIENCE);
        assert!(answers.answer_each(1, &places, |_| ()).iter().all(Option::is_some));
        assert!(answers.patience.is_empty(), "it is fast again");
    }

    #[test]
    fn what_does_not_answer_is_asked_once_and_again_when_it_has_answered() {
        let mut answers = Answers::default();
        let (end, ended) = bounded::<()>(1);
        assert!(!answers.answers_to(1, move || ended.recv().unwrap()));
        let (asked, was_asked) = bounded(1);
        assert!(!answers.answers_to(1, move || asked.send(()).unwrap()));
        assert!(was_asked.recv().is_err(), "two threads wait for it");
        assert!(answers.answers(2, Path::new("/")), "another one is not held up by it");
        end.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !answers.answers_to(1, || ()) {
            assert!(Instant::now() < deadline, "its answer is not taken");
            thread::yield_now();
        }
    }
}
