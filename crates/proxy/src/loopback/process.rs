//! The process that keeps the ports.

use super::{Command, Port, Refused, socket_path};
use crate::control::{bind_at, receive, send};
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

/// Who has not been let in by then will not be: as long as a patient client waits.
const CONNECT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// What is read at once of either side.
const CHUNK: usize = 32 << 10;

/// A client that was accepted, and where it wants to go.
type Accepted = (std::net::TcpStream, Vec<SocketAddr>);

/// `__loopback <run_dir> [<network>]`: keeps ports until told to end. Load balancers are reached from the network bound at `network`.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let run_dir = PathBuf::from(arguments.next().unwrap_or_default());
    match run(&run_dir, arguments.next().map(PathBuf::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the keeper of loopback ports cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// Keeps ports until told to end.
fn run(run_dir: &Path, network: Option<PathBuf>) -> io::Result<()> {
    // Each connection takes two descriptors.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let network = network.map(File::open).transpose()?;
    let (accepted, to_carry) = mpsc::unbounded_channel();
    let (ready, entered) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("carrier".to_owned()).spawn(move || {
        let entering = network.map_or(Ok(()), |network| setns(network, CloneFlags::CLONE_NEWNET));
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match entering.map_err(io::Error::from).and(runtime) {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(carry_all(to_carry));
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    })?;
    entered.recv().map_err(io::Error::other)??;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let path = socket_path(run_dir);
    let outcome = runtime.block_on(serve(&path, Keeper { accepted, open: BTreeMap::new() }));
    let _ = std::fs::remove_file(path);
    outcome
}

/// Obeys whoever connects, until told to end.
async fn serve(path: &Path, keeper: Keeper) -> io::Result<()> {
    let listener = bind_at(path)?;
    let keeper = Rc::new(RefCell::new(keeper));
    let (end, mut ended) = mpsc::channel(1);
    loop {
        tokio::select! {
            client = listener.accept() => match client {
                Ok((client, _)) => drop(spawn_local(obey(client, keeper.clone(), end.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            _ = ended.recv() => return Ok(()),
        }
    }
}

async fn obey(mut client: UnixStream, keeper: Rc<RefCell<Keeper>>, end: mpsc::Sender<()>) {
    loop {
        match receive::<_, Command>(&mut client).await {
            Ok(Some(Command::Apply(ports))) => {
                close(&keeper, &ports).await;
                let refused = keeper.borrow_mut().open(ports);
                if send(&mut client, &refused).await.is_err() {
                    return;
                }
            }
            Ok(Some(Command::Shutdown)) => {
                close(&keeper, &[]).await;
                let _ = end.send(()).await;
                // Whoever waits for the end sees the connection close with the process.
                std::future::pending::<()>().await;
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "a control connection broke"),
        }
    }
}

/// Closes what is not among `ports`.
async fn close(keeper: &RefCell<Keeper>, ports: &[Port]) {
    let closed = keeper.borrow_mut().take_out(ports);
    for task in closed {
        // Its socket goes with it, and its port may be wanted for something else.
        task.abort();
        let _ = task.await;
    }
}

/// What is open.
struct Keeper {
    accepted: mpsc::UnboundedSender<Accepted>,
    open: BTreeMap<String, Open>,
}

struct Open {
    port: u16,
    to: watch::Sender<Vec<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Takes out what is not among `ports`. Connections that were accepted go on.
    fn take_out(&mut self, ports: &[Port]) -> Vec<JoinHandle<()>> {
        let (kept, closed) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(name, open)| ports.iter().any(|port| port.name == *name && port.port == open.port));
        self.open = kept;
        let closed: BTreeMap<String, Open> = closed;
        closed.into_values().map(|open| open.task).collect()
    }

    /// Opens what is not open, and has the rest lead where it is to lead by now.
    fn open(&mut self, ports: Vec<Port>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for Port { name, port, to } in ports {
            if let Some(open) = self.open.get(&name) {
                open.to.send_replace(to);
                continue;
            }
            match self.listen(port, to) {
                Ok(open) => drop(self.open.insert(name, open)),
                Err(error) => refused.push(Refused { name, error: error.to_string() }),
            }
        }
        refused
    }

    fn listen(&self, port: u16, to: Vec<SocketAddr>) -> io::Result<Open> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        let listener = socket.listen(1024)?;
        let (to, wanted) = watch::channel(to);
        Ok(Open { port, to, task: spawn_local(accept(listener, wanted, self.accepted.clone())) })
    }
}

async fn accept(
    listener: TcpListener,
    wanted: watch::Receiver<Vec<SocketAddr>>,
    accepted: mpsc::UnboundedSender<Accepted>,
) {
    for turn in 0.. {
        let client = match listener.accept().await.and_then(|(client, _)| client.into_std()) {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let mut to = wanted.borrow().clone();
        if !to.is_empty() {
            let first = turn % to.len();
            to.rotate_left(first);
        }
        if accepted.send((client, to)).is_err() {
            return;
        }
    }
}

async fn carry_all(mut clients: mpsc::UnboundedReceiver<Accepted>) {
    while let Some((client, to)) = clients.recv().await {
        spawn_local(async move {
            if let Err(error) = carry(client, &to).await {
                tracing::debug!(%error, ?to, "a connection was not carried to its end");
            }
        });
    }
}

async fn carry(client: std::net::TcpStream, to: &[SocketAddr]) -> io::Result<()> {
    let mut client = TcpStream::from_std(client)?;
    client.set_nodelay(true)?;
    let there =
        tokio::time::timeout(CONNECT, connect(to)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let outcome = match there {
        Ok(mut there) => {
            there.set_nodelay(true)?;
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut there, CHUNK, CHUNK).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        // The client is to see an error too, and not an end.
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = nix::sys::socket::setsockopt(&client, nix::sys::socket::sockopt::Linger, &at_once);
    }
    outcome
}

/// A connection to the first that takes one. Somebody who does not answer at all keeps the others waiting a share of the time.
async fn connect(to: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::HostUnreachable.into();
    for address in to {
        let share = CONNECT / to.len().try_into().unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::super::client::{KeeperProcess, end};
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn port(name: &str, port: u16, to: SocketAddr) -> Port {
        Port { name: name.to_owned(), port, to: vec![to] }
    }

    async fn free() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn connections_are_carried_and_outlive_a_change_and_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = target.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = target.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = client.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let run_dir = dir.path().to_owned();
        let keeper = || {
            let run_dir = run_dir.clone();
            KeeperProcess::new(
                run_dir.clone(),
                Arc::new(move || {
                    let run_dir = run_dir.clone();
                    std::thread::spawn(move || run(&run_dir, None).unwrap());
                    Ok(())
                }),
            )
        };
        let (one, two, taken) = (free().await, free().await, there.port());
        let first = keeper();
        first.apply(Vec::new()).await.expect("nothing is started for no ports");
        assert!(!socket_path(&run_dir).exists());
        let refused = first.apply(vec![port("one", one, there), port("taken", taken, there)]).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.name.as_str()).collect::<Vec<_>>(), ["taken"]);
        let mut open = TcpStream::connect(("127.0.0.1", one)).await.unwrap();
        let mut heard = [0; 2];
        open.write_all(b"hi").await.unwrap();
        open.read_exact(&mut heard).await.unwrap();
        drop(first);

        let second = keeper();
        assert_eq!(second.apply(vec![port("two", two, there)]).await.unwrap(), []);
        assert!(
            TcpStream::connect(("127.0.0.1", one)).await.is_err(),
            "expected a port that is not wanted to be closed"
        );
        open.write_all(b"ho").await.unwrap();
        open.shutdown().await.unwrap();
        let mut rest = Vec::new();
        open.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&heard, rest.as_slice()), (b"hi", b"ho".as_slice()), "expected an open connection to go on");

        // Nobody at the other end: the client is told so.
        second.apply(vec![port("two", two, ([127, 0, 0, 1], free().await).into())]).await.unwrap();
        let told = async {
            // The reset may be there before the client has noticed that it was connected.
            let mut nobody = TcpStream::connect(("127.0.0.1", two)).await?;
            nobody.read_to_end(&mut rest).await
        };
        let error = told.await.expect_err("an error where there is nobody");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        end(&run_dir).await;
        assert!(TcpStream::connect(("127.0.0.1", two)).await.is_err());
    }
}
