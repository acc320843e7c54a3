//! [`Raw`]: a WebSocket client without any manners. It sends what it is told and reads when it is told.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use hotloader_test_support::DEADLINE;
use serde_json::Value;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;
/// Of the first byte: a message ends with this frame.
const LAST: u8 = 0x80;

/// Somebody with a session: its id, and the cookies that came with it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    addr: SocketAddr,
    session: String,
    cookies: String,
}

impl Visitor {
    /// Asks for the site's first page, and for the page of the session.
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let mut visitor = Self { addr, session: String::new(), cookies: String::new() };
        let answer = visitor.get("/");
        let location = header(&answer, "location").next().unwrap_or_else(|| panic!("no session: {answer}"));
        visitor.session = location.trim_matches('/').rsplit('/').next().unwrap().to_owned();
        visitor.remember(&answer);
        let page = visitor.get(&format!("/{}", visitor.session));
        visitor.remember(&page);
        visitor
    }

    /// Where the server listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn remember(&mut self, answer: &str) {
        for cookie in header(answer, "set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            self.cookies += if self.cookies.is_empty() { "" } else { "; " };
            self.cookies += pair;
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = connect(self.addr);
        let request = format!("GET {path} HTTP/1.1\r\n{}Connection: close\r\n\r\n", self.headers());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn headers(&self) -> String {
        let cookies = match self.cookies.as_str() {
            "" => String::new(),
            cookies => format!("Cookie: {cookies}\r\n"),
        };
        format!("Host: {}\r\n{cookies}", self.addr)
    }

    /// A socket of the session.
    pub(crate) fn socket(&self) -> Raw {
        let mut stream = connect(self.addr);
        let request = format!(
            "GET /ws/{} HTTP/1.1\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.session,
            self.headers()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Raw { stream }
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn header<'a>(answer: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A socket as it comes.
pub(crate) struct Raw {
    stream: TcpStream,
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With a Close.
    Closed(u16),
    /// Without.
    Broken,
}

impl Raw {
    /// The head of a frame that has so many bytes.
    pub(crate) fn head(&mut self, kind: u8, length: usize) -> io::Result<()> {
        self.stream.write_all(&head(kind, length))
    }

    /// The connection, for somebody who does not wait.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.head(TEXT, text.len())?;
        self.bytes(text.as_bytes())
    }

    /// The next text; pings are not answered.
    pub(crate) fn text(&mut self) -> Result<String, End> {
        loop {
            match self.frame()? {
                (CLOSE, reason) => {
                    let code = reason.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Err(End::Closed(code));
                }
                (TEXT, text) => return Ok(String::from_utf8(text).unwrap()),
                _ => {}
            }
        }
    }

    /// The next message, put together, or the next control frame.
    fn frame(&mut self) -> Result<(u8, Vec<u8>), End> {
        let (mut kind, mut message) = (0, Vec::new());
        loop {
            let [first, second] = self.exactly()?;
            let length = match second & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.exactly()?)),
                127 => u64::from_be_bytes(self.exactly()?),
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).map_err(|_| End::Broken)?;
            match first & 0x0f {
                // It comes in the middle of a message, too.
                CLOSE => return Ok((CLOSE, payload)),
                PING | PONG => continue,
                0 => {}
                begins => kind = begins,
            }
            message.append(&mut payload);
            if first & LAST != 0 {
                return Ok((kind, message));
            }
        }
    }

    fn exactly<const N: usize>(&mut self) -> Result<[u8; N], End> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(|_| End::Broken)?;
        Ok(bytes)
    }

    /// Messages until one of them fits.
    pub(crate) fn hear(&mut self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Result<Value, End> {
        loop {
            let frame: Vec<Value> = serde_json::from_str(&self.text()?).unwrap();
            if let Some(found) = frame.into_iter().find(|message| fits(message)) {
                return Ok(found);
            }
            assert!(!what.is_empty());
        }
    }

    /// Reads to the end.
    pub(crate) fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.text() {
                return end;
            }
        }
    }

    /// Waits no longer than that for the server to take or give something.
    pub(crate) fn patience(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
        self.stream.set_write_timeout(Some(time)).unwrap();
    }

    /// For a thread that reads while this one sends.
    pub(crate) fn reader(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }
}

/// The head of a frame that has so many bytes.
pub(crate) fn head(kind: u8, length: usize) -> Vec<u8> {
    let mut head = vec![LAST | kind];
    match length {
        0..126 => head.push(0x80 | u8::try_from(length).unwrap()),
        126..65_536 => {
            head.push(0x80 | 126);
            head.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    // A mask of zeros changes nothing.
    head.extend([0; 4]);
    head
}
