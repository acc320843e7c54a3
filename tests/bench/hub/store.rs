//! Calls of the store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lua_hotloader::{
    config::{BindingRule, HubConfig, LuaConfig, ReloadScope, SessionConfig},
    hub::{Hub, Stored, Write},
    reload::Published,
    session::{LuaSession, LuaSessions, SessionHandle, SessionSettings},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    Fallible, Verdict, bare, median, micros, millis,
    pages::{Button, Page, serve},
};

/// Reads that are timed together.
const READS: u32 = 100;
const WRITERS: usize = 50;

pub(crate) async fn measure(rounds: u32, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    // Not in memory: what is written has to reach a disk.
    let dir = tempfile::tempdir()?;
    let (bare_read, bare_write) = bare::sqlite(dir.path(), rounds)?;
    verdicts.push(Verdict {
        what: "store.get of a small value, median".into(),
        measured: micros(reads(dir.path(), rounds).await?),
        target: 20.0,
        bare: micros(bare_read),
        unit: "µs",
        at_least: false,
    });

    let (_site, server) = serve().await;
    let address = server.addr().to_string();
    let mut page = Page::open(&address, "written").await?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = page.click(Button::Write).await?;
        page.value().await?;
        times.push(began.elapsed());
    }
    verdicts.push(Verdict {
        what: "store.set, acknowledged, on disk and on the page, median".into(),
        measured: millis(median(times)),
        target: 2.0,
        bare: millis(bare_write),
        unit: "ms",
        at_least: false,
    });

    let mut writing = JoinSet::new();
    for _ in 0..WRITERS {
        let mut page = Page::open(&address, "written").await?;
        writing.spawn(async move {
            let each = rounds / WRITERS as u32 + 1;
            let begun = Instant::now();
            for _ in 0..each {
                page.click(Button::Write).await.map_err(|error| error.to_string())?;
                page.value().await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>((each, begun.elapsed()))
        });
    }
    let (mut count, mut longest) = (0, Duration::ZERO);
    while let Some(done) = writing.join_next().await {
        let (each, took) = done??;
        (count, longest) = (count + each, longest.max(took));
    }
    println!(
        "{WRITERS} sessions that write at once: {:.0} writes a second, each on disk before it is acknowledged",
        f64::from(count) / longest.as_secs_f64()
    );
    Ok(())
}

/// What a read takes in a session.
async fn reads(site: &std::path::Path, rounds: u32) -> Fallible<Duration> {
    let hub = Hub::start(site, &HubConfig::default())?;
    let value = Stored { key: "votes".into(), value: json!({ "yes": 1, "no": 2 }), ttl: None };
    hub.write_all(vec![Write::from(value)]).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let sessions = LuaSessions::start(SessionSettings {
        session: SessionConfig { threads: 1, ..SessionConfig::default() },
        lua: LuaConfig::default(),
        scope: ReloadScope::Loaded,
        bindings: BindingRule::Templates,
        refused: Arc::default(),
        hub: Some(hub),
        published: Arc::new(Published::default()),
    })?;
    let session = sessions.create().await?;
    let code = format!("for _ = 1, {READS} do local votes = store.get('votes') end");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let code = code.clone();
        times.push(
            within(&session, move |session| {
                let began = Instant::now();
                let typed = session.type_in(&code);
                (began.elapsed() / READS, format!("{typed:?}"))
            })
            .await?,
        );
    }
    if let Some((_, failed)) = times.iter().find(|(_, typed)| !typed.starts_with("Done")) {
        return Err(failed.clone().into());
    }
    sessions.end_all();
    Ok(median(times.into_iter().map(|(took, _)| took).collect()))
}

/// Does something on the session's thread.
async fn within<R: Send + 'static>(
    handle: &SessionHandle,
    work: impl FnOnce(&mut LuaSession) -> R + Send + 'static,
) -> Fallible<R> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    handle.execute(move |session| drop(sender.send(work(session))))?;
    Ok(receiver.await?)
}
