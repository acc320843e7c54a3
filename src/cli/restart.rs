//! `lua-hotloader restart`: sessions of a running server begin anew.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use super::{CliError, RestartArgs, say};
use crate::{
    config::{self, Overrides, ServerConfig},
    watch::Registry,
};

/// The server answers at once; the sessions restart by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &RestartArgs) -> Result<(), CliError> {
    let flags = Overrides { port: args.port, ..Overrides::default() };
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let config = config::load(dir, args.config.as_deref(), &flags, &Registry::with_builtin())
        .map_err(CliError::Config)?;
    let address = address(&config.server);
    let path = match &args.session {
        Some(session) => format!("/_hot/restart/{session}"),
        None => "/_hot/restart".to_owned(),
    };
    let path = config.server.base.path(&path);
    let failed = |source| CliError::NoServer { address: address.clone(), source };
    let (is_done, body) = ask(&address, &path).map_err(failed)?;
    if !is_done {
        return Err(CliError::Refused(body.trim().to_owned()));
    }
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    match answer["restarted"].as_u64() {
        Some(1) => say("1 session restarted"),
        Some(n) => say(&format!("{n} sessions restarted")),
        None => return Err(CliError::Refused(format!("what answers at {address} is no lua-hotloader"))),
    }
    Ok(())
}

/// Where a server with this configuration is reached from its own machine.
fn address(server: &ServerConfig) -> String {
    match server.host.parse::<IpAddr>() {
        Ok(ip) => {
            let ip = match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            std::net::SocketAddr::new(ip, server.port).to_string()
        }
        Err(_) => format!("{}:{}", server.host, server.port),
    }
}

/// Whether the answer is a good one, and what it says.
fn ask(address: &str, path: &str) -> io::Result<(bool, String)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for target in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&target, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n");
                let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all((head + rest).as_bytes())?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
                return Ok((head.starts_with("HTTP/1.1 200"), body.to_owned()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_by_loopback() {
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("0.0.0.0", "127.0.0.1:8080"),
            ("::", "[::1]:8080"),
            ("example.org", "example.org:8080"),
        ] {
            let server = ServerConfig { host: host.into(), ..ServerConfig::default() };
            assert_eq!(address(&server), expected);
        }
    }
}
