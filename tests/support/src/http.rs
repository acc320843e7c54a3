//! One request on a connection of its own, as one browser sends them: with the cookies that the servers
//! have given it.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::DEADLINE;

/// What a server has answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code; 0 if there was none.
    pub status: u16,
    /// The first line and the headers.
    pub head: String,
    /// What follows the headers, as it came.
    pub body: String,
}

impl Answer {
    /// The cookies that it sets for a part of the server, with their paths.
    fn cookies(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let set = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).map(|(_, value)| value);
        set.filter_map(|cookie| {
            let (cookie, attributes) = cookie.split_once(';')?;
            let path = attributes.split(';').find_map(|attribute| attribute.trim().strip_prefix("Path="))?;
            Some((path.to_owned(), cookie.to_owned()))
        })
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Asks for a path.
pub async fn get(addr: SocketAddr, path: &str) -> Answer {
    get_with(addr, path, &[]).await
}

/// Asks for a path with these headers, of which `Host` replaces the real one.
pub async fn get_with(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(addr, "GET", path, headers, "").await
}

/// Sends one request. The connection ends with it.
pub async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {addr}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    if !headers.iter().any(|(name, _)| *name == "Cookie") {
        request += &format!("Cookie: {}\r\n", cookies(path));
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("\r\n{body}");
    let asking = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Some keep the connection open though they were told that it is the last request.
        while !is_complete(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("no answer to {method} {path}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    JAR.lock().unwrap_or_else(PoisonError::into_inner).extend(answer.cookies());
    answer
}

/// Each cookie with its path. One browser for all tests of a process.
static JAR: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// What that browser sends with a request for this address.
pub fn cookies(path: &str) -> String {
    let jar = JAR.lock().unwrap_or_else(PoisonError::into_inner);
    let fitting = jar.iter().filter(|(below, _)| path.starts_with(below)).map(|(_, cookie)| cookie.as_str());
    fitting.collect::<Vec<_>>().join("; ")
}

/// Whether all that the head promises is there; without a length, the end of the connection says so.
fn is_complete(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}
