//! A browser as the benchmarks have it: a session of its own and a WebSocket, and nothing else.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite::protocol::WebSocketConfig};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A new session, as a browser gets one, and its socket.
pub(crate) async fn connect(address: &str) -> io::Result<Socket> {
    let mut http = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    http.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    http.read_to_string(&mut answer).await?;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: /"));
    let session = location.ok_or_else(|| io::Error::other(format!("no new session: {answer}")))?;
    open(&format!("ws://{address}/ws/{session}")).await
}

/// The socket of this address.
pub(crate) async fn open(url: &str) -> io::Result<Socket> {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(1 << 10);
    let (socket, _) = client_async_with_config(url, stream, Some(config)).await.map_err(io::Error::other)?;
    Ok(socket)
}
