//! What the definitions of a file are at run time.

use super::Reload;
use crate::{
    lua::heap::Value,
    reload::source::{Definition, DefinitionId, Key, Kind, Source},
};

impl Reload<'_> {
    /// What each definition of the file is right after it has run, by its number; nil if that cannot be told.
    pub(super) fn values(&self, source: &Source, exports: Value, locals: Value) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        for (_, one) in source.definitions() {
            let within = one.parent.and_then(|parent| values.get(parent.index()).copied());
            let value = match within {
                None => self.root(source, &one.key, values.len(), exports, locals),
                Some(table) if one.key == Key::Metatable => self.heap.metatable(table),
                Some(table) => self.part(source, &values, one, table),
            };
            values.push(value);
        }
        values
    }

    /// What is within a table.
    fn part(&self, source: &Source, values: &[Value], one: &Definition, table: Value) -> Value {
        let Some(key) = self.key(source, values, &one.key).filter(|_| table.table().is_some()) else {
            return Value::NIL;
        };
        let declared = self.declared(source, one, key);
        let value = if declared.is_object() { declared } else { self.heap.get(table, key) };
        if value.is_nil() && one.kind == Kind::Function { self.method(table, key, one.line) } else { value }
    }

    /// What the name of a part is as a key. `None`: the source does not say.
    pub(super) fn key(&self, source: &Source, values: &[Value], key: &Key) -> Option<Value> {
        match key {
            Key::Field(name) => Some(self.heap.text(name)),
            Key::Element(position) => Some(Value::of(i64::from(*position))),
            Key::At(written) => match (written.parse(), written.parse(), &**written) {
                (Ok(integer), ..) => Some(Value::of(integer)),
                (_, Ok(number), _) if written.starts_with(|first: char| first.is_ascii_digit()) => {
                    Some(Value::of_number(number))
                }
                (.., "true" | "false") => Some(Value::of_boolean(**written == *"true")),
                _ => self.path(source, values, written),
            },
            _ => None,
        }
    }

    /// `State.IDLE`
    fn path(&self, source: &Source, values: &[Value], path: &str) -> Option<Value> {
        let heap = self.heap;
        let mut names = path.split('.');
        let first = names.next()?;
        let mut value = match source.last_local(first) {
            Some(id) => *values.get(id.index())?,
            None => heap.get(self.prelude.globals, heap.text(first)),
        };
        for name in names {
            value = heap.get(value, heap.text(name));
        }
        (!value.is_nil()).then_some(value)
    }

    /// What a prototype that was there before has just been declared with: only what was edited is put into it.
    fn declared(&self, source: &Source, one: &Definition, key: Value) -> Value {
        let parent = one.parent.and_then(|parent| source.get(parent)).map(|parent| &parent.key);
        let Some(Key::Prototype(name)) = parent else { return Value::NIL };
        let heap = self.heap;
        let inits = self.prelude.get(heap, self.prelude.names.inits);
        heap.get(heap.get(inits, heap.text(name)), key)
    }

    fn root(&self, source: &Source, key: &Key, number: usize, exports: Value, locals: Value) -> Value {
        let (heap, prelude) = (self.heap, self.prelude);
        match key {
            Key::Local(name, _) if source.last_local(name).is_some_and(|id| id.index() == number) => {
                heap.get(locals, heap.text(name))
            }
            // An environment is known by nothing else.
            Key::Local(name, _)
                if **name == *"_ENV" && source.returned().is_some_and(|id| id.index() == number) =>
            {
                exports
            }
            Key::Global(name) => heap.get(prelude.globals, heap.text(name)),
            Key::Returned => exports,
            Key::Module(name) => heap.get(prelude.get(heap, prelude.names.loaded), heap.text(name)),
            Key::Prototype(name) => prelude.prototype(heap, name),
            _ => Value::NIL,
        }
    }

    /// A method that a class library has put elsewhere: where objects find it, say.
    fn method(&self, class: Value, name: Value, line: u32) -> Value {
        let mut found = self.heap.entries(class).into_iter().map(|(_, table)| self.heap.get(table, name));
        let is_it = |function: &Value| {
            !function.is_c_function()
                && self.heap.origin(*function).is_some_and(|origin| origin.lines.0 == line)
        };
        found.find(is_it).unwrap_or(Value::NIL)
    }

    /// Notes which objects the definitions of a file are, so that the next version finds them, wherever they
    /// are by then. Nobody is held by that.
    pub(super) fn note_made(&self, record: Value, source: &Source, value: impl Fn(DefinitionId) -> Value) {
        let (heap, prelude) = (self.heap, self.prelude);
        let list = heap.new_table(source.objects().len());
        for (i, &id) in (1..).zip(source.objects()) {
            let made = value(id);
            if made.is_object() {
                heap.set(list, Value::of(i), made);
            }
        }
        heap.set_metatable(list, prelude.get(heap, prelude.names.weak));
        heap.set(record, prelude.names.made, list);
    }
}
