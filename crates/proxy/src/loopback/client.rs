//! The daemon's side: how the keeper of loopback ports is found, started and spoken to.

use super::{Command, Port, Refused, SUBCOMMAND, socket_path};
use crate::control::{receive, send};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// How long a keeper may take to listen, to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The command line that starts the keeper of `run_dir`; load balancers are reached from the network bound at `network`.
pub fn argv(executable: &Path, run_dir: &Path, network: Option<&Path>) -> Vec<OsString> {
    let words = [executable.into(), SUBCOMMAND.into(), run_dir.into()];
    words.into_iter().chain(network.map(OsString::from)).collect()
}

/// Starts a keeper, which must outlive this process: its command line is [`argv`].
pub type Start = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The keeper of a run directory, started when it is first needed, and again when it has gone.
pub struct KeeperProcess {
    run_dir: PathBuf,
    start: Start,
    connection: Mutex<Option<UnixStream>>,
}

impl KeeperProcess {
    /// The keeper of `run_dir`.
    pub fn new(run_dir: PathBuf, start: Start) -> Self {
        Self { run_dir, start, connection: Mutex::default() }
    }

    /// Has these ports open and no others. Returns those that could not be opened.
    pub async fn apply(&self, ports: Vec<Port>) -> io::Result<Vec<Refused>> {
        let mut slot = self.connection.lock().await;
        let needed = !ports.is_empty();
        let command = Command::Apply(ports);
        // A connection on which something was cut short is not used again: it is put back when all went well.
        if let Some(mut connection) = slot.take()
            && let Ok(refused) = ask(&mut connection, &command).await
        {
            *slot = Some(connection);
            return Ok(refused);
        }
        let mut connection = match UnixStream::connect(socket_path(&self.run_dir)).await {
            Ok(connection) => connection,
            Err(_) if needed => {
                (self.start)()?;
                connect_within(&self.run_dir).await?
            }
            Err(_) => return Ok(Vec::new()),
        };
        let refused = ask(&mut connection, &command).await?;
        *slot = Some(connection);
        Ok(refused)
    }
}

async fn connect_within(run_dir: &Path) -> io::Result<UnixStream> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(socket_path(run_dir)).await {
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            connected => return connected,
        }
    }
}

async fn ask(connection: &mut UnixStream, command: &Command) -> io::Result<Vec<Refused>> {
    let answer = async {
        send(connection, command).await?;
        receive(connection).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Ends the keeper of a run directory, and waits until it has gone. Nothing happens if there is none.
pub async fn end(run_dir: &Path) {
    let Ok(mut connection) = UnixStream::connect(socket_path(run_dir)).await else { return };
    let gone = async {
        send(&mut connection, &Command::Shutdown).await?;
        receive::<_, Vec<Refused>>(&mut connection).await
    };
    let _ = tokio::time::timeout(PATIENCE, gone).await;
}
