//! The resolver's sockets: what comes in goes through [`Asked::reply`], what comes out goes back.
//!
//! Nothing is remembered between two queries, and there is a bound on all that an asker may hold: one query at a time
//! over UDP, so many connections over TCP, and so long without a query on each.

use crate::message::{LONGEST_QUERY, Transport, respond};
use crate::zone::Zone;
use fabric::Fabric;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use types::{Clock, Scope};

/// Connections of one listener at a time.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may take for its next query.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom the sockets of one VPC ask.
pub(crate) struct Asked {
    pub(crate) store: Store,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scope: Scope,
    pub(crate) vpc: String,
    pub(crate) turn: AtomicUsize,
}

impl Asked {
    fn reply(&self, peer: SocketAddr, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let view = self.store.view();
        let zone = Zone::of(&view, &self.scope, &self.vpc, self.fabric.ground()).filter(Zone::answers)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        respond(query, transport, |name, kind| zone.answer(peer.ip(), name, kind, turn))
    }
}

/// Answers datagrams.
pub(crate) async fn serve_udp(socket: UdpSocket, asked: Arc<Asked>) {
    let mut query = vec![0; LONGEST_QUERY];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut query).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Some(answer) = asked.reply(peer, &query[..length], Transport::Udp) {
            // An asker that is gone misses nothing.
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// Answers connections.
pub(crate) async fn serve_tcp(listener: TcpListener, asked: Arc<Asked>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // The connections end with this future, so that aborting it frees the router.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let asked = asked.clone();
        connections.spawn(async move {
            // A client that goes away harms nobody.
            let _ = converse(stream, peer, &asked).await;
            drop(permit);
        });
    }
}

async fn converse(mut stream: TcpStream, peer: SocketAddr, asked: &Asked) -> io::Result<()> {
    let mut query = vec![0; LONGEST_QUERY];
    loop {
        let exchange = async {
            let length = usize::from(stream.read_u16().await?);
            let query = query.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
            stream.read_exact(query).await?;
            let answer = asked.reply(peer, query, Transport::Tcp).ok_or(io::ErrorKind::InvalidData)?;
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await
        };
        tokio::select! {
            done = exchange => done?,
            () = asked.clock.sleep(PATIENCE) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
