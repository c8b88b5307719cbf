//! The network at size: what one more interface and one changed rule cost, and what the rules cost packets.
//!
//! A VPC of many interfaces in five of a hundred security groups of sixty rules each stands in a network namespace of the
//! bench's own. What is timed is what the controller does for a change: the plan compiled anew and the kernel brought to
//! it. Packets go between two interfaces with those rules, with none at all, with nothing but the tracking of connections,
//! and with as many rules one after the other, as iptables would have them; both sides are on one core, so that a rate is
//! what a connection or a byte costs.

use crate::Outcome;
use crate::figures::{Aim, Better, Figures, OURS, Samples};
use fabric::{Fabric, FabricConfig};
use ipnet::{IpNet, Ipv4Net};
use netplan::{
    Action, Attachment, Chain, ChainHook, FabricPlan, GroupRule, InterfaceAddress, MacAddress, Match, NetworkAcl,
    NetworkInterface, NetworkState, Peer, Place, PlanParts, Planner, PortRange, RouteTable, Rule, Ruleset,
    SecurityGroup, Subnet, Traffic, Verdict, Vpc,
};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use types::id::{EniId, NetworkAclId, RouteTableId, SecurityGroupId, SubnetId, VpcId, random_hex};

/// How many interfaces there are: a few, and as many as one wants.
const SIZES: [usize; 2] = [50, 1000];
const GROUPS: usize = 100;
const GROUPS_EACH: usize = 5;
const RULES: usize = 60;
/// How many changes are timed at each size.
const CHANGES: usize = 200;
/// How often packets are measured, and for how long each time: single connections, and one that carries much.
const CONNECTING: (usize, Duration) = (500, Duration::from_millis(30));
const STREAMING: (usize, Duration) = (50, Duration::from_millis(300));
const NONE: &str = "no rules";
const TRACKING: &str = "tracking alone";
const LINEAR: &str = "one after the other";
/// Where the two that speak listen.
const PORT: u16 = 5000;
/// What a connection says that is to be closed.
const CLOSE: &[u8] = b"close";

pub(crate) fn run(figures: &mut Figures) -> Outcome {
    // A thread of its own, for it leaves the host's network.
    std::thread::scope(|scope| {
        let work = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))?;
            changes(figures)?;
            packets(figures)
        };
        scope.spawn(work).join().unwrap_or_else(|_| Err("the measurement broke off".to_owned()))
    })
}

/// An instance's network of the bench's own, removed when it is dropped.
struct Ground {
    fabric: Fabric,
    _folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir_in("/run").map_err(|error| error.to_string())?;
        let config = FabricConfig { instance: random_hex(8), run_root: folder.path().to_owned(), outbound: false };
        let fabric = Fabric::open(config).map_err(|error| error.to_string())?;
        Ok(Self { fabric, _folder: folder })
    }

    fn apply(&self, plan: impl Into<PlanParts>) -> Outcome {
        self.fabric.apply(plan).map(|_| ()).map_err(|error| error.to_string())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.fabric.destroy();
    }
}

fn id<T>(parse: fn(&str) -> Option<T>, prefix: &str, n: usize) -> T {
    // As different from each other as ids by chance are.
    let text = format!("{prefix}{:016x}0", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    parse(&text).unwrap_or_else(|| unreachable!("{text} is an id"))
}

fn everything() -> IpNet {
    Ipv4Net::default().into()
}

/// The address of the interface `n`: 250 in each /24.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, (n / 240) as u8, (n % 240 + 10) as u8)
}

fn interface(n: usize) -> NetworkInterface {
    let groups = (0..GROUPS_EACH).map(|g| id(SecurityGroupId::parse, "sg-", (n * 7 + g * 13) % GROUPS));
    let [high, low] = (n as u16).to_be_bytes();
    NetworkInterface {
        id: id(EniId::parse, "eni-", n),
        subnet: id(SubnetId::parse, "subnet-", 0),
        mac: MacAddress([2, 0, 0, 0, high, low]),
        addresses: vec![InterfaceAddress { private: address(n).into(), public: None }],
        groups: groups.collect(),
        source_dest_check: true,
        attachment: Some(Attachment { netns: format!("task{n}"), device_index: 0 }),
    }
}

