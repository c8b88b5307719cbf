//! The control socket: messages of four bytes of length and so much JSON, commands one way, statuses the other.

use routing::Status;
use routing::status::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// No message is larger.
const MAX_MESSAGE: u32 = 256 * 1024 * 1024;
/// A daemon that reads so slowly that this many messages wait is cut off; it connects again and is told everything anew.
const MAX_WAITING: usize = 65_536;

/// Where the proxy of a run directory is spoken to.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("proxy.sock")
}

/// What comes in from the daemon.
pub(crate) enum Event {
    /// It has connected, and hears of what is sent here.
    Connected(mpsc::Sender<Arc<Vec<u8>>>),
    /// It wants something.
    Command(Command),
}

/// Takes the socket, unless another proxy lives behind it.
pub(crate) fn bind(run_dir: &Path) -> io::Result<UnixListener> {
    bind_at(&socket_path(run_dir))
}

/// Takes a socket, unless another process lives behind it.
pub(crate) fn bind_at(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this run directory"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket. Ends when nobody listens to `events` any more.
pub(crate) async fn serve(listener: UnixListener, events: mpsc::UnboundedSender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (send, receive) = mpsc::channel(MAX_WAITING);
                if events.send(Event::Connected(send)).is_err() {
                    return;
                }
                tokio::task::spawn_local(client(stream, receive, events.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn client(stream: UnixStream, mut statuses: mpsc::Receiver<Arc<Vec<u8>>>, events: mpsc::UnboundedSender<Event>) {
    let (mut read, mut write) = stream.into_split();
    let writing = async move {
        while let Some(message) = statuses.recv().await {
            if write.write_all(&message).await.is_err() {
                return;
            }
        }
    };
    let reading = async move {
        loop {
            match receive::<_, Command>(&mut read).await {
                Ok(Some(command)) => drop(events.send(Event::Command(command))),
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "a control connection broke"),
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
}

/// A status as it goes over the socket.
pub(crate) fn message<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, value)?;
    let length = u32::try_from(out.len() - 4)
        .ok()
        .filter(|length| *length <= MAX_MESSAGE)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the message is too long"))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// Sends one message.
pub(crate) async fn send<W: AsyncWrite + Unpin, T: Serialize>(to: &mut W, value: &T) -> io::Result<()> {
    to.write_all(&message(value)?).await
}

/// Receives one message; `None` at the end of the stream.
pub(crate) async fn receive<R: AsyncRead + Unpin, T: DeserializeOwned>(from: &mut R) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    // read as it comes, so that a length alone takes no memory
    let mut body = Vec::new();
    if from.take(u64::from(length)).read_to_end(&mut body).await? != length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

/// The daemons that are connected.
#[derive(Default)]
pub(crate) struct Audience(Vec<mpsc::Sender<Arc<Vec<u8>>>>);

impl Audience {
    /// Adds one, which first hears `greetings`.
    pub(crate) fn welcome(&mut self, client: mpsc::Sender<Arc<Vec<u8>>>, greetings: &[Status]) {
        let heard =
            greetings.iter().all(|status| message(status).is_ok_and(|text| client.try_send(Arc::new(text)).is_ok()));
        if heard {
            self.0.push(client);
        }
    }

    /// Tells all.
    pub(crate) fn tell(&mut self, status: &Status) {
        if let Ok(text) = message(status) {
            let text = Arc::new(text);
            self.0.retain(|client| client.try_send(Arc::clone(&text)).is_ok());
        }
    }
}
