//! The server's end of the control socket.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    place::{self, Place, PlaceError, names},
    protocol::{Answer, Listed, Request, longest},
};
use crate::hub::{Hub, Write};
use crate::session::{Drained, LuaSession, LuaSessions, NotASessionId, SessionHandle, SessionId, Typed};

/// So many clients are served at once; the next ones wait.
const MAX_CLIENTS: usize = 8;

/// What a server serves.
#[derive(Debug, Clone)]
pub struct Served {
    site: Vec<PathBuf>,
    sessions: LuaSessions,
    hub: Hub,
    drain: mpsc::Sender<DrainRequest>,
}

/// Somebody wants the server to be drained, and to end then.
#[derive(Debug)]
pub struct DrainRequest {
    /// How long it may take.
    pub within: Duration,
    /// Where to say what came of it.
    pub done: oneshot::Sender<Drained>,
}

impl Served {
    /// The site in that directory.
    pub fn new(site: &Path, sessions: LuaSessions, hub: Hub, drain: mpsc::Sender<DrainRequest>) -> Self {
        Self { site: names(site), sessions, hub, drain }
    }
}

/// Answers programs of the same user, for as long as it lives.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens for the server at that address. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If there is no place for a socket that is the user's own.
    pub fn listen(address: SocketAddr, served: Served) -> Result<Self, PlaceError> {
        let place = place::of_server(address)?;
        // A server that was killed has left its own. One for our address is of no use to anybody.
        let is_left = |old: &Place| old.address == address || !old.may_be_in_use();
        for old in place::all()?.into_iter().filter(is_left) {
            let _ = fs::remove_file(old.path);
        }
        let failed = |source| PlaceError::Io { path: place.path.clone(), source };
        let listener = UnixListener::bind(&place.path).map_err(failed)?;
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let task = tokio::spawn(accept(listener, served));
        Ok(Self { path: place.path, task })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, served: Served) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    // With the listener its clients go.
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: the next try would fail at once, and the next.
                tracing::debug!(%error, "the control socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        while clients.try_join_next().is_some() {}
        // Its mode keeps others out already; this holds also where a file system has no modes.
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw()) {
            let served = served.clone();
            clients.spawn(async move {
                let _place = place;
                if let Err(error) = serve(stream, &served).await {
                    tracing::debug!(%error, "a client of the control socket");
                }
            });
        }
    }
}

async fn serve(stream: UnixStream, served: &Served) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    let longest = longest(served.hub.config().max_value.as_usize());
    loop {
        line.clear();
        (&mut read).take(longest).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        let answer = match serde_json::from_slice(&line) {
            _ if !is_whole => refused(format!("a request has {longest} bytes at most")),
            Ok(Request::List { prefix }) => list_store(&mut write, &served.hub, &prefix).await?,
            Ok(request) => answer(request, served).await,
            Err(error) => refused(format!("not a request: {error}")),
        };
        say(&mut write, &answer).await?;
        if !is_whole {
            return Ok(());
        }
    }
}

async fn say(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer).unwrap_or_default();
    text.push(b'\n');
    write.write_all(&text).await
}

fn refused(why: impl ToString) -> Answer {
    Answer::Refused { why: why.to_string() }
}

/// One answer for each key; what remains to be said is given back.
async fn list_store(write: &mut OwnedWriteHalf, hub: &Hub, prefix: &str) -> io::Result<Answer> {
    let entries = match hub.all_stored(prefix) {
        Ok(entries) => entries,
        Err(error) => return Ok(refused(error)),
    };
    for entry in entries {
        match entry {
            Ok(entry) => say(write, &Answer::Entry { entry: Some(entry) }).await?,
            Err(error) => return Ok(refused(error)),
        }
    }
    Ok(Answer::End)
}

async fn write_store(hub: &Hub, writes: Vec<Write>) -> Answer {
    let results = hub.write_all(writes).await.into_iter().enumerate();
    let failed = results.filter_map(|(at, result)| result.err().map(|error| (at, error.to_string())));
    Answer::Written { failed: failed.collect() }
}

/// What is done in a session.
type Work = Box<dyn FnOnce(&mut LuaSession) -> Answer + Send>;

async fn answer(request: Request, served: &Served) -> Answer {
    let Served { site, sessions, hub, drain } = served;
    let (id, work): (_, Work) = match request {
        Request::Site => return Answer::Site { dirs: site.clone() },
        Request::Drain { within } => return drained(drain, Duration::from_millis(within)).await,
        Request::Sessions => return Answer::Sessions { sessions: list(sessions).await },
        Request::Get { key } => {
            return hub.stored(&key).map_or_else(refused, |entry| Answer::Entry { entry });
        }
        Request::Set { entries } => {
            return write_store(hub, entries.into_iter().map(Write::from).collect()).await;
        }
        Request::Delete { key } => return write_store(hub, vec![Write::delete(&key)]).await,
        Request::List { .. } => return refused("a bug: a list has several answers"),
        Request::Run { session, code } => (
            session,
            Box::new(move |session| match session.type_in(&code) {
                Typed::Done { printed, values } => Answer::Done { printed, values },
                Typed::Incomplete => Answer::Incomplete,
                Typed::Failed { printed, error } => Answer::Failed { printed, error },
            }),
        ),
        Request::Complete { session, text } => (
            session,
            Box::new(move |session| {
                let (start, names) = session.complete(&text);
                Answer::Names { start, names }
            }),
        ),
    };
    let id: Result<SessionId, NotASessionId> = id.parse();
    let Some(session) = id.ok().and_then(|id| sessions.get(id)) else {
        return refused("the session has ended");
    };
    match within(&session, work).await {
        Some(answer) => answer,
        None => refused(match session.stuck() {
            Some(why) => format!("the session is stuck: {why}"),
            None => "the session has ended".into(),
        }),
    }
}

async fn drained(drain: &mpsc::Sender<DrainRequest>, within: Duration) -> Answer {
    let (done, is_done) = oneshot::channel();
    if drain.send(DrainRequest { within, done }).await.is_err() {
        return refused("the server is stopping already");
    }
    match is_done.await {
        Ok(Drained { sessions, stored }) => Answer::Drained { sessions, stored },
        Err(_) => refused("the server is stopping already"),
    }
}

/// Does work in a session, and hands back what it gives. Browsers hear of what it has changed.
async fn within<R: Send + 'static>(
    session: &SessionHandle,
    work: impl FnOnce(&mut LuaSession) -> R + Send + 'static,
) -> Option<R> {
    let (sender, receiver) = oneshot::channel();
    let queued = session.execute(move |session| {
        let _ = sender.send(work(session));
    });
    queued.ok()?;
    receiver.await.ok()
}

async fn list(sessions: &LuaSessions) -> Vec<Listed> {
    let mut listed = Vec::new();
    for session in sessions.running() {
        let (id, short) = (session.id().to_string(), session.id().short());
        // One that is stuck is there all the same.
        let summary = match session.stuck() {
            Some(_) => None,
            None => within(&session, |session| session.summary()).await,
        };
        let (began, browsers) = summary.map_or((None, 0), |summary| (Some(summary.began), summary.sockets));
        listed.push((began, Listed { id, short, browsers }));
    }
    listed.sort_by_key(|(began, _)| *began);
    listed.into_iter().map(|(_, session)| session).collect()
}
