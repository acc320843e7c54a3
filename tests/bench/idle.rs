//! Many sessions that do nothing, each with an open socket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hotloader_test_support::{server::Server, site::Site};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::{Fallible, SETUP, Verdict, connect::connect, process};

/// What the page shows of its session.
const CREATE: &str = r#"{"userEvent":true,"messages":[{"type":"watch","data":{"varId":1}},
    {"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"text()"}}}]}"#;
/// Until garbage of the start is collected everywhere.
const REST: Duration = Duration::from_secs(3);
/// How long idleness is looked at: in that time each socket is pinged once.
const SPAN: Duration = Duration::from_secs(30);
/// Descriptors beside the sockets.
const OTHERS: u64 = 100;

pub(crate) async fn measure(wanted: usize, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let count = wanted.min(usize::try_from(raise_file_limit()?.saturating_sub(OTHERS))?);
    let site = Site::with(
        SETUP,
        &[
            ("lua/main.lua", include_str!("site/main.lua")),
            ("viewdefs/App.DEFAULT.html", include_str!("site/App.DEFAULT.html")),
        ],
    );
    // It inherits the limit.
    let server = Server::start(SETUP, &site.dir()).await;
    let address = server.addr().to_string();
    let empty = process::memory(server.id())?;
    let began = Instant::now();
    let mut browsers = JoinSet::new();
    for _ in 0..count {
        let mut socket = connect(&address).await?;
        socket.send(CREATE.into()).await?;
        if !matches!(socket.next().await, Some(Ok(Message::Text(_)))) {
            return Err("a page without a first frame".into());
        }
        // It answers pings.
        browsers.spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
    }
    let opened = began.elapsed();
    tokio::time::sleep(REST).await;
    let memory = process::memory(server.id())?;
    let (began, used) = (Instant::now(), process::processor(server.id())?);
    tokio::time::sleep(SPAN).await;
    let used = (process::processor(server.id())? - used).as_secs_f64() / began.elapsed().as_secs_f64();
    if let Some(ended) = browsers.try_join_next() {
        return Err(format!("a socket did not stay open: {ended:?}").into());
    }
    let each = (memory - empty) as f64 / count as f64;
    println!(
        "{count} sessions, each with a socket, opened in {:.1} s; {:.1} KiB each beside the {:.1} MB of the \
         empty server",
        opened.as_secs_f64(),
        each / 1024.0,
        empty as f64 / 1e6
    );
    // Of as many as the target is about, should there be fewer.
    let all = (empty as f64 + each * 10_000.0) / 1e6;
    let what = match count {
        10_000 => "resident memory, 10,000 idle sessions with a socket each".to_owned(),
        _ => format!("resident memory of 10,000 idle sessions, as of {count}"),
    };
    verdicts.push(Verdict::at_most(what, all, 700.0, "MB"));
    let what = format!("processor while {count} sessions idle, pings included");
    verdicts.push(Verdict::at_most(what, used * 100.0, 1.0, "%"));
    Ok(())
}

/// To what the system allows; returns that.
fn raise_file_limit() -> Fallible<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}
