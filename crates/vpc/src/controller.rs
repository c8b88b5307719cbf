//! Makes the kernel's network agree with the rows, and writes back what became of interfaces and NAT gateways.
//!
//! There is one key: the whole network is compiled and applied at once, for rules refer to each other across resources.
//! The fabric applies only what differs from what it applied before. What is woken while an apply runs is one more apply.

use crate::flow_logs;
use crate::intent;
use crate::query;
use crate::rows::{
    AclTraffic, Address, Behind, EgressOnlyInternetGateway, FlowLog, InterfaceState, InternetGateway,
    ManagedPrefixList, NatGateway, NatGatewayState, NetworkAcl, NetworkInterface, Peer, PeeringState, RouteTable, Rule,
    SecurityGroup, Subnet, Target, Vpc, VpcEndpoint, VpcPeeringConnection,
};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use ipnet::{IpNet, Ipv4Net};
use netplan::{Ground, NetworkState, PlanParts, Planner, Traffic};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, Store, View};
use types::id::{EniId, VpcId};
use types::{Clock, Scope};

/// What carries a plan out: the kernel's fabric, or a simulated one.
pub trait Fabric: Send + Sync + 'static {
    /// Where it stands.
    fn ground(&self) -> &Ground;
    /// Makes the network what `plan` says. May block.
    fn apply(&self, plan: &PlanParts) -> Result<(), String>;
}

impl Fabric for fabric::Fabric {
    fn ground(&self) -> &Ground {
        fabric::Fabric::ground(self)
    }

    fn apply(&self, plan: &PlanParts) -> Result<(), String> {
        fabric::Fabric::apply(self, plan).map(|_| ()).map_err(|error| error.to_string())
    }
}

/// The VPCs whose verdicts somebody follows at the moment. It is nobody's intent to keep: who follows them says it anew.
#[derive(Debug, Default)]
pub struct Traced(Mutex<BTreeSet<VpcId>>);

impl Traced {
    /// Has exactly these followed once the controller is woken. Returns whether that is a change.
    pub fn set(&self, vpcs: BTreeSet<VpcId>) -> bool {
        let mut traced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *traced != vpcs;
        *traced = vpcs;
        changed
    }

    fn get(&self) -> BTreeSet<VpcId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The controller of the network.
pub struct Network {
    store: Store,
    clock: Arc<dyn Clock>,
    fabric: Arc<dyn Fabric>,
    planner: Arc<Mutex<Planning>>,
    /// What the last plan left out, which has been said.
    omitted: Mutex<BTreeSet<String>>,
    traced: Arc<Traced>,
}

/// The compiler, and the state that it saw last.
#[derive(Default)]
struct Planning {
    planner: Planner,
    last: Option<NetworkState>,
}

impl Planning {
    fn plan(&mut self, mut state: NetworkState) -> PlanParts {
        if let Some(last) = &self.last {
            state.share_with(last);
        }
        let plan = self.planner.plan(&state);
        self.last = Some(state);
        plan
    }
}

/// How long a deleted NAT gateway is still shown. Source: EC2 API reference, DescribeNatGateways.
const SHOWN: Duration = Duration::from_secs(3600);

impl Network {
    /// The controller that drives `fabric`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, fabric: Arc<dyn Fabric>) -> Self {
        Self { store, clock, fabric, planner: Arc::default(), omitted: Mutex::default(), traced: Arc::default() }
    }

    /// The same, which has the verdicts in `traced` told.
    #[must_use]
    pub fn tracing(self, traced: Arc<Traced>) -> Self {
        Self { traced, ..self }
    }

    /// Its name.
    pub const NAME: &str = "vpc.network";

    /// Its one key.
    pub fn key() -> Key {
        Key::new(&Scope::default(), "network")
    }

    /// Says what a plan leaves out, once.
    fn say_omitted(&self, omitted: BTreeSet<String>) {
        let mut said = self.omitted.lock().unwrap_or_else(PoisonError::into_inner);
        for new in omitted.difference(&said) {
            tracing::warn!(omitted = new, "left out of the network");
        }
        *said = omitted;
    }

