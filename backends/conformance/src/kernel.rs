//! Tests of backends that the kernel tells of changes: its limits, and its queue when that runs over.
//!
//! Each is run in a process of its own, often in a namespace of its own, where limits are low. Where the system
//! allows no such namespace there is nothing to test, which is said. [`kernel_suite!`](crate::kernel_suite) makes a
//! test of each, and the ignored one that the child runs.

mod child;
mod limits;
mod mounts;
mod overflow;
mod release;
mod site;

pub use child::{in_a_child, limited, run};
pub use limits::{few_watches, no_temporary_directory, nothing_can_be_watched, used_up_later};
pub use mounts::mounts_and_unmounts;
pub use overflow::{is_stopped_and_finds_all, watches_and_is_stopped};
pub use release::releases_all;
pub use site::{Backend, Site, forty};

/// Makes a test of each, in a file of tests of its own; takes an expression that constructs the backend when called,
/// and how the names of its threads begin.
#[macro_export]
macro_rules! kernel_suite {
    ($backend:expr, $thread:literal) => {
        #[test]
        fn l3_what_is_over_the_limit_is_named_and_the_rest_stays_watched() {
            $crate::kernel::limited("max_inotify_watches", 20, "few_watches");
        }

        /// Another program of the same user takes what is left, as in a container beside this one.
        #[test]
        fn l5_a_limit_that_is_reached_later_is_told_and_a_new_plan_tries_again() {
            $crate::kernel::limited("max_inotify_watches", 30, "used_up_later");
        }

        #[test]
        fn l4_too_few_watchers_ask_for_another_backend() {
            $crate::kernel::limited("max_inotify_instances", 0, "nothing_can_be_watched");
        }

        #[test]
        fn l4_too_few_descriptors_ask_for_another_backend() {
            $crate::kernel::in_a_child(&[], "ulimit -n 9 && exec \"$0\" \"$@\"", "nothing_can_be_watched");
        }

        #[test]
        fn l3_no_watch_at_all_asks_for_another_backend() {
            $crate::kernel::limited("max_inotify_watches", 0, "nothing_can_be_watched");
        }

        #[test]
        fn barriers_need_no_temporary_directory() {
            let line = "SITE=$(mktemp -d) && export SITE && TMPDIR=/nowhere \"$0\" \"$@\"; rm -r \"$SITE\"";
            $crate::kernel::in_a_child(&[], line, "no_temporary_directory");
        }

        #[test]
        fn r6_what_is_mounted_over_a_directory_is_watched_and_so_is_what_was_below_it() {
            $crate::kernel::in_a_child(&["-Urm"], "exec \"$0\" \"$@\"", "mounts_and_unmounts");
        }

        /// I6 as well: a machine that was suspended finds the same.
        #[test]
        fn l1_l2_what_happened_during_an_overflow_is_looked_for_and_what_came_is_watched() {
            $crate::kernel::is_stopped_and_finds_all("watches_and_is_stopped");
        }

        #[test]
        fn a_thousand_directories_are_watched_at_once_and_stopping_releases_thread_and_descriptors() {
            $crate::kernel::in_a_child(&[], "exec \"$0\" \"$@\"", "releases_all");
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn few_watches() {
            $crate::kernel::run($crate::kernel::few_watches(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn used_up_later() {
            $crate::kernel::run($crate::kernel::used_up_later(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn nothing_can_be_watched() {
            $crate::kernel::run($crate::kernel::nothing_can_be_watched(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn no_temporary_directory() {
            $crate::kernel::run($crate::kernel::no_temporary_directory(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn mounts_and_unmounts() {
            $crate::kernel::run($crate::kernel::mounts_and_unmounts(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn watches_and_is_stopped() {
            $crate::kernel::run($crate::kernel::watches_and_is_stopped(&|| ($backend)()));
        }

        #[test]
        #[ignore = "run in a child by the tests above"]
        fn releases_all() {
            $crate::kernel::run($crate::kernel::releases_all(&|| ($backend)(), $thread));
        }
    };
}
