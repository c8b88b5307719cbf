//! Whether a task's own network reaches one of AWS's services: a real connection from the task's namespace.
//!
//! This is what makes a missing route, NAT gateway, endpoint or egress rule break a start here as on AWS. A refused connection
//! is reached: packets went and came back; only silence and a missing route count as out of reach.

use super::lookup::Unresolved;
use crate::rows::{EniRow, INSTANCES_BY_NAMESPACE, TaskRow};
use crate::texts;
use fabric::Fabric;
use gateway::{Door, Origin};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, View};
use tokio::net::TcpStream;
use types::id::VpcId;
use types::{Clock, Pace, Scope};
use vpc::query;

/// The SDK's attempts.
const ATTEMPTS: usize = 3;
/// What the agent waits before it asks a service again that refused it.
const RETRY: Duration = Duration::from_secs(1);
/// How long one attempt waits, to be told an address and to connect.
const PATIENCE: Duration = Duration::from_secs(5);
/// What it waits at any pace: what answers is real, and a busy machine's answer takes its time.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(500);
/// How often, and after which pause, it is looked whether somebody listens who is about to: for five seconds at most.
pub(super) const LOOKS: u32 = 250;
pub(super) const PAUSE: Duration = Duration::from_millis(20);
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

/// How long one attempt waits at this pace.
pub(super) fn patience(pace: Pace) -> Duration {
    pace.scale(PATIENCE).max(SHORTEST_PATIENCE)
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

    /// Waits before a service is asked again.
    pub(super) async fn pause(&self) {
        self.clock.sleep(self.pace.scale(RETRY)).await;
    }

    /// Connects from the task's namespace to the host of that name, and says where that comes in. The error is as Go's
    /// network library says it: `dial tcp 10.0.1.5:443: i/o timeout`, `dial tcp: lookup …: no such host`.
    pub(super) async fn connect(&self, scope: &Scope, netns: &str, host: &str) -> Result<Origin, String> {
        let (address, _) = self.dial(scope, netns, host).await?;
        Ok(self.origin(scope, netns, address))
    }

    /// The address that was reached, and the connection unless it was refused.
    pub(super) async fn dial(
        &self,
        scope: &Scope,
        netns: &str,
        host: &str,
    ) -> Result<(Ipv4Addr, Option<TcpStream>), String> {
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
                Ok(stream) => return Ok((address, Some(stream))),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {
                    return Ok((address, None));
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

    /// Where a connection of the task to `address` comes in: an interface endpoint, if one has that address.
    fn origin(&self, scope: &Scope, netns: &str, address: Ipv4Addr) -> Origin {
        let view = self.view();
        let eni = self.eni(scope, netns);
        let ip = eni.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |eni| eni.ip);
        let found = eni.and_then(|eni| query::endpoint_at(&view, scope, &VpcId::parse(&eni.vpc)?, address));
        let door = match found {
            Some((scope, endpoint)) => query::door(&scope, &endpoint),
            None => Door::Internet { host: self.fabric.ground().host_address().into() },
        };
        Origin { peer: SocketAddr::from((ip, 0)), door }
    }

    /// Where the task's connections to a service's own name come in, if the VPC has an endpoint for it with that name.
    pub(super) fn private_origin(&self, scope: &Scope, netns: &str, service: &str) -> Option<Origin> {
        let (view, eni) = (self.view(), self.eni(scope, netns)?);
        let vpc = query::vpc(&view, scope, &eni.vpc)?;
        let endpoint = query::private_dns_endpoint(&view, scope, &vpc, service)?;
        Some(Origin { peer: SocketAddr::from((eni.ip, 0)), door: query::door(scope, &endpoint) })
    }

    /// The interface of the task or of the instance that lives in a namespace.
    pub(super) fn eni(&self, scope: &Scope, netns: &str) -> Option<EniRow> {
        let view = self.view();
        let Some(task) = netns.strip_prefix("task-") else {
            let instance = view.by_index(&INSTANCES_BY_NAMESPACE, scope, netns).next()?;
            return Some(instance.eni.clone());
        };
        view.get::<TaskRow>(scope, task)?.eni.clone()
    }

    /// Waits until somebody listens at the address of credentials and metadata. The listener follows the VPC's router,
    /// which may have been made a moment ago for this very task; its applications ask at once, and do not all ask again.
    pub(super) async fn await_metadata(&self, netns: &str) {
        for _ in 0..LOOKS {
            let (fabric, name) = (self.fabric.clone(), netns.to_owned());
            let begun =
                tokio::task::spawn_blocking(move || fabric.connect_tcp(&name, super::link_local::ADDRESS)).await;
            if let Ok(Ok(stream)) = begun
                && self.finish(stream).await.is_ok()
            {
                return;
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    async fn finish(&self, stream: std::net::TcpStream) -> std::io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        tokio::select! {
            ready = stream.writable() => ready?,
            () = self.clock.sleep(patience(self.pace)) => return Err(ErrorKind::TimedOut.into()),
        }
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}