    /// Writes what the apply of `view`'s network came to.
    async fn write_back(
        &self,
        view: &View,
        (attached, standing): (&BTreeSet<EniId>, &BTreeSet<String>),
        failure: Option<&str>,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        let state = |interface: &NetworkInterface| match failure {
            None if attached.contains(&interface.id) => InterfaceState::Attached,
            None => InterfaceState::Pending,
            // What works goes on working: a failed apply changes nothing of it.
            Some(_) if interface.state == InterfaceState::Attached => InterfaceState::Attached,
            Some(text) => InterfaceState::Failed(text.to_owned()),
        };
        let interfaces: Vec<(Scope, Arc<NetworkInterface>)> = view
            .scan_all::<NetworkInterface>()
            .filter(|(_, interface)| state(interface) != interface.state)
            .map(|(scope, interface)| (scope.clone(), interface.clone()))
            .collect();
        let nats: Vec<(Scope, Arc<NatGateway>)> = view
            .scan_all::<NatGateway>()
            .filter(|(_, nat)| nat_state(nat, attached, failure.is_some()) != nat.state || expired(nat, now))
            .map(|(scope, nat)| (scope.clone(), nat.clone()))
            .collect();
        let behind: Vec<(Scope, Arc<Behind>)> = view
            .scan_all::<Behind>()
            .filter(|(_, row)| failure.is_none() && row.attached != standing.contains(&row.netns))
            .map(|(scope, row)| (scope.clone(), row.clone()))
            .collect();
        if interfaces.is_empty() && nats.is_empty() && behind.is_empty() {
            return Ok(());
        }
        let ticket = {
            let mut tx = self.store.begin();
            for (scope, interface) in interfaces {
                let state = state(&interface);
                tx.update::<NetworkInterface>(&scope, interface.id.as_str(), |row| row.state = state);
            }
            let connections: Vec<_> =
                tx.scan_all::<VpcPeeringConnection>().map(|(scope, row)| (scope.clone(), row.clone())).collect();
            for (scope, row) in connections.into_iter().filter(|(_, row)| row.forgotten(now)) {
                tx.delete::<VpcPeeringConnection>(&scope, row.id.as_str());
            }
            for (scope, row) in behind {
                tx.update::<Behind>(&scope, &row.netns, |row| row.attached = standing.contains(&row.netns));
            }
            for (scope, nat) in nats {
                if expired(&nat, now) {
                    tx.delete::<NatGateway>(&scope, nat.id.as_str());
                    continue;
                }
                let state = nat_state(&nat, attached, failure.is_some());
                if state == NatGatewayState::Deleted {
                    intent::delete_interface(&mut tx, &scope, &nat.interface);
                }
                tx.update::<NatGateway>(&scope, nat.id.as_str(), |row| row.state = state);
            }
            tx.commit()
        };
        ticket.wait().await?;
        Ok(())
    }
}

fn nat_state(nat: &NatGateway, attached: &BTreeSet<EniId>, failed: bool) -> NatGatewayState {
    match nat.state {
        NatGatewayState::Pending if attached.contains(&nat.interface) && !failed => NatGatewayState::Available,
        NatGatewayState::Deleting if !failed => NatGatewayState::Deleted,
        other => other,
    }
}

fn expired(nat: &NatGateway, now: types::Timestamp) -> bool {
    nat.state == NatGatewayState::Deleted && nat.deleted.is_some_and(|at| now.since(at) >= SHOWN)
}

