//! Clicks: from the moment a browser sends one until it has the update that comes of it.

use std::{
    io,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, SinkExt, StreamExt};
use hotloader_test_support::{server::Server, site::Site};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_tungstenite::{
    accept_async,
    tungstenite::{Message, Utf8Bytes},
};

use crate::{
    Fallible, SETUP, Verdict,
    connect::{Socket, connect, open},
    micros, process, quantile,
};

const SESSIONS: usize = 50;
/// Clicks of one session that are under way at once.
const OUTSTANDING: u64 = 8;
/// Pages click that long before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// What the page shows: a count (2) and a button (3).
const CREATE: &str = r#"{"userEvent":false,"messages":[{"type":"watch","data":{"varId":1}},
    {"type":"create","data":{"id":2,"parentId":1,"properties":{"path":"clicks","access":"r"}}},
    {"type":"create","data":{"id":3,"parentId":1,"properties":{"path":"click()","access":"action"}}}]}"#;
/// As the built-in client sends it.
const CLICK: &str = r#"{"userEvent":true,"messages":[{"type":"update","data":{"varId":3,"value":null}}]}"#;
/// What comes of it begins so.
const UPDATE: &str = r#"[{"type":"update","data":{"varId":2,"value":"#;

/// One session: a page that shows a count and a button.
struct Page {
    socket: Socket,
    shown: u64,
}

impl Page {
    async fn open(address: &str) -> io::Result<Self> {
        let mut socket = connect(address).await?;
        socket.send(CREATE.into()).await.map_err(io::Error::other)?;
        while !text(&mut socket).await?.contains(r#""varId":2,"value":0"#) {}
        Ok(Self { socket, shown: 0 })
    }

    /// One click, and what comes of it.
    async fn click(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        self.socket.send(CLICK.into()).await.map_err(io::Error::other)?;
        self.hear().await?;
        Ok(began.elapsed())
    }

    /// Waits for the next count, which has to be one more.
    async fn hear(&mut self) -> io::Result<()> {
        let frame = text(&mut self.socket).await?;
        self.show(&frame)
    }

    fn show(&mut self, frame: &str) -> io::Result<()> {
        let count = frame.strip_prefix(UPDATE).and_then(|rest| rest.split('}').next()?.parse().ok());
        if count != Some(self.shown + 1) {
            return Err(io::Error::other(format!("after {}: {frame}", self.shown)));
        }
        self.shown += 1;
        Ok(())
    }

    /// Clicks without pause: as soon as one has arrived, the next one goes out. Returns how many arrived
    /// from `from` until `until`.
    async fn pour(mut self, from: Instant, until: Instant) -> io::Result<u64> {
        let (mut counted, mut outstanding, mut more) = (0, 0, OUTSTANDING);
        loop {
            for _ in 0..more {
                self.socket.feed(CLICK.into()).await.map_err(io::Error::other)?;
            }
            self.socket.flush().await.map_err(io::Error::other)?;
            outstanding += more;
            self.hear().await?;
            let mut heard = 1;
            // What is there already needs no waiting, and the answer to all of it one packet.
            while heard < outstanding
                && let Some(frame) = text(&mut self.socket).now_or_never()
            {
                self.show(&frame?)?;
                heard += 1;
            }
            outstanding -= heard;
            let now = Instant::now();
            counted += if (from..until).contains(&now) { heard } else { 0 };
            more = if now < until { heard } else { 0 };
            if outstanding + more == 0 {
                return Ok(counted);
            }
        }
    }
}

/// The next text frame.
async fn text(socket: &mut Socket) -> io::Result<Utf8Bytes> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(_)) => {}
            _ => return Err(io::Error::other("the server has closed the socket")),
        }
    }
}

fn site() -> Site {
    Site::with(
        SETUP,
        &[
            ("lua/main.lua", include_str!("site/main.lua")),
            ("viewdefs/App.DEFAULT.html", include_str!("site/App.DEFAULT.html")),
        ],
    )
}

/// One session, one click after the other.
pub(crate) async fn alone(clicks: usize, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let floor = echoes(clicks).await?;
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    let mut page = Page::open(&server.addr().to_string()).await?;
    let mut times = Vec::with_capacity(clicks);
    for _ in 0..clicks / 10 {
        page.click().await?;
    }
    let used = process::processor(server.id())?;
    for _ in 0..clicks {
        times.push(page.click().await?);
    }
    let used = (process::processor(server.id())? - used).as_secs_f64() / clicks as f64;
    let [median, p99] = [0.5, 0.99].map(|share| micros(quantile(&mut times, share)));
    println!(
        "1 session: {clicks} clicks; a bare WebSocket that echoes takes {floor:.1} µs (median) with the same \
         client\n           the server used {:.1} µs of a processor for each click",
        used * 1e6
    );
    verdicts.push(Verdict::at_most("click -> update at the client, 1 session, median", median, 80.0, "µs"));
    verdicts.push(Verdict::at_most("click -> update at the client, 1 session, p99", p99, 400.0, "µs"));
    Ok(())
}

/// What client, kernel and protocol take by themselves: a thread that answers each frame with one like ours.
async fn echoes(rounds: usize) -> Fallible<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = std::thread::spawn(move || -> io::Result<()> {
        listener.set_nonblocking(true)?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
            stream.set_nodelay(true)?;
            let mut socket = accept_async(stream).await.map_err(io::Error::other)?;
            while let Some(Ok(Message::Text(_))) = socket.next().await {
                socket.send(format!("{UPDATE}1}}}}]").into()).await.map_err(io::Error::other)?;
            }
            Ok(())
        })
    });
    let mut socket = open(&format!("ws://{address}/")).await?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        socket.send(CLICK.into()).await?;
        text(&mut socket).await?;
        times.push(began.elapsed());
    }
    socket.close(None).await?;
    serving.join().map_err(|_| "the echo has panicked")??;
    Ok(micros(quantile(&mut times, 0.5)))
}

/// Many sessions that click as fast as the server answers.
pub(crate) async fn crowd(span: Duration, verdicts: &mut Vec<Verdict>) -> Fallible<()> {
    let site = site();
    let server = Server::start(SETUP, &site.dir()).await;
    let address = server.addr().to_string();
    let mut pages = Vec::new();
    for _ in 0..SESSIONS {
        pages.push(Page::open(&address).await?);
    }
    let from = Instant::now() + WARM_UP;
    let mut pouring = JoinSet::new();
    for page in pages {
        pouring.spawn(page.pour(from, from + span));
    }
    let used = async |at: Instant| -> Fallible<[Duration; 2]> {
        tokio::time::sleep_until(at.into()).await;
        Ok([process::processor(server.id())?, process::processor(std::process::id())?])
    };
    let (before, after) = (used(from).await?, used(from + span).await?);
    let mut clicks = 0;
    while let Some(counted) = pouring.join_next().await {
        clicks += counted??;
    }
    let each = |which: usize| (after[which] - before[which]).as_secs_f64() * 1e6 / clicks as f64;
    println!(
        "{SESSIONS} sessions, {OUTSTANDING} clicks under way in each: for each click the server used {:.1} µs \
         of a processor, the client {:.1}",
        each(0),
        each(1)
    );
    let what = format!("clicks a second over {SESSIONS} sessions, client included");
    verdicts.push(Verdict::at_least(what, clicks as f64 / span.as_secs_f64(), 80_000.0, ""));
    Ok(())
}
