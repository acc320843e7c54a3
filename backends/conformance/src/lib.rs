//! The suite that every watch backend passes, for backends of this project and of others.
//!
//! What is demanded is one sentence: *after a barrier, the view equals the disk.* A [`View`] is the
//! smallest possible reconciler: it arms directories, lists them, follows hints by looking again, and
//! never learns anything but through the backend. Each scenario changes a tree in a way that has
//! broken some watcher and then compares.
//!
//! To use it, put this in `tests/conformance.rs` of your crate:
//!
//! ```ignore
//! hotloader_conformance::conformance_suite!(|| Box::new(MyBackend::default()));
//! ```
//!
//! That makes one test of each scenario, and four of 500 random sequences each. A scenario that needs a
//! program that is missing (git, vim, rsync) says so and passes. `CONFORMANCE_CASES=50000` runs more random
//! sequences; `CONFORMANCE_SEED=17` runs one again. A smaller number can be given to the macro as well:
//! `conformance_suite!(make, 100)`.
//!
//! | part | proves |
//! |---|---|
//! | [`scenarios::saves`] | however an editor or tool writes a file, and whatever git does to 500, it is told |
//! | [`scenarios::directories`] | directories that come, go, move and are replaced faster than they can be watched |
//! | [`scenarios::roots`] | the same for the root of the tree and for what is above it |
//! | [`scenarios::names`] | names are bytes; odd files and locked doors harm nobody |
//! | [`scenarios::times`] | time stamps may repeat, go back or lie in the future |
//! | [`scenarios::contract`] | plans, barriers and the stop are answered; at rest, nothing is told |
//! | [`random`] | what nobody thought of, by one writer against a model and by several at once |
//!
//! Beside the suite there are:
//!
//! - [`faults`]: wrappers that make any backend forget, stutter, lag, hang or die, to test what stands
//!   on backends. The suite passes over those that keep the contract and catches the one that does not.
//! - `kernel`: on Linux, what backends do at the limits of inotify: [`kernel_suite!`].
//! - [`suspend`]: stops a daemon, or the server of a mount, to see what becomes of who needs it.
//! - [`catalogue`]: all ways in which file watching is known to go wrong, and the test of each.

// A harness that finds something wrong says so by a panic; it is only ever used by tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod catalogue;
mod entries;
pub mod faults;
#[cfg(target_os = "linux")]
pub mod kernel;
mod model;
mod operation;
mod processes;
pub mod random;
pub mod scenarios;
mod tools;
mod view;

use std::{future::Future, panic, thread};

use hotloader_backend::FileWatchBackend;

pub use processes::suspend;
pub use view::View;

/// How many random sequences [`conformance_suite!`] runs over a backend if nothing else is said.
pub const SEQUENCES: u64 = 2000;

/// Runs one scenario on a fresh backend. [`conformance_suite!`] calls it.
///
/// It runs on a thread of its own that gives up root's right to pass closed doors, for itself and the
/// backend's threads: so the tests of permissions prove something for root as well.
///
/// # Panics
///
/// When the scenario does.
pub fn run<F: Future<Output = ()>>(
    scenario: impl FnOnce(View) -> F + Send + 'static,
    backend: impl FnOnce() -> Box<dyn FileWatchBackend> + Send + 'static,
) {
    let result = thread::spawn(move || {
        tools::stay_outside_of_closed_doors();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { scenario(View::start(backend()).await).await });
    })
    .join();
    if let Err(panicked) = result {
        panic::resume_unwind(panicked);
    }
}

/// Makes a test of each scenario; takes an expression that constructs the backend when called, and
/// perhaps how many random sequences there are to be.
#[macro_export]
macro_rules! conformance_suite {
    ($backend:expr) => {
        $crate::conformance_suite!($backend, $crate::SEQUENCES);
    };
    ($backend:expr, $sequences:expr) => {
        $crate::for_each_scenario!($crate::conformance_tests, $backend);
        $crate::conformance_random!($backend, $sequences; random_operations_1 0, random_operations_2 1, random_operations_3 2, random_operations_4 3);
    };
}

/// A part of [`conformance_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($backend:expr; $($topic:ident::$scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                $crate::run($crate::scenarios::$topic::$scenario, || ($backend)());
            }
        )*
    };
}

/// A part of [`conformance_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_random {
    ($backend:expr, $sequences:expr; $($name:ident $shard:literal),*) => {
        $(
            #[test]
            fn $name() {
                $crate::run(|view| $crate::random::operations(view, $shard, $sequences), || ($backend)());
            }
        )*
    };
}

/// Calls a macro with some arguments, and all scenarios behind them: `callback!(arguments; saves::... ...)`.
#[macro_export]
macro_rules! for_each_scenario {
    ($callback:path, $($arguments:tt)*) => {
        $callback! { $($arguments)*;
            saves::in_place_write
            saves::e1_rename_replace
            saves::e1_vim
            saves::e2_absent_for_a_moment
            saves::e3_link_becomes_a_file
            saves::e4_e5_e16_locks_backups_and_probes
            saves::e6_safe_write
            saves::e7_truncate_then_write_in_parts
            saves::e8_temporary_and_rename
            saves::e8_tools
            saves::e10_unlink_and_create
            saves::e11_hard_link_in
            saves::e11_unnamed_file_linked_in
            saves::e12_rename_exchange
            saves::e13_mapped_write
            saves::e14_slow_writer
            saves::e15_write_after_unlink
            saves::e17_touched_but_not_changed
            saves::e18_only_attributes
            saves::e19_git_checkout
            saves::i3_moved_out_and_another_moved_in
            saves::s19_hard_links_to_one_file
            directories::d1_mkdir_p_race
            directories::d1_mkdir_p_race_of_several_writers
            directories::d2_directory_moved_in
            directories::d3_directory_moved_out
            directories::d4_directory_renamed_inside
            directories::d5_written_while_it_is_armed
            directories::d6_file_to_directory_and_back
            directories::d7_directory_replaced_at_once
            directories::s11_directory_deleted_and_recreated
            directories::s12_directory_renamed_away_and_replaced
            directories::s16_link_to_directory_and_back
            directories::two_directories_change_places
            directories::many_directories_go_and_come
            roots::r1_root_deleted_and_recreated
            roots::r2_root_recreated_at_once
            roots::r3_root_moved_and_replaced
            roots::r4_parent_of_the_root_replaced
            roots::r5_root_becomes_a_link
            names::n1_n2_pipes_and_sockets
            names::n6_the_longest_name
            names::n7_n8_names_are_bytes
            names::n9_path_too_long_to_be_named
            names::n10_only_the_case_changes
            names::n11_two_names_that_look_alike
            names::s10_links_in_circles
            names::x1_file_closed_and_opened
            names::x2_closed_directory_beside_others
            names::x3_changed_behind_a_closed_door
            times::p1_two_edits_within_a_second
            times::p2_time_goes_back
            times::p3_same_size_and_time
            times::p5_times_in_the_future
            times::e9_copied_with_its_time
            times::s20_all_times_are_the_same
            contract::a_directory_made_after_it_was_planned
            contract::each_plan_is_answered
            contract::barriers_at_once_are_all_passed
            contract::nothing_is_told_at_rest
            contract::only_what_changed_is_told
            contract::l6_a_hundred_writes_are_one_state
            contract::i1_i2_watched_and_forgotten_many_times
            contract::i4_reading_is_no_change
            contract::a_stopped_backend_lets_go
        }
    };
}
