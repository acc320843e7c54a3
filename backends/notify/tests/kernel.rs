//! What the kernel's limits do to it.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use hotloader_notify::NotifyBackend;

hotloader_conformance::kernel_suite!(
    || -> Box<dyn hotloader_backend::FileWatchBackend> {
        Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
    },
    "notify"
);
