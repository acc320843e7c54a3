//! What the prelude asks of Rust: all that scripts can do beside Lua's library goes through here.
//!
//! | file | what it does |
//! |---|---|
//! | `host` | what Rust knows of a state, and the functions of the prelude's table `P.host`: files, timers, log |
//! | `outside` | what stands in for the machine: reading the site's files, `io.write`, `os.getenv` |
//! | `read_files` | which files modules have read, to be run again when one is saved |
//! | `native` | modules in C that the site's owner has named |
//! | `originals` | what a file replaces of Lua's library |
//! | `timers` | when timers are due |
//! | `hub` | `store`, and topics |
//! | `shared` | what a state has of them |
//! | `json` | `ui.json_encode` and `ui.json_decode` |
//! | `definitions` | a test: what `lua/meta/` tells editors is what a session has |

#[cfg(test)]
mod definitions;
pub(super) mod host;
pub(super) mod hub;
pub(super) mod json;
pub(super) mod native;
mod originals;
pub(super) mod outside;
pub(super) mod read_files;
pub(super) mod shared;
pub(super) mod timers;
