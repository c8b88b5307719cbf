//! A change of the network as a person makes it: in words, and as a command of the AWS CLI.

use ipnet::IpNet;
use netplan::walk::{Direction, Fix};
use netplan::{Destination, GroupRule, NetworkState, Peer, PortRange, RouteEntry, RouteTarget, Traffic};
use serde::{Deserialize, Serialize};
use types::id::RouteTableAssociationId;

/// A change that lets a packet pass where it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The change.
    pub fix: Fix,
    /// In words.
    pub text: String,
    /// As a command; none where AWS lets only the interface's owner do it.
    pub command: Option<String>,
}

/// What a change's words depend on besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Whether the interface belongs to a service such as ECS.
    pub(crate) managed: bool,
    /// The association of the subnet's own with its route table; without one it has the VPC's main table.
    pub(crate) association: Option<RouteTableAssociationId>,
}

impl Change {
    /// The change that `fix` is, where the rows that it speaks of stand so.
    pub(crate) fn new(fix: Fix, standing: &Standing) -> Self {
        let (text, command) = words(&fix, standing);
        Self { fix, text, command }
    }
}

/// What stands in the way of a packet one after the other, with `again` asking anew: the changes in order, and whether
/// the packet passes after all of them.
pub(crate) fn all(
    state: &NetworkState,
    first: Option<Fix>,
    mut again: impl FnMut(&NetworkState) -> Option<Option<Fix>>,
) -> (Vec<Fix>, bool) {
    let mut made = Vec::new();
    let mut state = state.clone();
    let mut next = first;
    while let Some(fix) = next {
        if made.len() == LIMIT || made.contains(&fix) {
            return (made, false);
        }
        let changed = fix.apply(&state);
        made.push(fix);
        let Some(changed) = changed else { return (made, false) };
        state = changed;
        match again(&state) {
            None => return (made, true),
            Some(fix) => next = fix,
        }
    }
    (made, false)
}

/// How many changes are told: a way has no more hops that refuse.
const LIMIT: usize = 20;

fn words(fix: &Fix, standing: &Standing) -> (String, Option<String>) {
    let way = |direction: &Direction| if *direction == Direction::Ingress { "ingress" } else { "egress" };
    match fix {
        Fix::AllowInGroup { group, direction, rule } => {
            let preposition = if *direction == Direction::Ingress { "from" } else { "to" };
            let GroupRule { traffic: what, peer: who } = rule;
            let text = format!("allow {} {preposition} {} in {group} ({direction})", traffic(*what), peer(who));
            let command = format!(
                "aws ec2 authorize-security-group-{} --group-id {group} --ip-permissions '{}'",
                way(direction),
                permission(rule)
            );
            (text, Some(command))
        }
        Fix::AllowInAcl { acl, direction, entry } => {
            let preposition = if *direction == Direction::Ingress { "from" } else { "to" };
            let text = format!(
                "allow {} {preposition} {} in {acl} ({direction}), as entry {}",
                traffic(entry.traffic),
                entry.cidr,
                entry.number
            );
            let command = format!(
                "aws ec2 create-network-acl-entry --network-acl-id {acl} --{} --rule-number {} --protocol {}{} \
                 --{} {} --rule-action allow",
                way(direction),
                entry.number,
                protocol(entry.traffic),
                acl_ports(entry.traffic),
                if entry.cidr.addr().is_ipv6() { "ipv6-cidr-block" } else { "cidr-block" },
                entry.cidr
            );
            (text, Some(command))
        }
        Fix::DeleteAclEntry { acl, direction, number } => (
            format!("delete {direction} entry {number} of {acl}"),
            Some(format!(
                "aws ec2 delete-network-acl-entry --network-acl-id {acl} --{} --rule-number {number}",
                way(direction)
            )),
        ),
        Fix::AddRoute { table, route } => (
            format!("add to {table} a route from {} to {}", destination(&route.destination), target(&route.target)),
            Some(format!("aws ec2 create-route --route-table-id {table} {}", route_words(route))),
        ),
        Fix::ReplaceRoute { table, route } => (
            format!("have {table} send {} to {}", destination(&route.destination), target(&route.target)),
            Some(format!("aws ec2 replace-route --route-table-id {table} {}", route_words(route))),
        ),
        Fix::DeleteRoute { table, destination: block } => (
            format!("delete the route for {} from {table}", destination(block)),
            Some(format!("aws ec2 delete-route --route-table-id {table} {}", destination_words(block))),
        ),
        Fix::AssociateRouteTable { subnet, table } => {
            let command = match &standing.association {
                Some(association) => format!(
                    "aws ec2 replace-route-table-association --association-id {association} --route-table-id {table}"
                ),
                None => format!("aws ec2 associate-route-table --subnet-id {subnet} --route-table-id {table}"),
            };
            (format!("associate {subnet} with {table}, which leads to the internet gateway"), Some(command))
        }
        Fix::AttachInternetGateway { vpc } => (
            format!("attach an internet gateway to {vpc}"),
            Some(format!(
                "aws ec2 attach-internet-gateway --vpc-id {vpc} --internet-gateway-id \
                 $(aws ec2 create-internet-gateway --query InternetGateway.InternetGatewayId --output text)"
            )),
        ),
        Fix::GivePublicAddress { interface, .. } if standing.managed => (
            format!(
                "give {interface} a public address (a task: assignPublicIp=ENABLED), or send its subnet's way out \
                 through a NAT gateway"
            ),
            None,
        ),
        Fix::GivePublicAddress { interface, private } => (
            format!("give {private} of {interface} an elastic IP"),
            Some(format!(
                "aws ec2 associate-address --network-interface-id {interface} --private-ip-address {private} \
                 --allocation-id $(aws ec2 allocate-address --query AllocationId --output text)"
            )),
        ),
    }
}

