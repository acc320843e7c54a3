//! The first paint of the sample site in Chromium, after the first byte of the page has come.

use std::{path::Path, time::Duration};

use hotloader_test_support::{chromium::Chromium, server::Server, site::Site, until};
use serde_json::json;

use crate::{Fallible, SETUP, Verdict, quantile};

/// When, in the browser's own clock, something of the application was first on the page, and when the first
/// byte of the page came. The page that comes from the server is empty: what is painted was rendered
/// from what came over the WebSocket.
const PAINTED: &str = "
    const [page] = performance.getEntriesByType('navigation');
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    return paint ? paint.startTime - page.responseStart : null";

pub(crate) async fn measure(loads: usize, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let Some(browser) = Chromium::start().await else { return Ok(()) };
    let site = Site::with(SETUP, &[]);
    site.copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lua"), "lua");
    let server = Server::start(SETUP, &site.dir()).await;
    let mut times = Vec::new();
    // The first one shows how fast the browser starts.
    for load in 0..=loads {
        // Every load is a first visit: a session of its own, and nothing in the cache.
        browser.command("Network.clearBrowserCache", json!({})).await;
        browser.open(&server).await;
        let painted = until("the first paint", async || browser.run(PAINTED).await.as_f64()).await;
        if load > 0 {
            times.push(Duration::from_secs_f64(painted.max(0.0) / 1e3));
        }
    }
    browser.end().await;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let [median, p90] = [0.5, 0.9].map(|share| ms(quantile(&mut times, share)));
    println!("first contentful paint of the sample site, {loads} loads without a cache: p90 {p90:.0} ms");
    let what = "first byte -> first paint of the sample site, Chromium, median";
    verdicts.push(Verdict::at_most(what, median, 100.0, "ms"));
    Ok(())
}
