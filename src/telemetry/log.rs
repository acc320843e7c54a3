//! The log: lines on stderr, for people or as JSON.
//!
//! One event is one line, whatever is in it: `line` and `json` see to that, and `repeats` to how many
//! there are.

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, fmt,
    fmt::{MakeWriter, time::ChronoLocal},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use super::{json::Json, line::Lines, repeats::Repeats, tail::Tail};
use crate::config::{LogFormat, LoggingConfig};

/// Starts logging to stderr as `config` says, for the whole process.
///
/// `RUST_LOG` is honoured additionally: its directives win over the configured level for what they
/// name. Where a program that embeds the library has its own subscriber already, that one stays.
pub fn init(config: &LoggingConfig) {
    let rust_log = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let (filter, mistake) = filter(config, rust_log.as_deref());
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let repeats = Repeats::default();
    if subscriber(config, filter, io::stderr, colour, repeats.clone()).try_init().is_ok() {
        // Nobody else sets it: only one subscriber can be the process's.
        let _ = REPEATS.set(repeats);
        if let Some(mistake) = mistake {
            tracing::warn!("RUST_LOG is ignored: {mistake}");
        }
    }
}

/// What the process's log has held back.
static REPEATS: OnceLock<Repeats> = OnceLock::new();

/// Says how many repeats were held back and not told yet. For the end of the process.
pub fn finish() {
    if let Some(repeats) = REPEATS.get() {
        repeats.tell_all();
    }
}

/// One event is one `write` of a whole line, and stderr is locked while it is written: lines of many
/// threads never mix.
fn subscriber<W>(
    config: &LoggingConfig,
    filter: EnvFilter,
    writer: W,
    colour: bool,
    repeats: Repeats,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colour);
    let layer = match config.format {
        // The hour is what a person compares with the clock on the wall; the day is in the journal.
        LogFormat::Pretty => layer
            .compact()
            .with_timer(ChronoLocal::new("%H:%M:%S%.3f".into()))
            .with_target(config.verbosity > 0)
            .fmt_fields(Lines)
            .boxed(),
        LogFormat::Json => layer.event_format(Json).boxed(),
    };
    registry().with(filter).with(layer).with(Tail).with(repeats)
}

/// The filter, and what is wrong with `rust_log` if that had to be left out.
fn filter(config: &LoggingConfig, rust_log: Option<&str>) -> (EnvFilter, Option<String>) {
    let configured = directives(config);
    let parse = |text: &str| EnvFilter::builder().parse(text);
    match rust_log.map(|more| parse(&format!("{configured},{more}"))) {
        None => (EnvFilter::new(configured), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(mistake)) => (EnvFilter::new(configured), Some(mistake.to_string())),
    }
}

