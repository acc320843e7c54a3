//! Hot reload for a program that owns its Lua states: a game with its loop, a tool with its plugins.
//!
//! | file | what it does |
//! |---|---|
//! | `scripts` | [`Scripts`]: a directory that is watched and compiled, beside your program |
//! | `state` | [`State`]: one `mlua::Lua` of yours; you say when it takes up what was saved |
//! | `mailbox` | how the one tells the other |
//! | `error` | [`EmbedError`]: what can go wrong |
//!
//! A saved script does to a state what it does to a session of the server, by the same code: the files
//! that changed run again as one transaction; objects, modules, timers and values that you did not edit
//! stay; and if anything fails, nothing has changed. `docs/embedding.md` says what that means for values
//! that your program owns.
//!
//! ```no_run
//! use lua_hotloader::{config::WatchConfig, embed::Scripts};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scripts = Scripts::watch("scripts", &WatchConfig::default())?;
//! let lua = mlua::Lua::new(); // yours, with what you put into it
//! let mut state = scripts.attach(&lua)?;
//! state.run("main.lua")?;
//! loop {
//!     for report in state.update() {
//!         println!("{report}");
//!     }
//!     for error in state.fire_timers() {
//!         eprintln!("{error}");
//!     }
//!     state.call(|lua| lua.globals().get::<mlua::Function>("frame")?.call::<()>(()))?;
//! }
//! # }
//! ```
//!
//! **Architecture Invariant:** nothing happens in a state but in a call of its owner. Another thread
//! watches and compiles; [`State::update`] looks whether there is something new, and does not wait.

mod error;
mod mailbox;
mod scripts;
mod state;

/// The version of mlua whose states can be attached.
pub use mlua;

pub use error::EmbedError;
pub use scripts::{Scripts, StateOptions};
pub use state::State;
