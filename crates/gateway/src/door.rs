//! Where a call came in: the machine's own port, AWS's addresses on the internet, or a VPC endpoint. Pure.
//!
//! It decides which services answer there, and tells policies of the endpoint and its VPC.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use store::View;
use types::Scope;
use types::id::{VpcEndpointId, VpcId};
use wire::service::ServiceInfo;

/// Where a listener stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// On the machine, for its users.
    Machine,
    /// At AWS's own addresses, where internet and NAT gateways lead.
    Internet {
        /// The machine's own address there: it is let in as if by its own door.
        host: IpAddr,
    },
    /// In a VPC endpoint.
    Endpoint(Arc<Endpoint>),
}

/// A VPC endpoint, as a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose it is.
    pub scope: Scope,
    /// Its id.
    pub id: VpcEndpointId,
    /// The VPC that it is in.
    pub vpc: VpcId,
    /// The last part of its service, `com.amazonaws.<region>.<service>`.
    pub service: String,
    /// Where its policy is read.
    pub policy: PolicySource,
}

/// What a VPC endpoint lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointPolicy {
    /// Everything: it was given no policy.
    FullAccess,
    /// What this document allows.
    Document(String),
    /// Nothing: the endpoint is no more.
    Gone,
}

/// Reads an endpoint's policy as it is now. Whoever makes doors gives it, as endpoints are unknown here.
#[derive(Debug, Clone, Copy)]
pub struct PolicySource(pub fn(&View, &Scope, &VpcEndpointId) -> EndpointPolicy);

impl PartialEq for PolicySource {
    /// Two doors differ by their endpoints, not by how those are read.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for PolicySource {}

/// Who came in where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The address that the connection comes from.
    pub peer: SocketAddr,
    /// The door.
    pub door: Door,
}

impl Origin {
    /// Somebody at `peer` who came in by `door`.
    pub fn new(peer: SocketAddr, door: &Door) -> Self {
        let door = match door {
            Door::Internet { host } if *host == peer.ip() => Door::Machine,
            other => other.clone(),
        };
        Self { peer, door }
    }

    /// Somebody on the machine.
    pub fn local() -> Self {
        Self { peer: SocketAddr::from(([127, 0, 0, 1], 0)), door: Door::Machine }
    }

    /// The address that the connection comes from.
    pub fn ip(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The VPC endpoint that was come through, if one was.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.door {
            Door::Endpoint(endpoint) => Some(endpoint),
            Door::Machine | Door::Internet { .. } => None,
        }
    }
}

impl Endpoint {
    /// What it lets pass.
    pub fn policy(&self, view: &View) -> EndpointPolicy {
        (self.policy.0)(view, &self.scope, &self.id)
    }

    /// The name in a signature of the service that answers, unless it is one without an API.
    pub fn signing_name(&self) -> Option<&str> {
        match self.service.as_str() {
            "ecr.api" => Some("ecr"),
            "ecr.dkr" => None,
            "ecs-agent" | "ecs-telemetry" => Some("ecs"),
            other => Some(other),
        }
    }

    /// Whether calls of that service are answered.
    pub(crate) fn leads_to(&self, info: &ServiceInfo) -> bool {
        self.signing_name().is_some_and(|name| info.signing_names.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_itself_wherever_it_knocks() {
        let host = IpAddr::from([198, 18, 0, 1]);
        let internet = Door::Internet { host };
        assert_eq!(Origin::new((host, 1).into(), &internet).door, Door::Machine);
        assert_eq!(Origin::new(([198, 18, 0, 20], 1).into(), &internet).door, internet);
    }

    #[test]
    fn an_endpoint_leads_to_its_own_service() {
        let of = |service: &str| Endpoint {
            scope: Scope::default(),
            id: VpcEndpointId::generate(),
            vpc: VpcId::generate(),
            service: service.to_owned(),
            policy: PolicySource(|_, _, _| EndpointPolicy::FullAccess),
        };
        assert!(of("logs").leads_to(&model::logs::SERVICE) && !of("logs").leads_to(&model::ecs::SERVICE));
        assert!(of("ecs-agent").leads_to(&model::ecs::SERVICE));
        assert!(of("ecr.api").leads_to(&model::ecr::SERVICE) && !of("ecr.dkr").leads_to(&model::ecr::SERVICE));
        assert!(of("elasticloadbalancing").leads_to(&model::elbv2::SERVICE));
    }
}
