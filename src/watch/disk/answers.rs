//! Whether a file system answers, asked by somebody who can wait.
//!
//! A call into a mount whose server stopped answering may never return, and nothing can end it. Who looks at
//! the disk without being told of a change there asks first, on a thread of its own, and leaves out what does
//! not answer: a save elsewhere must not wait for it.

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, bounded};
use rustix::fs::statfs;

/// A file system that takes longer is not looked at now.
const PATIENCE: Duration = Duration::from_millis(500);

/// For so long an answer holds: a server may stop at any moment, and a thread is not started for each
/// directory.
const HOLDS: Duration = Duration::from_millis(100);

/// What is known of file systems, by their devices.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<u64, State>);

#[derive(Debug)]
enum State {
    Answered(Instant),
    /// A thread waits for it.
    Asked(Receiver<()>),
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
        if let Some(State::Answered(_)) = self.0.get(&device) {
            self.0.remove(&device);
        }
        let (sender, answer) = bounded(1);
        let ask = move || {
            // Nobody may be waiting any more.
            let _ = sender.send(question());
        };
        if self.answers_to(device, ask) { answer.try_recv().ok() } else { None }
    }

    pub(crate) fn answers_to(&mut self, device: u64, question: impl FnOnce() + Send + 'static) -> bool {
        let answer = match self.0.remove(&device) {
            Some(State::Answered(at)) if at.elapsed() < HOLDS => {
                self.0.insert(device, State::Answered(at));
                return true;
            }
            // One question at a time: threads that wait for a dead server are not to grow in number.
            Some(State::Asked(answer)) => match answer.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.0.insert(device, State::Asked(answer));
                    return false;
                }
                Ok(()) | Err(TryRecvError::Disconnected) => ask(question),
            },
            _ => ask(question),
        };
        // Without a thread nobody can ask, and the file system is not to blame.
        let Some(answer) = answer else { return true };
        match answer.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                self.0.insert(device, State::Asked(answer));
                false
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                self.0.insert(device, State::Answered(Instant::now()));
                true
            }
        }
    }
}

fn ask(question: impl FnOnce() + Send + 'static) -> Option<Receiver<()>> {
    let (sender, answer) = bounded(1);
    let asker = thread::Builder::new().name("hotloader-ask".into()).stack_size(64 * 1024);
    let asker = asker.spawn(move || {
        question();
        // Nobody may be waiting any more.
        let _ = sender.send(());
    });
    asker.is_ok().then_some(answer)
}

#[cfg(test)]
mod tests {
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
