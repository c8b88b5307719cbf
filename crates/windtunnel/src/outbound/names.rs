//! The machine's own name servers, asked for what is neither AWS's nor a VPC's.
//!
//! The resolver decides what is asked, and what of it is passed on; here are only the sockets. They are opened in the
//! network of the user, whose name servers those are.

use crate::rootless::Outside;
use async_trait::async_trait;
use resolver::forward::answers;
use resolver::message::Transport;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use types::Clock;

/// What names them.
const CONFIGURATION: &str = "/etc/resolv.conf";
/// So many of them are asked, one after the other. Source: resolv.conf(5), `MAXNS`.
const MOST: usize = 3;
/// How long each may take. The resolvers of containers ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer over UDP.
const LONGEST: usize = 4096;
const PORT: u16 = 53;

/// Asks them.
pub(crate) struct MachineNames {
    outside: Option<Outside>,
    clock: Arc<dyn Clock>,
}

impl MachineNames {
    /// Those of the network that is outside; without one, of this one.
    pub(crate) fn new(outside: Option<Outside>, clock: Arc<dyn Clock>) -> Self {
        Self { outside, clock }
    }

    async fn ask_one(&self, server: SocketAddr, question: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
        match transport {
            Transport::Udp => self.over_udp(server, question).await,
            Transport::Tcp => self.over_tcp(server, question).await,
        }
    }

    async fn over_udp(&self, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = self.there(move || std::net::UdpSocket::bind((any, 0)))?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        socket.connect(server).await?;
        socket.send(question).await?;
        let mut answer = vec![0; LONGEST];
        loop {
            let length = socket.recv(&mut answer).await?;
            // Anything else may have been sent by anybody.
            if answers(question, &answer[..length]) {
                answer.truncate(length);
                return Ok(answer);
            }
        }
    }

    async fn over_tcp(&self, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
        let open = move || if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let mut stream = self.there(open)?.connect(server).await?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        if answers(question, &answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Makes a socket in the network of the user.
    fn there<T: Send + 'static>(&self, open: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        match &self.outside {
            Some(outside) => outside.run(open)?,
            None => open(),
        }
    }
}

#[async_trait]
impl resolver::Upstream for MachineNames {
    async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        // It changes while the server runs: machines move.
        let configuration = tokio::fs::read_to_string(CONFIGURATION).await.unwrap_or_default();
        for server in servers(&configuration) {
            let answer = tokio::select! {
                answer = self.ask_one(server, question, transport) => answer.ok(),
                () = self.clock.sleep(PATIENCE) => None,
            };
            if answer.is_some() {
                return answer;
            }
        }
        None
    }
}

/// The name servers of `resolv.conf`; without any, the one on the machine itself. Source: resolv.conf(5).
fn servers(configuration: &str) -> Vec<SocketAddr> {
    let named = configuration.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        words.next()?.parse::<IpAddr>().ok()
    });
    let mut servers: Vec<_> = named.take(MOST).map(|ip| SocketAddr::new(ip, PORT)).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_c_library_reads_them() {
        let text = "# comment\nnameserver 10.0.0.2\nsearch example.com\n nameserver fd00::2 # second\nnameserver\n\
                    nameserver nonsense\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let expected = ["10.0.0.2:53", "[fd00::2]:53", "10.0.0.3:53"].map(|text| text.parse().unwrap());
        assert_eq!(servers(text), expected);
        assert_eq!(servers(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
