//! The layer of the configuration file, with the line of every key.

use std::{ops::Range, path::Path};

use figment::value::{Dict, Value};
use toml_edit::{Document, Item, TableLike, Value as TomlValue};

use super::{
    ConfigError, Origin,
    schema::{Kind, Schema},
    setting::Setting,
};

/// All that the text of a file sets, in its order.
///
/// Parsed once, by the parser that knows where things stand: values and lines cannot disagree.
pub(super) fn settings(schema: &Schema, path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let document = Document::parse(text).map_err(|error| syntax(path, text, &error))?;
    let mut found = Vec::new();
    Walk { schema, path, text }.table(document.as_table(), "", 0, &mut found);
    found.sort_by_key(|(offset, _)| *offset);
    Ok(found.into_iter().map(|(_, setting)| setting).collect())
}

struct Walk<'a> {
    schema: &'a Schema,
    path: &'a Path,
    text: &'a str,
}

impl Walk<'_> {
    /// `at` is where the table itself stands, for keys whose place the parser does not know.
    fn table(&self, table: &dyn TableLike, prefix: &str, at: usize, found: &mut Vec<(usize, Setting)>) {
        for (name, item) in table.iter() {
            let at = table.key(name).and_then(|key| key.span()).map_or(at, |span| span.start);
            let key = format!("{prefix}{name}");
            match (item.as_table_like(), self.schema.kind(&key)) {
                (Some(inner), Kind::Section | Kind::Free) => {
                    self.table(inner, &format!("{key}."), at, found);
                }
                _ => {
                    let origin = Origin::File { path: self.path.to_owned(), line: position(self.text, at).0 };
                    let written =
                        item.span().and_then(|span| self.text.get(span)).unwrap_or_default().to_owned();
                    found.push((at, Setting { key, value: item_value(item), written, origin }));
                }
            }
        }
    }
}

/// Line and column of an offset, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn item_value(item: &Item) -> Value {
    match item {
        Item::None => Value::from(Dict::new()),
        Item::Value(value) => toml_value(value),
        Item::Table(table) => dict(table),
        Item::ArrayOfTables(tables) => {
            Value::from(tables.iter().map(|table| dict(table)).collect::<Vec<_>>())
        }
    }
}

fn toml_value(value: &TomlValue) -> Value {
    match value {
        TomlValue::String(text) => Value::from(text.value().as_str()),
        TomlValue::Integer(number) => Value::from(*number.value()),
        TomlValue::Float(number) => Value::from(*number.value()),
        TomlValue::Boolean(flag) => Value::from(*flag.value()),
        // No key takes a date; as text it is refused like any other wrong value.
        TomlValue::Datetime(date) => Value::from(date.value().to_string()),
        TomlValue::Array(array) => Value::from(array.iter().map(toml_value).collect::<Vec<_>>()),
        TomlValue::InlineTable(table) => dict(table),
    }
}

fn dict(table: &dyn TableLike) -> Value {
    Value::from(table.iter().map(|(name, item)| (name.to_owned(), item_value(item))).collect::<Dict>())
}

fn syntax(path: &Path, text: &str, error: &toml_edit::TomlError) -> ConfigError {
    let Range { start, end } = error.span().unwrap_or(0..0);
    let (line, column) = position(text, start);
    let source = text.lines().nth(line - 1).unwrap_or_default().replace('\t', " ");
    let rest = source.chars().count().saturating_sub(column - 1);
    let marked = text.get(start..end).map_or(1, |part| part.chars().count()).clamp(1, rest.max(1));
    let margin = line.to_string();
    let excerpt = format!(
        "{margin} | {source}\n{space} | {indent}{marks}",
        space = " ".repeat(margin.len()),
        indent = " ".repeat(column - 1),
        marks = "^".repeat(marked),
    );
    ConfigError::Syntax {
        path: path.to_owned(),
        line,
        column,
        message: error.message().lines().collect::<Vec<_>>().join("; "),
        excerpt,
    }
}
