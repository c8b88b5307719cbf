//! Whether a task's own network reaches one of AWS's services: a real connection from the task's namespace.
//!
//! This is what makes a missing route, NAT gateway, endpoint or egress rule break a start here as on AWS. A refused connection
//! is reached: packets went and came back; only silence and a missing route count as out of reach.

use super::lookup::Unresolved;
use crate::texts;
use fabric::Fabric;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, View};
use types::{Clock, Pace, Scope};

/// The SDK's attempts.
const ATTEMPTS: usize = 3;
/// How long one attempt waits, to be told an address and to connect.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often, and after which pause, it is looked whether metadata is served: for five seconds at most.
const METADATA_LOOKS: u32 = 250;
const METADATA_PAUSE: Duration = Duration::from_millis(20);
/// Where AWS's services listen.
const PORT: u16 = 443;

/// Connects from tasks' namespaces.
#[derive(Clone)]
pub struct Reach {
    pub(super) fabric: Arc<Fabric>,
    store: Store,
    clock: Arc<dyn Clock>,
    pub(super) pace: Pace,
}

impl Reach {
    /// Connections on this fabric.
    pub fn new(fabric: Arc<Fabric>, store: Store, clock: Arc<dyn Clock>, pace: Pace) -> Self {
        Self { fabric, store, clock, pace }
    }

    /// The store, for those who read what the service would answer.
    pub(super) fn view(&self) -> View {
        self.store.view()
    }

    /// The clock.
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Connects from the task's namespace to the host of that name. The error is as Go's network library says it:
    /// `dial tcp 10.0.1.5:443: i/o timeout`, `dial tcp: lookup …: no such host`.
    pub(super) async fn connect(&self, scope: &Scope, netns: &str, host: &str) -> Result<(), String> {
        let mut failure = String::new();
        for attempt in 0..ATTEMPTS {
            let addresses = match self.lookup(scope, netns, host).await {
                Ok(addresses) => addresses,
                Err(Unresolved::NoSuchHost(text)) => return Err(text),
                Err(Unresolved::NoAnswer(text)) => {
                    failure = text;
                    continue;
                }
            };
            let Some(address) = addresses.get(attempt % addresses.len().max(1)).copied() else { continue };
            let (fabric, name) = (self.fabric.clone(), netns.to_owned());
            let target = SocketAddr::from((address, PORT));
            // Entering a namespace takes a thread of its own.
            let begun = tokio::task::spawn_blocking(move || fabric.connect_tcp(&name, target)).await;
            let outcome = match begun {
                Ok(Ok(stream)) => self.finish(stream).await,
                Ok(Err(error)) => Err(error),
                Err(_) => return Err(texts::dial(address, "i/o timeout")),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => {
                    let why = match error.kind() {
                        ErrorKind::NetworkUnreachable => "connect: network is unreachable",
                        ErrorKind::HostUnreachable => "connect: no route to host",
                        _ => "i/o timeout",
                    };
                    failure = texts::dial(address, why);
                }
            }
        }
        Err(failure)
    }

    /// Waits until somebody listens at the address of credentials and metadata. The listener follows the VPC's router,
    /// which may have been made a moment ago for this very task; its applications ask at once, and do not all ask again.
    pub(super) async fn await_metadata(&self, netns: &str) {
        for _ in 0..METADATA_LOOKS {
            let (fabric, name) = (self.fabric.clone(), netns.to_owned());
            let begun =
                tokio::task::spawn_blocking(move || fabric.connect_tcp(&name, super::link_local::ADDRESS)).await;
            if let Ok(Ok(stream)) = begun
                && self.finish(stream).await.is_ok()
            {
                return;
            }
            self.clock.sleep(METADATA_PAUSE).await;
        }
    }

    async fn finish(&self, stream: std::net::TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        tokio::select! {
            ready = stream.writable() => ready?,
            () = self.clock.sleep(self.pace.scale(PATIENCE)) => return Err(ErrorKind::TimedOut.into()),
        }
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
