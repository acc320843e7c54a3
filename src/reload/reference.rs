//! What users are told in place of an error: a reference, by which the log has all of it.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

/// Chosen anew with each process: nobody can work out what a reference stands for.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Logs an error under a reference, and returns what to say of it to those who may not know more.
///
/// What fails at the same `place` of the same `session` has the same reference, however often: where the
/// log sums repeats up, it is still found. `kind` says what failed; the session is empty where all fail alike.
pub(crate) fn conceal(session: &str, kind: &str, place: &str, error: impl fmt::Display) -> String {
    let reference = format!("{:06x}", KEY.hash_one((session, kind, place)) & 0xff_ffff);
    let limited_by = format!("{session} {reference}");
    let session = (!session.is_empty()).then_some(session);
    tracing::warn!(target: "lua", limited_by, session, "reference {reference}: {kind}: {error}");
    format!("Something went wrong (reference {reference})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_keeps_its_reference_and_others_have_their_own() {
        let told = |session, place, error: &str| conceal(session, "handler-failed", place, error);
        let first = told("ab12", "lua/a.lua:3", "lua/a.lua:3: boom");
        let reference = first.strip_prefix("Something went wrong (reference ").unwrap().trim_end_matches(')');
        assert!(reference.len() == 6 && reference.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
        assert_eq!(told("ab12", "lua/a.lua:3", "lua/a.lua:3: another text"), first);
        assert_ne!(told("cd34", "lua/a.lua:3", "lua/a.lua:3: boom"), first);
        assert_ne!(told("ab12", "lua/a.lua:4", "lua/a.lua:4: boom"), first);
    }
}
