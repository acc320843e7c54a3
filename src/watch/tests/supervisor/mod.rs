//! The supervisor over backends that fail on demand, with a paused clock.

mod failures;
mod limits;
mod proofs;
mod settings;
mod stage;
