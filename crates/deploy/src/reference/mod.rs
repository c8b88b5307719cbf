//! The reference deployment: three services behind an HTTPS load balancer, in private subnets over two zones.
//!
//! [`network`] makes the VPC with its three tiers, gateways, groups and endpoints; [`platform`] repositories, images,
//! roles, logs and secrets; [`traffic`] certificate, load balancer, listeners and rules; [`services`] the cluster, task
//! definitions and services, and waits until all targets are healthy. Each step is told to a [`Progress`].

mod check;
mod network;
mod platform;
mod services;
mod traffic;

use crate::Failure;
use crate::client::Clients;
use crate::image::Layer;
use std::net::{Ipv4Addr, SocketAddr};

/// A service of the reference application.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name, its image repository's, its task family's.
    pub name: &'static str,
    /// The path that the load balancer sends to it.
    pub path: &'static str,
    /// How many tasks it keeps.
    pub desired: i32,
    /// What its task role may do: an action on a resource.
    pub permission: (&'static str, &'static str),
}

/// The three services.
pub const SERVICES: [Service; 3] = [
    Service {
        name: "user-service",
        path: "/api/users",
        desired: 3,
        permission: ("s3:GetObject", "arn:aws:s3:::user-photos/*"),
    },
    Service {
        name: "order-service",
        path: "/api/orders",
        desired: 2,
        permission: ("dynamodb:PutItem", "arn:aws:dynamodb:*:*:table/orders"),
    },
    Service { name: "payment-service", path: "/api/payments", desired: 2, permission: ("ses:SendEmail", "*") },
];

/// The port that the services listen on.
pub const PORT: u16 = 3000;
/// The domain that the certificate is for.
pub const DOMAIN: &str = "demo.windtunnel.internal";
/// The cluster's name.
pub const CLUSTER: &str = "production";
/// The load balancer's name.
pub const LOAD_BALANCER: &str = "demo";

/// Where the steps are shown.
pub trait Progress: Send {
    /// A step begins.
    fn begin(&mut self, step: &str);
    /// The step goes on: something to show beside it.
    fn note(&mut self, note: &str);
    /// The step is done; `result` names what came of it.
    fn done(&mut self, result: &str);
}

/// What was built, and how to reach it.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The VPC.
    pub vpc: String,
    /// The load balancer's DNS name.
    pub dns_name: String,
    /// The public addresses of its nodes.
    pub addresses: Vec<Ipv4Addr>,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Whether it stood already.
    pub existed: bool,
}

/// Builds the whole deployment, or finds the one that stands already.
pub async fn build(clients: &Clients, progress: &mut dyn Progress) -> Result<Deployment, Failure> {
    if let Some(standing) = traffic::standing(clients).await? {
        progress.begin("Look for the deployment");
        progress.done(&format!("it stands already in {}", standing.vpc));
        services::wait_until_healthy(clients, progress).await?;
        return Ok(standing);
    }
    progress.begin("Pack the services' image layer");
    let layer = tokio::task::spawn_blocking(Layer::of_this_executable)
        .await
        .map_err(|error| Failure::new("pack the image", error))?
        .map_err(|error| Failure::new("pack the image", error))?;
    progress.done(&layer.summary());
    let network = network::build(clients, progress).await?;
    let platform = platform::build(clients, &layer, progress).await?;
    let traffic = traffic::build(clients, &network, progress).await?;
    services::build(clients, &network, &platform, &traffic, progress).await?;
    services::wait_until_healthy(clients, progress).await?;
    traffic::describe(clients, network.vpc, false).await
}

/// Turns an SDK call's outcome into ours.
macro_rules! call {
    ($step:expr, $call:expr) => {
        $call.send().await.map_err(|error| $crate::Failure::new($step, $crate::client::text(&error)))
    };
}
pub(crate) use call;

/// A member that the API always fills in.
pub(crate) fn present<T>(value: Option<T>, what: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new(what, "the answer lacks it"))
}

/// Sends a request through the load balancer, which is reached at `address`, to `service` and gives its answer: HTTPS with
/// the load balancer's name, trusting the deployment's own certificate alone.
pub async fn check(deployment: &Deployment, address: SocketAddr, service: Service) -> Result<String, Failure> {
    check::get(deployment, address, &format!("{}/1", service.path)).await
}
