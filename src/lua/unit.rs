//! Units of work that may wait: a handler, a timer, a subscription.
//!
//! Each runs in a coroutine, for most of them the one that the last has left. Where it writes to the store it is suspended until the answer is there: the
//! thread is free meanwhile, and only this session waits.

use std::time::Instant;

use mlua::{Function, IntoLuaMulti, MultiValue, Thread, thread::ThreadStatus};

use super::{
    failure::Failure,
    limits::Budget,
    state::{Vm, Waiting},
};
use crate::hub::Delivery;

impl Vm {
    /// Calls a function as a unit of work, within the budget that runs. [`is_waiting`](Self::is_waiting) says whether
    /// it has come to its end.
    pub(crate) fn call_unit(&self, function: &Function, args: impl IntoLuaMulti) -> mlua::Result<()> {
        let thread = match self.spare.take() {
            Some(thread) => {
                thread.reset(function.clone())?;
                thread
            }
            None => {
                let thread = self.lua().create_thread(function.clone())?;
                self.prelude.raw_set("unit", &thread)?;
                thread
            }
        };
        self.go_on(thread, Instant::now(), args)
    }

    fn go_on(&self, thread: Thread, began: Instant, args: impl IntoLuaMulti) -> mlua::Result<()> {
        thread.resume::<MultiValue>(args)?;
        if thread.status() != ThreadStatus::Resumable {
            self.spare.replace(Some(thread));
            return Ok(());
        }
        if self.state(|state| state.shared.take_writing()) != Some(true) {
            return Err(mlua::Error::runtime("attempt to yield from outside a coroutine"));
        }
        self.waiting.replace(Some(Waiting { thread, began }));
        Ok(())
    }

    /// Whether a unit of work waits for the store.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.borrow().is_some()
    }

    /// Goes on with the unit of work that waits, if its answer is there; `None`: it waits on.
    pub(crate) fn go_on_waiting(&self) -> Option<Result<(), Failure>> {
        if self.state(|state| state.shared.is_answered()) != Some(true) {
            return None;
        }
        let Waiting { thread, began } = self.waiting.take()?;
        let patience = self.state(|state| state.shared.patience()).unwrap_or_default();
        let Budget { time, key } = self.handler();
        // Waiting counts, so that a loop that writes ends, too; but an error of the store can be handled.
        let left = time.saturating_add(patience).saturating_sub(began.elapsed());
        if left.is_zero() {
            return Some(Err(self.failure(&mlua::Error::runtime(""), Some(self.handler()))));
        }
        let budget = Budget { time: left, key };
        Some(self.run(budget, |_| self.go_on(thread, began, ())))
    }

    /// Something has come for a function that listens.
    pub(crate) fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        self.run(self.handler(), |lua| {
            let deliver: Function = self.prelude.raw_get("deliver")?;
            let text = |text: &str| lua.create_string(text);
            let value = delivery.value.as_deref().map(text).transpose()?;
            self.call_unit(&deliver, (delivery.handle, text(&delivery.name)?, value))
        })
    }

    /// What files have sent while they were loaded goes out.
    pub(crate) fn send_held(&self) -> Result<(), Failure> {
        self.run(self.handler(), |_| {
            let send: Function = self.prelude.raw_get("send_held")?;
            self.call_unit(&send, ())
        })
    }
}
