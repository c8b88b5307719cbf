//! The daemon's side: how the proxy process is started, and how it is spoken to.
//!
//! Starting it is the launcher's work, with [`argv`]. It outlives the daemon; a new daemon connects to the one that
//! it finds ([`ProxyHandle::connect`]) and sends the configuration anew, which changes nothing if nothing has changed.

use crate::control::{receive, send, socket_path};
use nix::sys::socket::{getsockopt, sockopt};
use routing::status::Command;
use routing::{ProxyConfig, Status};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The hidden subcommand of the binary that is the proxy.
pub const SUBCOMMAND: &str = "__proxy";

/// The command line that starts the proxy of `run_dir`.
pub fn argv(executable: &Path, run_dir: &Path) -> Vec<OsString> {
    vec![executable.into(), SUBCOMMAND.into(), run_dir.into()]
}

/// The process that listens on a socket, if one does.
pub fn pid(socket: &Path) -> Option<i32> {
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    Some(getsockopt(&stream, sockopt::PeerCredentials).ok()?.pid()).filter(|pid| *pid > 0)
}

/// How long a proxy may take to end.
const END: Duration = Duration::from_secs(2);

/// Ends the proxy of a run directory, and waits until it has gone. Nothing happens if there is none.
pub async fn end(run_dir: &Path) {
    let Ok((mut proxy, mut statuses)) = ProxyHandle::connect(run_dir).await else { return };
    if proxy.shutdown().await.is_ok() {
        let gone = async { while let Ok(Some(_)) = statuses.next().await {} };
        let _ = tokio::time::timeout(END, gone).await;
    }
}

/// A connection to the proxy: the half that commands.
#[derive(Debug)]
pub struct ProxyHandle {
    write: OwnedWriteHalf,
}

/// A connection to the proxy: the half that listens.
#[derive(Debug)]
pub struct Statuses {
    read: OwnedReadHalf,
}

impl ProxyHandle {
    /// Connects to a proxy that runs.
    pub async fn connect(run_dir: &Path) -> io::Result<(Self, Statuses)> {
        let (read, write) = UnixStream::connect(socket_path(run_dir)).await?.into_split();
        Ok((Self { write }, Statuses { read }))
    }

    /// Connects to a proxy that was started a moment ago; tries for `patience`.
    pub async fn connect_within(run_dir: &Path, patience: Duration) -> io::Result<(Self, Statuses)> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match Self::connect(run_dir).await {
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                connected => return connected,
            }
        }
    }

    /// Sends a configuration. [`Status::Applied`] tells when it is in force.
    pub async fn apply(&mut self, config: ProxyConfig) -> io::Result<()> {
        send(&mut self.write, &Command::Apply(config)).await
    }

    /// Ends the proxy process.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        send(&mut self.write, &Command::Shutdown).await
    }
}

impl Statuses {
    /// The next status; `None` when the proxy is gone. Not safe to cancel: give it a task of its own.
    pub async fn next(&mut self) -> io::Result<Option<Status>> {
        receive(&mut self.read).await
    }
}
