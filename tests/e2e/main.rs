//! The whole program: the real binary on a temporary site, real files, real WebSockets.
//!
//! One test binary, so that it is linked once. A module for each kind of scenario; those that must hold
//! whatever watches the files run once with each [`Setup`]. Nothing sleeps: whatever is waited for has a
//! deadline.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its helpers cannot go on")]

/// Makes tests of functions that take a [`Setup`]: a module for each setup, named like its constructor.
macro_rules! on_each {
    ($($setup:ident),+: $tests:tt) => { $(on_each! { @ $setup $tests })+ };
    (@ $setup:ident [$($test:ident,)+]) => {
        mod $setup {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(hotloader_test_support::setup::Setup::$setup(crate::PROGRAM)).await;
                }
            )+
        }
    };
}

mod bindings;
mod failures;
mod fleet;
mod lifecycle;
mod links;
#[cfg(feature = "nats")]
mod nats;
mod polling;
mod released_client;
mod roots;
mod saves;
mod semantics;
mod store;
mod store_faults;
mod web;

use hotloader_test_support::setup::Setup;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lua-hotloader");
const SETUP: Setup = Setup::auto(PROGRAM);
