//! Functions without a name: `bus.on("x", function() … end)`. Which of the new version stands for which of the old one
//! is told by where both were put.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Reload,
    plan::Plan,
    registrations::{NEAR, Register},
};
use crate::{lua::heap::Value, reload::SourceFile};

impl Reload<'_> {
    /// Those in a list, in its order, and those that are keys, in the order of their lines.
    pub(super) fn pair_unnamed(&mut self, register: &mut Register<'_>) {
        let mut news = std::mem::take(&mut register.unnamed);
        news.sort_by_key(|(key, _)| key.integer());
        let in_list = register.was.iter().filter(|(key, _)| key.integer() > 0);
        self.pair_in_order(register, news, in_list.map(|(_, value)| *value).collect());
        let heap = self.heap;
        let line = |function: Value| heap.origin(function).map(|origin| origin.lines);
        let mut news = std::mem::take(&mut register.unnamed_keys);
        news.sort_by_key(|(key, _)| line(*key));
        let mut olds: Vec<_> =
            register.was.iter().map(|(key, _)| *key).filter(|key| key.is_function()).collect();
        olds.sort_by_key(|key| line(*key));
        self.pair_in_order(register, news, olds);
    }

    /// The very same ones first, then those in statements of the same shape.
    fn pair_in_order(
        &mut self,
        register: &mut Register<'_>,
        mut news: Vec<(Value, Value)>,
        mut olds: Vec<Value>,
    ) {
        if news.is_empty() {
            return;
        }
        olds.retain(|old| self.is_unnamed(*old));
        for pass in 0..3 {
            news.retain(|&(key, new)| {
                let at = olds.iter().take(NEAR).position(|&old| match pass {
                    0 => self.is_same_function(old, new),
                    1 => self.is_edited_around(old, new) == Some(false),
                    _ => true,
                });
                let Some(at) = at else { return true };
                self.pair_functions(olds.remove(at), new);
                register.twice.push(key);
                false
            });
        }
        for gone in olds {
            self.left.insert(gone.identity(), Value::NIL);
        }
    }

    fn is_same_function(&self, old: Value, new: Value) -> bool {
        let own = |function: Value, is_new: bool| {
            let says = |plan: &Arc<Plan>| if is_new { plan.new.clone() } else { plan.old.clone() };
            says(self.plan_around(function)?).says.unnamed_function(self.heap.origin(function)?.lines)
        };
        own(old, false).is_some_and(|old| own(new, true) == Some(old))
    }

    /// Of the file whose function it is.
    fn plan_around(&self, function: Value) -> Option<&Arc<Plan>> {
        let chunk = self.heap.source(function);
        self.plans.values().find(|plan| plan.old.is_chunk(&chunk) || plan.new.is_chunk(&chunk))
    }

    /// Whether the statements around two versions of a function differ in something else. `None`: they stand in none.
    pub(super) fn is_edited_around(&self, old: Value, new: Value) -> Option<bool> {
        let heap = self.heap;
        let was = self.plan_around(old)?.old.says.effect_around(heap.origin(old)?.lines)?;
        let is = self.plan_around(new)?.new.says.effect_around(heap.origin(new)?.lines)?;
        Some(!was.has_shape_of(is))
    }

    /// Texts and numbers in the statement around a function of the new version.
    pub(super) fn literals_around(&self, function: Value) -> Option<BTreeSet<Box<str>>> {
        let lines = self.heap.origin(function)?.lines;
        Some(self.plan_around(function)?.new.says.effect_around(lines)?.literals().clone())
    }

    /// Whether it is a function that a statement has handed over which has left the source, or the record of it.
    pub(super) fn has_left(&mut self, value: Value) -> bool {
        if value.table().is_some() {
            self.has_record_left(value)
        } else {
            self.literals_of_left(value).is_some()
        }
    }

    /// A record has a text or number of the statement in it: a thing of somebody else may have got a function, too.
    fn has_record_left(&mut self, record: Value) -> bool {
        let heap = self.heap;
        if self.is_fresh(record)
            || self.taken.contains(&record.identity())
            || self.prelude.is_foreign(heap, record)
        {
            return false;
        }
        let parts = heap.entries(record);
        let mut literals = BTreeSet::new();
        for (_, part) in parts.iter().filter(|(_, part)| part.is_function()) {
            let Some(of_statement) = self.literals_of_left(*part) else { return false };
            literals.extend(of_statement);
        }
        parts.iter().any(|(_, part)| self.literal(*part).is_some_and(|literal| literals.contains(&literal)))
    }

    /// Texts and numbers in the statement that has handed over an old function, if it has left the source.
    fn literals_of_left(&mut self, function: Value) -> Option<BTreeSet<Box<str>>> {
        if !self.is_unnamed(function) {
            return None;
        }
        let lines = self.heap.origin(function)?.lines;
        let Plan { old, new, .. } = &**self.plan_around(function)?;
        // Of several on one line nobody knows which it is.
        let is_told = old.says.unnamed_function(lines).is_some() && !old.says.has_function_at(lines.0);
        let effect =
            old.says.effect_around(lines).filter(|effect| is_told && !new.says.has_effect(effect))?;
        Some(effect.literals().clone())
    }

    /// A fresh function that may be one of its file's top level that no definition names.
    pub(super) fn is_of_top_level(&self, function: Value) -> bool {
        let is_it = |plan: &Arc<Plan>| {
            let origin = self.heap.origin(function);
            origin.is_some_and(|origin| plan.new.says.is_unnamed_function(origin.lines))
        };
        function.is_function() && self.is_fresh(function) && self.plan_around(function).is_some_and(is_it)
    }

    /// One that is that for sure: no other begins on its line.
    pub(super) fn is_new_unnamed(&self, function: Value) -> bool {
        let is_named = || {
            let line = self.heap.origin(function).map_or(0, |origin| origin.lines.0);
            self.plan_around(function).is_some_and(|plan| plan.new.says.has_function_at(line))
        };
        self.is_of_top_level(function) && !is_named()
    }

    /// Whether the old version of what a statement gives a value to was made of a function that somebody holds: it is
    /// a handle then, and no result of that function.
    pub(super) fn is_handle(&mut self, plan: &Plan, line: u32) -> bool {
        let Some(statement) = plan.old.says.effect_around((line, line)) else { return false };
        let held: Vec<Value> = self.snapshot.slots.iter().map(|slot| slot.function).collect();
        held.into_iter().any(|function| {
            self.is_of_changed(function)
                && !self.is_fresh(function)
                && plan.old.is_chunk(&self.heap.source(function))
                && self.heap.origin(function).is_some_and(|origin| {
                    plan.old.says.is_unnamed_function(origin.lines)
                        && plan
                            .old
                            .says
                            .effect_around(origin.lines)
                            .is_some_and(|it| std::ptr::eq(it, statement))
                })
        })
    }

    /// An old function of a file's top level that no definition names, and that nothing follows yet.
    pub(super) fn is_unnamed(&mut self, function: Value) -> bool {
        let is_old = function.is_function() && !self.is_fresh(function);
        if !is_old || self.follower(function).is_some() || !self.is_of_changed(function) {
            return false;
        }
        let Some(origin) = self.heap.origin(function) else { return false };
        let source = self.heap.source(function);
        self.plans
            .values()
            .any(|plan| plan.old.is_chunk(&source) && plan.old.says.is_unnamed_function(origin.lines))
    }

    /// Whether a function of a file that has run uses only what stands at file level there. Any other has a state of
    /// its own, which whoever holds it goes on using.
    pub(super) fn has_no_state(&self, function: Value) -> bool {
        let source = self.heap.source(function);
        let file: Option<Arc<SourceFile>> =
            self.plans.values().map(|plan| &plan.new).find(|file| file.is_chunk(&source)).cloned();
        file.is_none_or(|file| self.is_of_file_level(function, &file.says))
    }

    /// What two loads of one file have put at the same place, where nobody's state is lost by that.
    pub(super) fn pair_unnamed_at(&mut self, old: Value, new: Value) {
        let is_pair = old.is_function() && new.is_function() && self.is_fresh(new) && self.is_unnamed(old);
        if is_pair && (self.has_no_state(new) || self.has_state_of(new, old)) {
            self.pair_functions(old, new);
        }
    }

    /// Whether what a closure captures beside the file's locals is the same in the old one: the variable of a loop,
    /// say.
    pub(super) fn has_state_of(&self, new: Value, old: Value) -> bool {
        let heap = self.heap;
        let known: Vec<_> =
            heap.upvalue_names(old).into_iter().map(|(at, name)| (name, heap.upvalue(old, at))).collect();
        heap.upvalue_names(new).into_iter().all(|(at, name)| {
            let value = self.lasting(heap.upvalue(new, at));
            let was = known.iter().find(|(other, _)| *other == name).map(|(_, was)| *was);
            was.is_some_and(|was| was.is(value) || heap.equal(was, value) || self.follower(was).is_some())
        })
    }
}
