//! The other end of the control socket: a program of the same user.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
};

use thiserror::Error;

use super::{
    place::{self, PlaceError},
    protocol::{Answer, MAX_LINE, Request},
};

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

impl Client {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// If there is none.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(ClientError::Strange)?;
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE {
            return Err(ClientError::TooLong);
        }
        self.stream.get_mut().write_all(&line).map_err(ClientError::Gone)?;
        line.clear();
        self.stream.read_until(b'\n', &mut line).map_err(ClientError::Gone)?;
        if line.is_empty() {
            return Err(ClientError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(ClientError::Strange)
    }
}