/// Sixty rules: blocks and ports of their own, some for other groups, and the one that lets the bench's packets in.
fn group(n: usize) -> SecurityGroup {
    let rule = |at: usize| {
        let from = (1000 + at * 17) as u16;
        let traffic = Traffic::Tcp(PortRange { from, to: from + 3 });
        let peer = if at.is_multiple_of(6) {
            Peer::Group(id(SecurityGroupId::parse, "sg-", (n + at) % GROUPS))
        } else {
            let block = Ipv4Net::new(Ipv4Addr::new(172, 16 + (at % 16) as u8, n as u8, 0), 24);
            Peer::Cidr(block.map_or_else(|_| everything(), Into::into))
        };
        GroupRule { traffic, peer }
    };
    let own = GroupRule {
        traffic: Traffic::Tcp(PortRange { from: PORT, to: PORT }),
        peer: Peer::Cidr(IpNet::V4(Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap_or_default())),
    };
    SecurityGroup {
        id: id(SecurityGroupId::parse, "sg-", n),
        vpc: id(VpcId::parse, "vpc-", 0),
        ingress: (1..RULES).map(rule).chain([own]).collect(),
        egress: vec![GroupRule { traffic: Traffic::All, peer: Peer::Cidr(everything()) }],
    }
}

/// A VPC of one large subnet.
fn network(fabric: &Fabric, interfaces: usize) -> NetworkState {
    let mut state = NetworkState::new(fabric.ground().clone());
    let block = Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap_or_default();
    let vpc: VpcId = id(VpcId::parse, "vpc-", 0);
    let (table, acl) = (id(RouteTableId::parse, "rtb-", 0), id(NetworkAclId::parse, "acl-", 0));
    state.vpcs.push(Vpc { id: vpc.clone(), cidrs: vec![block.into()], dns_support: true });
    state.subnets.push(Subnet {
        id: id(SubnetId::parse, "subnet-", 0),
        vpc: vpc.clone(),
        cidr: block,
        ipv6: None,
        zone: "us-east-1a".to_owned(),
        route_table: RouteTableId::clone(&table),
        network_acl: NetworkAclId::clone(&acl),
    });
    state.route_tables.push(RouteTable { id: table, vpc: vpc.clone(), routes: Vec::new() });
    let all = netplan::AclEntry { number: 100, allow: true, traffic: Traffic::All, cidr: everything() };
    state.network_acls.push(NetworkAcl { id: acl, vpc, ingress: vec![all.clone()], egress: vec![all] });
    state.security_groups = (0..GROUPS).map(|n| group(n).into()).collect();
    state.network_interfaces = (0..interfaces).map(|n| interface(n).into()).collect();
    state
}

/// How much memory the machine has taken, in KiB.
fn taken_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
    };
    field("MemTotal:") - field("MemAvailable:")
}

