//! # lua-hotloader
//!
//! A server that keeps one Lua state for each browser session. A saved Lua file or HTML template runs
//! in every live session within milliseconds, state kept, and what changed is pushed to the browser.
//!
//! Two ways in: [`server::Server`] is the whole of it, and [`embed::Scripts`] reloads scripts in the Lua
//! states of your own program. Both stand on [`reload::HotLoader`], which also takes sessions of another kind
//! ([`reload::SessionHost`]).
//!
//! ```no_run
//! use std::path::Path;
//!
//! use lua_hotloader::{config::Config, server::Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::default();
//! config.lua.hotload = true;
//! config.server.port = 0; // a free one
//!
//! let server = Server::start(Path::new("my-site"), config).await?;
//! println!("http://{}/", server.local_addr());
//! for session in server.lua_sessions().handles() {
//!     session.execute(|session| {
//!         if let Err(error) = session.with_lua(|lua| lua.load("count = 0").exec()) {
//!             eprintln!("{error}");
//!         }
//!     })?;
//! }
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! ## The crate, by the stages of a change
//!
//! | stage | module | takes | hands on |
//! |---|---|---|---|
//! | observe, collect | the crates in `backends/` | what has to be watched | places to look at |
//! | settle, reconcile | [`watch`] | places to look at, the disk | a [`ChangeSet`](watch::ChangeSet) |
//! | compile | [`reload`] | a change set | a [`Generation`](reload::Generation) |
//! | apply | [`session`], on `lua`, the Lua state | a generation | a [`ReloadOutcome`](reload::ReloadOutcome) |
//! | refresh | [`variables`] | the session's objects | messages, for what differs |
//! | deliver | [`web`] | messages | WebSocket frames |
//!
//! Around them: [`config`] is what a deployment can choose, [`wire`] the frames that go over a WebSocket, [`telemetry`] log and metrics, [`status`] what
//! the status page shows, [`server`] all parts put together, [`cli`] the command line. [`embed`] takes the
//! place of sessions and server in a program of yours.
//!
//! Imports run one way: cli → server → status → web → session → variables → wire → lua → reload → watch → config.
//! `docs/architecture.md` has the layers one by one, the sequences of a change and of the start, and
//! for each invariant the test that proves it.
//!
//! **Architecture Invariant:** `watch` knows no Lua, `reload` no sessions, `session` no sockets, and
//! `web` no variables. Each hands on a value and never calls back.
//!
//! **Architecture Invariant:** the disk decides. A backend only says where to look, so hints may come
//! twice, late or for nothing; what counts as a change is the content.
//!
//! **Architecture Invariant:** a generation is immutable, and a session gets all of it or keeps what it
//! had. Broken code never replaces working code.
//!
//! **Architecture Invariant:** a Lua state has one owner at a time, a thread of the session pool and
//! never an async worker, and everything that runs in it has a budget.
//!
//! **Architecture Invariant:** what the outside does is data. A file that vanishes, a link in a circle,
//! a script that loops, a browser that sends nonsense: none of them is a panic, and none ends the server.

pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod embed;
pub mod fleet;
pub mod hub;
mod lua;
pub mod reload;
pub mod server;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod variables;
pub mod watch;
pub mod web;
pub mod wire;
