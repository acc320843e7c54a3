//! The suite that every backend passes: by attributes, and with the content of files verified.

use std::collections::BTreeMap;

use hotloader_backend::FileWatchBackend;
use hotloader_polling::PollingBackend;

fn backend(verify: &str) -> Box<dyn FileWatchBackend> {
    // A barrier waits for the look after each change, which comes no later than a pass would.
    let options = [("interval", "1ms"), ("verify", verify)];
    let options = options.map(|(key, value)| (key.to_owned(), value.into()));
    #[allow(clippy::unwrap_used, reason = "a test ends here if these options are wrong")]
    Box::new(PollingBackend::from_options(&BTreeMap::from(options)).unwrap())
}

mod attributes {
    hotloader_conformance::conformance_suite!(|| crate::backend("attributes"));
}

mod content {
    hotloader_conformance::conformance_suite!(|| crate::backend("content"));
}
