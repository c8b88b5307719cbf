//! Sockets of another network namespace.
//!
//! A socket belongs for ever to the namespace in which it was made, so only its making happens there ([`fabric::netns`]).

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A network namespace, or the process's own.
#[derive(Debug)]
pub(crate) struct Namespace {
    path: Option<PathBuf>,
    open: Option<(File, u64)>,
}

impl Namespace {
    /// Opens the namespace bound at `path`.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = match path {
            None => None,
            Some(path) => {
                let file = File::open(path)?;
                let inode = file.metadata()?.ino();
                Some((file, inode))
            }
        };
        Ok(Self { path: path.map(Path::to_owned), open })
    }

    /// Whether the path still leads to this namespace.
    pub(crate) fn is_current(&self) -> bool {
        match (&self.path, &self.open) {
            (Some(path), Some((_, inode))) => std::fs::metadata(path).is_ok_and(|now| now.ino() == *inode),
            _ => true,
        }
    }

    /// A socket of this namespace that listens on `address`, together with others that do.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = self.socket(address)?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        TcpListener::into_std(socket.listen(4096)?)
    }

    /// A connection from this namespace.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.socket(address)?.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Leads these connections within it to its listeners, and no others from now on.
    pub(crate) fn capture(&self, all: &[fabric::capture::Capture]) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |(there, _)| fabric::capture::capture(there, all))
    }

    fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let make = || if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        match &self.open {
            Some((there, _)) => fabric::netns::within_file(there, make),
            None => make(),
        }
    }
}
