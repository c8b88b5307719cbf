//! [`compile`]: from the state to the plan.
//!
//! A VPC is a namespace that routes, each interface a pair of virtual Ethernet devices whose near end is in it. The
//! near end's name carries the interface's id, and every filter and policy is keyed by that name. Next hops are
//! permanent neighbours, so nobody asks for hardware addresses and nobody can answer falsely.

mod acls;
mod alone;
mod attachment;
mod behind;
mod beyond;
mod groups;
mod internet;
mod memo;
mod router;
mod routes;
mod verdicts;

use crate::{
    Address, Cable, End, FabricPlan, Family, INTERNET, MacAddress, Namespace, Neighbour, NetworkState, Place,
    PlanParts, Route, RouteAction, Subnet, Vpc, index::Index, name::Name, rules::group,
};
use attachment::{Home, Plug};
use foldhash::{HashMap, HashSet};
use ipnet::IpNet;
use memo::Memo;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use types::id::{EniId, SecurityGroupId, SubnetId, VpcId};

/// The largest packet within a VPC, as on AWS.
const MTU: u32 = 9001;
/// The router's device towards the internet namespace.
const IGW: &str = "igw";
/// Its device for an egress-only internet gateway.
const EGRESS_ONLY: &str = "eigw";

/// The plan for `state`. What cannot be planned is left out, and named in [`FabricPlan::omitted`].
pub fn compile(state: &NetworkState) -> FabricPlan {
    Planner::default().plan(state).whole()
}

/// A compiler that remembers its last plan. What it answers depends on the state alone; how long it takes, on what is
/// different from the last one.
#[derive(Default)]
pub struct Planner {
    vpcs: HashMap<VpcId, Remembered>,
    /// The parts of the last plan that are made anew for each.
    loose: HashMap<Name, Arc<FabricPlan>>,
    /// How many parts there were.
    count: usize,
}

/// What was made for a VPC.
#[derive(Default)]
struct Remembered {
    groups: Memo<groups::Input, groups::Laid>,
    members: Memo<groups::Members, Arc<FabricPlan>>,
    /// By the ids of the groups that an interface has.
    entrances: HashMap<Vec<SecurityGroupId>, groups::Entered>,
    homes: Memo<Home, Arc<Home>>,
    /// By namespace, where several interfaces are attached in one.
    shared: Memo<Vec<Plug>, Arc<FabricPlan>>,
    alone: alone::Alone,
}

impl Planner {
    /// The plan for `state`, like [`compile`].
    pub fn plan(&mut self, state: &NetworkState) -> PlanParts {
        let index = Index::new(state);
        let mut plan = PlanParts::leaving_out(index.omitted.clone());
        plan.expect(self.count);
        let ipv6 = state.vpcs.iter().any(|vpc| index.ipv6_outside(vpc));
        plan.add(INTERNET, internet::lay(&state.ground, ipv6));
        self.vpcs.retain(|id, _| index.vpcs.contains_key(id));
        for vpc in &state.vpcs {
            self.vpcs.entry(vpc.id.clone()).or_default().lay(&index, vpc, &mut plan);
        }
        beyond::lay_peerings(&index, &mut plan);
        beyond::lay_endpoints(&index, &mut plan);
        behind::lay(&index, &mut plan);
        for name in state.namespaces.iter().filter(|name| !index.has_attached_in(name)) {
            let mut part = FabricPlan::default();
            attachment_namespace(&mut part, name);
            plan.add(&format!("netns/{name}"), part);
        }
        plan.share_with(&mut self.loose);
        self.count = plan.count();
        plan
    }
}

