//! The suite that every backend passes.

use std::collections::BTreeMap;

use hotloader_polling::PollingBackend;

hotloader_conformance::conformance_suite!(|| {
    let options = BTreeMap::from([("interval".to_owned(), "20ms".into())]);
    Box::new(PollingBackend::from_options(&options).unwrap())
});
