//! What a host's name means to a task: whom its VPC's DHCP says to ask is asked, in that order.
//!
//! Amazon's own resolver is asked by the very function that answers the containers' packets, so that the agent and an
//! application never disagree. Any other server is asked with a packet from the task's namespace.

use super::reach::{Reach, patience};
use crate::rows::EniRow;
use crate::texts;
use resolver::{Answer, Kind, Zone, question};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use types::{Scope, Timestamp};

/// Where name servers listen.
const PORT: u16 = 53;
/// Whom Go asks where nobody is named. Source: resolv.conf(5).
const NOBODY: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// No answer over UDP is longer unless it was asked for.
const LONGEST: usize = 512;

/// Why a name leads nowhere, in Go's words.
pub(super) enum Unresolved {
    /// It does not exist: trying again is of no use.
    NoSuchHost(String),
    /// No server has an answer.
    NoAnswer(String),
}

impl Reach {
    /// The addresses of a host.
    pub(super) async fn lookup(&self, scope: &Scope, netns: &str, host: &str) -> Result<Vec<Ipv4Addr>, Unresolved> {
        // A task that is gone meanwhile connects nowhere; where to is all the same.
        let Some(eni) = self.eni(scope, netns) else {
            return Ok(vec![self.fabric.service_address()]);
        };
        let servers = if eni.dns_servers.is_empty() { &[NOBODY][..] } else { &eni.dns_servers };
        let mut failure = String::new();
        for server in servers.iter().copied() {
            let answer = match self.amazons_answer(scope, &eni, server, host) {
                Some(Some(answer)) => Ok(answer),
                Some(None) => {
                    self.clock().sleep(patience(self.pace)).await;
                    let asker = SocketAddrV4::new(eni.ip, ephemeral_port(self.clock().now()));
                    Err(texts::no_answer(host, server, asker, "i/o timeout"))
                }
                None => self.ask(netns, eni.ip, server, host).await,
            };
            match answer {
                Ok(answer) => {
                    let none = || Unresolved::NoSuchHost(texts::misled(host, server, texts::NO_SUCH_HOST));
                    return answer.addresses().ok_or_else(none);
                }
                Err(text) => failure = text,
            }
        }
        Err(Unresolved::NoAnswer(failure))
    }

    /// What the VPC's resolver answers to the task: nothing where the VPC has no DNS support. None if `server` is another.
    fn amazons_answer(&self, scope: &Scope, eni: &EniRow, server: Ipv4Addr, host: &str) -> Option<Option<Answer>> {
        let view = self.view();
        let home = vpc::query::vpc(&view, scope, &eni.vpc)?;
        (server == resolver::LINK_LOCAL || server == vpc::names::resolver(&home)).then_some(())?;
        let zone = Zone::of(&view, scope, &eni.vpc, self.fabric.ground()).filter(Zone::answers);
        Some(zone.map(|zone| zone.answer(eni.ip, host, Kind::A, 0)))
    }

    /// Asks another server, from the task's own address.
    async fn ask(&self, netns: &str, ip: Ipv4Addr, server: Ipv4Addr, host: &str) -> Result<Answer, String> {
        let id = u16::try_from(self.clock().now().millis().rem_euclid(1 << 16)).unwrap_or_default();
        // Not a name that can be asked for: it does not exist.
        let Some(query) = question::ask(id, host) else { return Ok(Answer::NoSuchName) };
        let from = if server.is_loopback() { server } else { ip };
        let mut asker = SocketAddrV4::new(from, 0);
        let asked = self.exchange(netns, &mut asker, SocketAddr::from((server, PORT)), &query);
        match asked.await {
            Ok(answer) => answer.map_err(|why| texts::misled(host, server, why)),
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::ConnectionRefused => "read: connection refused",
                    ErrorKind::NetworkUnreachable => "connect: network is unreachable",
                    ErrorKind::HostUnreachable => "read: no route to host",
                    _ => "i/o timeout",
                };
                Err(texts::no_answer(host, server, asker, why))
            }
        }
    }

    /// One question and its answer; `asker` is told its port.
    async fn exchange(
        &self,
        netns: &str,
        asker: &mut SocketAddrV4,
        server: SocketAddr,
        query: &[u8],
    ) -> std::io::Result<Result<Answer, &'static str>> {
        let (fabric, name, from) = (self.fabric.clone(), netns.to_owned(), SocketAddr::V4(*asker));
        // Entering a namespace takes a thread of its own.
        let socket = tokio::task::spawn_blocking(move || fabric.udp_socket(&name, from)).await??;
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        asker.set_port(socket.local_addr()?.port());
        socket.connect(server).await?;
        socket.send(query).await?;
        let answered = async {
            let mut answer = [0; LONGEST];
            loop {
                let length = socket.recv(&mut answer).await?;
                // What answers another question is not ours to judge.
                if let Some(read) = question::read(query, &answer[..length]) {
                    return Ok(read);
                }
            }
        };
        tokio::select! {
            answer = answered => answer,
            () = self.clock().sleep(patience(self.pace)) => Err(ErrorKind::TimedOut.into()),
        }
    }
}

/// One of the ports that a kernel gives to those who name none.
fn ephemeral_port(now: Timestamp) -> u16 {
    32_768 + u16::try_from(now.millis().rem_euclid(28_232)).unwrap_or_default()
}