impl Remembered {
    /// A VPC's parts: its router, its groups, and what is attached.
    fn lay(&mut self, index: &Index<'_>, vpc: &Vpc, plan: &mut PlanParts) {
        let scope = vpc.id.as_str();
        let tables = routes::tables(index, vpc);
        let mut router = router::lay(index, vpc, &tables);
        let acls: BTreeMap<&SubnetId, acls::Laid> =
            index.subnets_of(&vpc.id).map(|subnet| (&subnet.id, acls::lay(index, vpc, subnet, &mut router))).collect();

        let combinations: HashSet<usize> = index.attached_in(&vpc.id).map(|attached| attached.combination).collect();
        let used: HashSet<&SecurityGroupId> =
            combinations.iter().flat_map(|combination| index.combinations[*combination]).collect();
        let (mut there, mut laid_groups) = (HashMap::default(), Vec::new());
        for id in used {
            let Some(group) = group::in_vpc(index, &vpc.id, id) else {
                router.omitted.insert(format!("{id}: no such security group in {}", vpc.id));
                continue;
            };
            let input = groups::Input::of(index, vpc, group);
            let (name, laid) = self.groups.get(id.as_str(), input, || format!("{id}/{scope}"), groups::lay);
            plan.share(name, laid.part);
            there.insert(id, laid.open);
            laid_groups.push(laid.referenced);
        }
        let referenced: HashSet<&SecurityGroupId> = laid_groups.iter().flat_map(|groups| &**groups).collect();
        for (id, members) in groups::members(index, vpc, &referenced) {
            let name = || format!("{id}/members/{scope}");
            let lay = |members: &groups::Members| Arc::new(groups::lay_members(&vpc.id, id, members));
            let (name, part) = self.members.get(id.as_str(), members, name, lay);
            plan.share(name, part);
        }

        let gateway = index.gateway_of(&vpc.id).is_some();
        // By where a subnet lies, as there are as many questions as interfaces.
        let mut homes: HashMap<*const Subnet, Arc<Home>> = HashMap::default();
        for subnet in index.subnets_of(&vpc.id) {
            let home = Home {
                vpc: vpc.id.clone(),
                block: subnet.cidr,
                ipv6: subnet.ipv6,
                table: tables.get(&subnet.route_table).copied(),
                acl: acls.get(&subnet.id).cloned().unwrap_or_default(),
                gateway,
            };
            // The same as in the last plan, so that comparing what is in it takes no time.
            let (_, home) = self.homes.get(subnet.id.as_str(), home, String::new, |home| Arc::new(home.clone()));
            homes.insert(std::ptr::from_ref(subnet), home);
        }
        let mut entrances: HashMap<Vec<SecurityGroupId>, groups::Entered> = HashMap::default();
        let mut entrance_of = vec![groups::Entrance::default(); index.combinations.len()];
        let mut opens = vec![false; index.combinations.len()];
        for combination in combinations {
            let ids = index.combinations[combination];
            let groups: Vec<(&SecurityGroupId, groups::Open)> =
                ids.iter().filter_map(|id| there.get(id).map(|open| (id, *open))).collect();
            let last = self.entrances.remove_entry(ids).filter(|(_, last)| last.is_of(&groups));
            let (ids, entered) = last.unwrap_or_else(|| (ids.to_vec(), groups::enter(&vpc.id, &groups)));
            if let Some((name, part)) = &entered.part {
                plan.share(name.clone(), part.clone());
            }
            entrance_of[combination] = entered.entrance.clone();
            opens[combination] = entered.lets_all_out();
            entrances.insert(ids, entered);
        }
        let asked = router::Asked {
            acls_out: acls.values().any(|acl| acl.out.is_some()),
            acls_in: acls.values().any(|acl| acl.in_.is_some()),
            senders: index.attached_in(&vpc.id).any(|attached| !attached.nat && !opens[attached.combination]),
            verdicts: verdicts::asked(index, vpc),
        };
        let filter = router::filter_of(&mut router, &vpc.id);
        router::lay_forward(index, vpc, &asked, filter);
        if asked.verdicts {
            verdicts::lay(index, vpc, acls.values(), filter);
        }
        let mut plugs: HashMap<&str, Vec<Plug>> = HashMap::default();
        let hosts: HashSet<&str> = index.state.behind.iter().map(|behind| behind.host.as_str()).collect();
        for attached in index.attached_in(&vpc.id) {
            let Some(home) = homes.get(&std::ptr::from_ref(attached.subnet)) else { continue };
            let plug = Plug {
                interface: attached.interface.clone(),
                home: home.clone(),
                device_index: attached.device_index,
                nat: attached.nat,
                groups: entrance_of[attached.combination].clone(),
                forwards: !hosts.is_empty() && hosts.contains(attached.netns),
            };
            if index.is_alone(attached) {
                let (name, part) = self.alone.get(attached.netns, plug, scope);
                plan.share(name, part);
            } else {
                plugs.entry(attached.netns).or_default().push(plug);
            }
        }
        for (netns, plugs) in plugs {
            let lay = |plugs: &Vec<Plug>| attachment::part_of(plugs, netns);
            let (name, part) = self.shared.get(netns, plugs, || format!("{netns}/{scope}"), lay);
            plan.share(name, part);
        }
        plan.add(&router_netns(&vpc.id), router);
        self.entrances = entrances;
        self.groups.turn();
        self.members.turn();
        self.homes.turn();
        self.shared.turn();
        self.alone.turn();
    }
}

/// The name of the namespace that routes for a VPC.
pub fn router_netns(vpc: &VpcId) -> String {
    vpc.as_str().to_owned()
}

