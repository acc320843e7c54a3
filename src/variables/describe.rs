//! The variables of a browser as people debug them.

use std::collections::BTreeMap;

use super::{tree::View, variable::Variable};
use crate::wire::Encoded;

impl View {
    /// The variables as a tree, for debugging.
    pub(crate) fn describe(&self) -> serde_json::Value {
        let describe = |variable: &Variable| {
            let parent = variable.parent.and_then(|key| self.nodes.get(key)).map(|parent| parent.id);
            serde_json::json!({
                "id": variable.id,
                "parentId": parent,
                "value": variable.sent.as_ref().map(shown),
                "type": variable.sent_type,
                "properties": variable.properties.iter().collect::<BTreeMap<_, _>>(),
                "watched": variable.watched,
                "error": variable.error.as_deref().map(|(code, description)| {
                    serde_json::json!({ "code": code, "description": description })
                }),
            })
        };
        self.nodes.iter().map(describe).collect()
    }
}

/// For debugging, so that a page of it stays one that can be read.
fn shown(value: &Encoded) -> serde_json::Value {
    const READABLE: usize = 10_000;
    if value.wire() > READABLE {
        return format!("({} bytes)", value.wire()).into();
    }
    serde_json::to_value(value).unwrap_or_default()
}
