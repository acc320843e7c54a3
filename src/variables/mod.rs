//! What browsers see of a session's objects: variables, their values, and the templates to show them.
//!
//! | file | what it does |
//! |---|---|
//! | `path` | `a.b.0.name()?key=value` taken apart |
//! | `value` | Lua values as they are sent, and back |
//! | `access` | follows a path through Lua objects: reads, calls, writes |
//! | `allowed` | what a browser may do with a variable: what templates bind |
//! | `check` | what is wrong with templates, without a browser |
//! | `variable` | one of the variables of a browser |
//! | `grant` | what has been found out of that for one variable |
//! | `problem` | what the author has to know of a variable, while it is so |
//! | `problems` | which variables have one |
//! | `upload`, `pieces` | files that a person sends: what has come; taking the next piece |
//! | `tree` | the variables of one browser: made, watched, written, destroyed |
//! | `handler` | has the application do something, in its budget |
//! | `describe` | the variables as people debug them |
//! | `nodes` | where they are kept, parents before children |
//! | `properties` | what is known of a variable beside its value, and what of it the browser has |
//! | `wrapper` | objects that stand in for a variable's value |
//! | `declared` | the variables that Lua code made, in every browser |
//! | `after_batch` | the pass that finds what differs from what the browser has |
//! | `missing` | what a page lacks to show anything: an application, a template |
//! | `known_names` | whether there is what a path asks for, and the name that was meant |
//! | `glance` | passes over the variables that are as they were sent |
//! | `frame` | the messages of one frame, what has priority first |
//! | `viewdefs` | which templates the browser has, and those that come with the server |
//!
//! This layer knows no sockets: it takes messages of [`wire`](crate::wire) and returns messages.

mod access;
mod after_batch;
mod allowed;
mod check;
mod declared;
mod describe;
mod frame;
mod glance;
mod grant;
mod handler;
mod known_names;
mod missing;
mod nodes;
mod path;
mod pieces;
mod problem;
mod problems;
mod properties;
mod tree;
mod upload;
mod value;
mod variable;
mod viewdefs;
mod wrapper;

pub(crate) use allowed::{Allowed, Refusal};
pub(crate) use check::check;
pub(crate) use problem::{Found, ProblemKind};
pub(crate) use tree::View;
pub(crate) use value::Objects;
pub(crate) use variable::ROOT;