fn changes(figures: &mut Figures) -> Outcome {
    let measures = [
        ["one more interface among 50", "one changed rule among 50", "memory of an interface, 50"],
        ["one more interface among 1000", "one changed rule among 1000", "memory of an interface, 1000"],
    ];
    for (interfaces, [added, changed, memory]) in SIZES.into_iter().zip(measures) {
        let ground = Ground::new()?;
        let before = taken_kib();
        let mut state = network(&ground.fabric, interfaces);
        let mut planner = Planner::default();
        let plan = planner.plan(&state);
        if let Some(omitted) = plan.omitted().first() {
            return Err(format!("the plan is not whole: {omitted}"));
        }
        ground.apply(&plan)?;
        let mut each = Samples::default();
        each.add(OURS, (taken_kib() - before) / interfaces as f64);
        let (mut more, mut rule) = (Vec::new(), Vec::new());
        for n in 0..CHANGES {
            let mut timed = |state: &NetworkState| -> Outcome<f64> {
                let begun = Instant::now();
                ground.apply(planner.plan(state))?;
                Ok(begun.elapsed().as_secs_f64() * 1e3)
            };
            state.network_interfaces.push(interface(interfaces + n).into());
            more.push(timed(&state)?);
            let group = Arc::make_mut(&mut state.security_groups[n % GROUPS]);
            group.ingress[0].traffic = Traffic::Udp(PortRange { from: 9000 + n as u16, to: 9000 + n as u16 });
            rule.push(timed(&state)?);
        }
        figures.add(("network", added, "ms, p99"), Better::Less, &p99(more), &[], Aim::AtMost(10.0));
        figures.add(("network", changed, "ms, p99"), Better::Less, &p99(rule), &[], Aim::AtMost(10.0));
        figures.add(("network", memory, "KiB"), Better::Less, &each, &[], Aim::None);
    }
    Ok(())
}

fn p99(mut all: Vec<f64>) -> Samples {
    all.sort_by(f64::total_cmp);
    let mut samples = Samples::default();
    // By nearest rank: as many as that, of a hundred 99, take no longer.
    let rank = (all.len() * 99).div_ceil(100);
    samples.add(OURS, all.get(rank.saturating_sub(1)).copied().unwrap_or_default());
    samples
}

/// The plan without any filter in the router, which asks nobody for a source either.
fn unfiltered(mut plan: FabricPlan, router: &str) -> FabricPlan {
    if let Some(namespace) = plan.namespaces.get_mut(router) {
        namespace.filter = None;
        let here = Place::Namespace(router.to_owned());
        let ends = plan.cables.values().map(|cable| &cable.near).filter(|end| end.place == here);
        namespace.any_source.extend(ends.map(|end| end.link.clone()));
    }
    plan
}

/// The plan with a filter that tracks connections and lets everything through: the least that rules with a memory can cost.
fn tracking(mut plan: FabricPlan, router: &str) -> FabricPlan {
    if let Some(namespace) = plan.namespaces.get_mut(router) {
        let known = Rule { when: vec![Match::Established], then: Action::Verdict(Verdict::Accept) };
        let forward = Chain { hook: Some(ChainHook::Forward(0)), accept_at_end: true, rules: vec![known] };
        let chains = [("forward".to_owned(), forward)].into();
        namespace.filter = Some(Ruleset { sets: BTreeMap::new(), chains });
    }
    plan
}

/// The plan with each rule of an interface's groups one after the other, before the one that lets the packets through.
fn linear(mut plan: FabricPlan, router: &str) -> FabricPlan {
    let Some(filter) = plan.namespaces.get_mut(router).and_then(|namespace| namespace.filter.as_mut()) else {
        return plan;
    };
    let accept = |when| Rule { when, then: Action::Verdict(Verdict::Accept) };
    let one_by_one = (0..GROUPS_EACH * RULES).map(|n| {
        let block = Ipv4Net::new(Ipv4Addr::new(172, 16 + (n % 16) as u8, (n / 16) as u8, 0), 24).unwrap_or_default();
        let port = 1000 + n as u16;
        accept(vec![Match::Source(block.into()), Match::Protocol(6), Match::Port(port, port)])
    });
    if let Some(forward) = filter.chains.get_mut("forward") {
        // What led to the receiver's groups.
        forward.rules.pop();
        forward.rules.extend(one_by_one);
        forward.rules.push(accept(vec![Match::Protocol(6), Match::Port(PORT, PORT)]));
    }
    plan
}

/// The plan of a variant, from ours and the name of its router.
type Variant = fn(FabricPlan, &str) -> FabricPlan;

