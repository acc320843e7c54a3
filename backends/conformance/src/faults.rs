//! Wrappers that make any backend misbehave, to test what stands on backends.
//!
//! Each takes a backend and is one: the inner one runs on channels of its own, and what passes between
//! it and the outside is bent. All keep the name of the inner one.
//!
//! | wrapper | what it does | within the contract |
//! |---|---|---|
//! | [`Lossy`] | drops hints and then says that sync was lost | yes |
//! | [`Lossy::silent`] | drops hints | no: what is lost stays lost |
//! | [`Duplicating`] | says everything twice, the second time late | yes |
//! | [`Reordering`] | says the older after the newer | yes |
//! | [`Delaying`] | says things late, but before a barrier is passed | yes |
//! | [`Dying`] | fails, in the class that is wanted | yes |
//! | [`Hanging`] | answers nothing any more, but lets itself be stopped | no |
//! | [`NeverArmed`] | never says that a plan is armed | no |
//! | [`Limited`] | watches so many directories and names the others | yes |
//!
//! When [`Dying`] and [`Hanging`] begin is a [`Trigger`]: a number of answers or a token.
//!
//! ```ignore
//! let now = CancellationToken::new();
//! let (handle, reports) = spawn(Hanging::over(backend, now.clone()));
//! now.cancel();
//! ```

mod relay;
mod wrappers;

pub use relay::Trigger;
pub use wrappers::{Delaying, Duplicating, Dying, Hanging, Limited, Lossy, NeverArmed, Reordering};
