//! An event as a line of JSON: `timestamp`, `level`, `message` and the fields side by side, `target`.

use std::fmt::{self, Debug, Write};

use serde_json::json;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use super::{
    escape::{Bounded, Escaping, Notation},
    line::{DETAILS, FIELD, LIMITED_BY, MESSAGE},
};

/// Writes events as JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        write!(writer, "{{\"timestamp\":{},\"level\":{}", json!(time), json!(metadata.level().as_str()))?;
        let mut object = Object { to: Escaping::new(&mut writer, Notation::Json), result: Ok(()) };
        event.record(&mut object);
        object.result?;
        writeln!(writer, ",\"target\":{}}}", json!(metadata.target()))
    }
}

/// The fields of an object that has been begun.
struct Object<'a> {
    to: Escaping<'a>,
    result: fmt::Result,
}

impl Object<'_> {
    fn field(&mut self, field: &Field, value: &serde_json::Value) {
        if self.result.is_ok() && field.name() != LIMITED_BY {
            self.result = write!(self.to, ",{}:{value}", json!(field.name().trim_start_matches("r#")));
        }
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let limit = if [DETAILS, "message"].contains(&field.name()) { MESSAGE } else { FIELD };
        let mut text = String::new();
        let mut bounded = Bounded::new(&mut text, limit);
        // A value that cannot be written is shown as far as it could.
        let _ = bounded.write_fmt(value).and_then(|()| bounded.finish());
        self.field(field, &text.into());
    }
}

impl Visit for Object<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, &value.into());
    }
}