/// `tcp 80`, `all traffic`.
pub(crate) fn traffic(traffic: Traffic) -> String {
    let ports = |name: &str, range: PortRange| match range {
        PortRange::ALL => format!("all {name}"),
        PortRange { from, to } if from == to => format!("{name} {from}"),
        PortRange { from, to } => format!("{name} {from}-{to}"),
    };
    let icmp = |name: &str, kind: Option<u8>, code: Option<u8>| match (kind, code) {
        (None, _) => format!("all {name}"),
        (Some(kind), None) => format!("{name} {kind}"),
        (Some(kind), Some(code)) => format!("{name} {kind}/{code}"),
    };
    match traffic {
        Traffic::All => "all traffic".to_owned(),
        Traffic::Tcp(range) => ports("tcp", range),
        Traffic::Udp(range) => ports("udp", range),
        Traffic::Icmp { kind, code } => icmp("icmp", kind, code),
        Traffic::Icmpv6 { kind, code } => icmp("icmpv6", kind, code),
        Traffic::Protocol(number) => format!("protocol {number}"),
    }
}

/// The other side of a rule.
pub(crate) fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Cidr(block) => block.to_string(),
        Peer::Group(id) => id.to_string(),
        Peer::PrefixList(id) => id.clone(),
    }
}

/// What a route is for.
pub(crate) fn destination(destination: &Destination) -> String {
    match destination {
        Destination::Cidr(block) => block.to_string(),
        Destination::PrefixList(id) => id.clone(),
    }
}

/// Where a route leads.
pub(crate) fn target(target: &RouteTarget) -> String {
    match target {
        RouteTarget::Local => "local".to_owned(),
        RouteTarget::InternetGateway(id) => id.to_string(),
        RouteTarget::EgressOnlyInternetGateway(id) => id.to_string(),
        RouteTarget::NatGateway(id) => id.to_string(),
        RouteTarget::NetworkInterface(id) => id.to_string(),
        RouteTarget::GatewayEndpoint(id) => id.to_string(),
        RouteTarget::Peering(id) => id.to_string(),
        RouteTarget::Blackhole => "nowhere".to_owned(),
    }
}

/// The CLI's short form of `IpPermissions`.
fn permission(rule: &GroupRule) -> String {
    let ports = match rule.traffic {
        Traffic::Tcp(range) | Traffic::Udp(range) => format!(",FromPort={},ToPort={}", range.from, range.to),
        Traffic::Icmp { kind, code } | Traffic::Icmpv6 { kind, code } => {
            let number = |value: Option<u8>| value.map_or(-1, i16::from);
            format!(",FromPort={},ToPort={}", number(kind), number(code))
        }
        Traffic::All | Traffic::Protocol(_) => String::new(),
    };
    let name = match rule.traffic {
        Traffic::Tcp(_) => "tcp".to_owned(),
        Traffic::Udp(_) => "udp".to_owned(),
        Traffic::Icmp { .. } => "icmp".to_owned(),
        Traffic::Icmpv6 { .. } => "icmpv6".to_owned(),
        other => protocol(other),
    };
    let peer = match &rule.peer {
        Peer::Cidr(IpNet::V4(block)) => format!("IpRanges=[{{CidrIp={block}}}]"),
        Peer::Cidr(IpNet::V6(block)) => format!("Ipv6Ranges=[{{CidrIpv6={block}}}]"),
        Peer::Group(id) => format!("UserIdGroupPairs=[{{GroupId={id}}}]"),
        Peer::PrefixList(id) => format!("PrefixListIds=[{{PrefixListId={id}}}]"),
    };
    format!("IpProtocol={name}{ports},{peer}")
}

