//! A walk in AWS's words: the components that it passes, and explanations of what stops it.
//!
//! Source of the codes: Amazon VPC Reachability Analyzer guide, "Reachability Analyzer explanation codes".

use crate::rows::{NetworkInterface, SecurityGroup};
use ipnet::IpNet;
use model::ec2;
use netplan::walk::{Content, Direction, GroupDecision, Hop, Packet, Reason, RouteTaken, Station, Walk};
use netplan::{AclEntry, Destination, GroupRule, NetworkState, Peer, PortRange, RouteTarget, Traffic};
use std::net::Ipv4Addr;
use store::View;
use types::Scope;

/// The kind of resource in an ARN, by an id's prefix.
pub(super) fn kind_of(id: &str) -> &'static str {
    match id.split('-').next() {
        Some("acl") => "network-acl",
        Some("eigw") => "egress-only-internet-gateway",
        Some("igw") => "internet-gateway",
        Some("nat") => "natgateway",
        Some("pcx") => "vpc-peering-connection",
        Some("rtb") => "route-table",
        Some("sg") => "security-group",
        Some("subnet") => "subnet",
        Some("vpc") => "vpc",
        Some("vpce") => "vpc-endpoint",
        _ => "network-interface",
    }
}

/// Makes components for the account and region that asks.
struct Shower<'v> {
    view: &'v View,
    scope: &'v Scope,
    state: &'v NetworkState,
}

fn component(scope: &Scope, id: &str, name: Option<String>) -> ec2::AnalysisComponent {
    ec2::AnalysisComponent { id: Some(id.to_owned()), arn: Some(super::arn(scope, kind_of(id), id)), name }
}

/// The analysis that found a walk; `through` says whether it passes the gateways that are its ends.
pub(super) fn shown(
    view: &View,
    scope: &Scope,
    state: &NetworkState,
    walk: &Walk,
    through: bool,
) -> ec2::NetworkInsightsAnalysis {
    let shower = Shower { view, scope, state };
    let found = walk.passes() && through;
    let explanations = match &walk.refusal {
        Some(refusal) => Some(shower.explanation(&refusal.reason, walk)),
        None if through => None,
        // There is a way, but not by the gateway.
        None => Some(code("NO_POSSIBLE_DESTINATION")),
    };
    let components = |hops: &[Hop]| Some(shower.components(hops)).filter(|_| found);
    ec2::NetworkInsightsAnalysis {
        status: Some("succeeded".to_owned()),
        network_path_found: Some(found),
        forward_path_components: components(&walk.request),
        return_path_components: components(&walk.reply),
        explanations: explanations.map(|explanation| vec![explanation]),
        ..ec2::NetworkInsightsAnalysis::default()
    }
}

/// The analysis of a path from outside to an interface that has no public address.
pub(super) fn no_public_address(
    scope: &Scope,
    gateway: &str,
    interface: &NetworkInterface,
    private: Ipv4Addr,
) -> ec2::NetworkInsightsAnalysis {
    let explanation = ec2::Explanation {
        address: Some(private.to_string()),
        direction: Some("ingress".to_owned()),
        internet_gateway: Some(component(scope, gateway, None)),
        network_interface: Some(component(scope, interface.id.as_str(), None)),
        vpc: Some(component(scope, interface.vpc.as_str(), None)),
        ..code("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS")
    };
    ec2::NetworkInsightsAnalysis {
        status: Some("succeeded".to_owned()),
        network_path_found: Some(false),
        explanations: Some(vec![explanation]),
        ..ec2::NetworkInsightsAnalysis::default()
    }
}

fn code(code: &str) -> ec2::Explanation {
    ec2::Explanation { explanation_code: Some(code.to_owned()), ..ec2::Explanation::default() }
}

