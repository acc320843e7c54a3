//! The other end of the control socket: a program of the same user.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use thiserror::Error;

use super::{
    place::{self, PlaceError, names},
    protocol::{Answer, MAX_LINE, Request},
};

/// How long a server may take to say which site it serves.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the server does not answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The place of the sockets is not the user's own.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The connection is gone.
    #[error("the server is gone")]
    Gone(#[source] io::Error),
    /// It answers in another way.
    #[error("the server answers in another way: is it another version?")]
    Strange(#[source] serde_json::Error),
    /// It would not be read.
    #[error("more than {MAX_LINE} bytes at once; put it into a file of the site, and require that")]
    TooLong,
}

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    /// Where the server listens for browsers.
    pub address: SocketAddr,
    stream: BufReader<UnixStream>,
}

/// The servers of this user that answer.
///
/// # Errors
/// If the place of the sockets is not the user's own.
pub fn find() -> Result<Vec<Client>, PlaceError> {
    let connect = |place: place::Place| {
        let stream = UnixStream::connect(&place.path).ok()?;
        Some(Client { address: place.address, stream: BufReader::new(stream) })
    };
    Ok(place::all()?.into_iter().filter_map(connect).collect())
}

/// A server of this user that serves the site in that directory.
///
/// # Errors
/// If the place of the sockets is not the user's own.
pub fn of_site(dir: &Path) -> Result<Option<Client>, PlaceError> {
    let wanted = names(dir);
    let serves_it = |client: &mut Client| {
        // One that has been stopped in its tracks takes connections, and answers none.
        let waits = |client: &Client, time| client.stream.get_ref().set_read_timeout(time).is_ok();
        if !waits(client, Some(PATIENCE)) {
            return false;
        }
        match client.ask(&Request::Site) {
            Ok(Answer::Site { dirs }) => dirs.iter().any(|dir| wanted.contains(dir)) && waits(client, None),
            // Another version, or it is ending.
            _ => false,
        }
    };
    let mut found = find()?;
    let at = found.iter_mut().position(serves_it);
    Ok(at.map(|at| found.swap_remove(at)))
}

impl Client {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there is none.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(ClientError::Strange)?;
        line.push(b'\n');
        // What may be stored has limits of its own.
        if line.len() as u64 > MAX_LINE && !matches!(request, Request::Set { .. }) {
            return Err(ClientError::TooLong);
        }
        self.stream.get_mut().write_all(&line).map_err(ClientError::Gone)?;
        self.answer()
    }

    /// The next answer, if there are several.
    ///
    /// # Errors
    /// If there is none.
    pub fn answer(&mut self) -> Result<Answer, ClientError> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).map_err(ClientError::Gone)?;
        if line.is_empty() {
            return Err(ClientError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(ClientError::Strange)
    }
}
