//! Real packets, many at once, and which of them were answered.
//!
//! All sockets are made and used before anything is waited for. What is expected to be answered is waited for, as long
//! as it takes on a busy machine; then there is a short silence. So a slow machine can only hide an answer that nobody
//! expects, never make one that is expected look missing.

use crate::lab::{Lab, ip};
use crate::network::PORTS;
use fabric::ping::{echo_reply, echo_request, ping_socket};
use netplan::{
    Family, INTERNET,
    walk::{Content, Origin},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A question to the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) from: Origin,
    pub(crate) to: IpAddr,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp(u16),
    Udp(u16),
    Ping,
}

/// A probe that was sent.
pub(crate) struct Sent {
    pub(crate) probe: Probe,
    /// The packet, with the port that the kernel chose.
    pub(crate) content: Content,
    socket: Socket,
    pub(crate) answered: bool,
    ended: bool,
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
    /// A ping's number; the socket is the namespace's.
    Ping((PathBuf, Family), u16),
    /// The sender's kernel refused at once.
    Refused,
}

/// Who answers datagrams, and the namespaces' sockets for pings.
pub(crate) struct Field {
    echoes: Vec<UdpSocket>,
    pings: HashMap<(PathBuf, Family), UdpSocket>,
    host: PathBuf,
    next: u16,
}

/// How long an answer that is expected may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(6);
/// After this the question is asked once more, if the protocol does not do so itself.
const AGAIN: Duration = Duration::from_millis(700);
/// How long it is silent before nothing more is awaited. A packet takes microseconds.
const SILENCE: u16 = 25;