/// The router's device for an interface. It fits into the kernel's fifteen letters.
pub fn link_name(interface: &EniId) -> String {
    short_name('e', interface.as_str())
}

/// What of an interface's id its device is called by.
pub(crate) fn link_digits(interface: &EniId) -> &str {
    short_digits(interface.as_str())
}

fn short_name(kind: char, id: &str) -> String {
    format!("{kind}{}", short_digits(id))
}

fn short_digits(id: &str) -> &str {
    let digits = hex_digits(id);
    digits.get(..14).unwrap_or(digits)
}

/// An id's part after its prefix.
fn hex_digits(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// FNV-1a: stable across versions and machines, which the names and numbers in the kernel need.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A hardware address of our own making, the same for the same text.
fn mac_of(text: &str) -> MacAddress {
    let mut bytes = [0x0e; 6];
    bytes[1..].copy_from_slice(&hash(text).to_be_bytes()[..5]);
    MacAddress(bytes)
}

/// The namespace of a task, a load balancer's node or a NAT gateway.
fn attachment_namespace<'p>(plan: &'p mut FabricPlan, name: &str) -> &'p mut Namespace {
    plan.namespaces.entry(name.to_owned()).or_insert_with(|| {
        let mut namespace = Namespace::default();
        // The loopback keeps its ::1; Ethernet devices made from now on have no IPv6, and never addresses of their own.
        set(&mut namespace, "ipv6/conf/default/disable_ipv6", "1");
        set(&mut namespace, "ipv6/conf/default/addr_gen_mode", NO_ADDRESSES);
        set(&mut namespace, "ipv4/conf/default/promote_secondaries", "1");
        // A new namespace takes this over from the host, where container engines turn it on.
        set(&mut namespace, "ipv4/ip_forward", "0");
        namespace
    })
}

/// What has the kernel give a device no link-local address of its own.
const NO_ADDRESSES: &str = "1";

/// What lets the devices of an attachment's namespace have IPv6, those that stand as well.
fn speak_ipv6(namespace: &mut Namespace) {
    for which in ["all", "default"] {
        set(namespace, &format!("ipv6/conf/{which}/disable_ipv6"), "0");
    }
}

/// The name of a family's set.
fn of_family(name: &str, family: Family) -> String {
    if family == Family::Ipv4 { name.to_owned() } else { format!("{name}6") }
}

/// What a set's name is made of.
fn name_and_family(set: &str) -> (&str, Family) {
    set.strip_suffix('6').map_or((set, Family::Ipv4), |name| (name, Family::Ipv6))
}

/// The settings of a namespace that forwards.
fn forwarding(namespace: &mut Namespace, ipv6: bool) {
    set(namespace, "ipv4/ip_forward", "1");
    for which in ["all", "default"] {
        // The kernel takes the stricter of `all` and the device's own, hence both.
        set(namespace, &format!("ipv4/conf/{which}/rp_filter"), "0");
        set(namespace, &format!("ipv4/conf/{which}/send_redirects"), "0");
        set(namespace, &format!("ipv4/conf/{which}/accept_redirects"), "0");
        set(namespace, &format!("ipv6/conf/{which}/addr_gen_mode"), NO_ADDRESSES);
        set(namespace, &format!("ipv6/conf/{which}/disable_ipv6"), if ipv6 { "0" } else { "1" });
        if ipv6 {
            set(namespace, &format!("ipv6/conf/{which}/accept_redirects"), "0");
            set(namespace, &format!("ipv6/conf/{which}/forwarding"), "1");
        }
    }
}

fn set(namespace: &mut Namespace, path: &str, value: &str) {
    namespace.settings.insert(path.to_owned(), value.to_owned());
}

fn end(namespace: &str, link: &str, mac: MacAddress) -> End {
    End { place: Place::Namespace(namespace.to_owned()), link: link.to_owned(), mac }
}

fn cable(near: End, far: End) -> Cable {
    Cable { near, far, mtu: MTU }
}

fn host_route(table: u32, ip: impl Into<IpAddr>, link: &str, via: Option<IpAddr>) -> Route {
    let action = RouteAction::Link { link: link.to_owned(), via, source: None };
    Route { table, destination: IpNet::from(ip.into()), action }
}

fn address(link: &str, ip: impl Into<IpAddr>, prefix: u8) -> Address {
    Address { link: link.to_owned(), ip: ip.into(), prefix }
}

fn neighbour(link: &str, ip: impl Into<IpAddr>, mac: MacAddress) -> Neighbour {
    Neighbour { link: link.to_owned(), ip: ip.into(), mac }
}
