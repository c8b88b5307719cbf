//! A task's listeners, and what they know of where they lead.

use super::{Endpoints, Place, http, tcp};
use crate::netns::Namespace;
use fabric::capture::{Capture, Captured};
use routing::connect::{self, Destination, InsteadOf, Listener, Protocol, Standing};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a connection to a target may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// The device by which others reach a task.
const DEVICE: &str = "eth0";
/// More connections at a time wait until others have ended.
const MOST: usize = 4096;

/// A sidecar that listens. With its drop all its connections end.
pub(super) struct Sidecar {
    config: connect::Sidecar,
    place: Rc<Place>,
    _serving: JoinSet<()>,
}

/// What is known of a target.
#[derive(Default)]
pub(super) struct Known {
    standing: Standing,
    pub(super) kept: http::Kept,
}

impl Sidecar {
    /// Listens, and has the kernel lead there what it is to be given. The error has the address that could not be listened at.
    pub(super) fn open(config: connect::Sidecar, endpoints: &Endpoints) -> Result<Self, (SocketAddr, io::Error)> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let first = config.listeners.first().map_or(any, |listener| listener.address.into());
        let namespace = Namespace::open(Some(&config.netns)).map_err(|error| (first, error))?;
        let mut sockets = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let address = listener.address.into();
            let socket = namespace.listen(address).and_then(TcpListener::from_std);
            sockets.push((listener.clone(), socket.map_err(|error| (address, error))?));
        }
        // Only now, as who is led to a port where nobody listens is refused.
        let captures: Vec<_> = config.listeners.iter().filter_map(capture).collect();
        namespace.capture(&captures).map_err(|error| (first, error))?;
        let place = Rc::new(Place {
            namespace,
            endpoints: endpoints.clone(),
            known: RefCell::default(),
            turns: RefCell::default(),
        });
        let mut serving = JoinSet::new();
        for (listener, socket) in sockets {
            serving.spawn_local(accept(socket, Rc::new(listener), place.clone()));
        }
        Ok(Self { config, place, _serving: serving })
    }

    /// Whether it is what is wanted, in the network that the task has now.
    pub(super) fn is(&self, wanted: &connect::Sidecar) -> bool {
        self.config == *wanted && self.is_current()
    }

    pub(super) fn is_current(&self) -> bool {
        self.place.namespace.is_current()
    }
}

fn capture(listener: &Listener) -> Option<Capture> {
    let of = match listener.instead_of.as_ref()? {
        InsteadOf::Leaving(address) => Captured::Leaving(*address),
        InsteadOf::Arriving(port) => Captured::Arriving { device: DEVICE.to_owned(), port: *port },
    };
    Some(Capture { of, to: listener.address })
}

async fn accept(socket: TcpListener, listener: Rc<Listener>, place: Rc<Place>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = socket.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => {
                    let (listener, place) = (listener.clone(), place.clone());
                    connections.spawn_local(async move {
                        if stream.set_nodelay(true).is_err() {
                            return;
                        }
                        match listener.protocol {
                            Protocol::Tcp => tcp::serve(stream, &listener, &place).await,
                            Protocol::Http => http::serve(stream, listener, place).await,
                            Protocol::Http2 => http::serve_http2(stream, listener, place).await,
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "Service Connect cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

thread_local! {
    static BEGUN: Instant = Instant::now();
}

/// The time since something that is the same for all.
fn now() -> Duration {
    BEGUN.with(Instant::elapsed)
}

impl Place {
    /// Whose turn it is at the listener's destination, of those that are not in `tried`.
    pub(super) fn choose(&self, listener: &Listener, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let arn = match &listener.to {
            Destination::Application(port) => {
                let own = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                return Some(own).filter(|own| !tried.contains(own));
            }
            Destination::Endpoint(arn) => arn,
        };
        let targets = self.endpoints.borrow().get(arn).cloned()?;
        self.forget(arn, &targets);
        let turn = {
            let mut turns = self.turns.borrow_mut();
            let turn = turns.entry(arn.clone()).or_default();
            *turn = turn.wrapping_add(1);
            *turn - 1
        };
        let (known, now) = (self.known.borrow(), now());
        let alone =
            |at: usize| known.get(&(arn.clone(), targets[at])).is_some_and(|known| known.standing.is_left_alone(now));
        let at = connect::pick(targets.len(), turn, |at| tried.contains(&targets[at]), alone)?;
        targets.get(at).copied()
    }

    /// Forgets targets that are there no more: another task may have their address next.
    fn forget(&self, arn: &str, targets: &[SocketAddr]) {
        self.known.borrow_mut().retain(|(of, target), _| of != arn || targets.contains(target));
    }

    /// A new connection to a target. How it went is remembered.
    pub(super) async fn connect(&self, listener: &Listener, target: SocketAddr) -> Result<TcpStream, Unreachable> {
        let made = match tokio::time::timeout(CONNECT, self.namespace.connect(target)).await {
            Err(_) => Err(Unreachable::Silent),
            Ok(made) => made.map_err(|error| Unreachable::Refused(error.raw_os_error().unwrap_or_default())),
        };
        if made.is_err() {
            self.remember(listener, target, false);
        }
        made
    }

    /// Remembers how it went with a target.
    pub(super) fn remember(&self, listener: &Listener, target: SocketAddr, success: bool) {
        self.with(listener, target, |known| known.standing = known.standing.after(success, now()));
    }

    /// Looks at what is known of a target of an endpoint; a task's own application is nobody to be left alone, but is remembered too.
    pub(super) fn with<T>(&self, listener: &Listener, target: SocketAddr, look: impl FnOnce(&mut Known) -> T) -> T {
        let arn = match &listener.to {
            Destination::Endpoint(arn) => arn.clone(),
            Destination::Application(_) => String::new(),
        };
        look(self.known.borrow_mut().entry((arn, target)).or_default())
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// Nothing came back.
    Silent,
    /// The kernel's number.
    Refused(i32),
}