impl Shower<'_> {
    fn component(&self, id: impl AsRef<str>) -> ec2::AnalysisComponent {
        let id = id.as_ref();
        let group = self.view.get::<SecurityGroup>(self.scope, id);
        component(self.scope, id, group.map(|group| group.name.clone()))
    }

    fn some(&self, id: impl AsRef<str>) -> Option<ec2::AnalysisComponent> {
        Some(self.component(id))
    }

    /// The VPC of a subnet.
    fn vpc_of(&self, subnet: &types::id::SubnetId) -> Option<ec2::AnalysisComponent> {
        let subnet = self.state.subnets.iter().find(|row| row.id == *subnet)?;
        self.some(&subnet.vpc)
    }

    fn components(&self, hops: &[Hop]) -> Vec<ec2::PathComponent> {
        let shown = hops.iter().enumerate().filter_map(|(n, hop)| {
            let component = self.station(&hop.station)?;
            Some(ec2::PathComponent {
                inbound_header: (n > 0).then(|| header(&hop.packet)),
                outbound_header: hops.get(n + 1).map(|next| header(&next.packet)),
                ..component
            })
        });
        let numbered =
            shown.zip(1..).map(|(component, n)| ec2::PathComponent { sequence_number: Some(n), ..component });
        numbered.collect()
    }

    /// The component that a station is; AWS has none for what lies outside.
    fn station(&self, station: &Station) -> Option<ec2::PathComponent> {
        let of = |component| ec2::PathComponent { component, ..ec2::PathComponent::default() };
        Some(match station {
            Station::Interface { interface, subnet } => ec2::PathComponent {
                subnet: subnet.as_ref().and_then(|subnet| self.some(subnet)),
                vpc: subnet.as_ref().and_then(|subnet| self.vpc_of(subnet)),
                ..of(self.some(interface))
            },
            Station::SecurityGroups { groups, direction, decision, .. } => match decision {
                GroupDecision::Rule { group, rule } => ec2::PathComponent {
                    security_group_rule: Some(group_rule(group.as_str(), *direction, rule)),
                    ..of(self.some(group))
                },
                GroupDecision::Known | GroupDecision::NoRule => of(groups.first().and_then(|group| self.some(group))),
            },
            Station::NetworkAcl { subnet, acl, direction, entry } => ec2::PathComponent {
                acl_rule: entry.as_ref().map(|entry| acl_rule(*direction, entry)),
                subnet: self.some(subnet),
                vpc: self.vpc_of(subnet),
                ..of(self.some(acl))
            },
            Station::RouteTable { subnet, table, route } => {
                ec2::PathComponent { route_table_route: taken(route), vpc: self.vpc_of(subnet), ..of(self.some(table)) }
            }
            Station::InternetGateway { gateway, vpc, .. } => {
                ec2::PathComponent { vpc: self.some(vpc), ..of(self.some(gateway)) }
            }
            Station::EgressOnlyInternetGateway { gateway, vpc } => {
                ec2::PathComponent { vpc: self.some(vpc), ..of(self.some(gateway)) }
            }
            Station::NatGateway { nat_gateway, .. } => of(self.some(nat_gateway)),
            Station::Peering { connection, vpc } => {
                ec2::PathComponent { destination_vpc: self.some(vpc), ..of(self.some(connection)) }
            }
            Station::GatewayEndpoint { endpoint } => of(self.some(endpoint)),
            Station::LocalService { vpc } => of(self.some(vpc)),
            Station::Outside => return None,
        })
    }

    /// Why a walk ends, with what is known of the place where it does.
    fn explanation(&self, reason: &Reason, walk: &Walk) -> ec2::Explanation {
        let last = walk.reply.last().or(walk.request.last()).map(|hop| &hop.station);
        let subnet = last.and_then(|station| match station {
            Station::NetworkAcl { subnet, .. } | Station::RouteTable { subnet, .. } => Some(subnet.clone()),
            Station::Interface { interface, .. } | Station::SecurityGroups { interface, .. } => {
                let interfaces = &self.state.network_interfaces;
                interfaces.iter().find(|row| row.id == *interface).map(|row| row.subnet.clone())
            }
            _ => None,
        });
        let at = |code: &str| ec2::Explanation {
            explanation_code: Some(code.to_owned()),
            subnet: subnet.as_ref().and_then(|subnet| self.some(subnet)),
            vpc: subnet.as_ref().and_then(|subnet| self.vpc_of(subnet)),
            ..ec2::Explanation::default()
        };
        match reason {
            Reason::NotAttached { interface } => {
                ec2::Explanation { component: self.some(interface), ..at("BAD_STATE") }
            }
            Reason::NoGroupRule { interface, groups, direction } => ec2::Explanation {
                direction: Some(direction.to_string()),
                network_interface: self.some(interface),
                security_groups: Some(groups.iter().map(|group| self.component(group)).collect()),
                ..at("ENI_SG_RULES_MISMATCH")
            },
            Reason::AclDenies { acl, direction, .. } => ec2::Explanation {
                acl: self.some(acl),
                acl_rule: last.and_then(|station| match station {
                    Station::NetworkAcl { entry: Some(entry), .. } => Some(acl_rule(*direction, entry)),
                    _ => None,
                }),
                direction: Some(direction.to_string()),
                ..at("SUBNET_ACL_RESTRICTION")
            },
            Reason::NoRoute { table } => {
                ec2::Explanation { route_table: self.some(table), ..at("NO_ROUTE_TO_DESTINATION") }
            }
            Reason::Blackhole { table } | Reason::UnusableTarget { table, .. } => {
                let route = last.and_then(|station| match station {
                    Station::RouteTable { route: RouteTaken::Route { route, .. }, .. } => Some(&route.target),
                    _ => None,
                });
                let checked = route.and_then(|target| self.checked(target));
                let explanation =
                    at(if checked.is_some() { "ENI_SOURCE_DEST_CHECK_RESTRICTION" } else { "BAD_STATE_ROUTE" });
                ec2::Explanation {
                    network_interface: checked,
                    route_table: self.some(table),
                    route_table_route: last.and_then(|station| match station {
                        Station::RouteTable { route, .. } => taken(route),
                        _ => None,
                    }),
                    ..explanation
                }
            }
            Reason::NobodyThere { vpc, address } => ec2::Explanation {
                address: Some(address.to_string()),
                vpc: self.some(vpc),
                ..code("NO_POSSIBLE_DESTINATION")
            },
            Reason::NoWayIn { vpc } | Reason::NoDnsSupport { vpc } => {
                ec2::Explanation { vpc: self.some(vpc), ..code("NO_POSSIBLE_DESTINATION") }
            }
            Reason::NobodyOutside { address } | Reason::PrivateOutside { address } => {
                ec2::Explanation { address: Some(address.to_string()), ..at("NO_POSSIBLE_DESTINATION") }
            }
            Reason::NotBeyond { connection, vpc, address } => ec2::Explanation {
                address: Some(address.to_string()),
                vpc_peering_connection: self.some(connection),
                destination_vpc: self.some(vpc),
                ..code("PCX_REQUIRES_ADDRESS_IN_VPC_CIDR")
            },
            Reason::NoPublicAddress { private } => ec2::Explanation {
                address: Some(private.to_string()),
                internet_gateway: last.and_then(|station| match station {
                    Station::InternetGateway { gateway, .. } => self.some(gateway),
                    _ => None,
                }),
                vpc: last.and_then(|station| match station {
                    Station::InternetGateway { vpc, .. } => self.some(vpc),
                    _ => None,
                }),
                ..code("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
            },
            Reason::NatGatewayTakesNone { nat_gateway }
            | Reason::NatGatewayLoop { nat_gateway, .. }
            | Reason::UnknownToNatGateway { nat_gateway } => {
                ec2::Explanation { nat_gateway: self.some(nat_gateway), ..code("NO_POSSIBLE_DESTINATION") }
            }
            Reason::NoInstance { interface } => {
                ec2::Explanation { network_interface: self.some(interface), ..code("NO_POSSIBLE_DESTINATION") }
            }
            Reason::NotForwarded { interface } | Reason::NoAddressOfFamily { interface, .. } => {
                ec2::Explanation { network_interface: self.some(interface), ..at("ENI_ADDRESS_RESTRICTION") }
            }
            Reason::AnotherWay { table } => {
                ec2::Explanation { route_table: self.some(table), ..at("NO_POSSIBLE_DESTINATION") }
            }
        }
    }

    /// The interface that a route leads to and that is there, but takes no packets for others.
    fn checked(&self, target: &RouteTarget) -> Option<ec2::AnalysisComponent> {
        let RouteTarget::NetworkInterface(id) = target else { return None };
        let interface = self.state.network_interfaces.iter().find(|row| row.id == *id && row.attachment.is_some())?;
        interface.source_dest_check.then(|| self.component(id))
    }
}