impl Field {
    /// Whoever can answer in the lab's network, at their places.
    pub(crate) fn new(lab: &Lab) -> io::Result<Self> {
        let host = PathBuf::from("/proc/thread-self/ns/net");
        let ground = &lab.state.ground;
        let internet = lab.fabric().netns_path(INTERNET);
        let mut places: Vec<(PathBuf, IpAddr)> = vec![
            (host.clone(), ground.host_address().into()),
            (internet.clone(), ground.service_address().into()),
            (internet.clone(), ground.gateway_endpoint_address().into()),
        ];
        if crate::ipv6_outside(lab) {
            places.push((host.clone(), ground.host_address_ipv6().into()));
            places.push((internet, ground.service_address_ipv6().into()));
        }
        for vpc in &lab.state.vpcs {
            let resolver = Ipv4Addr::from(u32::from(vpc.primary().unwrap().network()) + 2);
            let router = lab.fabric().netns_path(&netplan::router_netns(&vpc.id));
            let local = [resolver, ip("169.254.169.253"), ip("169.254.169.254")];
            places.extend(local.map(|ip| (router.clone(), ip.into())));
            if vpc.has(Family::Ipv6) {
                places.push((router, Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253).into()));
            }
        }
        for endpoint in &lab.state.gateway_endpoints {
            places.push((lab.fabric().netns_path(endpoint.id.as_str()), ground.gateway_endpoint_address().into()));
        }
        let mut senders = vec![host.clone()];
        for interface in &lab.state.network_interfaces {
            let Some(attachment) = &interface.attachment else { continue };
            let netns = lab.fabric().netns_path(&attachment.netns);
            places.extend(interface.addresses.iter().map(|address| (netns.clone(), address.private)));
            senders.push(netns);
        }
        let mut echoes = Vec::new();
        for (netns, address) in places {
            for port in PORTS {
                echoes.push(fabric::netns::udp_socket(&netns, SocketAddr::from((address, port)))?);
            }
        }
        let mut pings = HashMap::new();
        for netns in senders {
            for family in Family::ALL {
                pings.insert((netns.clone(), family), ping_socket(&netns, family)?);
            }
        }
        Ok(Self { echoes, pings, host, next: 0 })
    }

    /// Sends a probe.
    pub(crate) fn send(&mut self, lab: &Lab, probe: Probe) -> Sent {
        let family = Family::of(probe.to);
        let (netns, source) = match &probe.from {
            Origin::Outside(address) => (self.host.clone(), *address),
            Origin::Interface(id) => {
                let interface = lab.state.network_interfaces.iter().find(|interface| interface.id == *id).unwrap();
                let attachment = interface.attachment.as_ref().unwrap();
                // Without an address of the family it tries with another, which its kernel refuses.
                let source = interface.primary(family).unwrap_or(interface.addresses[0].private);
                (lab.fabric().netns_path(&attachment.netns), source)
            }
        };
        let own_port = |address: io::Result<SocketAddr>| address.map_or(0, |address| address.port());
        let (socket, content) = match probe.kind {
            Kind::Tcp(port) => match fabric::netns::connect_tcp(&netns, SocketAddr::from((probe.to, port))) {
                Ok(stream) => {
                    let source_port = own_port(stream.local_addr());
                    (Socket::Tcp(stream), Content::Tcp { source_port, port })
                }
                Err(_) => (Socket::Refused, Content::Tcp { source_port: 0, port }),
            },
            Kind::Udp(port) => {
                let made = fabric::netns::udp_socket(&netns, SocketAddr::from((source, 0))).and_then(|socket| {
                    socket.connect((probe.to, port))?;
                    socket.send(b"?")?;
                    Ok(socket)
                });
                match made {
                    Ok(socket) => {
                        let source_port = own_port(socket.local_addr());
                        (Socket::Udp(socket), Content::Udp { source_port, port })
                    }
                    Err(_) => (Socket::Refused, Content::Udp { source_port: 0, port }),
                }
            }
            Kind::Ping => {
                self.next += 1;
                let from = (netns, family);
                let sent = self.pings[&from].send_to(&echo_request(self.next, family), (probe.to, 0));
                let socket = if sent.is_ok() { Socket::Ping(from, self.next) } else { Socket::Refused };
                (socket, Content::echo_request(family))
            }
        };
        let ended = matches!(socket, Socket::Refused);
        Sent { probe, content, socket, answered: false, ended }
    }

    /// Finds out which probes are answered. `expected` says which ones should be.
    pub(crate) fn gather(&self, sent: &mut [Sent], expected: &[bool]) {
        let start = Instant::now();
        let mut again = false;
        loop {
            let something = self.look(sent);
            let missing = sent.iter().zip(expected).any(|(sent, expected)| *expected && !sent.ended);
            if !something && (!missing || start.elapsed() > PATIENCE) {
                return;
            }
            if missing && !again && start.elapsed() > AGAIN {
                again = true;
                for (sent, _) in sent.iter().zip(expected).filter(|(sent, expected)| **expected && !sent.ended) {
                    self.repeat(sent);
                }
            }
        }
    }

    fn repeat(&self, sent: &Sent) {
        match &sent.socket {
            Socket::Udp(socket) => drop(socket.send(b"?")),
            Socket::Ping(from, number) => {
                drop(self.pings[from].send_to(&echo_request(*number, from.1), (sent.probe.to, 0)));
            }
            // TCP asks again of itself.
            Socket::Tcp(_) | Socket::Refused => {}
        }
    }

    /// Waits for whatever happens next, and takes it in; false if nothing does.
    fn look(&self, sent: &mut [Sent]) -> bool {
        let waiting: Vec<usize> = (0..sent.len()).filter(|n| !sent[*n].ended).collect();
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        fds.extend(self.echoes.iter().chain(self.pings.values()).map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)));
        let connections = fds.len();
        let mut owners = Vec::new();
        for n in waiting {
            match &sent[n].socket {
                Socket::Tcp(stream) => fds.push(PollFd::new(stream.as_fd(), PollFlags::POLLOUT)),
                Socket::Udp(socket) => fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN)),
                Socket::Ping(..) | Socket::Refused => continue,
            }
            owners.push(n);
        }
        if poll(&mut fds, PollTimeout::from(SILENCE)).unwrap() == 0 {
            return false;
        }
        let happened = |fd: &PollFd<'_>| fd.revents().is_some_and(|flags| !flags.is_empty());
        let ready: Vec<usize> =
            owners.iter().zip(&fds[connections..]).filter(|(_, fd)| happened(fd)).map(|(n, _)| *n).collect();
        drop(fds);
        for echo in &self.echoes {
            while let Ok((_, peer)) = echo.recv_from(&mut [0; 8]) {
                let _ = echo.send_to(b"!", peer);
            }
        }
        for n in ready {
            let sent = &mut sent[n];
            sent.ended = true;
            sent.answered = match &sent.socket {
                Socket::Tcp(stream) => match stream.take_error().unwrap() {
                    None => true,
                    // A port that nobody listens on answers, too.
                    Some(error) => error.kind() == io::ErrorKind::ConnectionRefused,
                },
                Socket::Udp(socket) => socket.recv(&mut [0; 8]).is_ok(),
                Socket::Ping(..) | Socket::Refused => false,
            };
        }
        for (place, socket) in &self.pings {
            let mut packet = [0; 128];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let Some(number) = echo_reply(&packet[..length], place.1) else { continue };
                let asked = sent.iter_mut().find(|sent| {
                    let own = matches!(&sent.socket, Socket::Ping(p, own) if p == place && *own == number);
                    own && from.ip() == sent.probe.to
                });
                if let Some(sent) = asked {
                    (sent.answered, sent.ended) = (true, true);
                }
            }
        }
        true
    }
}
