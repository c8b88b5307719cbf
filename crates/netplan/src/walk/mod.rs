//! Reachability: the way of a new connection's first packet and of its answer, hop by hop, and who lets it pass or not.
//!
//! A packet passes in AWS's order: the sender's security groups, the subnet's network ACL where it leaves the subnet, the
//! route table, gateways, the other subnet's ACL, the receiver's groups. An answer passes the ACLs and route tables again;
//! groups know it. What decides at each hop is asked of `rules`, as the compiler asks it, so that the answer here is what
//! the kernel does; a test of crate `fabric` sends packets through random networks to prove it.

mod back;
mod fix;
mod journey;
mod packet;
mod reason;

pub use fix::Fix;
pub use packet::{Content, Packet};
pub use reason::{Reason, Refusal};

use crate::{AclEntry, GroupRule, NetworkState, PortRange, RouteEntry, Traffic, index::Index};
use ipnet::IpNet;
use journey::Journey;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};
use types::id::{
    EgressOnlyInternetGatewayId, EniId, InternetGatewayId, NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId,
    SubnetId, VpcEndpointId, VpcId, VpcPeeringConnectionId,
};

/// The ports that Linux gives to those who connect. Source: Linux, Documentation/networking/ip-sysctl.rst,
/// `ip_local_port_range`.
pub const EPHEMERAL: PortRange = PortRange { from: 32768, to: 60999 };

/// Who begins the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// What is attached to this interface, from its first address of the destination's family.
    Interface(EniId),
    /// Somebody outside of all VPCs, from this address.
    Outside(IpAddr),
}

/// A connection's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Walk {
    /// Who begins.
    pub from: Origin,
    /// The address that it wants.
    pub to: IpAddr,
    /// The hops of the first packet.
    pub request: Vec<Hop>,
    /// The hops of the answer; none if the first packet does not arrive.
    pub reply: Vec<Hop>,
    /// Why the connection does not come about; none if it does.
    pub refusal: Option<Refusal>,
}

impl Walk {
    /// Whether the connection comes about.
    pub fn passes(&self) -> bool {
        self.refusal.is_none()
    }
}

/// One that looks at a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Who.
    pub station: Station,
    /// The packet as it comes there.
    pub packet: Packet,
    /// Whether it goes on from there.
    pub passes: bool,
}

/// The direction of packets, seen from an interface or a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Towards it.
    Ingress,
    /// Away from it.
    Egress,
}

/// What a packet passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Station {
    /// An interface: where packets start, end, or should be handed on.
    Interface {
        /// Its id.
        interface: EniId,
        /// Its subnet, as far as it is known.
        subnet: Option<SubnetId>,
    },
    /// An interface's security groups.
    SecurityGroups {
        /// The interface.
        interface: EniId,
        /// Its groups.
        groups: Vec<SecurityGroupId>,
        /// Which of their rules were asked.
        direction: Direction,
        /// What they say.
        decision: GroupDecision,
    },
    /// A subnet's network ACL.
    NetworkAcl {
        /// The subnet.
        subnet: SubnetId,
        /// The ACL.
        acl: NetworkAclId,
        /// Which of its entries were asked.
        direction: Direction,
        /// The first entry that speaks of the packet; none is the last one, `*`, which denies.
        entry: Option<AclEntry>,
    },
    /// A subnet's route table.
    RouteTable {
        /// The subnet.
        subnet: SubnetId,
        /// The table.
        table: RouteTableId,
        /// The route taken.
        route: RouteTaken,
    },
    /// An internet gateway.
    InternetGateway {
        /// Its id.
        gateway: InternetGatewayId,
        /// Its VPC.
        vpc: VpcId,
        /// The private address, and the public one that stands for it; one of IPv6 stands for itself.
        private: IpAddr,
        /// None: it has none.
        public: Option<IpAddr>,
    },
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway {
        /// Its id.
        gateway: EgressOnlyInternetGatewayId,
        /// Its VPC.
        vpc: VpcId,
    },
    /// A NAT gateway.
    NatGateway {
        /// Its id.
        nat_gateway: NatGatewayId,
        /// Its interface.
        interface: EniId,
        /// Its private address, which stands for the senders'.
        address: IpAddr,
    },
    /// A VPC peering connection.
    Peering {
        /// Its id.
        connection: VpcPeeringConnectionId,
        /// The VPC that it leads to.
        vpc: VpcId,
    },
    /// AWS's services behind a gateway endpoint.
    GatewayEndpoint {
        /// Its id.
        endpoint: VpcEndpointId,
    },
    /// What answers within every VPC: the resolver, metadata, credentials.
    LocalService {
        /// The VPC.
        vpc: VpcId,
    },
    /// Outside of all VPCs.
    Outside,
}

