//! The kernel, the walk and a plain reading of AWS's rules agree on every packet, in networks made by chance.
//!
//! Everybody sends to everybody's addresses, private and public, to the services and to nobody. A disagreement is printed
//! with its seed; `WINDTUNNEL_TRUTH_SEED=<seed>` runs that one alone. `cargo xtask truth` runs as many as one likes.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a probe waits for packets")]

mod chance;
#[path = "../lab/mod.rs"]
mod lab;
mod model;
mod network;
mod probes;

use lab::{Lab, on_a_host};
use netplan::Family;
use netplan::walk::{Fix, Origin, Station, Walk, walk};
use network::PORTS;
use probes::{Field, Kind, Probe, Sent};
use std::{collections::BTreeSet, net::IpAddr};

/// How many networks a short run has, and where they begin.
const SEEDS: u64 = 40;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// What was asked and answered.
#[derive(Default)]
struct Count {
    probes: usize,
    passed: usize,
    peered: usize,
    endpoints: usize,
    translated: usize,
    ipv6: usize,
    egress_only: usize,
    fixed: usize,
}

#[test]
fn the_kernel_the_walk_and_the_model_agree() {
    let single = number("WINDTUNNEL_TRUTH_SEED");
    let seeds = single.map_or(number("WINDTUNNEL_TRUTH_SEEDS").unwrap_or(SEEDS), |_| 1);
    let first = single.unwrap_or(1);
    println!("seeds {first} to {}", first + seeds - 1);
    on_a_host(|| {
        let mut count = Count::default();
        let mut wrong = Vec::new();
        for seed in first..first + seeds {
            wrong.extend(one_network(seed, &mut count));
            assert!(wrong.len() < 10, "they disagree:\n{}", wrong.join("\n"));
        }
        assert!(wrong.is_empty(), "they disagree:\n{}", wrong.join("\n"));
        println!(
            "{seeds} networks, {} probes, {} of them answered ({} over peering connections, {} by gateway endpoints, {} by NAT gateways, {} over IPv6, {} of them by egress-only gateways); {} refusals were fixed as told",
            count.probes,
            count.passed,
            count.peered,
            count.endpoints,
            count.translated,
            count.ipv6,
            count.egress_only,
            count.fixed
        );
        // Where everything is closed there is nothing to see.
        let ways =
            [count.passed, count.peered, count.endpoints, count.translated, count.ipv6, count.egress_only, count.fixed];
        assert!(seeds < SEEDS || ways.iter().all(|way| *way > 0), "every kind of way is gone: {ways:?}");
    });
}

/// All probes in the network of a seed, and what is wrong about them.
fn one_network(seed: u64, count: &mut Count) -> Vec<String> {
    let mut lab = Lab::new();
    lab.state = network::network(&lab.state.ground, seed);
    let plan = netplan::compile(&lab.state);
    lab.fabric().apply(&plan).unwrap_or_else(|error| panic!("seed {seed}: the kernel takes the plan: {error}"));
    let mut field = Field::new(&lab).unwrap();
    let mut sent: Vec<Sent> = probes(&lab).into_iter().map(|probe| field.send(&lab, probe)).collect();
    let models: Vec<bool> =
        sent.iter().map(|s| model::passes(&lab.state, &s.probe.from, s.probe.to, s.content)).collect();
    let walks: Vec<Walk> = sent.iter().map(|s| walk(&lab.state, &s.probe.from, s.probe.to, s.content)).collect();
    let expected: Vec<bool> = models.iter().zip(&walks).map(|(model, walk)| *model || walk.passes()).collect();
    field.gather(&mut sent, &expected);

    let mut wrong = Vec::new();
    for ((sent, model), walk) in sent.iter().zip(models).zip(&walks) {
        count.probes += 1;
        count.passed += usize::from(sent.answered);
        let by = |station: fn(&Station) -> bool| {
            usize::from(sent.answered && walk.request.iter().any(|hop| station(&hop.station)))
        };
        count.peered += by(|station| matches!(station, Station::Peering { .. }));
        count.endpoints += by(|station| matches!(station, Station::GatewayEndpoint { .. }));
        count.egress_only += by(|station| matches!(station, Station::EgressOnlyInternetGateway { .. }));
        count.ipv6 += usize::from(sent.answered && sent.probe.to.is_ipv6());
        count.translated += by(|station| matches!(station, Station::NatGateway { .. }));
        if (sent.answered, sent.answered) != (model, walk.passes()) {
            wrong.push(disagreement(seed, sent, model, walk));
        }
    }
    let refused: Vec<&Walk> = walks.iter().filter(|walk| !walk.passes()).collect();
    let refused: Vec<(Probe, Walk)> = sent
        .iter()
        .zip(&walks)
        .filter(|(_, walk)| !walk.passes())
        .map(|(sent, walk)| (sent.probe.clone(), walk.clone()))
        .enumerate()
        // A few of them: each takes an apply.
        .filter(|(n, _)| n % (refused.len() / 3).max(1) == 0)
        .map(|(_, pair)| pair)
        .collect();
    drop((sent, field));
    for (probe, walk) in refused {
        wrong.extend(fixes_work(seed, &mut lab, &probe, walk, count));
    }
    lab.destroy();
    wrong
}

