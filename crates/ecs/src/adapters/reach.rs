//! Whether a task's own network reaches one of AWS's services: a real connection from the task's namespace.
//!
//! This is what makes a missing route, NAT gateway, endpoint or egress rule break a start here as on AWS. A refused connection
//! is reached: packets went and came back; only silence and a missing route count as out of reach.

use fabric::Fabric;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, View};
use types::{Clock, Pace, Scope};
use vpc::rows::VpcEndpoint;

/// The SDK's attempts.
const ATTEMPTS: u32 = 3;
/// How long one attempt waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where AWS's services listen.
const PORT: u16 = 443;

/// Connects from tasks' namespaces.
#[derive(Clone)]
pub struct Reach {
    fabric: Arc<Fabric>,
    store: Store,
    clock: Arc<dyn Clock>,
    pace: Pace,
}

/// Out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutOfReach {
    /// The address tried.
    pub(super) address: Ipv4Addr,
    /// As Go's network library says it: `i/o timeout`, `connect: network is unreachable`.
    pub(super) why: &'static str,
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

    /// Connects from the namespace to the service (`ecr.api`, `secretsmanager`: its name in VPC endpoints).
    pub(super) async fn connect(&self, scope: &Scope, netns: &str, service: &str) -> Result<(), OutOfReach> {
        let address = self.address(scope, netns, service);
        let mut why = "i/o timeout";
        for _ in 0..ATTEMPTS {
            let (fabric, name) = (self.fabric.clone(), netns.to_owned());
            let target = SocketAddr::from((address, PORT));
            // Entering a namespace takes a thread of its own.
            let begun = tokio::task::spawn_blocking(move || fabric.connect_tcp(&name, target)).await;
            let outcome = match begun {
                Ok(Ok(stream)) => self.finish(stream).await,
                Ok(Err(error)) => Err(error),
                Err(_) => return Err(OutOfReach { address, why }),
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => {
                    why = match error.kind() {
                        ErrorKind::NetworkUnreachable => "connect: network is unreachable",
                        ErrorKind::HostUnreachable => "connect: no route to host",
                        _ => "i/o timeout",
                    };
                }
            }
        }
        Err(OutOfReach { address, why })
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

    /// What the service's name resolves to in the task's VPC: an interface endpoint with private DNS, else its public address.
    fn address(&self, scope: &Scope, netns: &str, service: &str) -> Ipv4Addr {
        let view = self.view();
        let task = netns.strip_prefix("task-").and_then(|id| view.get::<crate::rows::TaskRow>(scope, id));
        let endpoint = task.as_ref().and_then(|task| task.eni.as_ref()).and_then(|eni| {
            let name = format!("com.amazonaws.{}.{service}", scope.region);
            let endpoints = view.by_index(&VpcEndpoint::BY_VPC, scope, &eni.vpc);
            let mut fitting = endpoints.filter(|it| it.service == name && it.kind == "Interface" && it.private_dns);
            let (_, interface) = fitting.next()?.interfaces.first()?.clone();
            vpc::query::interface(&view, scope, interface.as_str())?.private_ip()
        });
        endpoint.unwrap_or_else(|| self.fabric.service_address())
    }
}
