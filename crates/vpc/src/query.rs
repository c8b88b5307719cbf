//! What other services may read of the network.

use crate::rows::{
    Address, DhcpOptions, Instance, InstanceState, InterfaceState, ManagedPrefixList, NetworkInterface, PeeredGroup,
    PeeringState, RouteTable, SecurityGroup, Subnet, Tags, Vpc, VpcEndpoint, VpcPeeringConnection,
};
use crate::{images, instance_types, instances, names, user_data};
use gateway::Door;
use gateway::door::{Endpoint, EndpointPolicy, PolicySource};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use store::{Row, View};
use types::id::{EniId, ImageId, InstanceId, SubnetId, VpcId};
use types::{Region, Scope, Timestamp};

/// The services that have interface endpoints here.
pub const INTERFACE_SERVICES: [&str; 16] = [
    "application-autoscaling",
    "autoscaling",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "ecs",
    "ecs-agent",
    "ecs-telemetry",
    "elasticloadbalancing",
    "logs",
    "monitoring",
    "s3",
    "secretsmanager",
    "ssm",
    "ssmmessages",
    "sts",
];

/// The version of the ECS agent in the machine images.
pub const AGENT_VERSION: &str = images::AGENT;

/// The services that have gateway endpoints.
pub const GATEWAY_SERVICES: [&str; 2] = ["dynamodb", "s3"];

/// An instance that runs, as those see it who have it run something: ECS makes a container instance of it.
///
/// Watch [`INSTANCE_TABLES`] to hear of instances that come and go. One that stops or ends is no longer among
/// [`running_instances`] from the moment when that is asked for; its namespace goes with its interfaces a moment later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningInstance {
    /// Its id.
    pub id: InstanceId,
    /// `t3.medium`.
    pub instance_type: String,
    /// Its machine image.
    pub image: ImageId,
    /// Its processors in CPU units, 1024 each.
    pub cpu_units: u32,
    /// Its memory in MiB, all of it: what the system and the agent keep for themselves is the reader's to take off.
    pub memory_mib: u64,
    /// How many network interfaces its type lets it have in all.
    pub most_interfaces: usize,
    /// The network namespace that holds its interfaces (`fabric::Fabric::netns_path`): `host` and `bridge` tasks of it
    /// live in there.
    pub namespace: String,
    /// Its primary interface.
    pub interface: EniId,
    /// That interface's primary address.
    pub private_ip: Ipv4Addr,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its primary interface's subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: String,
    /// When it booted last: what ran on it before has ended with that.
    pub booted: Timestamp,
    /// The ARN of the role in its instance profile, for what the agent does; `None` where it has none.
    pub role: Option<String>,
    /// What its user data writes into the agent's configuration: `ECS_CLUSTER`, `ECS_INSTANCE_ATTRIBUTES`, …
    pub ecs_config: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
}

/// The tables in which changes of [`running_instances`] show, whose ids are the instances' and their interfaces'.
pub const INSTANCE_TABLES: [&str; 2] = [<Instance as Row>::TABLE, <NetworkInterface as Row>::TABLE];

/// The instances of an account and region that run and are in the kernel, in order of id.
pub fn running_instances(view: &View, scope: &Scope) -> Vec<RunningInstance> {
    view.scan::<Instance>(scope).filter_map(|row| running(view, scope, row)).collect()
}

/// The instance of that id, if it runs.
pub fn running_instance(view: &View, scope: &Scope, id: &str) -> Option<RunningInstance> {
    running(view, scope, view.get::<Instance>(scope, id)?.as_ref())
}

/// The instance of that id, whatever its state.
pub fn instance(view: &View, scope: &Scope, id: &str) -> Option<Arc<Instance>> {
    view.get(scope, id)
}

/// The instance that has the interface: as one of its own, or lent to a task.
pub fn instance_of(view: &View, scope: &Scope, interface: &NetworkInterface) -> Option<Arc<Instance>> {
    instance(view, scope, interface.attachment.as_ref()?.instance.as_ref()?.as_str())
}

