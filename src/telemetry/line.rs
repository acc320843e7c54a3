//! How an event reads: the message, then `name=value` for each field, on one line.
//!
//! Callers need not care where a text comes from: what would end the line is escaped here, and what is too
//! long is cut.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use super::escape;

/// A message is cut after so many bytes: what scripts print may be that long,
pub(super) const MESSAGE: usize = 8 << 10;
/// each field after so many.
pub(super) const FIELD: usize = 2 << 10;

/// The one field that takes lines of its own, below the event: the excerpt and the traceback of an error.
/// Each of them begins with a blank, as no event does.
pub(super) const DETAILS: &str = "details";

/// What tells repeats apart ([`Repeats`](super::Repeats)) is not for readers.
pub(super) const LIMITED_BY: &str = "limited_by";

/// Writes what an event says.
pub(super) struct Line<'a> {
    to: &'a mut dyn Write,
    is_coloured: bool,
    is_empty: bool,
    details: String,
    result: fmt::Result,
}

impl<'a> Line<'a> {
    pub(super) fn new(to: &'a mut dyn Write, is_coloured: bool) -> Self {
        Self { to, is_coloured, is_empty: true, details: String::new(), result: Ok(()) }
    }

    /// Writes the lines below, if there are any.
    pub(super) fn finish(self) -> fmt::Result {
        self.result?;
        for line in self.details.lines().filter(|line| !line.is_empty()) {
            self.to.write_str(if line.starts_with(' ') { "\n" } else { "\n    " })?;
            escape::write(self.to, FIELD, format_args!("{line}"))?;
        }
        Ok(())
    }

    fn field(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.to.write_char(' ')?;
        }
        if name == "message" {
            return escape::write(self.to, MESSAGE, value);
        }
        let name = name.trim_start_matches("r#");
        if self.is_coloured {
            write!(self.to, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?;
        } else {
            write!(self.to, "{name}=")?;
        }
        escape::write(self.to, FIELD, value)
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            LIMITED_BY => {}
            // Writing to a String cannot fail.
            DETAILS => drop(write!(self.details, "{value:?}")),
            name if self.result.is_ok() => self.result = self.field(name, format_args!("{value:?}")),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if [DETAILS, "message"].contains(&field.name()) {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }
}

/// [`Line`] as the pretty log takes it.
pub(super) struct Lines;

impl<'writer> FormatFields<'writer> for Lines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let is_coloured = writer.has_ansi_escapes();
        let mut line = Line::new(&mut writer, is_coloured);
        fields.record(&mut line);
        line.finish()
    }
}
