//! Real packets along an answer's ways, to show that the network does what the answer says.
//!
//! TCP connects and hangs up; a port that nobody listens on refuses, which takes a packet there and one back. A datagram
//! is answered only by who understands it, so its silence proves nothing where a way passes.

use crate::answer::{Answer, Way};
use crate::{Error, Protocol, Question, metadata};
use fabric::Fabric;
use fabric::ping::{echo_reply, echo_request, ping_socket};
use futures_util::future::join_all;
use netplan::walk::{Content, Origin, Packet, Reason, Station, Walk, walk};
use netplan::{Family, Ground, NetworkState};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Store, View};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::block_in_place;
use tokio::time::timeout;

/// How long an answer that is expected may take before the question is asked once more: TCP does so after a second.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long silence lasts that is expected. What passes answers within a millisecond.
const SILENCE: Duration = Duration::from_millis(600);

/// What became of a real packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The packet; none if it could not be sent.
    pub packet: Option<Packet>,
    /// What came back.
    pub outcome: Outcome,
    /// Whether the rows say that this very packet passes.
    pub expected: bool,
    /// Whether both agree; none where nothing can be concluded.
    pub agrees: Option<bool>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The connection stands.
    Connected,
    /// The other end refuses: the packet arrived, and nobody listens there.
    PortClosed,
    /// The other end took the connection, and ended it at once with a reset.
    Reset,
    /// An answer.
    Answered,
    /// Nothing.
    Silence,
    /// The packet was not sent.
    NotSent {
        /// Why.
        why: String,
    },
}

/// The answer to a question, with a real packet sent along every way. Where the two disagree all is done once more, for the
/// network may have been changing in between.
pub async fn answer(question: &Question, store: &Store, fabric: &Fabric) -> Result<Answer, Error> {
    let mut answer = attempt(question, store, fabric).await?;
    if answer.disagrees() {
        tokio::time::sleep(SILENCE).await;
        answer = attempt(question, store, fabric).await?;
    }
    Ok(answer)
}

async fn attempt(question: &Question, store: &Store, fabric: &Fabric) -> Result<Answer, Error> {
    let view = store.view();
    // Walks through a large network take a while, and other requests go on meanwhile.
    let mut answer = block_in_place(|| Answer::to(question, &view, fabric.ground()))?;
    let state = vpc::controller::network_state(&view, fabric.ground());
    let (protocol, port) = (answer.protocol, answer.port);
    let rows = (&view, &state);
    let probes = answer.ways.iter().zip(0..).map(|(way, n)| probe(way, n, protocol, port, rows, fabric));
    let probed = join_all(probes).await;
    for (way, probed) in answer.ways.iter_mut().zip(probed) {
        way.probe = Some(probed);
    }
    Ok(answer)
}

impl Answer {
    /// Whether a real packet did otherwise than the answer says.
    pub fn disagrees(&self) -> bool {
        self.ways.iter().any(|way| way.probe.as_ref().is_some_and(|probe| probe.agrees == Some(false)))
    }
}

async fn probe(
    way: &Way,
    n: u16,
    protocol: Protocol,
    port: Option<u16>,
    (view, state): (&View, &NetworkState),
    fabric: &Fabric,
) -> Probed {
    let not_sent = |why: String| Probed {
        packet: None,
        outcome: Outcome::NotSent { why },
        expected: way.walk.passes(),
        agrees: None,
    };
    let netns = match (&way.walk.from, &way.from.namespace) {
        (Origin::Interface(_), Some(name)) => fabric.netns_path(name),
        (Origin::Interface(id), None) => return not_sent(format!("nobody who could send packets has {id}")),
        // The host has routes of its own: what is not public here would leave the machine.
        (Origin::Outside(_), _) if !is_public(fabric.ground(), way.to.address) => {
            return not_sent(format!("{} is none of the public addresses here", way.to.address));
        }
        (Origin::Outside(address), _) if is_host(fabric.ground(), *address) => {
            PathBuf::from("/proc/thread-self/ns/net")
        }
        (Origin::Outside(address), _) => return not_sent(format!("{address} is nobody here")),
    };
    let (from, to) = (way.from.address, way.to.address);
    let says = |content: Content| metadata::asked(view, walk(state, &way.walk.from, to, content));
    let sent = match protocol {
        Protocol::Tcp => tcp(&netns, to, port.unwrap_or_default(), says).await,
        Protocol::Udp => udp(&netns, from, to, port.unwrap_or_default(), says).await,
        Protocol::Icmp => ping(&netns, to, n, says).await,
    };
    match sent {
        Ok((content, walk, outcome)) => Probed {
            packet: Some(Packet { source: from, destination: to, content }),
            agrees: agrees(&walk, protocol, &outcome),
            expected: walk.passes(),
            outcome,
        },
        Err(error) => not_sent(error.to_string()),
    }
}

