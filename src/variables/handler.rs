//! Handlers: what a browser has the application do. Where one fails, the browser is told, and the log.

use mlua::Lua;

use super::{access::AccessError, variable::WriteFailed};
use crate::{
    lua::{Failure, Vm},
    wire::ErrorCode,
};

/// Runs a handler in its budget. What fails in Lua is logged with file and line.
pub(super) fn run(vm: &Vm, work: impl FnOnce(&Lua) -> Result<(), AccessError>) -> Result<(), WriteFailed> {
    let mut refusal = None;
    let ran = vm.run(vm.handler(), |lua| match work(lua) {
        Ok(()) => Ok(()),
        Err(AccessError::Lua(error)) => Err(error),
        Err(AccessError::Path(description)) => {
            refusal = Some((ErrorCode::PathFailure, description));
            Ok(())
        }
        Err(AccessError::Unauthorized(description)) => {
            refusal = Some((ErrorCode::Unauthorized, description));
            Ok(())
        }
    });
    match (ran, refusal) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(refusal)) => Err((refusal, None)),
        (Err(failure), _) => Err(failed(failure, vm)),
    }
}

pub(super) fn failed(failure: Failure, vm: &Vm) -> WriteFailed {
    let session = vm.name();
    let details = failure.diagnostic.details();
    vm.state(|state| state.faults.note(&failure.diagnostic));
    tracing::warn!(target: "lua", session, limited_by = session, details, "a handler failed: {}", failure.diagnostic);
    let refused = (code(&failure, ErrorCode::HandlerFailed), failure.diagnostic.to_string());
    (refused, Some(Box::new(failure.diagnostic)))
}

/// What kind of failure a browser is told of.
pub(super) fn code(failure: &Failure, otherwise: ErrorCode) -> ErrorCode {
    match (failure.exhausted, failure.diagnostic.message.starts_with("used more")) {
        (true, true) => ErrorCode::Limit,
        (true, false) => ErrorCode::Timeout,
        _ => otherwise,
    }
}