/// From everybody to everybody.
fn probes(lab: &Lab) -> Vec<Probe> {
    let state = &lab.state;
    let ground = &state.ground;
    let attached = state.network_interfaces.iter().filter(|interface| interface.attachment.is_some());
    let mut from: Vec<Origin> = attached.map(|interface| Origin::Interface(interface.id.clone())).collect();
    from.push(Origin::Outside(ground.host_address().into()));
    if ipv6_outside(lab) {
        from.push(Origin::Outside(ground.host_address_ipv6().into()));
    }
    let addresses = || state.network_interfaces.iter().flat_map(|interface| &interface.addresses);
    let mut to: BTreeSet<IpAddr> =
        addresses().flat_map(|address| [Some(address.private), address.public.map(IpAddr::V4)]).flatten().collect();
    to.extend([ground.host_address(), ground.service_address(), ground.gateway_endpoint_address()].map(IpAddr::V4));
    to.extend([ground.host_address_ipv6(), ground.service_address_ipv6()].map(IpAddr::V6));
    // The resolver, metadata, and addresses that nobody has: within the VPC, within the pool, and elsewhere.
    to.extend(
        ["10.0.0.2", "169.254.169.253", "169.254.169.254", "10.0.1.200", "203.0.113.9"]
            .map(|ip| IpAddr::V4(lab::ip(ip))),
    );
    to.extend(ground.assignable().nth(2000).map(IpAddr::V4));
    to.extend(["fd00:ec2::253", "2001:db8::9"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    to.extend(ground.ipv6_blocks().take(4).map(|block| IpAddr::V6((u128::from(block.network()) + 0xbeef).into())));
    let kinds = PORTS.map(Kind::Tcp).into_iter().chain(PORTS.map(Kind::Udp)).chain([Kind::Ping]);
    let mut probes = Vec::new();
    for from in &from {
        for to in &to {
            // A packet to itself never leaves the sender, and the host's own routes are not the network's.
            let own = match from {
                Origin::Interface(id) => addresses_of(lab, id).contains(to),
                Origin::Outside(host) => {
                    let ours = match to {
                        IpAddr::V4(to) => ground.pool.contains(to),
                        IpAddr::V6(to) => ground.ipv6_pool().contains(to),
                    };
                    host == to || !ours || Family::of(*host) != Family::of(*to)
                }
            };
            if !own {
                probes.extend(kinds.clone().map(|kind| Probe { from: from.clone(), to: *to, kind }));
            }
        }
    }
    probes
}

/// Whether the host is on one network with a VPC's IPv6.
fn ipv6_outside(lab: &Lab) -> bool {
    let state = &lab.state;
    let gateways = || {
        let two_way = state.internet_gateways.iter().map(|gateway| &gateway.vpc);
        two_way.chain(state.egress_only_internet_gateways.iter().map(|gateway| &gateway.vpc))
    };
    state.vpcs.iter().any(|vpc| vpc.has(Family::Ipv6) && gateways().any(|of| *of == vpc.id))
}

fn addresses_of(lab: &Lab, id: &types::id::EniId) -> Vec<IpAddr> {
    let interfaces = lab.state.network_interfaces.iter().filter(|interface| interface.id == *id);
    interfaces.flat_map(|interface| &interface.addresses).map(|address| address.private).collect()
}

fn disagreement(seed: u64, sent: &Sent, model: bool, walk: &Walk) -> String {
    let words = |passes: bool| if passes { "passes" } else { "is stopped" };
    let Probe { from, to, kind } = &sent.probe;
    let hops =
        |hops: &[netplan::walk::Hop]| hops.iter().map(|hop| format!("\n    {hop:?}")).collect::<Vec<_>>().concat();
    format!(
        "seed {seed}: {kind:?} {:?} from {from:?} to {to}: in the kernel it {}, in the model it {}, the walk says {}{}\n  request:{}\n  reply:{}",
        sent.content,
        words(sent.answered),
        words(model),
        words(walk.passes()),
        walk.refusal.as_ref().map(|refusal| format!(", for {}", refusal.reason)).unwrap_or_default(),
        hops(&walk.request),
        hops(&walk.reply),
    )
}

/// Doing what the walk says lets the packet through, in the kernel too, unless the walk says that nothing helps.
fn fixes_work(seed: u64, lab: &mut Lab, probe: &Probe, first: Walk, count: &mut Count) -> Option<String> {
    let before = lab.state.clone();
    let content = first.request.first()?.packet.content;
    let mut made: Vec<Fix> = Vec::new();
    let mut now = first;
    while let Some(fix) = now.refusal.as_ref().and_then(|refusal| refusal.fix.clone()) {
        let Some(next) = fix.apply(&lab.state) else { break };
        if made.len() > 20 || made.contains(&fix) {
            lab.state = before;
            return Some(format!("seed {seed}: {probe:?} is never fixed by {made:?}"));
        }
        made.push(fix);
        lab.state = next;
        now = walk(&lab.state, &probe.from, probe.to, content);
    }
    let mut wrong = None;
    if now.passes() {
        lab.fabric().apply(&netplan::compile(&lab.state)).unwrap();
        let mut field = Field::new(lab).unwrap();
        let mut sent = [field.send(lab, probe.clone())];
        // Another port than before, perhaps one that an ACL's entry does not speak of.
        let again = walk(&lab.state, &probe.from, probe.to, sent[0].content);
        field.gather(&mut sent, &[again.passes()]);
        count.fixed += usize::from(sent[0].answered);
        if sent[0].answered != again.passes() {
            wrong = Some(format!("after {made:?}: {}", disagreement(seed, &sent[0], true, &again)));
        }
    }
    lab.state = before;
    wrong
}
