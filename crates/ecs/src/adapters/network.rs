//! The network port on the `vpc` crate and the fabric.

use super::Reach;
use crate::ports::{EniRequest, Network, Subnet};
use crate::rows::{BindingRow, EniRow, HostRow};
use async_trait::async_trait;
use fabric::Fabric;
use rollout::placement::Protocol;
use std::path::PathBuf;
use std::sync::Arc;
use store::{Row, Tx, View};
use types::Scope;
use types::id::{EniId, SecurityGroupId, SubnetId};
use vpc::intent::{Ipv6Addresses, NewInterface, PublicPool};
use vpc::rows::{Behind, InterfaceState, InterfaceType, NetworkInterface};

/// Subnets and interfaces as the EC2 API has them.
pub struct RealNetwork {
    fabric: Arc<Fabric>,
    reach: Reach,
    pool: PublicPool,
}

impl RealNetwork {
    /// The port on this fabric.
    pub fn new(fabric: Arc<Fabric>, reach: Reach) -> Self {
        let pool = PublicPool::new(fabric.ground());
        Self { fabric, reach, pool }
    }
}

#[async_trait]
impl Network for RealNetwork {
    fn subnet(&self, view: &View, scope: &Scope, id: &str) -> Option<Subnet> {
        let subnet = vpc::query::subnet(view, scope, id)?;
        Some(Subnet { vpc: subnet.vpc.to_string(), zone: subnet.zone.clone() })
    }

    fn group_vpc(&self, view: &View, scope: &Scope, id: &str) -> Option<String> {
        vpc::query::security_group(view, scope, id).map(|group| group.vpc.to_string())
    }

    fn default_group(&self, view: &View, scope: &Scope, vpc: &str) -> Option<String> {
        vpc::query::vpc(view, scope, vpc).map(|vpc| vpc.default_security_group.to_string())
    }

    fn create(&self, tx: &mut Tx, scope: &Scope, request: &EniRequest) -> Result<EniRow, String> {
        let id = &request.placement.subnet;
        let gone = || "InvalidSubnetID.NotFound".to_owned();
        let subnet = SubnetId::parse(id).ok_or_else(gone)?;
        let home = vpc::query::subnet(tx, scope, id).ok_or_else(gone)?;
        let ipv6_cidr = home.ipv6.as_ref().map(|(_, cidr)| cidr.to_string());
        let new = NewInterface {
            subnet,
            groups: request.groups.iter().filter_map(|group| SecurityGroupId::parse(group)).collect(),
            description: request.description.to_owned(),
            kind: InterfaceType::Interface,
            requester: Some("amazon-ecs".to_owned()),
            attach: Some(("amazon-ecs".to_owned(), Some(request.netns.to_owned()))),
            private_ip: None,
            public_ip: request.public,
            // The account setting dualStackIPv6 is on unless somebody turns it off. Source: ECS developer guide, "Task
            // networking options for Fargate".
            ipv6: Ipv6Addresses::Count(ipv6_cidr.is_some().into()),
            tags: vpc::rows::Tags::default(),
        };
        let made = vpc::intent::create_interface(tx, scope, &self.pool, request.now, new);
        let interface = made.map_err(|error| error.code)?;
        let ip = interface.private_ip().ok_or_else(|| "InternalError".to_owned())?;
        let vpc = vpc::query::vpc(tx, scope, interface.vpc.as_str());
        let dhcp = vpc.map(|vpc| vpc::query::dhcp(tx, scope, &vpc)).unwrap_or_default();
        Ok(EniRow {
            id: interface.id.to_string(),
            ip,
            ipv6: interface.ipv6.first().copied(),
            mac: interface.mac_text(),
            private_dns: Some(vpc::names::private_name(&scope.region, ip)),
            vpc: interface.vpc.to_string(),
            subnet_cidr: home.cidr.to_string(),
            subnet_ipv6_cidr: ipv6_cidr,
            dns_servers: dhcp.name_servers,
            dns_search: dhcp.domains,
        })
    }

    fn is_attached(&self, view: &View, scope: &Scope, eni: &str) -> bool {
        vpc::query::interface(view, scope, eni).is_some_and(|interface| interface.state == InterfaceState::Attached)
    }

    async fn await_metadata(&self, netns: &str) {
        self.reach.await_metadata(netns).await;
    }

    fn delete(&self, tx: &mut Tx, scope: &Scope, eni: &str) {
        if let Some(id) = EniId::parse(eni) {
            vpc::intent::delete_interface(tx, scope, &id);
        }
    }

    fn create_behind(&self, tx: &mut Tx, scope: &Scope, netns: &str, host: &HostRow) {
        let Some(address) = host.behind else { return };
        let port = |binding: &BindingRow| {
            let protocol = if binding.protocol == Protocol::Udp { 17 } else { 6 };
            (protocol, binding.host_port, binding.container_port)
        };
        let ports = host.bindings.iter().map(port).collect();
        let behind = Behind { netns: netns.to_owned(), host: host.namespace.clone(), address, ports, attached: false };
        vpc::intent::create_behind(tx, scope, behind);
    }

    fn stands_behind(&self, view: &View, scope: &Scope, netns: &str) -> bool {
        view.get::<Behind>(scope, netns).is_some_and(|row| row.attached)
    }

    fn delete_behind(&self, tx: &mut Tx, scope: &Scope, netns: &str) {
        vpc::intent::delete_behind(tx, scope, netns);
    }

    fn netns_path(&self, netns: &str) -> PathBuf {
        self.fabric.netns_path(netns)
    }

    fn tables(&self) -> &'static [&'static str] {
        &[<NetworkInterface as Row>::TABLE, <Behind as Row>::TABLE]
    }
}
