//! A glance over the variables that are as they were sent: nearly all of them, nearly always.
//!
//! The usual way to read a variable takes a dozen calls into Lua, each of which makes a handle of what it
//! returns. A glance follows paths and compares values on Lua's own stack, and makes none. It decides
//! nothing: at the first variable that is another, fails, or takes too long, it stops and hands over, and
//! what is to be said of that one is found out in the usual way.
//!
//! So that the values of variables can be reached there, a table of the state holds them: for each slot what
//! children start from, and the type that the browser knows.

use std::cell::Cell;

use mlua::{LuaString, Value};

use super::{
    nodes::Node,
    path::Step,
    tree::View,
    variable::{Key, Variable},
};
use crate::lua::{
    Budget, Vm,
    frame::{self, Frame, Next, Op, Raise, Steps, Type},
};
use crate::wire::Encoded;

/// Longer paths are read in the usual way.
const MAX_STEPS: usize = 6;
/// Where on the stack the table of values is.
const KNOWN: i32 = 1;

/// Where in that table a variable has what its children start from.
fn base(slot: u32) -> i64 {
    i64::from(slot) * 2 + 1
}

/// And where its type, as the browser knows it.
fn type_of(slot: u32) -> i64 {
    base(slot) + 1
}

impl View {
    /// The place of the first variable, from `place` on, that may be another than the browser has; and its
    /// value, if it was read on the way.
    pub(super) fn first_to_read(&mut self, place: usize, vm: &Vm) -> (usize, Option<Value>) {
        let list = self.nodes.list();
        let is_next = list.get(place).is_some_and(|(_, variable)| variable.may_be_passed());
        let Some(known) = self.known.as_ref().filter(|_| is_next) else { return (place, None) };
        let (at, found) = (Cell::new(place), Cell::new(false));
        let (list, is_open) = (list, self.allowed.is_open());
        let glance =
            Glance { list, at: &at, found: &found, parent: 0, step: 0, is_open, stage: Stage::Begin };
        // One budget for all of them. If it ends, the variable that was under way is read again with a budget
        // of its own.
        let budget = Budget { time: vm.budget().read, key: "session.budget.read" };
        let read = vm.run(budget, |lua| frame::run::<Value>(lua, known, glance));
        (at.get(), read.ok().filter(|_| found.get()))
    }

    /// What is not there any more must not be kept alive.
    pub(super) fn let_go_of_ended(&mut self, vm: &Vm) {
        for slot in self.nodes.take_stale() {
            for place in [base(slot), type_of(slot)] {
                let _ = self.set(place, &Value::Nil, vm);
            }
        }
    }

    /// Takes note of a variable that was read in the usual way, for the next glance.
    pub(super) fn take_note(&mut self, place: usize, type_name: Option<LuaString>, vm: &Vm) {
        let Some((_, variable)) = self.nodes.list().get(place) else { return };
        let (slot, stands_for) = (variable.slot, variable.stands_for());
        let type_name = type_name.map_or(Value::Nil, Value::String);
        let noted =
            self.set(base(slot), &stands_for, vm).and_then(|()| self.set(type_of(slot), &type_name, vm));
        if let Some((_, variable)) = self.nodes.at(place) {
            variable.settled = noted.is_ok() && variable.is_plain();
        }
    }

    fn set(&mut self, place: i64, value: &Value, vm: &Vm) -> mlua::Result<()> {
        match &self.known {
            Some(known) => known.raw_set(place, value),
            None => self.known.insert(vm.lua().create_table()?).raw_set(place, value),
        }
    }
}

impl Variable {
    /// Whether it has changed can be told by the value of its path alone.
    fn is_plain(&self) -> bool {
        let is_followed = |step: &Step| matches!(step, Step::Field(_) | Step::Index(_) | Step::Call(_));
        let path = self.path.as_ref().filter(|path| path.steps.len() <= MAX_STEPS);
        // An array may have other elements, and be the same table.
        let is_comparable =
            !self.watched || self.sent.as_ref().is_some_and(|sent| !matches!(sent, Encoded::Array(_)));
        path.is_some_and(|path| path.steps.iter().all(is_followed))
            && is_comparable
            && self.error.is_none()
            && self.problem.is_none()
            && self.wrapping.is_none()
            && self.access.readable()
    }

    /// Nothing is to be done about it, if it has its old value.
    fn may_be_passed(&self) -> bool {
        let properties = &self.properties;
        let is_told = properties.all_told() && !properties.wrapped() && !properties.inactive();
        self.settled && !self.hidden && is_told && (self.watched || self.children > 0)
    }
}

/// What Lua was told to do last. Above the table of values, the stack has what was met on the way.
#[derive(Clone, Copy)]
enum Stage {
    Begin,
    /// What the path starts from, or the value of a step, is on top.
    Walk,
    /// A method is on top, above what it is called with.
    Method,
    /// The value that the browser has is above that of the path.
    Compare,
    /// The type that the browser knows is above the type of the value, which is below them.
    CompareType,
}