/// Whether a real packet did what the walk says; none where nothing can be concluded.
fn agrees(walk: &Walk, protocol: Protocol, outcome: &Outcome) -> Option<bool> {
    let refuses_itself =
        matches!(walk.refusal.as_ref().map(|refusal| &refusal.reason), Some(Reason::NoInstance { .. }));
    match outcome {
        Outcome::NotSent { .. } => None,
        Outcome::Silence if walk.passes() && protocol == Protocol::Udp => None,
        Outcome::Silence => Some(!walk.passes()),
        Outcome::PortClosed | Outcome::Reset if refuses_itself => Some(true),
        // The packet arrived, and yet no service answers.
        Outcome::PortClosed | Outcome::Reset if walk.passes() && is_service(walk) => None,
        Outcome::PortClosed | Outcome::Reset | Outcome::Connected | Outcome::Answered => Some(walk.passes()),
    }
}

/// Whether the way ends at what answers within every VPC.
fn is_service(walk: &Walk) -> bool {
    walk.request.last().is_some_and(|hop| matches!(hop.station, Station::LocalService { .. }))
}

/// Whether the host's way to an address leads to the instance.
fn is_public(ground: &Ground, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => ground.pool.contains(&address),
        IpAddr::V6(address) => ground.ipv6_pool().contains(&address),
    }
}

/// Whether the host sends to the instance from that address.
fn is_host(ground: &Ground, address: IpAddr) -> bool {
    address == ground.host_address() || address == ground.host_address_ipv6()
}

/// The packet, its walk, and what came back.
type Sent = io::Result<(Content, Walk, Outcome)>;

async fn tcp(netns: &Path, to: IpAddr, port: u16, says: impl Fn(Content) -> Walk) -> Sent {
    let stream = fabric::netns::connect_tcp(netns, SocketAddr::from((to, port)))?;
    let content = Content::Tcp { source_port: stream.local_addr()?.port(), port };
    let walk = says(content);
    let expected = walk.passes();
    let stream = TcpStream::from_std(stream)?;
    let outcome = match timeout(if expected { PATIENCE * 2 } else { SILENCE }, stream.writable()).await {
        Err(_) => Outcome::Silence,
        Ok(ready) => match ready.and_then(|()| stream.take_error()) {
            // Services know who asks only once they have the connection.
            Ok(None) if is_service(&walk) => taken(&stream).await,
            Ok(None) => Outcome::Connected,
            Ok(Some(error)) | Err(error) => outcome(&error),
        },
    };
    Ok((content, walk, outcome))
}

/// What becomes of a connection that stands, if it is left alone.
async fn taken(stream: &TcpStream) -> Outcome {
    match timeout(SILENCE, stream.readable()).await {
        Ok(Ok(())) => match stream.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Outcome::Reset,
            _ => Outcome::Connected,
        },
        _ => Outcome::Connected,
    }
}

