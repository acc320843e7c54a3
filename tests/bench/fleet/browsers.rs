//! From a save at the publisher until the last browser of three real servers shows it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use hotloader_test_support::{
    http::get,
    nats::NatsServer,
    server::Server,
    site::{MAIN, Site},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Fallible, SETUP, Verdict, bare, connect::connect, median, millis};

const SERVERS: usize = 3;
/// `watch.quiet`: for so long nothing may be saved before it is looked at.
const QUIET: f64 = 20.0;
/// Between two saves.
const PAUSE: Duration = Duration::from_millis(500);
/// Nothing takes that long.
const LIMIT: Duration = Duration::from_secs(60);

/// A publisher that ends with the measurement.
struct Publishing(Child);

impl Drop for Publishing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn measure(
    nats: &NatsServer,
    sessions: usize,
    rounds: u32,
    verdicts: &mut Vec<Verdict>,
) -> Fallible<()> {
    let bare = bare::core_message(nats, SERVERS, rounds, &[2 << 10]).await?;
    let dir = tempfile::tempdir()?;
    let key = dir.path().join("key");
    let made = SETUP.command().args(["keys", "new"]).arg(&key).output()?;
    let public = String::from_utf8(made.stdout)?;
    let site = Site::new(SETUP);
    let config = |more: &str| {
        let url = nats.url();
        format!("[fleet]\ndepot = \"nats\"\n{more}\n[nats]\nurl = \"{url}\"\nprefix = \"browsers\"\n")
    };
    site.save("config/config.toml", &config("site = \"shop\""));
    let mut command = SETUP.command();
    command.args(["publish", "--watch", "--key"]).arg(&key).arg(site.dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let publishing = Publishing(command.spawn()?);
    let mut servers = Vec::new();
    for at in 0..SERVERS {
        let place = dir.path().join(at.to_string());
        servers.push(serve(&place, &config(&format!("trust = [{:?}]", public.trim()))).await?);
    }
    let (sender, mut shown) = mpsc::unbounded_channel();
    let mut pages = JoinSet::new();
    for server in &servers {
        for _ in 0..sessions {
            pages.spawn(look(server.addr().to_string(), sender.clone()));
            // A page takes a moment to open, and not all of them open together.
            if pages.len() % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let count = sessions * SERVERS;
    let mut all_show = async |label: &str| -> Fallible<Instant> {
        let mut last = None;
        for _ in 0..count {
            let (text, at): (String, Instant) =
                tokio::time::timeout(LIMIT, shown.recv()).await?.ok_or("no page is left")?;
            if text != label {
                return Err(format!("a page shows {text:?} in place of {label:?}").into());
            }
            last = last.max(Some(at));
        }
        last.ok_or_else(|| "no pages".into())
    };
    all_show("first").await?;
    let mut times = Vec::new();
    for round in 0..rounds {
        tokio::time::sleep(PAUSE).await;
        let label = format!("round {round}");
        let text = MAIN.replace("\"first\"", &format!("{label:?}"));
        let began = Instant::now();
        site.save("lua/main.lua", &text);
        times.push(all_show(&label).await? - began);
    }
    verdicts.push(Verdict {
        what: format!(
            "save -> last of the browsers of {SERVERS} servers with {sessions} sessions each, median"
        ),
        measured: millis(median(times)),
        target: QUIET + 120.0,
        bare: Some(millis(bare[0])),
        unit: "ms",
        at_least: false,
    });
    drop(publishing);
    Ok(())
}

/// A server that runs what is published.
async fn serve(place: &Path, config: &str) -> Fallible<Server> {
    fs::create_dir_all(place.join("config"))?;
    fs::write(place.join("config/config.toml"), config)?;
    let mut command: Command = SETUP.command();
    command.args(["serve", "--site", "shop", "--port", "0", "--dir"]).arg(place);
    let server = Server::run(command).await;
    let begun = Instant::now();
    while get(server.addr(), "/readyz").await.status != 200 {
        if begun.elapsed() > LIMIT {
            return Err("nothing is published".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(server)
}

/// A page that shows the label, and says so each time it is another.
async fn look(address: String, shown: mpsc::UnboundedSender<(String, Instant)>) -> Result<(), String> {
    let mut socket = connect(&address).await.map_err(|error| error.to_string())?;
    let watch = r#"[{"type":"watch","data":{"varId":1}},{"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"label()","access":"r"}}}]"#;
    socket.send(watch.into()).await.map_err(|error| error.to_string())?;
    let mut last = String::new();
    while let Some(Ok(frame)) = socket.next().await {
        let text = frame.to_text().unwrap_or_default();
        let value = text.split("\"varId\":2,\"value\":\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(value) = value.filter(|value| *value != last) {
            last = value.to_owned();
            let _ = shown.send((last.clone(), Instant::now()));
        }
    }
    Ok(())
}
