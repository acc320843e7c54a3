//! What a browser sends. Lenient: what cannot be understood is answered, and the rest is done.

use std::str::Bytes;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Properties, VarId, outgoing::cut};

/// One frame of a browser.
#[derive(Debug)]
pub struct Batch {
    /// A person did something and waits for the answer.
    pub user_event: bool,
    /// In order; a message that cannot be understood does not keep the rest from being done.
    pub messages: Vec<Result<Incoming, BadMessage>>,
}

/// A piece of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Tells the files apart that go to one variable.
    pub number: i64,
    /// As the browser calls the file; up to 255 characters.
    pub name: String,
    /// The type that the browser takes it for, such as `text/csv`; up to 255 characters.
    pub kind: String,
    /// Bytes of the whole file.
    pub size: u64,
    /// Bytes that came before.
    pub at: u64,
    /// In Base64.
    pub content: String,
}

/// A message of a browser.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// Makes a variable.
    Create {
        /// Given by the browser.
        id: VarId,
        /// 0 or absent: none.
        parent: Option<VarId>,
        /// Its first value, if it has no path.
        value: Option<Value>,
        /// `path` and others.
        properties: Properties,
        /// Its value is sent, now and whenever it changes.
        watch: bool,
        /// It keeps what is written to it; its path is not followed.
        unbound: bool,
    },
    /// Send its value and what becomes of it.
    Watch(VarId),
    /// No longer.
    Unwatch(VarId),
    /// Writes a value or properties.
    Update {
        /// Which one.
        id: VarId,
        /// `Some(Null)` is a value, too.
        value: Option<Value>,
        /// Those that change.
        properties: Properties,
    },
    /// A piece of a file for the method that it calls.
    Upload {
        /// Which one.
        id: VarId,
        /// What comes now.
        piece: Piece,
    },
    /// Ends it and its descendants.
    Destroy(VarId),
    /// The browser could not use what it got.
    Error {
        /// About which one.
        id: VarId,
        /// What is wrong.
        description: String,
    },
    /// Begin the session anew.
    Restart,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{description}")]
pub struct BadMessage {
    /// The variable it was about, 0 if unknown.
    pub id: VarId,
    /// For the developer.
    pub description: String,
}

impl Batch {
    /// Bytes that reading a frame takes: small values take much more in memory than as text.
    pub fn cost(text: &str) -> usize {
        const EACH: usize = 64;
        const OBJECT: usize = 640;
        let (mut cost, mut bytes) = (text.len(), text.bytes());
        while let Some(byte) = bytes.next() {
            match byte {
                b',' | b'[' => cost += EACH,
                b'{' => cost += OBJECT,
                b'"' => pass_text(&mut bytes),
                _ => {}
            }
        }
        cost
    }

    /// Reads a frame: a batch, an array of messages, or one message.
    pub fn parse(text: &str) -> Self {
        let bad = |description: String| Self {
            user_event: false,
            messages: vec![Err(BadMessage { id: 0, description })],
        };
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return bad(format!("not JSON: {error}")),
        };
        match frame {
            Value::Array(messages) => Self { user_event: false, messages: parse_all(messages) },
            Value::Object(mut batch) if batch.contains_key("messages") => {
                let user_event = batch.get("userEvent").and_then(Value::as_bool).unwrap_or(false);
                match batch.remove("messages") {
                    Some(Value::Array(messages)) => Self { user_event, messages: parse_all(messages) },
                    _ => bad("\"messages\" has to be an array".into()),
                }
            }
            message @ Value::Object(_) => Self { user_event: false, messages: parse_all(vec![message]) },
            _ => bad("a frame is a batch, an array of messages, or a message".into()),
        }
    }
}

