//! The log: lines on stderr, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, fmt,
    fmt::{MakeWriter, time::ChronoLocal},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use super::tail::Tail;
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
    if subscriber(config, filter, io::stderr, colour).try_init().is_ok()
        && let Some(mistake) = mistake
    {
        tracing::warn!("RUST_LOG is ignored: {mistake}");
    }
}

/// One event is one `write` of a whole line, and stderr is locked while it is written: lines of many
/// threads never mix.
fn subscriber<W>(
    config: &LoggingConfig,
    filter: EnvFilter,
    writer: W,
    colour: bool,
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
            .boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    registry().with(filter).with(layer).with(Tail)
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
    // the backends.
    format!("{theirs},lua={ours},hot={ours},watch={ours},web={ours}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

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
        let subscriber = subscriber(config, filter(config, rust_log).0, writes.clone(), false);
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
            let expected = format!("{theirs},lua={ours},hot={ours},watch={ours},web={ours}");
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