/// The primary address of an instance, as long as it has one.
pub fn instance_ip(view: &View, scope: &Scope, id: &str) -> Option<Ipv4Addr> {
    instances::interfaces(view, scope, id).first()?.private_ip()
}

fn running(view: &View, scope: &Scope, row: &Instance) -> Option<RunningInstance> {
    if row.state != InstanceState::Running {
        return None;
    }
    let primary = instances::interfaces(view, scope, row.id.as_str()).into_iter().next()?;
    let kind = instance_types::find(&row.kind)?;
    let role = row.profile.as_ref().and_then(|(arn, _)| {
        let profile = iam::query::instance_profile(view, &scope.account, arn)?;
        iam::query::role_of_profile(view, &scope.account, &profile)
    });
    Some(RunningInstance {
        id: row.id.clone(),
        instance_type: kind.name.clone(),
        image: row.image.clone(),
        cpu_units: kind.vcpus * 1024,
        memory_mib: kind.memory_mib,
        most_interfaces: kind.interfaces,
        namespace: row.id.to_string(),
        interface: primary.id.clone(),
        private_ip: primary.private_ip()?,
        vpc: row.vpc.clone(),
        subnet: row.subnet.clone(),
        zone: row.zone.clone(),
        booted: row.booted,
        role,
        ecs_config: row.user_data.as_deref().map(user_data::ecs_config).unwrap_or_default(),
        tags: row.tags.clone(),
    })
}

/// The subnet of that id.
pub fn subnet(view: &View, scope: &Scope, id: &str) -> Option<Arc<Subnet>> {
    view.get(scope, id)
}

/// The VPC of that id.
pub fn vpc(view: &View, scope: &Scope, id: &str) -> Option<Arc<Vpc>> {
    view.get(scope, id)
}

/// The security group of that id.
pub fn security_group(view: &View, scope: &Scope, id: &str) -> Option<Arc<SecurityGroup>> {
    view.get(scope, id)
}

/// The network interface of that id.
pub fn interface(view: &View, scope: &Scope, id: &str) -> Option<Arc<NetworkInterface>> {
    view.get(scope, id)
}

/// The interface that has an address, private or IPv6, in a VPC.
pub fn interface_by_ip(
    view: &View,
    scope: &Scope,
    vpc: &VpcId,
    ip: impl Into<IpAddr>,
) -> Option<Arc<NetworkInterface>> {
    let ip = ip.into();
    view.by_index(&NetworkInterface::BY_PRIVATE_IP, scope, &format!("{vpc}/{ip}")).next().cloned()
}

/// The public address of an interface: the elastic one if it has one, else the automatic one.
pub fn public_ip(view: &View, scope: &Scope, interface: &NetworkInterface) -> Option<Ipv4Addr> {
    let elastic = view.by_index(&Address::BY_INTERFACE, scope, interface.id.as_str()).find_map(|address| {
        let (_, _, private) = address.association.as_ref()?;
        (Some(*private) == interface.private_ip()).then_some(address.public_ip)
    });
    elastic.or(interface.auto_public_ip)
}

/// The interface that a public address leads to, and the private address that it stands for.
pub fn holder(view: &View, scope: &Scope, public: Ipv4Addr) -> Option<(Arc<NetworkInterface>, Ipv4Addr)> {
    let text = public.to_string();
    let elastic = view.by_index(&Address::BY_PUBLIC_IP, scope, &text).find_map(|row| row.association.as_ref());
    if let Some((_, id, private)) = elastic {
        return Some((interface(view, scope, id.as_str())?, *private));
    }
    let automatic = view.by_index(&NetworkInterface::BY_PUBLIC_IP, scope, &text).next()?;
    // An elastic address takes an automatic one's place.
    (public_ip(view, scope, automatic) == Some(public)).then_some(())?;
    Some((automatic.clone(), automatic.private_ip()?))
}

/// The endpoint of that id.
pub fn endpoint(view: &View, scope: &Scope, id: &str) -> Option<Arc<VpcEndpoint>> {
    view.get(scope, id)
}