#[derive(Clone, Copy)]
struct Glance<'a> {
    list: &'a [Node],
    /// Which variable is looked at.
    at: &'a Cell<usize>,
    /// Its value is another, or may be.
    found: &'a Cell<bool>,
    /// Where the last parent was: mostly it is that of the next one, too.
    parent: usize,
    /// How many steps of the path have been taken.
    step: usize,
    /// Browsers may ask for anything.
    is_open: bool,
    stage: Stage,
}

impl<'f> Steps<'f> for Glance<'_> {
    fn step<'s>(&'s mut self, frame: Frame<'f>) -> Result<Next<'s>, Raise>
    where
        'f: 's,
    {
        match self.stage {
            Stage::Begin => Ok(self.begin()),
            Stage::Walk => Ok(self.walk(frame)),
            Stage::Method => Ok(self.call(frame)),
            Stage::Compare => Ok(self.compare(frame)),
            Stage::CompareType => Ok(self.compare_type(frame)),
        }
    }
}

/// The usual way has to find out.
const UNCLEAR: Next<'static> = Next::NIL;

impl<'a> Glance<'a> {
    fn variable(&self) -> Option<&'a Variable> {
        self.list.get(self.at.get()).map(|(_, variable)| &**variable)
    }

    fn parent(&mut self, key: Key) -> Option<&'a Variable> {
        if self.list.get(self.parent).is_none_or(|(found, _)| *found != key) {
            self.parent = self.list.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        }
        self.list.get(self.parent).map(|(_, parent)| &**parent)
    }

    /// Where the table of values has what the path of the variable starts from.
    fn start(&mut self) -> Option<i64> {
        let variable = self.variable()?;
        let parent = self.parent(variable.parent?).filter(|parent| !parent.hidden)?;
        let may_be_passed = variable.may_be_passed() && variable.grant.holds_below(&parent.grant);
        (variable.path.is_some() && may_be_passed).then(|| base(parent.slot))
    }

    fn begin(&mut self) -> Next<'a> {
        let Some(start) = self.start() else { return UNCLEAR };
        (self.stage, self.step) = (Stage::Walk, 0);
        Next::then([Op::Clear, Op::RawGet(KNOWN, start)])
    }

    /// It is as the browser has it: the next one.
    fn pass(&mut self) -> Next<'a> {
        self.at.set(self.at.get() + 1);
        self.begin()
    }

    /// Its value, below so many, is another.
    fn another(&self, above: i32) -> Next<'a> {
        self.found.set(true);
        Next::Return([Op::Pop(above)].into(), 1)
    }

    /// From the value on top to that of the next step, if there is one.
    fn walk(&mut self, frame: Frame<'_>) -> Next<'a> {
        let Some(variable) = self.variable() else { return UNCLEAR };
        let steps = variable.path.as_ref().map_or(&[][..], |path| &path.steps);
        let Some(step) = steps.get(self.step) else { return self.compare_with(variable, Op::Nothing) };
        if frame.type_of(-1) != Type::Table {
            return UNCLEAR;
        }
        self.step += 1;
        let next = match step {
            Step::Field(name) => Op::Field(-1, name.as_bytes()),
            Step::Index(index) => Op::Get(-1, index + 1),
            Step::Call(name) => {
                self.stage = Stage::Method;
                return Next::then([Op::Field(-1, name.as_bytes())]);
            }
            Step::CallWith(_) | Step::Parent => return UNCLEAR,
        };
        if self.step == steps.len() { self.compare_with(variable, next) } else { Next::then([next]) }
    }

    fn call(&mut self, frame: Frame<'_>) -> Next<'a> {
        if frame.type_of(-1) != Type::Function {
            return UNCLEAR;
        }
        self.stage = Stage::Walk;
        Next::then([Op::Swap, Op::Call { arguments: 1, results: 1 }])
    }

    /// After that, what the browser has.
    fn compare_with(&mut self, variable: &Variable, before: Op<'a>) -> Next<'a> {
        self.stage = Stage::Compare;
        Next::then([before, Op::RawGet(KNOWN, base(variable.slot))])
    }

    fn compare(&mut self, frame: Frame<'_>) -> Next<'a> {
        let Some(variable) = self.variable() else { return UNCLEAR };
        let of = frame.type_of(-2);
        if of == Type::Function {
            return UNCLEAR;
        }
        if !frame.is_same(-1, -2) {
            return self.another(1);
        }
        if of != Type::Table || self.is_unseen(variable) {
            return self.pass();
        }
        // It was sent as an object, and has to be one of that type.
        self.stage = Stage::CompareType;
        Next::then([Op::Pop(1), Op::Field(-1, b"type"), Op::RawGet(KNOWN, type_of(variable.slot))])
    }

    /// Neither it nor what is below it depends on its type.
    fn is_unseen(&self, variable: &Variable) -> bool {
        !variable.watched && (variable.children == 0 || self.is_open)
    }

    fn compare_type(&mut self, frame: Frame<'_>) -> Next<'a> {
        let has_type = frame.type_of(-1) != Type::Nil;
        // A field makes it an object and no array.
        let is_object = || frame.has_plain_key(-3, |key| key.first() != Some(&b'_'));
        if frame.is_same(-1, -2) && (has_type || is_object()) { self.pass() } else { self.another(2) }
    }
}