/// A protocol's number, -1 for all.
fn protocol(traffic: Traffic) -> String {
    match traffic {
        Traffic::All => "-1".to_owned(),
        Traffic::Tcp(_) => "6".to_owned(),
        Traffic::Udp(_) => "17".to_owned(),
        Traffic::Icmp { .. } => "1".to_owned(),
        Traffic::Icmpv6 { .. } => "58".to_owned(),
        Traffic::Protocol(number) => number.to_string(),
    }
}

fn acl_ports(traffic: Traffic) -> String {
    match traffic {
        Traffic::Tcp(range) | Traffic::Udp(range) => format!(" --port-range From={},To={}", range.from, range.to),
        Traffic::Icmp { kind, code } | Traffic::Icmpv6 { kind, code } => {
            let number = |value: Option<u8>| value.map_or(-1, i16::from);
            format!(" --icmp-type-code Type={},Code={}", number(kind), number(code))
        }
        Traffic::All | Traffic::Protocol(_) => String::new(),
    }
}

fn destination_words(destination: &Destination) -> String {
    match destination {
        Destination::Cidr(IpNet::V4(block)) => format!("--destination-cidr-block {block}"),
        Destination::Cidr(IpNet::V6(block)) => format!("--destination-ipv6-cidr-block {block}"),
        Destination::PrefixList(id) => format!("--destination-prefix-list-id {id}"),
    }
}

fn route_words(route: &RouteEntry) -> String {
    let option = match &route.target {
        RouteTarget::EgressOnlyInternetGateway(_) => "--egress-only-internet-gateway-id",
        RouteTarget::NatGateway(_) => "--nat-gateway-id",
        RouteTarget::NetworkInterface(_) => "--network-interface-id",
        RouteTarget::GatewayEndpoint(_) => "--vpc-endpoint-id",
        RouteTarget::Peering(_) => "--vpc-peering-connection-id",
        RouteTarget::Local | RouteTarget::InternetGateway(_) | RouteTarget::Blackhole => "--gateway-id",
    };
    format!("{} {option} {}", destination_words(&route.destination), target(&route.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netplan::AclEntry;
    use types::id::{NatGatewayId, NetworkAclId, RouteTableId, SecurityGroupId};

    fn command(fix: Fix) -> String {
        Change::new(fix, &Standing::default()).command.unwrap()
    }

    #[test]
    fn changes_are_commands_of_the_aws_cli() {
        let (web, db) =
            (SecurityGroupId::parse("sg-00000001").unwrap(), SecurityGroupId::parse("sg-00000002").unwrap());
        let postgres = Traffic::Tcp(PortRange { from: 5432, to: 5432 });
        let rule = GroupRule { traffic: postgres, peer: Peer::Group(web) };
        assert_eq!(
            command(Fix::AllowInGroup { group: db, direction: Direction::Ingress, rule }),
            "aws ec2 authorize-security-group-ingress --group-id sg-00000002 --ip-permissions \
             'IpProtocol=tcp,FromPort=5432,ToPort=5432,UserIdGroupPairs=[{GroupId=sg-00000001}]'"
        );
        let entry = AclEntry {
            number: 90,
            allow: true,
            traffic: Traffic::Icmp { kind: Some(8), code: None },
            cidr: "10.0.0.0/24".parse().unwrap(),
        };
        let acl = NetworkAclId::parse("acl-00000001").unwrap();
        assert_eq!(
            command(Fix::AllowInAcl { acl, direction: Direction::Egress, entry }),
            "aws ec2 create-network-acl-entry --network-acl-id acl-00000001 --egress --rule-number 90 --protocol 1 \
             --icmp-type-code Type=8,Code=-1 --cidr-block 10.0.0.0/24 --rule-action allow"
        );
        let route = RouteEntry {
            destination: Destination::Cidr("0.0.0.0/0".parse().unwrap()),
            target: RouteTarget::NatGateway(NatGatewayId::parse("nat-00000001").unwrap()),
        };
        assert_eq!(
            command(Fix::AddRoute { table: RouteTableId::parse("rtb-00000001").unwrap(), route }),
            "aws ec2 create-route --route-table-id rtb-00000001 --destination-cidr-block 0.0.0.0/0 --nat-gateway-id nat-00000001"
        );
    }
}
