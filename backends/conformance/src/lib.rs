//! The suite that every watch backend passes, for backends of this project and of others.
//!
//! What is demanded is one sentence: *after a barrier, the view equals the disk.* A [`View`] is the
//! smallest possible reconciler: it arms directories, lists them, follows hints by looking again, and
//! never learns anything but through the backend. Each scenario changes a tree in a way that has
//! broken some watcher and then compares.
//!
//! ```ignore
//! hotloader_conformance::conformance_suite!(|| Box::new(MyBackend::default()));
//! ```
//!
//! - `view`: [`View`].
//! - [`scenarios`]: what is done to the tree, named after the catalogue of ways file watching goes wrong.
//! - `random`: a few hundred random operations, the same each time.

// A harness that finds something wrong says so by a panic; it is only ever used by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod random;
pub mod scenarios;
mod view;

use std::{future::Future, time::Duration};

use hotloader_backend::FileWatchBackend;

pub use view::View;

/// No scenario takes this long, on however slow a machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs one scenario on a fresh backend. [`conformance_suite!`] calls it.
///
/// # Panics
///
/// When the scenario does, or is not done within a minute.
pub fn run<F: Future<Output = ()>>(
    scenario: impl FnOnce(View) -> F,
    backend: impl FnOnce() -> Box<dyn FileWatchBackend>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let view = View::start(backend()).await;
        tokio::time::timeout(DEADLINE, scenario(view)).await.expect("the scenario hangs");
    });
}

/// Makes a test of each scenario; takes an expression that constructs the backend when called.
#[macro_export]
macro_rules! conformance_suite {
    ($backend:expr) => {
        $crate::conformance_suite!(@tests $backend;
            in_place_write
            e1_rename_replace
            e8_temporary_and_rename
            e10_unlink_and_create
            e11_hard_link_in
            e12_rename_exchange
            d1_mkdir_p_race
            d2_directory_moved_in
            d3_directory_moved_out
            d4_directory_renamed_inside
            d6_file_to_directory_and_back
            d7_directory_replaced_at_once
            r1_root_deleted_and_recreated
            r2_root_recreated_at_once
            r3_root_moved_and_replaced
            s11_directory_deleted_and_recreated
            n8_newline_in_a_name
            random_operations
        );
    };
    (@tests $backend:expr; $($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                $crate::run($crate::scenarios::$scenario, || ($backend)());
            }
        )*
    };
}