fn ports(range: PortRange) -> ec2::PortRange {
    ec2::PortRange { from: Some(range.from.into()), to: Some(range.to.into()) }
}

/// A protocol as analyses write it: `all` or its number.
fn protocol(traffic: Traffic) -> String {
    match traffic {
        Traffic::All => "all".to_owned(),
        Traffic::Tcp(_) => "tcp".to_owned(),
        Traffic::Udp(_) => "udp".to_owned(),
        Traffic::Icmp { .. } => "icmp".to_owned(),
        Traffic::Icmpv6 { .. } => "icmpv6".to_owned(),
        Traffic::Protocol(number) => number.to_string(),
    }
}

fn port_range(traffic: Traffic) -> Option<ec2::PortRange> {
    match traffic {
        Traffic::Tcp(range) | Traffic::Udp(range) => Some(ports(range)),
        _ => None,
    }
}

fn group_rule(group: &str, direction: Direction, rule: &GroupRule) -> ec2::AnalysisSecurityGroupRule {
    let mut shown = ec2::AnalysisSecurityGroupRule {
        direction: Some(direction.to_string()),
        port_range: port_range(rule.traffic),
        protocol: Some(protocol(rule.traffic)),
        security_group_id: Some(group.to_owned()),
        ..ec2::AnalysisSecurityGroupRule::default()
    };
    match &rule.peer {
        Peer::Cidr(block) => shown.cidr = Some(block.to_string()),
        Peer::Group(id) => shown.security_group_id = Some(id.to_string()),
        Peer::PrefixList(id) => shown.prefix_list_id = Some(id.clone()),
    }
    shown
}