async fn udp(netns: &Path, from: IpAddr, to: IpAddr, port: u16, says: impl Fn(Content) -> Walk) -> Sent {
    let socket = fabric::netns::udp_socket(netns, SocketAddr::from((from, 0)))?;
    socket.connect((to, port))?;
    let content = Content::Udp { source_port: socket.local_addr()?.port(), port };
    let walk = says(content);
    let expected = walk.passes();
    let socket = UdpSocket::from_std(socket)?;
    for _ in 0..attempts(expected) {
        let exchange = async {
            socket.send(&[]).await?;
            socket.recv(&mut [0; 1]).await
        };
        match timeout(if expected { PATIENCE } else { SILENCE }, exchange).await {
            Ok(Ok(_)) => return Ok((content, walk, Outcome::Answered)),
            Ok(Err(error)) => return Ok((content, walk, outcome(&error))),
            Err(_) => {}
        }
    }
    Ok((content, walk, Outcome::Silence))
}

async fn ping(netns: &Path, to: IpAddr, n: u16, says: impl Fn(Content) -> Walk) -> Sent {
    let family = Family::of(to);
    let socket = UdpSocket::from_std(ping_socket(netns, family)?)?;
    let content = Content::echo_request(family);
    let walk = says(content);
    let expected = walk.passes();
    for _ in 0..attempts(expected) {
        socket.send_to(&echo_request(n, family), (to, 0)).await?;
        let answered = async {
            let mut packet = [0; 128];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await?;
                if from.ip() == to && echo_reply(&packet[..length], family) == Some(n) {
                    return io::Result::Ok(());
                }
            }
        };
        if let Ok(answered) = timeout(if expected { PATIENCE } else { SILENCE }, answered).await {
            answered?;
            return Ok((content, walk, Outcome::Answered));
        }
    }
    Ok((content, walk, Outcome::Silence))
}

fn attempts(expected: bool) -> usize {
    if expected { 2 } else { 1 }
}

/// A refusal or a reset comes from the other end; every other error is some host's word that the packet went nowhere.
fn outcome(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::PortClosed,
        ErrorKind::ConnectionReset => Outcome::Reset,
        _ => Outcome::Silence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netplan::walk::{Hop, Refusal};
    use types::id::{EniId, VpcId};

    /// A walk to the service at `to`, as `reason` has it end.
    fn to_service(reason: Option<Reason>) -> Walk {
        let (source, to) = ([10, 0, 1, 10].into(), [169, 254, 169, 254].into());
        let content = Content::Tcp { source_port: 40_000, port: 80 };
        let station = Station::LocalService { vpc: VpcId::parse("vpc-00000001").unwrap() };
        let packet = Packet { source, destination: to, content };
        Walk {
            from: Origin::Interface(EniId::parse("eni-00000001").unwrap()),
            to,
            request: vec![Hop { station, packet, passes: reason.is_none() }],
            reply: Vec::new(),
            refusal: reason.map(|reason| Refusal { reason, fix: None }),
        }
    }

    #[test]
    fn a_reset_is_no_answer_of_a_service() {
        let answers = to_service(None);
        let refuses = to_service(Some(Reason::NoInstance { interface: EniId::parse("eni-00000001").unwrap() }));
        let tcp = |walk: &Walk, outcome: Outcome| agrees(walk, Protocol::Tcp, &outcome);
        for reset in [Outcome::PortClosed, Outcome::Reset] {
            assert_eq!(tcp(&answers, reset.clone()), None, "{reset:?} where a service should answer");
            assert_eq!(tcp(&refuses, reset.clone()), Some(true), "{reset:?} where metadata refuses");
        }
        assert_eq!(tcp(&answers, Outcome::Connected), Some(true));
        assert_eq!(tcp(&refuses, Outcome::Connected), Some(false), "metadata spoke with somebody who is no instance");
        // Between interfaces a closed port shows that the packet arrived.
        let station = Station::Interface { interface: EniId::parse("eni-00000002").unwrap(), subnet: None };
        let hop = Hop { station, ..answers.request[0].clone() };
        let arrives = Walk { request: vec![hop], ..answers };
        assert_eq!(tcp(&arrives, Outcome::PortClosed), Some(true));
    }
}