#[async_trait]
impl Controller for Network {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn tables(&self) -> &'static [&'static str] {
        &[
            Vpc::TABLE,
            Subnet::TABLE,
            RouteTable::TABLE,
            InternetGateway::TABLE,
            EgressOnlyInternetGateway::TABLE,
            NatGateway::TABLE,
            Address::TABLE,
            SecurityGroup::TABLE,
            NetworkAcl::TABLE,
            NetworkInterface::TABLE,
            VpcEndpoint::TABLE,
            ManagedPrefixList::TABLE,
            VpcPeeringConnection::TABLE,
            FlowLog::TABLE,
            Behind::TABLE,
        ]
    }

    fn keys(&self, view: &View, _: &Change) -> Vec<Key> {
        self.all_keys(view)
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Self::key()]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let view = self.store.view();
        let fabric = self.fabric.clone();
        let (planner, traced) = (self.planner.clone(), self.traced.get());
        let seen = view.clone();
        // Netlink blocks; the runtime's own threads must not.
        let (attached, standing, omitted, outcome) = tokio::task::spawn_blocking(move || {
            let state = NetworkState { traced, ..network_state(&seen, fabric.ground()) };
            let attached: BTreeSet<EniId> =
                state.network_interfaces.iter().filter(|row| held(row, &state)).map(|row| row.id.clone()).collect();
            let hosts: BTreeSet<&str> = state.network_interfaces.iter().filter_map(|row| host(row)).collect();
            let behind = state.behind.iter().filter(|behind| hosts.contains(behind.host.as_str()));
            let standing: BTreeSet<String> = behind.map(|behind| behind.netns.clone()).collect();
            let plan = planner.lock().unwrap_or_else(PoisonError::into_inner).plan(state);
            let outcome = fabric.apply(&plan);
            (attached, standing, plan.omitted(), outcome)
        })
        .await?;
        self.say_omitted(omitted);
        self.write_back(&view, (&attached, &standing), outcome.as_ref().err().map(String::as_str)).await?;
        outcome.map_err(Failure::new)?;
        // Deleted NAT gateways are forgotten after an hour, ended peering connections after days.
        let ages = view.scan_all::<NatGateway>().any(|(_, nat)| nat.state == NatGatewayState::Deleted)
            || view.scan_all::<VpcPeeringConnection>().any(|(_, row)| row.state != PeeringState::Active);
        Ok(if ages { Next::After(SHOWN) } else { Next::Done })
    }
}

/// The namespace that an interface is attached in.
fn host(interface: &netplan::NetworkInterface) -> Option<&str> {
    interface.attachment.as_ref().map(|attachment| attachment.netns.as_str())
}

/// Whether the kernel holds the interface: in a namespace of its own, or in the router as a NAT gateway's.
fn held(interface: &netplan::NetworkInterface, state: &NetworkState) -> bool {
    interface.attachment.is_some() || state.nat_gateways.iter().any(|nat| nat.interface == interface.id)
}

