//! AfterBatch: the pass that finds what differs from what the browser has.
//!
//! Lua code changes its objects and tells nobody. After each unit of work every watched variable is
//! read again, parents before children, and compared with what was sent last.

use std::collections::HashSet;

use mlua::Value;

use super::{
    access::{self, AccessError},
    message::{ErrorCode, Outgoing, Properties},
    tree::{ROOT, Variable, View, code},
    value::{self, Encoded, Objects},
};
use crate::{
    reload::Generation,
    vm::{Budget, Vm},
};

/// What a variable is now.
struct Reading {
    value: Value,
    encoded: Encoded,
    type_name: Option<String>,
}

impl View {
    /// Everything that this browser has to hear of, in the order of a frame: viewdefs first, then
    /// variables, parents before children.
    pub(crate) fn after_batch(
        &mut self,
        vm: &Vm,
        objects: &mut Objects,
        generation: &Generation,
    ) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let parents: HashSet<u64> = self.variables.values().filter_map(|variable| variable.parent).collect();
        let keys: Vec<u64> = self.variables.keys().copied().collect();
        let mut inactive = HashSet::new();
        for key in keys {
            let Some(variable) = self.variables.get(&key) else { continue };
            if variable.inactive() || variable.parent.is_some_and(|parent| inactive.contains(&parent)) {
                inactive.insert(key);
                continue;
            }
            if !variable.access.readable() || !(variable.watched || parents.contains(&key)) {
                continue;
            }
            let reading = self.read(variable, vm, objects);
            if let Some(variable) = self.variables.get_mut(&key) {
                match reading {
                    Ok(reading) => variable.take(reading, &mut out),
                    Err(error) => variable.fail(error, &mut out),
                }
            }
        }
        self.with_viewdefs(generation, out)
    }

    fn read(
        &self,
        variable: &Variable,
        vm: &Vm,
        objects: &mut Objects,
    ) -> Result<Reading, (ErrorCode, String)> {
        let budget = Budget { time: vm.budget().read, key: "session.budget.read" };
        let mut refusal = None;
        let read = vm.run(budget, |_| {
            let value = match &variable.path {
                None if variable.id == ROOT => vm.app().map_or(Value::Nil, Value::Table),
                None => variable.value.clone(),
                Some(path) => match access::read(path, &|level| self.ancestor(variable, level)) {
                    Ok(value) => value,
                    Err(AccessError::Lua(error)) => return Err(error),
                    Err(AccessError::Path(description)) => {
                        refusal = Some((ErrorCode::PathFailure, description));
                        Value::Nil
                    }
                    Err(AccessError::Unauthorized(description)) => {
                        refusal = Some((ErrorCode::Unauthorized, description));
                        Value::Nil
                    }
                },
            };
            let encoded = objects.encode(&value)?;
            let type_name = match &encoded {
                Encoded::Object(_) => value::type_name(&value)?,
                _ => None,
            };
            Ok(Reading { value, encoded, type_name })
        });
        match (read, refusal) {
            (Ok(reading), None) => Ok(reading),
            (Ok(_), Some(refusal)) => Err(refusal),
            (Err(failure), _) => {
                Err((code(&failure, ErrorCode::PathFailure), failure.diagnostic.to_string()))
            }
        }
    }

    /// Puts the templates of types that are new to the browser, and those that changed, in front.
    fn with_viewdefs(&mut self, generation: &Generation, mut out: Vec<Outgoing>) -> Vec<Outgoing> {
        let types = out.iter().filter_map(|message| match message {
            Outgoing::Update { properties, .. } => properties.get("type").map(String::as_str),
            _ => None,
        });
        if let Some(json) = self.viewdefs.take_changed(types, generation) {
            let properties = Properties::from([("viewdefs".to_owned(), json)]);
            out.insert(0, Outgoing::Update { var_id: ROOT, value: None, properties });
        }
        out
    }
}

impl Variable {
    fn take(&mut self, reading: Reading, out: &mut Vec<Outgoing>) {
        self.value = reading.value;
        // A success ends an error: the browser is told even if the value is the same.
        let recovered = self.error.take().is_some();
        if !self.watched {
            return;
        }
        let same_value = self.sent.as_ref() == Some(&reading.encoded);
        let mut properties = Properties::new();
        if self.sent_type != reading.type_name {
            properties.insert("type".into(), reading.type_name.clone().unwrap_or_default());
            self.sent_type = reading.type_name;
        }
        if same_value && properties.is_empty() && !recovered {
            return;
        }
        let value = (!same_value || recovered).then(|| reading.encoded.clone());
        self.sent = Some(reading.encoded);
        out.push(Outgoing::Update { var_id: self.id, value, properties });
    }

    fn fail(&mut self, error: (ErrorCode, String), out: &mut Vec<Outgoing>) {
        self.value = Value::Nil;
        if !self.watched {
            return;
        }
        // Nothing stale is shown.
        if self.sent.as_ref() != Some(&Encoded::Null) {
            self.sent = Some(Encoded::Null);
            out.push(Outgoing::Update {
                var_id: self.id,
                value: Some(Encoded::Null),
                properties: Properties::new(),
            });
        }
        if self.error.as_ref() != Some(&error) {
            let (code, description) = error.clone();
            out.push(Outgoing::Error { var_id: self.id, code, description });
            self.error = Some(error);
        }
    }

    fn inactive(&self) -> bool {
        // Neither it nor its descendants are read or sent.
        self.properties.get("inactive").is_some_and(|value| !value.is_empty() && value != "false")
    }
}