/// The door that an endpoint is.
pub fn door(scope: &Scope, endpoint: &VpcEndpoint) -> Door {
    let service = names::short_service(&scope.region, &endpoint.service).unwrap_or(&endpoint.service);
    Door::Endpoint(Arc::new(Endpoint {
        scope: scope.clone(),
        id: endpoint.id.clone(),
        vpc: endpoint.vpc.clone(),
        service: service.to_owned(),
        policy: PolicySource(|view, scope, id| endpoint_policy(view, scope, id.as_str())),
    }))
}

/// What the endpoint of that id lets pass.
pub fn endpoint_policy(view: &View, scope: &Scope, id: &str) -> EndpointPolicy {
    match endpoint(view, scope, id).map(|row| row.policy.clone()) {
        Some(None) => EndpointPolicy::FullAccess,
        Some(Some(text)) => EndpointPolicy::Document(text),
        None => EndpointPolicy::Gone,
    }
}

/// The endpoint that has an interface with that address, in the VPC or in one that it is peered with.
pub fn endpoint_at(view: &View, scope: &Scope, vpc: &VpcId, ip: Ipv4Addr) -> Option<(Scope, Arc<VpcEndpoint>)> {
    let active = peerings(view, scope).into_iter().filter(|row| row.state == PeeringState::Active);
    let beyond = active.filter_map(|row| row.beyond(vpc).map(|side| (side.scope.clone(), side.vpc.clone())));
    let places = std::iter::once((scope.clone(), vpc.clone())).chain(beyond);
    let (scope, interface) =
        places.into_iter().find_map(|(scope, vpc)| interface_by_ip(view, &scope, &vpc, ip).map(|row| (scope, row)))?;
    let mut endpoints = view.by_index(&VpcEndpoint::BY_VPC, &scope, interface.vpc.as_str());
    let found = endpoints.find(|row| row.interfaces.iter().any(|(_, id)| *id == interface.id)).cloned()?;
    Some((scope, found))
}

/// The interface endpoint that has a service's own name in a VPC: one with private DNS, where the VPC's attributes let
/// it. `service` is the last part of `com.amazonaws.<region>.<service>`.
pub fn private_dns_endpoint(view: &View, scope: &Scope, vpc: &Vpc, service: &str) -> Option<Arc<VpcEndpoint>> {
    let mut endpoints = view.by_index(&VpcEndpoint::BY_VPC, scope, vpc.id.as_str());
    let fits = |row: &&Arc<VpcEndpoint>| {
        row.private_dns
            && !row.inbound_only
            && row.kind == "Interface"
            && names::short_service(&scope.region, &row.service) == Some(service)
    };
    (vpc.dns_support && vpc.dns_hostnames).then(|| endpoints.find(fits).cloned())?
}

/// The interfaces of an interface endpoint.
pub fn endpoint_interfaces(view: &View, scope: &Scope, endpoint: &VpcEndpoint) -> Vec<Arc<NetworkInterface>> {
    endpoint.interfaces.iter().filter_map(|(_, id)| interface(view, scope, id.as_str())).collect()
}

/// What a VPC's DHCP tells those who start in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dhcp {
    /// Whom to ask for names.
    pub name_servers: Vec<Ipv4Addr>,
    /// Where to look for short names.
    pub domains: Vec<String>,
}

/// What a VPC's DHCP options say: nothing where it has been given none.
pub fn dhcp(view: &View, scope: &Scope, vpc: &Vpc) -> Dhcp {
    let Some(set) = dhcp_options(view, scope, vpc) else { return Dhcp::default() };
    let server = |text: &String| {
        if text == "AmazonProvidedDNS" { Some(names::resolver(vpc)) } else { text.parse().ok() }
    };
    Dhcp {
        name_servers: set.values("domain-name-servers").iter().filter_map(server).collect(),
        // Linux takes several, separated by spaces.
        domains: set.values("domain-name").iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect(),
    }
}

/// Whether the VPC's router stands: something is attached in it.
pub fn has_router(view: &View, scope: &Scope, vpc: &str) -> bool {
    let mut interfaces = view.by_index(&NetworkInterface::BY_VPC, scope, vpc);
    interfaces.any(|row| row.attachment.is_some() && row.state == InterfaceState::Attached)
}