/// The rows of all accounts and regions in the compiler's terms. VPCs in which nothing is attached are left out: they
/// need no namespace.
pub fn network_state(view: &View, ground: &Ground) -> NetworkState {
    let mut state = NetworkState::new(ground.clone());
    let mut used = BTreeSet::new();
    let mut public: HashMap<(Scope, EniId, std::net::Ipv4Addr), std::net::Ipv4Addr> = HashMap::new();
    for (scope, address) in view.scan_all::<Address>() {
        if let Some((_, interface, private)) = &address.association {
            public.insert((scope.clone(), interface.clone(), *private), address.public_ip);
        }
    }
    for (scope, interface) in view.scan_all::<NetworkInterface>() {
        let Some(attachment) = interface.attachment.as_ref().filter(|attachment| !attachment.rests()) else { continue };
        used.insert(interface.vpc.clone());
        let addresses = interface.private_ips.iter().map(|ip| netplan::InterfaceAddress {
            private: (*ip).into(),
            public: public
                .get(&(scope.clone(), interface.id.clone(), *ip))
                .copied()
                .or(interface.auto_public_ip.filter(|_| interface.private_ip() == Some(*ip))),
        });
        let ipv6 = interface.ipv6.iter().map(|ip| netplan::InterfaceAddress { private: (*ip).into(), public: None });
        let row = netplan::NetworkInterface {
            id: interface.id.clone(),
            subnet: interface.subnet.clone(),
            mac: netplan::MacAddress(interface.mac),
            addresses: addresses.chain(ipv6).collect(),
            groups: interface.groups.clone(),
            source_dest_check: interface.source_dest_check,
            attachment: attachment
                .namespace
                .as_ref()
                .map(|netns| netplan::Attachment { netns: netns.clone(), device_index: attachment.device() }),
        };
        state.network_interfaces.push(row.into());
    }
    for (_, vpc) in view.scan_all::<Vpc>().filter(|(_, vpc)| used.contains(&vpc.id)) {
        state.vpcs.push(netplan::Vpc {
            id: vpc.id.clone(),
            cidrs: vpc.cidrs().map(IpNet::V4).chain(vpc.ipv6_cidrs().map(IpNet::V6)).collect(),
            dns_support: vpc.dns_support,
        });
    }
    for (scope, subnet) in view.scan_all::<Subnet>().filter(|(_, subnet)| used.contains(&subnet.vpc)) {
        let Some(table) = query::route_table(view, scope, subnet) else { continue };
        state.subnets.push(netplan::Subnet {
            id: subnet.id.clone(),
            vpc: subnet.vpc.clone(),
            cidr: subnet.cidr,
            ipv6: subnet.ipv6.as_ref().map(|(_, cidr)| *cidr),
            zone: subnet.zone.clone(),
            route_table: table.id.clone(),
            network_acl: subnet.network_acl.clone(),
        });
    }
    for (scope, table) in view.scan_all::<RouteTable>().filter(|(_, table)| used.contains(&table.vpc)) {
        let (to_blocks, to_lists): (Vec<_>, Vec<_>) = table.routes.iter().partition(|route| route.destination.is_ok());
        // Of two routes to one block, that to the block itself goes before that to a list which has it.
        let routes = to_blocks.into_iter().chain(to_lists).map(|route| netplan::RouteEntry {
            destination: match &route.destination {
                Ok(block) => netplan::Destination::Cidr(*block),
                Err(list) => netplan::Destination::PrefixList(list.clone()),
            },
            target: target(view, scope, table, &route.target),
        });
        state.route_tables.push(netplan::RouteTable {
            id: table.id.clone(),
            vpc: table.vpc.clone(),
            routes: routes.collect(),
        });
    }
    for (scope, group) in view.scan_all::<SecurityGroup>().filter(|(_, group)| used.contains(&group.vpc)) {
        let rules = |egress| {
            let of_way = group.rules.iter().filter(move |rule| rule.egress == egress);
            of_way.filter_map(|rule| group_rule(view, scope, rule)).collect()
        };
        let row = netplan::SecurityGroup {
            id: group.id.clone(),
            vpc: group.vpc.clone(),
            ingress: rules(false),
            egress: rules(true),
        };
        state.security_groups.push(row.into());
    }
    for (_, endpoint) in view.scan_all::<VpcEndpoint>() {
        if endpoint.is_gateway() && used.contains(&endpoint.vpc) {
            state
                .gateway_endpoints
                .push(netplan::GatewayEndpoint { id: endpoint.id.clone(), vpc: endpoint.vpc.clone() });
        }
    }
    for (_, row) in view.scan_all::<VpcPeeringConnection>().filter(|(_, row)| row.state == PeeringState::Active) {
        if row.sides().iter().all(|side| used.contains(&side.vpc)) {
            let vpcs = row.sides().map(|side| side.vpc.clone());
            state.peerings.push(netplan::VpcPeering { id: row.id.clone(), vpcs });
        }
    }
    for (_, acl) in view.scan_all::<NetworkAcl>().filter(|(_, acl)| used.contains(&acl.vpc)) {
        let entries = |egress| {
            let mut entries: Vec<_> =
                acl.entries.iter().filter(|entry| entry.egress == egress).filter_map(acl_entry).collect();
            entries.sort_by_key(|entry| entry.number);
            entries
        };
        state.network_acls.push(netplan::NetworkAcl {
            id: acl.id.clone(),
            vpc: acl.vpc.clone(),
            ingress: entries(false),
            egress: entries(true),
        });
    }
    for (_, gateway) in view.scan_all::<InternetGateway>() {
        if let Some(vpc) = gateway.vpc.as_ref().filter(|vpc| used.contains(vpc)) {
            state.internet_gateways.push(netplan::InternetGateway { id: gateway.id.clone(), vpc: vpc.clone() });
        }
    }
    for (_, gateway) in view.scan_all::<EgressOnlyInternetGateway>().filter(|(_, row)| used.contains(&row.vpc)) {
        let row = netplan::EgressOnlyInternetGateway { id: gateway.id.clone(), vpc: gateway.vpc.clone() };
        state.egress_only_internet_gateways.push(row);
    }
    for (_, nat) in view.scan_all::<NatGateway>() {
        if matches!(nat.state, NatGatewayState::Pending | NatGatewayState::Available) {
            state.nat_gateways.push(netplan::NatGateway { id: nat.id.clone(), interface: nat.interface.clone() });
        }
    }
    let regions: BTreeSet<_> = view.scan_all::<Vpc>().map(|(scope, _)| scope.region.clone()).collect();
    for list in regions.iter().flat_map(query::prefix_lists) {
        state.prefix_lists.insert(list.id, vec![Ipv4Net::from(ground.gateway_endpoint_address()).into()]);
    }
    state.prefix_lists.insert(query::cloudfront().id, Vec::new());
    for (_, list) in view.scan_all::<ManagedPrefixList>() {
        let blocks = list.entries().iter().map(|entry| entry.block).collect();
        state.prefix_lists.insert(list.id.to_string(), blocks);
    }
    for (_, row) in view.scan_all::<Behind>() {
        let port = |(protocol, host, own): &(u8, u16, u16)| netplan::ForwardedPort {
            protocol: *protocol,
            host: *host,
            own: *own,
        };
        state.behind.push(netplan::Behind {
            netns: row.netns.clone(),
            host: row.host.clone(),
            address: row.address,
            ports: row.ports.iter().map(port).collect(),
        });
    }
    state.counted = flow_logs::counted(view);
    state
}

