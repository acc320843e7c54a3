//! What is done to a tree, by topic. Each is called by the test that
//! [`conformance_suite!`](crate::conformance_suite) makes of it, and panics when the view is wrong. The
//! names begin with the row of the [`catalogue`](crate::catalogue) they prove, if there is one.

#![allow(missing_docs, clippy::missing_panics_doc)]

pub mod contract;
pub mod directories;
pub mod names;
pub mod roots;
pub mod saves;
pub mod times;
