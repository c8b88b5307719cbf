//! Where a task goes: the container instance that has room for it, meets its constraints, and suits its strategies.
//! Source: ECS developer guide, "How Amazon ECS places tasks on container instances".
//!
//! [`place`] looks at one task and the instances as they stand. Contract (held by `tests/placement.rs` against a plain model):
//! - the instance chosen lacks nothing ([`lack`]);
//! - `Err` only if every instance lacks something, and then it says of each what;
//! - each strategy in turn keeps the best of those that the ones before it kept.

pub mod query;

pub use query::{Expression, Malformed};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use types::Timestamp;

/// The attribute that names an instance's zone.
pub const ZONE: &str = "ecs.availability-zone";

/// `tcp` or `udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "tcp")]
    Tcp,
    /// UDP.
    #[serde(rename = "udp")]
    Udp,
}

impl Protocol {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of an instance.
pub type Port = (Protocol, u16);

/// A container instance as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// 32 hexadecimal digits.
    pub id: String,
    /// `i-…`.
    pub ec2_id: String,
    /// Its agent is connected.
    pub agent_connected: bool,
    /// `1.89.0`.
    pub agent_version: String,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Its attributes; some have no value.
    pub attributes: BTreeMap<String, Option<String>>,
    /// The groups of its tasks, one entry a task that has not ended.
    pub groups: Vec<String>,
    /// How many tasks run on it.
    pub running_tasks: u32,
    /// CPU units that nobody has reserved.
    pub cpu: u32,
    /// MiB that nobody has reserved.
    pub memory: u32,
    /// Network interfaces that can still be attached.
    pub interfaces: u32,
    /// Ports that are taken.
    pub ports: BTreeSet<Port>,
}

/// What a task needs of its instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Ports of the instance, those that the task names itself.
    pub ports: BTreeSet<Port>,
    /// A network interface of its own.
    pub interface: bool,
    /// The zones in which it can have one.
    pub zones: Option<BTreeSet<String>>,
    /// Attributes that must be there, some with a value.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// A placement constraint.
#[derive(Debug, Clone)]
pub enum Constraint {
    /// `distinctInstance`: no other task of the group.
    DistinctInstance,
    /// `memberOf`: the expression selects the instance.
    MemberOf(Expression),
}

/// A placement strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// `random`.
    Random,
    /// `spread` by an attribute.
    SpreadByAttribute(String),
    /// `spread` by `instanceId` or `host`.
    SpreadByInstance,
    /// `binpack` by `cpu`.
    BinpackCpu,
    /// `binpack` by `memory`.
    BinpackMemory,
}

/// A task to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it needs.
    pub needs: &'a Needs,
    /// Its constraints.
    pub constraints: &'a [Constraint],
    /// Its strategies, the most important first.
    pub strategies: &'a [Strategy],
    /// Its group.
    pub group: &'a str,
    /// Where chance decides.
    pub seed: u64,
}

/// What an instance lacks for a task, farthest from fitting first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lack {
    /// Its agent is not connected.
    Agent,
    /// An attribute, or a subnet of the task's in its zone.
    Attribute,
    /// A `memberOf` constraint does not select it.
    MemberOf,
    /// A task of the group is there already.
    Distinct,
    /// No network interface can be attached.
    Interfaces,
    /// A port is taken.
    Ports,
    /// Too little CPU.
    Cpu,
    /// Too little memory.
    Memory,
}

/// Why a task cannot be placed: what each instance lacks, in the instances' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Vec<Lack>);

impl Refusal {
    /// The instance that is closest to fitting, and what it lacks; the first of several. `None` if there are no instances.
    pub fn closest(&self) -> Option<(usize, Lack)> {
        self.0.iter().copied().enumerate().rev().max_by_key(|(_, lack)| *lack)
    }
}

/// What `instance` lacks first for the task, if anything.
pub fn lack(instance: &Instance, request: &Request) -> Option<Lack> {
    let needs = request.needs;
    let has = |(name, value): (&String, &Option<String>)| {
        instance.attributes.get(name).is_some_and(|found| value.is_none() || found == value)
    };
    let zone = || instance.attributes.get(ZONE).cloned().flatten().unwrap_or_default();
    let constraint = |constraint: &Constraint| match constraint {
        Constraint::MemberOf(expression) => (!expression.selects(instance)).then_some(Lack::MemberOf),
        Constraint::DistinctInstance => {
            instance.groups.iter().any(|group| group == request.group).then_some(Lack::Distinct)
        }
    };
    if !instance.agent_connected {
        return Some(Lack::Agent);
    }
    if !needs.attributes.iter().all(has) || needs.zones.as_ref().is_some_and(|zones| !zones.contains(&zone())) {
        return Some(Lack::Attribute);
    }
    if let Some(unmet) = request.constraints.iter().filter_map(constraint).min() {
        return Some(unmet);
    }
    if needs.interface && instance.interfaces == 0 {
        return Some(Lack::Interfaces);
    }
    if !needs.ports.is_disjoint(&instance.ports) {
        return Some(Lack::Ports);
    }
    if needs.cpu > instance.cpu {
        return Some(Lack::Cpu);
    }
    (needs.memory > instance.memory).then_some(Lack::Memory)
}

/// The instance for the task: its index.
pub fn place(instances: &[Instance], request: &Request) -> Result<usize, Refusal> {
    let lacks: Vec<Option<Lack>> = instances.iter().map(|instance| lack(instance, request)).collect();
    let mut fitting: Vec<usize> = (0..instances.len()).filter(|index| lacks[*index].is_none()).collect();
    for strategy in request.strategies {
        keep_best(&mut fitting, instances, request, strategy);
    }
    fitting.first().copied().ok_or_else(|| Refusal(lacks.into_iter().flatten().collect()))
}

fn keep_best(fitting: &mut Vec<usize>, instances: &[Instance], request: &Request, strategy: &Strategy) {
    let of_group = |instance: &Instance| instance.groups.iter().filter(|group| *group == request.group).count();
    let rank = |index: &usize| -> u64 {
        let instance = &instances[*index];
        match strategy {
            Strategy::Random => 0,
            // Tasks on instances that are full count, too.
            Strategy::SpreadByAttribute(name) => {
                let value = instance.attributes.get(name);
                let same = instances.iter().filter(|other| other.attributes.get(name) == value);
                same.map(of_group).sum::<usize>() as u64
            }
            Strategy::SpreadByInstance => of_group(instance) as u64,
            Strategy::BinpackCpu => u64::from(instance.cpu),
            Strategy::BinpackMemory => u64::from(instance.memory),
        }
    };
    if *strategy == Strategy::Random {
        if !fitting.is_empty() {
            let chosen = usize::try_from(scatter(request.seed) % fitting.len() as u64).unwrap_or(0);
            *fitting = vec![fitting[chosen]];
        }
        return;
    }
    let ranks: Vec<u64> = fitting.iter().map(rank).collect();
    let Some(best) = ranks.iter().min() else { return };
    let kept = fitting.iter().zip(&ranks).filter(|(_, rank)| *rank == best).map(|(index, _)| *index);
    *fitting = kept.collect();
}

/// Seeds that follow each other become numbers that do not (splitmix64's finisher).
fn scatter(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
