//! A browser as the benchmarks have it: a session of its own and a WebSocket, and nothing else.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{client::IntoClientRequest, protocol::WebSocketConfig},
};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A new session, as a browser gets one, and its socket.
pub(crate) async fn connect(address: &str) -> io::Result<Socket> {
    let mut http = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    http.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    http.read_to_string(&mut answer).await?;
    let header = |name| answer.lines().find_map(|line| line.strip_prefix(name));
    let session =
        header("location: /").ok_or_else(|| io::Error::other(format!("no new session: {answer}")))?;
    let cookie = header("set-cookie: ").and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    open_with(&format!("ws://{address}/ws/{session}"), cookie).await
}

/// The socket of this address.
#[allow(dead_code, reason = "the measurements of reloads have no use for it")]
pub(crate) async fn open(url: &str) -> io::Result<Socket> {
    open_with(url, "").await
}

async fn open_with(url: &str, cookie: &str) -> io::Result<Socket> {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(1 << 10);
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    request.headers_mut().insert("cookie", cookie.parse().map_err(io::Error::other)?);
    let (socket, _) =
        client_async_with_config(request, stream, Some(config)).await.map_err(io::Error::other)?;
    Ok(socket)
}