/// What an interface's groups say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum GroupDecision {
    /// A rule lets it pass.
    Rule {
        /// The group that has the rule.
        group: SecurityGroupId,
        /// The rule.
        rule: GroupRule,
    },
    /// It answers something that was let through.
    Known,
    /// No rule lets it pass.
    NoRule,
}

/// Which route a packet takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum RouteTaken {
    /// One of the table's.
    Route {
        /// The block that matches: the route's, or the one of its prefix list's.
        block: IpNet,
        /// The route.
        route: RouteEntry,
    },
    /// The VPC's own.
    Local {
        /// The VPC's block.
        block: IpNet,
    },
    /// None has the destination.
    None,
}

/// How many hops a way may have. A NAT gateway is passed once, so no way is longer in a network that a person can make.
const LIMIT: usize = 10_000;

/// The way of `content` from `from` to `to`, and of its answer.
pub fn walk(state: &NetworkState, from: &Origin, to: IpAddr, content: Content) -> Walk {
    let index = Index::new(state);
    let mut journey = Journey::new(&index);
    let mut reply = Vec::new();
    let mut refusal = journey.request(from, to, content).err().map(|refusal| *refusal);
    let request = std::mem::take(&mut journey.hops);
    if refusal.is_none() {
        refusal = journey.reply().err().map(|refusal| *refusal);
        reply = journey.hops;
    }
    let walk = Walk { from: from.clone(), to, request, reply, refusal };
    walk.assert_contract();
    walk
}

/// The way of a new TCP or UDP connection whose port the sender's kernel chooses: the first one that does not pass, if
/// network ACLs let answers to some of those ports through and not to others.
pub fn walk_from_any_port(state: &NetworkState, from: &Origin, to: IpAddr, content: impl Fn(u16) -> Content) -> Walk {
    // Between two neighbouring bounds of entries' ranges nothing changes.
    let mut ports = BTreeSet::from([EPHEMERAL.from]);
    for entry in state.network_acls.iter().flat_map(|acl| acl.ingress.iter().chain(&acl.egress)) {
        if let Traffic::Tcp(range) | Traffic::Udp(range) = entry.traffic {
            ports.extend([range.from, range.to.saturating_add(1)]);
        }
    }
    let mut ports = ports.range(EPHEMERAL.from..=EPHEMERAL.to);
    let walk_from = |port: &u16| walk(state, from, to, content(*port));
    let first = walk_from(&EPHEMERAL.from);
    if !first.passes() {
        return first;
    }
    ports.find_map(|port| Some(walk_from(port)).filter(|walk| !walk.passes())).unwrap_or(first)
}

impl Walk {
    /// The walk where its end refuses by something that the network does not know, such as who is an instance.
    #[must_use]
    pub fn refused_at_its_end(mut self, reason: Reason) -> Self {
        if let Some(end) = self.request.last_mut().filter(|_| self.refusal.is_none()) {
            end.passes = false;
            self.reply.clear();
            self.refusal = Some(Refusal { reason, fix: None });
        }
        self.assert_contract();
        self
    }

    /// What holds of every walk.
    fn assert_contract(&self) {
        let hops = || self.request.iter().chain(&self.reply);
        assert!(hops().count() <= LIMIT, "a way ends");
        assert!(!self.request.is_empty() || self.refusal.is_some(), "a way that passes has hops");
        assert!(self.passes() || hops().all(|hop| hop.passes) || !hops().next_back().is_some_and(|hop| hop.passes));
        let stopped = hops().filter(|hop| !hop.passes).count();
        assert_eq!(stopped, usize::from(!self.passes()), "one hop stops what does not pass, and it is the last");
    }
}
