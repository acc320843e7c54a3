//! The daemon: found, started if that is wanted, connected to, asked.

use std::{
    ffi::OsString,
    fmt::{self, Debug},
    path::{Path, PathBuf},
    pin::pin,
    process::{Output, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    process::Command,
    time::{Instant, timeout},
};
use watchman_client::{Client, Connector, Error as ClientError, pdu::WatchListResponse};

use crate::{options::Options, trouble::Trouble};

/// What a daemon must be able to do.
const NEEDED: [&str; 5] = ["cmd-watch-project", "cmd-subscribe", "cmd-query", "cmd-clock", "relative_root"];

/// A daemon that answers others may take this many times the timeout for one request: it goes through
/// the whole tree before it answers the first.
const PATIENCE: u32 = 60;

/// A daemon that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInfo {
    /// `4.9.0`.
    pub version: String,
    /// The socket it listens on.
    pub sockname: PathBuf,
}

impl fmt::Display for DaemonInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watchman {} at {}", self.version, self.sockname.display())
    }
}

/// A connection to a daemon that can do what is needed.
pub(crate) struct Connection {
    client: Client,
    timeout: Duration,
    pub(crate) daemon: DaemonInfo,
}

impl Connection {
    /// Connects; starts the daemon if none answers and the options say so.
    pub(crate) async fn open(options: &Options) -> Result<Self, Trouble> {
        let sock = find(options).await?;
        match connect(options, &sock).await {
            Err(Trouble::Away { .. }) if options.spawn => {
                spawn(options, &sock).await?;
                connect(options, &sock).await
            }
            connected => connected,
        }
    }

    /// Asks. A daemon that is busy with this request, but answers others, is waited for.
    pub(crate) async fn request<Request, Response>(&self, request: Request) -> Result<Response, Trouble>
    where
        Request: Serialize + Debug,
        Response: DeserializeOwned,
    {
        self.answered(self.client.generic_request(request)).await
    }

    /// The same for whatever is asked through the client.
    pub(crate) async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Trouble> {
        let mut answer = pin!(answer);
        let begun = Instant::now();
        let hung = || Trouble::Hung { sock: self.sock(), timeout: self.timeout };
        loop {
            if let Ok(answer) = timeout(self.timeout / 2, &mut answer).await {
                return answer.map_err(|error| self.trouble(error));
            }
            tokio::select! {
                answer = &mut answer => return answer.map_err(|error| self.trouble(error)),
                alive = timeout(self.timeout / 2, is_alive(&self.daemon.sockname)) => {
                    if !alive.unwrap_or(false) || begun.elapsed() > self.timeout * PATIENCE {
                        return Err(hung());
                    }
                }
            }
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// For each request.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What an error of the client means.
    pub(crate) fn trouble(&self, error: ClientError) -> Trouble {
        Trouble::requesting(self.sock(), self.timeout, error)
    }

    /// The roots that the daemon watches, for whomever.
    pub(crate) async fn roots(&self) -> Result<Vec<PathBuf>, Trouble> {
        let list: WatchListResponse = self.answered(self.client.watch_list()).await?;
        Ok(list.roots)
    }

    fn sock(&self) -> PathBuf {
        self.daemon.sockname.clone()
    }
}

/// Where the daemon listens. The program is told not to start one: the client would let it.
async fn find(options: &Options) -> Result<PathBuf, Trouble> {
    if let Some(sock) = &options.sockname {
        return Ok(sock.clone());
    }
    if let Some(sock) = std::env::var_os("WATCHMAN_SOCK") {
        return Ok(sock.into());
    }
    let output = run(options, &["--no-spawn".into(), "get-sockname".into()]).await?;
    sockname(options, &output)
}

async fn connect(options: &Options, sock: &Path) -> Result<Connection, Trouble> {
    let hung = |_| Trouble::Hung { sock: sock.to_owned(), timeout: options.timeout };
    let client = timeout(options.timeout, Connector::new().unix_domain_socket(sock).connect())
        .await
        .map_err(hung)?
        .map_err(|error| Trouble::connecting(sock.to_owned(), error))?;
    let version: Result<Version, ClientError> =
        timeout(options.timeout, client.generic_request(("version", Capabilities { required: &NEEDED })))
            .await
            .map_err(hung)?;
    let version =
        version.map_err(|error| match Trouble::requesting(sock.to_owned(), options.timeout, error) {
            Trouble::Refused(reason) => Trouble::Unsuitable { sock: sock.to_owned(), reason },
            trouble => trouble,
        })?;
    let daemon = DaemonInfo { version: version.version, sockname: sock.to_owned() };
    Ok(Connection { client, timeout: options.timeout, daemon })
}

/// Whether the daemon answers a new client.
async fn is_alive(sock: &Path) -> bool {
    match Connector::new().unix_domain_socket(sock).connect().await {
        Ok(client) => client.version().await.is_ok(),
        Err(_) => false,
    }
}

/// Starts the daemon. One on a socket of its own keeps what it needs beside it: the usual places belong
/// to the user's.
async fn spawn(options: &Options, sock: &Path) -> Result<(), Trouble> {
    let mut arguments = Vec::new();
    if options.sockname.is_some() {
        for (argument, ending) in
            [("--sockname=", ""), ("--logfile=", ".log"), ("--pidfile=", ".pid"), ("--statefile=", ".state")]
        {
            let mut argument = OsString::from(argument);
            argument.push(sock);
            argument.push(ending);
            arguments.push(argument);
        }
    }
    arguments.push("get-sockname".into());
    let output = run(options, &arguments).await?;
    sockname(options, &output)?;
    tracing::info!(target: "watch", sock = %sock.display(),
        "no Watchman daemon answered; one was started, and stays when this program ends");
    Ok(())
}

async fn run(options: &Options, arguments: &[OsString]) -> Result<Output, Trouble> {
    let failed = |reason: String| Trouble::Discovery { binary: options.binary.clone(), reason };
    let mut command = Command::new(&options.binary);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    timeout(options.timeout, command.output())
        .await
        .map_err(|_| failed(format!("no answer within {:?}", options.timeout)))?
        .map_err(|error| failed(error.to_string()))
}

/// Reads the answer to `get-sockname`.
fn sockname(options: &Options, output: &Output) -> Result<PathBuf, Trouble> {
    #[derive(Deserialize)]
    struct Answer {
        sockname: Option<PathBuf>,
        error: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(&output.stdout).ok();
    match answer {
        Some(Answer { sockname: Some(sock), .. }) => Ok(sock),
        Some(Answer { error: Some(reason), .. }) => {
            Err(Trouble::Discovery { binary: options.binary.clone(), reason })
        }
        _ => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let reason = stderr.lines().last().unwrap_or("it printed nothing").to_owned();
            Err(Trouble::Discovery { binary: options.binary.clone(), reason })
        }
    }
}

#[derive(Debug, Serialize)]
struct Capabilities {
    required: &'static [&'static str],
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}
