//! From a click on one server that publishes, or writes, until the page of another server shows it.

use std::time::Duration;

use hotloader_test_support::nats::{NatsServer, Version};

use crate::{
    Fallible, Verdict, bare_nats, median, millis,
    pages::{Button, Others, Page, serve_with},
};

/// Between two messages: what the last one has begun is over.
const PAUSE: Duration = Duration::from_millis(20);
/// Milliseconds that a write may take.
const WRITING: f64 = 2.0;

pub(crate) async fn latency(rounds: u32, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let nats = NatsServer::start(Version::Current).or_else(|| NatsServer::start(Version::Packaged));
    let nats = nats.ok_or("there is no nats-server to measure with; `tests/run` installs one")?;
    let bare = bare_nats::core_message(&nats, 1, rounds, &[64]).await?;
    let config = format!("hub.engine = \"nats\"\n[nats]\nurl = \"{}\"\nprefix = \"bench\"\n", nats.url());
    for (shows, button, what, target) in [
        ("heard", Button::Say, "publish -> value", 3.0),
        ("votes()", Button::Write, "store.set -> value", 3.0 + WRITING),
    ] {
        let ((_site, one), (_other_site, two)) = (serve_with(&config).await, serve_with(&config).await);
        let mut page = Page::open(&one.addr().to_string(), "said").await?;
        let mut pages = Others::open(&two.addr().to_string(), 1, shows).await?;
        let mut times = Vec::new();
        for round in 1..=rounds {
            tokio::time::sleep(PAUSE).await;
            let began = page.click(button).await?;
            times.push(pages.all_show(round.into()).await? - began);
        }
        verdicts.push(Verdict {
            what: format!("{what} at a browser of another server, over NATS, median"),
            measured: millis(median(times)),
            target,
            bare: millis(bare[0]),
            unit: "ms",
            at_least: false,
        });
    }
    Ok(())
}
