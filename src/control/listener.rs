//! The server's end of the control socket.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

use super::{
    place::{self, Place, PlaceError},
    protocol::{Answer, Listed, MAX_LINE, Request},
};
use crate::session::{LuaSession, LuaSessions, NotASessionId, SessionHandle, SessionId, Typed};

/// So many clients are served at once; the next ones wait.
const MAX_CLIENTS: usize = 8;

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
    pub fn listen(address: SocketAddr, sessions: LuaSessions) -> Result<Self, PlaceError> {
        let place = place::of_server(address)?;
        // A server that was killed has left its own. One for our address is of no use to anybody.
        let is_left = |old: &Place| old.address == address || !old.may_be_in_use();
        for old in place::all()?.into_iter().filter(is_left) {
            let _ = fs::remove_file(old.path);
        }
        let failed = |source| PlaceError::Io { path: place.path.clone(), source };
        let listener = UnixListener::bind(&place.path).map_err(failed)?;
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let task = tokio::spawn(accept(listener, sessions));
        Ok(Self { path: place.path, task })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, sessions: LuaSessions) {
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
            let sessions = sessions.clone();
            clients.spawn(async move {
                let _place = place;
                if let Err(error) = serve(stream, &sessions).await {
                    tracing::debug!(%error, "a client of the control socket");
                }
            });
        }
    }
}

async fn serve(stream: UnixStream, sessions: &LuaSessions) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut read).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n");
        let answer = match serde_json::from_slice(&line) {
            _ if !is_whole => Answer::Refused { why: format!("a request has {MAX_LINE} bytes at most") },
            Ok(request) => answer(request, sessions).await,
            Err(error) => Answer::Refused { why: format!("not a request: {error}") },
        };
        let mut text = serde_json::to_vec(&answer).unwrap_or_default();
        text.push(b'\n');
        write.write_all(&text).await?;
        if !is_whole {
            return Ok(());
        }
    }
}

/// What is done in a session.
type Work = Box<dyn FnOnce(&mut LuaSession) -> Answer + Send>;

async fn answer(request: Request, sessions: &LuaSessions) -> Answer {
    let (id, work): (_, Work) = match request {
        Request::Sessions => return Answer::Sessions { sessions: list(sessions).await },
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
        return Answer::Refused { why: "the session has ended".into() };
    };
    match within(&session, work).await {
        Some(answer) => answer,
        None => Answer::Refused {
            why: match session.stuck() {
                Some(why) => format!("the session is stuck: {why}"),
                None => "the session has ended".into(),
            },
        },
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