/// Our crates at the configured level; what they stand on only warns, until the verbosity asks for more.
fn directives(config: &LoggingConfig) -> String {
    const STEPS: [LevelFilter; 5] =
        [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    let level: LevelFilter = config.level.parse().unwrap_or(LevelFilter::INFO);
    let start = STEPS.iter().position(|step| *step == level).unwrap_or_default();
    let ours = STEPS[(start + usize::from(config.verbosity)).min(STEPS.len() - 1)];
    let theirs = match config.verbosity {
        0..=2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    }
    .min(ours);
    // Targets match by their beginning: `lua` is the server and what sites print, `hot` the reloads and
    // the backends, `hub` what sessions share, `fleet` what comes as releases.
    format!("{theirs},lua={ours},hot={ours},watch={ours},web={ours},hub={ours},fleet={ours}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{super::escape, *};

    /// Keeps each `write` apart.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl io::Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Writes {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn config(level: &str, verbosity: u8, format: LogFormat) -> LoggingConfig {
        LoggingConfig { level: level.into(), verbosity, format }
    }

    /// What is written while `work` runs.
    fn logged(config: &LoggingConfig, rust_log: Option<&str>, work: impl FnOnce()) -> Vec<String> {
        let writes = Writes::default();
        let filter = filter(config, rust_log).0;
        let subscriber = subscriber(config, filter, writes.clone(), false, Repeats::default());
        tracing::subscriber::with_default(subscriber, work);
        writes.0.lock().unwrap().clone()
    }

    #[test]
    fn verbosity_raises_our_level_first_and_that_of_libraries_later() {
        for (level, verbosity, theirs, ours) in [
            ("info", 0, "warn", "info"),
            ("info", 1, "warn", "debug"),
            ("info", 2, "warn", "trace"),
            ("info", 3, "info", "trace"),
            ("info", 4, "debug", "trace"),
            ("error", 0, "error", "error"),
            ("error", 255, "debug", "trace"),
        ] {
            let expected =
                format!("{theirs},lua={ours},hot={ours},watch={ours},web={ours},hub={ours},fleet={ours}");
            assert_eq!(directives(&config(level, verbosity, LogFormat::Pretty)), expected);
        }
    }

    #[test]
    fn rust_log_adds_to_the_configured_level_and_wins_where_it_names_the_same() {
        let work = || {
            tracing::debug!(target: "hyper", "from hyper");
            tracing::info!(target: "lua_hotloader", "from us");
            tracing::debug!(target: "hotloader_notify", "from notify");
        };
        let config = config("info", 0, LogFormat::Pretty);
        assert_eq!(logged(&config, None, work).len(), 1);
        let lines = logged(&config, Some("hyper=debug,lua=error"), work);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("from hyper"));
    }

    #[test]
    fn a_mistake_in_rust_log_is_told_and_the_configured_level_stays() {
        let config = config("info", 0, LogFormat::Pretty);
        let (filter, mistake) = filter(&config, Some("hyper=loud"));
        assert_eq!(filter.to_string(), EnvFilter::new(directives(&config)).to_string());
        assert!(mistake.is_some());
    }

    #[test]
    fn an_event_is_one_write_of_one_line() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let writes = logged(&config("info", 0, format), None, || {
                for n in 0..3 {
                    let _span = tracing::info_span!("reload", generation = n).entered();
                    tracing::info!(file = "lua/main.lua", "reloaded");
                }
            });
            assert_eq!(writes.len(), 3);
            assert!(writes.iter().all(|write| write.matches('\n').count() == 1 && write.ends_with('\n')));
        }
    }

    /// As a browser or a script might send it, to be taken for a line of the server's.
    const FORGED: &str =
        "x\r\n12:00:00.000  INFO stopped\u{85}a\u{2028}b\u{2029}c\u{202e}d\u{2066}e\u{feff}f\x1b[2Kg\t";

    #[test]
    fn no_text_begins_a_line_or_turns_it_around_wherever_it_stands() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let writes = logged(&config("info", 0, format), None, || {
                tracing::warn!(text = FORGED, shown = %FORGED, debug = ?FORGED, "said: {FORGED}");
                let error = std::io::Error::other(FORGED);
                tracing::warn!(error = &error as &dyn std::error::Error, "failed");
            });
            assert_eq!(writes.len(), 2);
            for write in &writes {
                let line = write.strip_suffix('\n').unwrap();
                assert_eq!(escape::printable(line), line, "nothing is left to escape");
            }
            if format == LogFormat::Json {
                let line: serde_json::Value = serde_json::from_str(&writes[0]).unwrap();
                assert_eq!((&line["text"], &line["shown"]), (&FORGED.into(), &FORGED.into()));
            }
        }
    }

    #[test]
    fn our_own_colours_stay_and_those_of_others_do_not() {
        let writes = Writes::default();
        let config = config("info", 0, LogFormat::Pretty);
        let subscriber =
            subscriber(&config, filter(&config, None).0, writes.clone(), true, Repeats::default());
        tracing::subscriber::with_default(
            subscriber,
            || tracing::warn!(name = %"\x1b[31mred", "\x1b[31mred"),
        );
        let line = writes.0.lock().unwrap().concat();
        assert!(line.contains("\x1b[33m WARN\x1b[0m") && line.contains("\x1b[3mname\x1b[0m"), "{line:?}");
        assert_eq!(line.matches("\x1b[31m").count(), 0, "{line:?}");
        assert_eq!(line.matches(r"\u{1b}[31mred").count(), 2, "{line:?}");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_how_long_it_was() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let text = "h".repeat(16_384);
            let writes = logged(&config("info", 0, format), None, || {
                tracing::warn!(host = %text, name = text.as_str(), "{text}");
            });
            assert!(writes[0].len() < 13_000, "{}", writes[0].len());
            assert_eq!(writes[0].matches("… (1638").count(), 3, "{}", writes[0]);
        }
    }

    #[test]
    fn the_details_of_an_error_stand_below_it_and_never_look_like_an_event() {
        let details = "\n > 42 |   return x\u{202e}.name\n   from lua/app.lua:42\n12:00:00.000  INFO forged";
        let work = || tracing::error!(session = "ab12", details, "failed");
        let writes = logged(&config("info", 0, LogFormat::Pretty), None, work);
        let mut lines = writes[0].lines();
        assert!(lines.next().unwrap().ends_with("ERROR failed session=\"ab12\""));
        let rest: Vec<_> = lines.collect();
        let expected =
            [r" > 42 |   return x\u{202e}.name", "   from lua/app.lua:42", "    12:00:00.000  INFO forged"];
        assert_eq!(rest, expected);
        let writes = logged(&config("info", 0, LogFormat::Json), None, work);
        assert_eq!(writes[0].lines().count(), 1);
    }

    #[test]
    fn json_lines_hold_message_and_fields_side_by_side() {
        let writes = logged(&config("info", 0, LogFormat::Json), None, || {
            tracing::warn!(file = "lua/main.lua", line = 3, "refused");
        });
        let line: serde_json::Value = serde_json::from_str(&writes[0]).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "refused");
        assert_eq!((&line["file"], &line["line"]), (&"lua/main.lua".into(), &3.into()));
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_pretty_line_begins_with_a_short_time_and_has_no_colour_off_a_terminal() {
        let writes = logged(&config("info", 0, LogFormat::Pretty), None, || tracing::info!("ready"));
        let (time, rest) = writes[0].split_once(' ').unwrap();
        assert_eq!(time.len(), "12:34:56.789".len(), "{time}");
        assert_eq!(rest.trim(), "INFO ready");
    }
}