/// Skips a text, up to the quote that ends it.
fn pass_text(bytes: &mut Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

fn parse_all(messages: Vec<Value>) -> Vec<Result<Incoming, BadMessage>> {
    let read = |message| {
        let mut read = parse(message).transpose()?;
        if let Err(bad) = &mut read {
            cut(&mut bad.description);
        }
        Some(read)
    };
    messages.into_iter().filter_map(read).collect()
}

/// `None`: a type we don't know. Clients may be newer than we are.
fn parse(message: Value) -> Result<Option<Incoming>, BadMessage> {
    let Value::Object(mut message) = message else {
        return Err(BadMessage { id: 0, description: "a message has to be an object".into() });
    };
    let kind = message.remove("type");
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut data = match message.remove("data") {
        Some(Value::Object(data)) => data,
        None | Some(Value::Null) => Map::new(),
        Some(_) => {
            return Err(BadMessage { id: 0, description: format!("{kind:?}: \"data\" has to be an object") });
        }
    };
    if kind == "restart" {
        return Ok(Some(Incoming::Restart));
    }
    let name = if kind == "create" { "id" } else { "varId" };
    let id = integer(&data, name);
    let bad = |description: String| BadMessage {
        id: id.unwrap_or(0),
        description: format!("{kind}: {description}"),
    };
    let need_id = || id.ok_or_else(|| bad(format!("\"{name}\" has to be an integer")));
    Ok(Some(match kind {
        "create" => Incoming::Create {
            id: need_id()?,
            parent: integer(&data, "parentId").filter(|&parent| parent != 0),
            value: data.remove("value"),
            properties: properties(&mut data).map_err(bad)?,
            watch: !flag(&data, "nowatch"),
            unbound: flag(&data, "unbound"),
        },
        "watch" => Incoming::Watch(need_id()?),
        "unwatch" => Incoming::Unwatch(need_id()?),
        "destroy" => Incoming::Destroy(need_id()?),
        "update" => Incoming::Update {
            id: need_id()?,
            value: data.remove("value"),
            properties: properties(&mut data).map_err(bad)?,
        },
        "upload" => Incoming::Upload { id: need_id()?, piece: piece(&mut data).map_err(bad)? },
        "error" => {
            let description = data.get("description").and_then(Value::as_str).unwrap_or_default();
            Incoming::Error { id: id.unwrap_or(0), description: description.chars().take(1000).collect() }
        }
        "" => return Err(bad("a message needs a \"type\"".into())),
        unknown => {
            let description = format!("unknown type {:?}", unknown.chars().take(50).collect::<String>());
            return Err(BadMessage { id: id.unwrap_or(0), description });
        }
    }))
}

fn integer(data: &Map<String, Value>, name: &str) -> Option<VarId> {
    let value = data.get(name)?;
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        #[allow(clippy::cast_possible_truncation)]
        let integer = float as i64;
        #[allow(clippy::cast_precision_loss)]
        let exact = integer as f64 == float;
        exact.then_some(integer)
    })
}

fn piece(data: &mut Map<String, Value>) -> Result<Piece, String> {
    let number = |name: &str| integer(data, name).ok_or_else(|| format!("{name:?} has to be an integer"));
    let bytes = |name: &str| {
        let bytes = number(name)?;
        u64::try_from(bytes).map_err(|_| format!("{name:?} has to be 0 or more, and is {bytes}"))
    };
    let (number, size, at) = (number("number")?, bytes("size")?, bytes("at")?);
    let short = |name: &str| {
        let text = data.get(name).and_then(Value::as_str).unwrap_or_default();
        text.chars().take(255).collect()
    };
    let (name, kind) = (short("name"), short("type"));
    let Some(Value::String(content)) = data.remove("content") else {
        return Err("\"content\" has to be a text in Base64".into());
    };
    Ok(Piece { number, name, kind, size, at, content })
}

fn flag(data: &Map<String, Value>, name: &str) -> bool {
    data.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn properties(data: &mut Map<String, Value>) -> Result<Properties, String> {
    match data.remove("properties") {
        None | Some(Value::Null) => Ok(Properties::new()),
        Some(Value::Object(properties)) => {
            let text = |value| match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                other => other.to_string(),
            };
            Ok(properties.into_iter().map(|(name, value)| (name, text(value))).collect())
        }
        Some(_) => Err("\"properties\" has to be an object".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<Result<Incoming, BadMessage>> {
        Batch::parse(text).messages
    }

    #[test]
    fn a_frame_is_a_batch_an_array_or_one_message() {
        let message = r#"{"type":"watch","data":{"varId":1}}"#;
        for text in [message, &format!("[{message}]"), &format!(r#"{{"messages":[{message}]}}"#)] {
            assert_eq!(messages(text), [Ok(Incoming::Watch(1))], "{text}");
        }
        assert!(Batch::parse(r#"{"userEvent":true,"messages":[]}"#).user_event);
    }

    #[test]
    fn the_cost_of_a_frame_is_that_of_its_values_and_not_of_braces_in_a_text() {
        let text = |text: &str| format!(r#"{{"type":"update","data":{{"varId":2,"value":"{text}"}}}}"#);
        assert!(Batch::cost(&text(&r#"{[,\"\\"#.repeat(1000))) < 10_000);
        assert!(Batch::cost(&r#"{"":0},"#.repeat(1000)) > 600_000);
        assert!(Batch::cost(&"[7,".repeat(1000)) > 100_000);
    }

    #[test]
    fn a_bad_message_does_not_keep_the_next_from_being_read() {
        let read = messages(
            r#"[7, {"type":"watch","data":{"varId":"x"}}, {"type":"zap"}, {"type":"watch","data":{"varId":2.0}}]"#,
        );
        assert!(read[..3].iter().all(Result::is_err));
        assert_eq!(read[3], Ok(Incoming::Watch(2)));
    }

    #[test]
    fn whatever_comes_is_an_error_and_never_a_panic() {
        for text in ["", "nul", "7", "{}", "[[]]", r#"{"messages":7}"#, r#"{"type":"create","data":[]}"#] {
            assert!(messages(text).iter().all(Result::is_err), "{text}");
        }
    }
}
