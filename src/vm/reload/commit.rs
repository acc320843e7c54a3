//! The end of a reload that went well.

use std::ffi::c_int;

use mlua::ffi::{lua_State, lua_call, lua_pushboolean, lua_pushinteger, lua_toboolean, lua_tointeger};

use super::{Reload, enter_reload, entries};
use crate::vm::values::Raw;

/// `commit_all(may_finish)`: everything has run. In the same call the end of the reload, if nothing follows and
/// it `may_finish`: a call from Rust takes as long as some of these. Returns how many timers ended, what there
/// is to tell (see [`take_told`](super::take_told)), and whether there are hooks or migrations to come.
pub(super) unsafe extern "C-unwind" fn commit_all(l: *mut lua_State) -> c_int {
    const MAY_FINISH: c_int = 1;
    const ENDED: c_int = 2;
    const FOLLOWS: c_int = 3;
    unsafe {
        let reload = enter_reload(l, MAY_FINISH);
        reload.settle();
        if reload.has_more() {
            reload.of_reload(reload.names.commit).push(l);
            lua_call(l, 0, 2);
        } else {
            lua_pushinteger(l, 0);
            lua_pushboolean(l, 0);
        }
        let follows = lua_toboolean(l, FOLLOWS) != 0;
        if lua_toboolean(l, MAY_FINISH) != 0 && !follows {
            reload.finish();
        }
        lua_pushinteger(l, lua_tointeger(l, ENDED));
        reload.push_told();
        lua_pushboolean(l, c_int::from(follows));
        3
    }
}

impl Reload {
    /// Whether there is anything to do but to settle: hooks, timers that end, prototypes that were declared
    /// again. Most often there is not.
    unsafe fn has_more(&self) -> bool {
        unsafe {
            if self.of_prelude(self.names.exposed).is_true()
                || entries(self.of_reload(self.names.let_go)).take().is_some()
            {
                return true;
            }
            let mut records = entries(self.of_prelude(self.names.records));
            while let Some((_, record)) = records.take() {
                let has = |name| self.field(record, name).is_true();
                if has(self.names.done) && has(self.names.accept) {
                    return true;
                }
            }
            let mut timers = entries(self.of_prelude(self.names.timers));
            while let Some((_, timer)) = timers.take() {
                if self.has_ended(timer) {
                    return true;
                }
            }
            let mut prototypes = entries(self.of_prelude(self.names.prototypes));
            while let Some((_, info)) = prototypes.take() {
                if self.field(info, self.names.changes).is_true() {
                    return true;
                }
            }
            false
        }
    }

    /// Of a timer: it was started by a version of a file that has been replaced.
    pub(super) unsafe fn has_ended(&self, timer: Raw) -> bool {
        unsafe {
            let owner = self.field(timer, self.names.owner);
            let version = self.field(timer, self.names.version);
            owner.is_true() && !version.is(self.field(owner, self.names.version))
        }
    }
}
