//! [`Repeats`]: what is said again and again is told at first, then counted.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    dispatcher::{self, Dispatch, WeakDispatch},
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{escape, line::LIMITED_BY};

/// Repeats are summed up after this long.
const WINDOW: Duration = Duration::from_secs(10);
/// This many of a kind are logged at once in a first window, and one in each further window.
const AT_ONCE: u32 = 5;
/// At most this many kinds are told apart. Beyond it, all of one place in the code count as one kind: many
/// addresses must not fill the memory.
const KINDS: usize = 1024;
/// How much of a text is kept of each kind.
const SAMPLE: usize = 200;
/// What stands for all that are too many to be told apart.
const OTHERS: &str = "others";

/// A layer for the log that limits what a stranger can cause.
///
/// It looks at events that have a field `limited_by`: the session, address or other cause of them; empty:
/// everybody. Of those with one value from one place in the code, the first few are let through. The others
/// are counted, and after ten seconds a line says how many there were, also if nothing is logged any more.
///
/// [`init`](super::init) installs it. A program with a subscriber of its own adds it there.
#[derive(Clone, Debug)]
pub struct Repeats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    counts: Mutex<Counts>,
    log: OnceLock<WeakDispatch>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self::with_window(WINDOW)
    }
}

impl Repeats {
    fn with_window(window: Duration) -> Self {
        let counts = Counts { window, kinds: HashMap::new(), is_awaited: false };
        Self(Arc::new(Shared { counts: Mutex::new(counts), log: OnceLock::new() }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A count is whole at any time: a panic leaves nothing half done.
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says at once what has been held back up to now.
    pub(super) fn tell_all(&self) {
        let summaries = self.counts().take_all(Instant::now());
        self.tell(&summaries);
    }

    fn tell(&self, summaries: &[Summary]) {
        if let Some(log) = self.0.log.get().and_then(WeakDispatch::upgrade) {
            dispatcher::with_default(&log, || summaries.iter().for_each(Summary::log));
        }
    }

    /// A thread logs the summaries, and ends when there are none left. A thread and not a task: events come
    /// from anywhere, with or without a runtime.
    fn await_summaries(self) {
        let thread = thread::Builder::new().name("log-repeats".into());
        let repeats = self.clone();
        let started = thread.spawn(move || {
            loop {
                let now = Instant::now();
                let (summaries, next) = repeats.counts().take_due(now);
                repeats.tell(&summaries);
                match next {
                    Some(next) => thread::sleep(next.saturating_duration_since(Instant::now())),
                    None => return,
                }
            }
        });
        if started.is_err() {
            // The next that is held back tries again.
            self.counts().is_awaited = false;
        }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn on_register_dispatch(&self, log: &Dispatch) {
        // In a second subscriber it would tell there what happened here.
        let _ = self.0.log.set(log.downgrade());
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let Some(limited_by) = metadata.fields().field(LIMITED_BY) else { return true };
        let who = Text::of(event, &limited_by);
        let sample = || metadata.fields().field("message").map(|field| Text::of(event, &field));
        let mut counts = self.counts();
        let kind = (metadata.callsite(), who);
        let is_told = counts.is_told(kind, *metadata.level(), sample, Instant::now());
        let is_first = !is_told && !std::mem::replace(&mut counts.is_awaited, true);
        drop(counts);
        if is_first {
            self.clone().await_summaries();
        }
        is_told
    }
}

/// A place in the code, and who caused it.
type Kind = (Identifier, String);

#[derive(Debug)]
struct Counts {
    window: Duration,
    kinds: HashMap<Kind, Count>,
    /// Whether a thread waits for the next summary.
    is_awaited: bool,
}

#[derive(Debug)]
struct Count {
    level: Level,
    /// The message that was told last.
    sample: String,
    began: Instant,
    told: u32,
    held: u64,
}

impl Counts {
    /// Counts an event, and says whether it is told. The sample is asked for only then.
    fn is_told(
        &mut self,
        mut kind: Kind,
        level: Level,
        sample: impl FnOnce() -> Option<String>,
        now: Instant,
    ) -> bool {
        if !self.kinds.contains_key(&kind) && self.kinds.len() >= KINDS {
            let window = self.window;
            self.kinds.retain(|_, count| count.held > 0 || now < count.began + window);
            if self.kinds.len() >= KINDS {
                kind.1 = OTHERS.into();
            }
        }
        let fresh = || Count { level, sample: String::new(), began: now, told: 0, held: 0 };
        let count = self.kinds.entry(kind).or_insert_with(fresh);
        if count.held == 0 && now >= count.began + self.window {
            (count.began, count.told) = (now, 0);
        }
        if count.told >= AT_ONCE {
            count.held += 1;
            return false;
        }
        count.told += 1;
        count.sample = sample().unwrap_or_default();
        true
    }

    /// What is to be said now, and when to look again; `None`: nothing is held back, nobody waits.
    fn take_due(&mut self, now: Instant) -> (Vec<Summary>, Option<Instant>) {
        let window = self.window;
        let summaries = self.take(now, |count| now >= count.began + window);
        let held = self.kinds.values().filter(|count| count.held > 0);
        let next = held.map(|count| count.began + window).min();
        self.is_awaited = next.is_some();
        (summaries, next)
    }

    fn take_all(&mut self, now: Instant) -> Vec<Summary> {
        self.take(now, |_| true)
    }

    fn take(&mut self, now: Instant, is_due: impl Fn(&Count) -> bool) -> Vec<Summary> {
        let mut summaries = Vec::new();
        for ((_, who), count) in self.kinds.iter_mut().filter(|(_, count)| count.held > 0 && is_due(count)) {
            let (sample, time) = (count.sample.clone(), now - count.began);
            summaries.push(Summary { level: count.level, who: who.clone(), sample, more: count.held, time });
            // It goes on: the next window shows one of them.
            (count.began, count.told, count.held) = (now, AT_ONCE - 1, 0);
        }
        summaries
    }
}

/// How often something was not told.
#[derive(Debug, PartialEq)]
struct Summary {
    level: Level,
    who: String,
    sample: String,
    more: u64,
    time: Duration,
}

impl Summary {
    fn log(&self) {
        let who = (!self.who.is_empty()).then_some(self.who.as_str());
        match self.level {
            Level::ERROR => tracing::error!(who, "{self}"),
            Level::WARN => tracing::warn!(who, "{self}"),
            Level::INFO => tracing::info!(who, "{self}"),
            _ => tracing::debug!(who, "{self}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64().round().max(1.0);
        write!(f, "{}, and {} more in {seconds} s", self.sample, self.more)
    }
}

/// The text of one field, as the log shows it, cut short.
struct Text<'a> {
    field: &'a Field,
    text: String,
}

impl<'a> Text<'a> {
    fn of(event: &Event<'_>, field: &'a Field) -> String {
        let mut this = Self { field, text: String::new() };
        event.record(&mut this);
        this.text
    }
}

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field == self.field {
            // Writing to a String cannot fail.
            let _ = escape::write(&mut self.text, SAMPLE, format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps what gets past the limit, as `level text`.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Told {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut text = String::new();
            let mut line = super::super::line::Line::new(&mut text, false);
            event.record(&mut line);
            line.finish().unwrap();
            self.0.lock().unwrap().push(format!("{} {text}", event.metadata().level()));
        }
    }

    impl Told {
        fn lines(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }

        /// Waits for the line of that number.
        fn wait_for(&self, count: usize) -> Vec<String> {
            let deadline = Instant::now() + Duration::from_secs(20);
            while self.lines().len() < count {
                assert!(Instant::now() < deadline, "{:?}", self.lines());
                thread::yield_now();
            }
            self.lines()
        }
    }

    fn in_a_log(repeats: Repeats, work: impl FnOnce(&Told)) {
        let told = Told::default();
        let log = Dispatch::new(tracing_subscriber::registry().with(told.clone()).with(repeats));
        dispatcher::with_default(&log, || work(&told));
    }

    fn timer_fails(session: &str, n: u64) {
        tracing::warn!(limited_by = session, "a timer failed: {n}");
    }

    #[test]
    fn the_first_are_told_at_once_and_the_rest_is_summed_up_although_nobody_writes_any_more() {
        in_a_log(Repeats::with_window(Duration::from_millis(200)), |told| {
            (0..317).for_each(|n| timer_fails("ab12", n));
            let lines = told.wait_for(6);
            let first: Vec<_> = (0..5).map(|n| format!("WARN a timer failed: {n}")).collect();
            assert_eq!(lines[..5], first);
            assert_eq!(lines[5], "WARN a timer failed: 4, and 312 more in 1 s who=\"ab12\"");
        });
    }

    #[test]
    fn what_is_held_back_is_told_at_the_end() {
        let repeats = Repeats::with_window(Duration::from_secs(3600));
        in_a_log(repeats.clone(), |told| {
            (0..7).for_each(|n| timer_fails("ab12", n));
            repeats.tell_all();
            assert_eq!(told.lines().len(), 6);
            assert!(told.lines()[5].contains(", and 2 more in "), "{:?}", told.lines());
        });
    }

    #[test]
    fn sessions_and_causes_do_not_share_a_limit_and_other_events_have_none() {
        in_a_log(Repeats::with_window(Duration::from_secs(3600)), |told| {
            (0..20).for_each(|n| timer_fails("ab12", n));
            timer_fails("cd34", 0);
            tracing::warn!(limited_by = "ab12", "a handler failed");
            (0..20).for_each(|_| tracing::info!("reloaded"));
            assert_eq!(told.lines().len(), 5 + 1 + 1 + 20);
        });
    }

    #[test]
    fn a_flood_of_addresses_costs_bounded_memory_and_lines() {
        let repeats = Repeats::with_window(Duration::from_secs(3600));
        in_a_log(repeats.clone(), |told| {
            (0..100_000).for_each(|n: u64| timer_fails(&format!("2001:db8::{n:x}"), n));
            assert_eq!(repeats.counts().kinds.len(), KINDS + 1);
            assert_eq!(told.lines().len(), KINDS + AT_ONCE as usize);
        });
        in_a_log(repeats.clone(), |_| {
            timer_fails(&"x".repeat(100_000), 0);
            assert!(repeats.counts().kinds.keys().all(|(_, who)| who.len() < SAMPLE + 32));
        });
    }

    #[test]
    fn what_goes_on_is_told_once_in_each_window_and_what_has_ended_begins_anew() {
        let mut counts = Counts { window: WINDOW, kinds: HashMap::new(), is_awaited: false };
        let metadata_of = |work: &dyn Fn()| {
            // The identifier of a place in the code comes from an event of it.
            #[derive(Clone, Default)]
            struct Place(Arc<Mutex<Option<Identifier>>>);
            impl<S: Subscriber> Layer<S> for Place {
                fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                    *self.0.lock().unwrap() = Some(event.metadata().callsite());
                }
            }
            let place = Place::default();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(place.clone()), work);
            place.0.lock().unwrap().clone().unwrap()
        };
        let place = metadata_of(&|| timer_fails("ab12", 0));
        let start = Instant::now();
        let tell = |counts: &mut Counts, ms: u64| {
            let kind = (place.clone(), "ab12".to_owned());
            counts.is_told(kind, Level::WARN, || Some("failed".into()), start + Duration::from_millis(ms))
        };
        let told = (0..100).filter(|n| tell(&mut counts, *n)).count();
        assert_eq!(told, 5);
        let (summaries, next) = counts.take_due(start + Duration::from_secs(10));
        assert_eq!(summaries[0].more, 95);
        assert_eq!(next, None);
        let told = (0..100).filter(|n| tell(&mut counts, 10_000 + n)).count();
        assert_eq!(told, 1, "while it goes on");
        assert_eq!(counts.take_due(start + Duration::from_secs(20)).0[0].more, 99);
        let told = (0..100).filter(|n| tell(&mut counts, 60_000 + n)).count();
        assert_eq!(told, 5, "after a pause");
    }
}
