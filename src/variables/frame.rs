//! The messages of one frame, what has priority first.

use std::collections::HashMap;

use super::properties::Priority;
use crate::wire::{Encoded, Outgoing, Properties, VarId};

/// A frame that is being put together. Empty it takes no memory.
#[derive(Debug)]
pub(super) struct Frame {
    by_priority: [Vec<Outgoing>; 3],
    /// Bytes of what is in it, as JSON, roughly.
    size: usize,
    /// It is full when it has so many.
    enough: usize,
}

impl Frame {
    pub(super) fn up_to(enough: usize) -> Self {
        Self { by_priority: [Vec::new(), Vec::new(), Vec::new()], size: 0, enough }
    }

    pub(super) fn is_full(&self) -> bool {
        self.size >= self.enough
    }

    pub(super) fn push(&mut self, priority: Priority, message: Outgoing) {
        self.size += message.size();
        self.by_priority[priority as usize].push(message);
    }

    pub(super) fn update(
        &mut self,
        priority: Priority,
        var_id: VarId,
        value: Option<Encoded>,
        properties: Properties,
    ) {
        self.push(priority, Outgoing::Update { var_id, value, properties });
    }

    /// After several passes a variable may be here more than once: what was said last holds.
    pub(super) fn coalesce(&mut self) {
        for messages in &mut self.by_priority {
            coalesce(messages);
        }
    }

    pub(super) fn into_messages(self) -> Vec<Outgoing> {
        let [high, medium, low] = self.by_priority;
        if high.is_empty() && low.is_empty() {
            return medium;
        }
        high.into_iter().chain(medium).chain(low).collect()
    }
}

fn coalesce(messages: &mut Vec<Outgoing>) {
    let mut updates: HashMap<VarId, usize> = HashMap::new();
    let mut errors: HashMap<VarId, usize> = HashMap::new();
    let mut kept: Vec<Option<Outgoing>> = Vec::with_capacity(messages.len());
    for message in messages.drain(..) {
        match message {
            Outgoing::Update { var_id, value, properties } => {
                // An update ends an error.
                if let Some(error) = errors.remove(&var_id) {
                    kept[error] = None;
                }
                let earlier = updates.get(&var_id).and_then(|&at| kept[at].as_mut());
                if let Some(Outgoing::Update { value: old, properties: known, .. }) = earlier {
                    *old = value.or_else(|| old.take());
                    known.extend(properties);
                } else {
                    updates.insert(var_id, kept.len());
                    kept.push(Some(Outgoing::Update { var_id, value, properties }));
                }
            }
            Outgoing::Error { var_id, .. } => {
                if let Some(error) = errors.insert(var_id, kept.len()) {
                    kept[error] = None;
                }
                kept.push(Some(message));
            }
            other => kept.push(Some(other)),
        }
    }
    messages.extend(kept.into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorCode;

    fn text(frame: Frame) -> String {
        serde_json::to_string(&frame.into_messages()).unwrap()
    }

    fn update(frame: &mut Frame, priority: Priority, id: VarId, value: i64, name: &str) {
        let properties = Properties::from([(name.to_owned(), "x".to_owned())]);
        frame.update(priority, id, Some(Encoded::Integer(value)), properties);
    }

    #[test]
    fn what_has_priority_comes_first_and_a_variable_once_per_priority() {
        let mut frame = Frame::up_to(usize::MAX);
        update(&mut frame, Priority::Low, 2, 1, "a");
        update(&mut frame, Priority::Medium, 2, 2, "b");
        update(&mut frame, Priority::High, 3, 3, "c");
        frame.coalesce();
        let ids: Vec<_> = text(frame).match_indices("varId\":").map(|(at, _)| at).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn what_was_said_last_holds_and_stands_where_it_was_said_first() {
        let mut frame = Frame::up_to(usize::MAX);
        update(&mut frame, Priority::Medium, 2, 1, "a");
        update(&mut frame, Priority::Medium, 3, 1, "a");
        update(&mut frame, Priority::Medium, 2, 2, "b");
        frame.coalesce();
        let expected = r#"[{"type":"update","data":{"varId":2,"value":2,"properties":{"a":"x","b":"x"}}},{"type":"update","data":{"varId":3,"value":1,"properties":{"a":"x"}}}]"#;
        assert_eq!(text(frame), expected);
    }

    #[test]
    fn an_error_that_ended_in_a_later_pass_is_not_told() {
        let mut frame = Frame::up_to(usize::MAX);
        let error = || Outgoing::Error { var_id: 2, code: ErrorCode::PathFailure, description: "x".into() };
        frame.push(Priority::Medium, error());
        update(&mut frame, Priority::Medium, 2, 1, "a");
        frame.coalesce();
        assert!(!text(frame).contains("error"));
        let mut frame = Frame::up_to(usize::MAX);
        update(&mut frame, Priority::Medium, 2, 1, "a");
        frame.push(Priority::Medium, error());
        frame.coalesce();
        assert!(text(frame).contains("error"));
    }

    #[test]
    fn a_frame_is_full_by_what_it_takes_on_the_wire() {
        let mut frame = Frame::up_to(1000);
        let mut id = 0;
        while !frame.is_full() {
            id += 1;
            update(&mut frame, Priority::Medium, id, 1, &"x".repeat(60));
        }
        assert!((3..15).contains(&id), "{id} variables in 1000 bytes");
    }
}