/// The route table in force for a subnet: the one associated, else the VPC's main one.
pub fn route_table(view: &View, scope: &Scope, subnet: &Subnet) -> Option<Arc<RouteTable>> {
    let explicit = view.by_index(&RouteTable::BY_SUBNET, scope, subnet.id.as_str()).next().cloned();
    explicit.or_else(|| view.get(scope, vpc(view, scope, subnet.vpc.as_str())?.main_route_table.as_str()))
}

/// How many addresses of a subnet are free.
pub fn free_addresses(view: &View, scope: &Scope, subnet: &Subnet) -> usize {
    let used: usize = view
        .by_index(&NetworkInterface::BY_SUBNET, scope, subnet.id.as_str())
        .map(|interface| interface.private_ips.len())
        .sum();
    subnet.capacity().saturating_sub(used)
}

/// The subnets of a VPC.
pub fn subnets_of(view: &View, scope: &Scope, vpc: &VpcId) -> Vec<SubnetId> {
    view.by_index(&Subnet::BY_VPC, scope, vpc.as_str()).map(|subnet| subnet.id.clone()).collect()
}

/// The peering connections that have an account's VPCs on one of their sides, in order of id.
pub fn peerings(view: &View, scope: &Scope) -> Vec<Arc<VpcPeeringConnection>> {
    let all = view.scan_all::<VpcPeeringConnection>();
    let mut found: Vec<_> = all.filter(|(_, row)| row.side(scope).is_some()).map(|(_, row)| row.clone()).collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// The peering connection of that id, if the account is one of its sides.
pub fn peering(view: &View, scope: &Scope, id: &str) -> Option<Arc<VpcPeeringConnection>> {
    peerings(view, scope).into_iter().find(|row| row.id.as_str() == id)
}

/// Whether a group beyond a peering connection is still there and reached through it; else the rule is stale.
pub fn reaches(view: &View, scope: &Scope, peer: &PeeredGroup) -> bool {
    let connection = peering(view, scope, peer.connection.as_str()).filter(|row| row.state == PeeringState::Active);
    connection.is_some_and(|row| {
        let side = row.sides().into_iter().find(|side| side.vpc == peer.vpc);
        side.is_some_and(|side| view.contains::<SecurityGroup>(&side.scope, peer.group.as_str()))
    })
}

/// A prefix list of AWS's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixList {
    /// `pl-63a5400a`.
    pub id: String,
    /// `com.amazonaws.us-east-1.s3`.
    pub name: String,
}

/// Whether there is a prefix list of that id, the account's own or AWS's.
pub fn is_prefix_list(view: &View, scope: &Scope, id: &str) -> bool {
    let mut of_aws = prefix_lists(&scope.region).into_iter().chain([cloudfront()]);
    view.contains::<ManagedPrefixList>(scope, id) || of_aws.any(|list| list.id == id)
}

/// As how many rules CloudFront's prefix list counts. Source: VPC user guide, "AWS-managed prefix list weight".
pub const CLOUDFRONT_WEIGHT: usize = 55;

/// The prefix list of those whom CloudFront asks origins from, by its id in us-east-1. It has no entries, as nobody here is CloudFront.
pub fn cloudfront() -> PrefixList {
    let name = "com.amazonaws.global.cloudfront.origin-facing";
    PrefixList { id: "pl-3b927c52".to_owned(), name: name.to_owned() }
}

/// The DHCP options in force in a VPC: `None` where it has been given the set called `default`, which is no options.
pub fn dhcp_options(view: &View, scope: &Scope, vpc: &Vpc) -> Option<Arc<DhcpOptions>> {
    view.get(scope, vpc.dhcp_options.as_ref()?.as_str())
}

/// The prefix lists of the services that have gateway endpoints. Their addresses are the instance's own: the fabric's
/// ground says where those services answer.
pub fn prefix_lists(region: &Region) -> Vec<PrefixList> {
    [("s3", "63a5400a"), ("dynamodb", "02cd2c6b")]
        .into_iter()
        .map(|(service, id)| PrefixList { id: format!("pl-{id}"), name: format!("com.amazonaws.{region}.{service}") })
        .collect()
}
