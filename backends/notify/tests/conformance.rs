//! The suite that every backend passes.

use std::collections::BTreeMap;

use hotloader_notify::NotifyBackend;

hotloader_conformance::conformance_suite!(|| {
    Box::new(NotifyBackend::from_options(&BTreeMap::<String, ()>::new()).unwrap())
});