fn acl_rule(direction: Direction, entry: &AclEntry) -> ec2::AnalysisAclRule {
    ec2::AnalysisAclRule {
        cidr: Some(entry.cidr.to_string()),
        egress: Some(direction == Direction::Egress),
        port_range: port_range(entry.traffic),
        protocol: Some(protocol(entry.traffic)),
        rule_action: Some(if entry.allow { "allow" } else { "deny" }.to_owned()),
        rule_number: Some(entry.number.into()),
    }
}

fn taken(route: &RouteTaken) -> Option<ec2::AnalysisRouteTableRoute> {
    let mut shown = ec2::AnalysisRouteTableRoute {
        state: Some("active".to_owned()),
        origin: Some("CreateRoute".to_owned()),
        ..ec2::AnalysisRouteTableRoute::default()
    };
    match route {
        RouteTaken::None => return None,
        RouteTaken::Local { block } => {
            shown.destination_cidr = Some(block.to_string());
            shown.gateway_id = Some("local".to_owned());
            shown.origin = Some("CreateRouteTable".to_owned());
        }
        RouteTaken::Route { route, .. } => {
            match &route.destination {
                Destination::Cidr(block) => shown.destination_cidr = Some(block.to_string()),
                Destination::PrefixList(id) => shown.destination_prefix_list_id = Some(id.clone()),
            }
            match &route.target {
                RouteTarget::Local => shown.gateway_id = Some("local".to_owned()),
                RouteTarget::InternetGateway(id) => shown.gateway_id = Some(id.to_string()),
                RouteTarget::GatewayEndpoint(id) => shown.gateway_id = Some(id.to_string()),
                RouteTarget::EgressOnlyInternetGateway(id) => {
                    shown.egress_only_internet_gateway_id = Some(id.to_string());
                }
                RouteTarget::NatGateway(id) => shown.nat_gateway_id = Some(id.to_string()),
                RouteTarget::NetworkInterface(id) => shown.network_interface_id = Some(id.to_string()),
                RouteTarget::Peering(id) => shown.vpc_peering_connection_id = Some(id.to_string()),
                RouteTarget::Blackhole => shown.state = Some("blackhole".to_owned()),
            }
        }
    }
    Some(shown)
}

fn header(packet: &Packet) -> ec2::AnalysisPacketHeader {
    let one = |port: u16| Some(vec![ports(PortRange { from: port, to: port })]);
    let (protocol, from, to) = match packet.content {
        Content::Tcp { source_port, port } => ("6", one(source_port), one(port)),
        Content::Udp { source_port, port } => ("17", one(source_port), one(port)),
        Content::Icmp { .. } => ("1", None, None),
        Content::Icmpv6 { .. } => ("58", None, None),
    };
    ec2::AnalysisPacketHeader {
        protocol: Some(protocol.to_owned()),
        source_addresses: Some(vec![IpNet::from(packet.source).to_string()]),
        destination_addresses: Some(vec![IpNet::from(packet.destination).to_string()]),
        source_port_ranges: from,
        destination_port_ranges: to,
    }
}
