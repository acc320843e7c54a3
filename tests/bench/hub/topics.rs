//! From a click that publishes until the pages of others show it.

use std::time::{Duration, Instant};

use crate::{
    Fallible, Verdict, bare, median, millis,
    pages::{Button, Others, Page, serve},
    process,
};

/// Between two messages: what the last one has begun is over.
const PAUSE: Duration = Duration::from_millis(20);
/// Milliseconds that a write may take.
const WRITING: f64 = 2.0;
/// Messages of one click, as `Button::Burst` publishes them.
const BURST: u64 = 100;

/// From the click until the last page shows it: by a topic, and by the store.
pub(crate) async fn latency(
    others: usize,
    rounds: u32,
    target: f64,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    let bare = std::thread::spawn(move || bare::channel(others, rounds).map_err(|error| error.to_string()))
        .join()
        .map_err(|_| "the bare channel has panicked")??;
    // A write has to reach the disk first, for which it has as long as any.
    for (shows, button, what, target) in [
        ("heard", Button::Say, "publish -> value", target),
        ("votes()", Button::Write, "store.set -> value", target + WRITING),
    ] {
        let (_site, server) = serve().await;
        let address = server.addr().to_string();
        let mut page = Page::open(&address, "said").await?;
        let mut pages = Others::open(&address, others, shows).await?;
        let mut times = Vec::new();
        for round in 1..=rounds {
            tokio::time::sleep(PAUSE).await;
            let began = page.click(button).await?;
            times.push(pages.all_show(round.into()).await? - began);
        }
        verdicts.push(Verdict {
            what: format!("{what} at the browsers of {others} other sessions, median"),
            measured: millis(median(times)),
            target,
            bare: millis(bare),
            unit: "ms",
            at_least: false,
        });
    }
    Ok(())
}

/// Messages that reach 100 sessions, and are on their pages.
pub(crate) async fn throughput(span: Duration, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    const SESSIONS: usize = 100;
    let bare = std::thread::spawn(|| bare::channel_throughput(SESSIONS).map_err(|error| error.to_string()))
        .join()
        .map_err(|_| "the bare channel has panicked")??;
    let (_site, server) = serve().await;
    let address = server.addr().to_string();
    let mut page = Page::open(&address, "said").await?;
    let mut pages = Others::open(&address, SESSIONS, "count").await?;
    let (used, began, mut sent) = (process::processor(server.id())?, Instant::now(), 0);
    while began.elapsed() < span {
        page.click(Button::Burst).await?;
        sent += BURST;
        pages.all_show(sent).await?;
    }
    let (took, used) = (began.elapsed(), process::processor(server.id())? - used);
    let messages = sent as f64 * SESSIONS as f64;
    println!(
        "{SESSIONS} sessions: the server used {:.1} µs of a processor for each message that was delivered",
        used.as_secs_f64() * 1e6 / messages
    );
    verdicts.push(Verdict {
        what: format!("messages a second delivered over {SESSIONS} sessions"),
        measured: messages / took.as_secs_f64(),
        target: 20_000.0,
        bare,
        unit: "",
        at_least: true,
    });
    Ok(())
}
