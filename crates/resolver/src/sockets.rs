//! The resolver's sockets: what comes in goes through [`Asked::reply`], what comes out goes back.
//!
//! Nothing is remembered between two queries, and there is a bound on all that an asker may hold: so many queries at a
//! time that wait for another server, so many connections over TCP, and so long without a query on each.

use crate::forward::{self, Upstream};
use crate::message::{LONGEST_QUERY, Transport, respond};
use crate::zone::{Answer, Zone};
use fabric::Fabric;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use types::{Clock, Scope};
use vpc::router_connections;

/// Connections of one listener at a time.
const MOST_CONNECTIONS: usize = 64;
/// Datagrams of one socket that wait for another server. Source: the VPC user guide's 1,024 packets a second, of which
/// a machine's own name server has most answered within a tenth of one.
const MOST_WAITING: usize = 128;
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
    /// Who knows the real internet's names, where that is reached.
    pub(crate) upstream: Option<Arc<dyn Upstream>>,
}

/// What becomes of a query.
enum Reply {
    /// This goes back.
    Here(Vec<u8>),
    /// Another server is asked this; without an answer of its, the second goes back.
    Elsewhere(Vec<u8>, Vec<u8>),
}

impl Asked {
    /// None if the query is not worth an answer.
    fn reply(&self, peer: SocketAddr, query: &[u8], transport: Transport) -> Option<Reply> {
        let view = self.store.view();
        let zone = Zone::of(&view, &self.scope, &self.vpc, self.fabric.ground()).filter(Zone::answers)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut elsewhere = false;
        let answer = respond(query, transport, |name, kind| match zone.answer(peer.ip(), name, kind, turn) {
            Answer::NoSuchName if self.upstream.is_some() && forward::goes_on(name) && !zone.is_private(name) => {
                elsewhere = true;
                Answer::Unavailable
            }
            answer => answer,
        })?;
        let question = if elsewhere { forward::numbered(query) } else { None };
        Some(match question {
            Some(question) => Reply::Elsewhere(question, answer),
            None => Reply::Here(answer),
        })
    }

    /// Asks another server.
    async fn ask(&self, query: &[u8], question: &[u8], otherwise: Vec<u8>, transport: Transport) -> Vec<u8> {
        let Some(upstream) = &self.upstream else { return otherwise };
        let answer = upstream.ask(question, transport).await;
        // The asker knows its question by the number that it gave it.
        answer.and_then(|answer| forward::renumbered(answer, query)).unwrap_or(otherwise)
    }
}

/// Answers datagrams.
pub(crate) async fn serve_udp(socket: UdpSocket, asked: Arc<Asked>) {
    let socket = Arc::new(socket);
    let mut query = vec![0; LONGEST_QUERY];
    // What waits ends with this future.
    let mut waiting = JoinSet::new();
    loop {
        let (length, peer) = tokio::select! {
            received = socket.recv_from(&mut query) => {
                let Ok(received) = received else {
                    tokio::task::yield_now().await;
                    continue;
                };
                received
            },
            Some(_) = waiting.join_next() => continue,
        };
        match asked.reply(peer, &query[..length], Transport::Udp) {
            // An asker that is gone misses nothing.
            Some(Reply::Here(answer)) => drop(socket.send_to(&answer, peer).await),
            // Too many at a time are lost, as datagrams may be: whoever asks, asks again.
            Some(Reply::Elsewhere(question, otherwise)) if waiting.len() < MOST_WAITING => {
                let (socket, asked, query) = (socket.clone(), asked.clone(), query[..length].to_vec());
                waiting.spawn(async move {
                    let answer = asked.ask(&query, &question, otherwise, Transport::Udp).await;
                    let _ = socket.send_to(&answer, peer).await;
                });
            }
            Some(Reply::Elsewhere(..)) | None => {}
        }
    }
}

/// Answers connections.
pub(crate) async fn serve_tcp(listener: TcpListener, asked: Arc<Asked>) {
    router_connections::serve_each(listener, MOST_CONNECTIONS, |stream, peer| {
        let asked = asked.clone();
        async move {
            // A client that goes away harms nobody.
            let _ = converse(stream, peer, &asked).await;
        }
    })
    .await;
}

async fn converse(mut stream: TcpStream, peer: SocketAddr, asked: &Asked) -> io::Result<()> {
    let mut query = vec![0; LONGEST_QUERY];
    loop {
        let exchange = async {
            let length = usize::from(stream.read_u16().await?);
            let query = query.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
            stream.read_exact(query).await?;
            let answer = match asked.reply(peer, query, Transport::Tcp).ok_or(io::ErrorKind::InvalidData)? {
                Reply::Here(answer) => answer,
                Reply::Elsewhere(question, otherwise) => asked.ask(query, &question, otherwise, Transport::Tcp).await,
            };
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await
        };
        tokio::select! {
            done = exchange => done?,
            () = asked.clock.sleep(PATIENCE) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