fn target(view: &View, scope: &Scope, table: &RouteTable, target: &Target) -> netplan::RouteTarget {
    if !crate::api::leads(view, scope, table, target) {
        return netplan::RouteTarget::Blackhole;
    }
    match target {
        Target::InternetGateway(id) => netplan::RouteTarget::InternetGateway(id.clone()),
        Target::EgressOnlyInternetGateway(id) => netplan::RouteTarget::EgressOnlyInternetGateway(id.clone()),
        Target::NatGateway(id) => netplan::RouteTarget::NatGateway(id.clone()),
        Target::NetworkInterface(id) => netplan::RouteTarget::NetworkInterface(id.clone()),
        Target::Endpoint(id) => netplan::RouteTarget::GatewayEndpoint(id.clone()),
        Target::Peering(id) => netplan::RouteTarget::Peering(id.clone()),
    }
}

fn group_rule(view: &View, scope: &Scope, rule: &Rule) -> Option<netplan::GroupRule> {
    let traffic = Traffic::from_ec2(&rule.protocol, Some(rule.from_port), Some(rule.to_port))?;
    let peer = match &rule.peer {
        Peer::Ipv4(cidr) | Peer::Ipv6(cidr) => netplan::Peer::Cidr(cidr.parse().ok()?),
        Peer::Group(id) => netplan::Peer::Group(id.clone()),
        Peer::PrefixList(id) => netplan::Peer::PrefixList(id.clone()),
        Peer::Peered(peer) => netplan::Peer::Group(query::reaches(view, scope, peer).then(|| peer.group.clone())?),
    };
    Some(netplan::GroupRule { traffic, peer })
}

fn acl_entry(entry: &crate::rows::AclEntry) -> Option<netplan::AclEntry> {
    let (from, to) = match entry.traffic {
        AclTraffic::All => (None, None),
        AclTraffic::Ports(from, to) | AclTraffic::Icmp(from, to) => (Some(from), Some(to)),
    };
    Some(netplan::AclEntry {
        number: u16::try_from(entry.number).ok()?,
        allow: entry.allow,
        traffic: Traffic::from_ec2(&entry.protocol, from, to)?,
        cidr: entry.cidr.parse().ok()?,
    })
}