fn packets(figures: &mut Figures) -> Outcome {
    let variants: [(&'static str, Variant); 4] =
        [(OURS, |plan, _| plan), (NONE, unfiltered), (TRACKING, tracking), (LINEAR, linear)];
    // Side by side, so that a round is short and a ratio is of one moment.
    let mut grounds = Vec::new();
    for (who, variant) in variants {
        let ground = Ground::new()?;
        let state = network(&ground.fabric, 20);
        let router = netplan::router_netns(&state.vpcs[0].id);
        ground.apply(&variant(netplan::compile(&state), &router))?;
        grounds.push((who, ground));
    }
    let (mut connections, mut stream) = (Samples::default(), Samples::default());
    for _ in 0..CONNECTING.0 {
        for (who, ground) in &grounds {
            connections.add(who, connecting(&ground.fabric)?);
        }
    }
    for _ in 0..STREAMING.0 {
        for (who, ground) in &grounds {
            stream.add(who, streaming(&ground.fabric)?);
        }
    }
    let peers = [NONE, TRACKING, LINEAR];
    figures.add(("network", "connections", "a second"), Better::More, &connections, &peers, Aim::Times(0.9));
    figures.add(("network", "one stream", "Gbit/s"), Better::More, &stream, &peers, Aim::Times(0.9));
    Ok(())
}

/// Connections that are opened and closed in a second, one after the other.
fn connecting(fabric: &Fabric) -> Outcome<f64> {
    spoken(fabric, |connect| {
        let (begun, mut count) = (Instant::now(), 0.0);
        while begun.elapsed() < CONNECTING.1 {
            let mut stream = connect()?;
            stream.write_all(CLOSE)?;
            // It ends at the other side, so that this one keeps no ports waiting.
            stream.read_to_end(&mut Vec::new())?;
            count += 1.0;
        }
        Ok(count / begun.elapsed().as_secs_f64())
    })
}

/// What one connection carries, in Gbit/s.
fn streaming(fabric: &Fabric) -> Outcome<f64> {
    spoken(fabric, |connect| {
        let mut stream = connect()?;
        let (begun, mut sent) = (Instant::now(), 0.0);
        let block = vec![0; 128 * 1024];
        while begun.elapsed() < STREAMING.1 {
            stream.write_all(&block)?;
            sent += block.len() as f64 * 8e-9;
        }
        Ok(sent / begun.elapsed().as_secs_f64())
    })
}

type Connect<'c> = &'c dyn Fn() -> std::io::Result<TcpStream>;

/// Has the interface 0 speak to the interface 1, which takes in what it is sent, and closes what says so.
fn spoken(fabric: &Fabric, speak: impl FnOnce(Connect<'_>) -> std::io::Result<f64>) -> Outcome<f64> {
    let failed = |error: std::io::Error| error.to_string();
    let target = SocketAddr::from((address(1), PORT));
    let listener = fabric.listen_tcp("task1", target).map_err(failed)?;
    listener.set_nonblocking(false).map_err(failed)?;
    stay_on_one_core()?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listen = || {
            let mut block = vec![0; 256 * 1024];
            while !done.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else { break };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
                while stream.read(&mut block).is_ok_and(|length| length > 0 && block[..length] != *CLOSE) {}
            }
        };
        // It stays where the thread stays that starts it.
        scope.spawn(listen);
        let connect = || {
            let stream = TcpStream::connect(target)?;
            stream.set_read_timeout(Some(Duration::from_secs(3)))?;
            Ok(stream)
        };
        // Like a process of the task's, it is where it connects from all the time.
        fabric::netns::within(&fabric.netns_path("task0"), || {
            let outcome = speak(&connect);
            done.store(true, Ordering::Relaxed);
            // So that it looks.
            if let Ok(mut last) = connect() {
                let _ = last.write_all(CLOSE);
            }
            outcome
        })
        .map_err(failed)
    })
}

/// Has both sides share a processor: what moves between processors costs sometimes more than the rules, and sometimes nothing.
fn stay_on_one_core() -> Outcome {
    let mut first = CpuSet::new();
    first.set(0).and_then(|()| sched_setaffinity(Pid::from_raw(0), &first)).map_err(|error| format!("a core: {error}"))
}
