//! The suite that every backend passes.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use hotloader_inotify::InotifyBackend;

hotloader_conformance::conformance_suite!(|| {
    Box::new(InotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
});
