//! Tasks on container instances: the rows as [`rollout::placement`] looks at them, and its answer as a task's host.

use crate::launch;
use crate::ports::{self, Ports};
use crate::rows::{
    BindingRow, ContainerInstanceRow, DefinitionRow, EniRow, HostRow, INSTANCES_BY_CLUSTER, InstanceStatus,
    NetworkMode, NetworkRow, PlacementRow, ServiceRow, TASKS_BY_INSTANCE, TaskRow,
};
use crate::texts;
use model::ecs::{NetworkConfiguration, TaskOverride};
use rollout::fargate::{Size, parse_cpu, parse_memory};
use rollout::placement::{self, Constraint, Expression, Instance, Lack, Malformed, Needs, Protocol, Request, Strategy};
use rollout::{DesiredStatus, Placement, StrategyItem, TaskStatus};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The ports that bridge mode gives to those who name none. Source: API reference, `PortMapping.hostPort`.
const DYNAMIC_PORTS: RangeInclusive<u16> = 49_153..=65_535;
/// The network behind an instance's, as Docker has it by default; its first address is the instance's own.
const BEHIND: (Ipv4Addr, u32) = (Ipv4Addr::new(172, 17, 0, 0), 1 << 16);

/// Whether tasks with this launch type, or else this strategy, run on container instances.
pub(crate) fn on_instances(launch_type: Option<&str>, strategy: &[StrategyItem]) -> bool {
    match launch_type {
        Some(launch_type) => launch_type == "EC2",
        None => !strategy.iter().all(|item| matches!(item.provider.as_str(), "FARGATE" | "FARGATE_SPOT")),
    }
}

/// Whether a service's tasks run on container instances.
pub(crate) fn is_on_instances(service: &ServiceRow) -> bool {
    on_instances(service.launch_type.as_deref(), &service.strategy)
}

/// A container instance with what is taken of it.
pub(crate) struct Member {
    pub(crate) row: Arc<ContainerInstanceRow>,
    pub(crate) seen: Instance,
    behind: BTreeSet<Ipv4Addr>,
}

impl Member {
    /// The instance as it stands in `view`.
    pub(crate) fn of(view: &View, scope: &Scope, row: &Arc<ContainerInstanceRow>) -> Self {
        let tasks = view.by_index(&TASKS_BY_INSTANCE, scope, &row.id);
        let tasks: Vec<&Arc<TaskRow>> = tasks.filter(|task| task.last < TaskStatus::Stopped).collect();
        let sum = |of: fn(&TaskRow) -> u32| tasks.iter().fold(0u32, |sum, task| sum.saturating_add(of(task)));
        let hosts = || tasks.iter().filter_map(|task| task.host.as_ref());
        let bound = hosts().flat_map(|host| &host.bindings).map(|binding| (binding.protocol, binding.host_port));
        let interfaces = hosts().filter(|host| host.mode == NetworkMode::Awsvpc).count();
        let running = tasks.iter().filter(|task| task.desired == DesiredStatus::Running).count();
        Self {
            behind: hosts().filter_map(|host| host.behind).collect(),
            seen: Instance {
                id: row.id.clone(),
                ec2_id: row.ec2.clone(),
                agent_connected: row.connected,
                agent_version: row.agent_version.clone(),
                registered_at: row.registered_at,
                attributes: row.attributes.clone(),
                groups: tasks.iter().map(|task| task.group.clone()).collect(),
                running_tasks: u32::try_from(running).unwrap_or(u32::MAX),
                cpu: row.cpu.saturating_sub(sum(|task| task.cpu)),
                memory: row.memory.saturating_sub(sum(|task| task.memory)),
                interfaces: row.interfaces.saturating_sub(u32::try_from(interfaces).unwrap_or(u32::MAX)),
                ports: row.reserved_ports.iter().copied().chain(bound).collect(),
            },
            row: row.clone(),
        }
    }

    fn zone(&self) -> String {
        self.row.attributes.get(placement::ZONE).cloned().flatten().unwrap_or_default()
    }
}

/// The cluster's instances that take tasks, those of one capacity provider alone if one is named.
pub(crate) fn fleet(view: &View, scope: &Scope, cluster: &str, provider: Option<&str>) -> Vec<Member> {
    let rows = view.by_index(&INSTANCES_BY_CLUSTER, scope, cluster);
    let active = rows.filter(|row| row.status == InstanceStatus::Active);
    let of_provider = active.filter(|row| provider.is_none_or(|name| row.capacity_provider.as_deref() == Some(name)));
    of_provider.map(|row| Member::of(view, scope, row)).collect()
}

/// The network mode of a definition; one that names none has a bridge.
pub(crate) fn mode(definition: &DefinitionRow) -> Option<NetworkMode> {
    match definition.shape.network_mode.as_deref() {
        None | Some("bridge" | "") => Some(NetworkMode::Bridge),
        Some("host") => Some(NetworkMode::Host),
        Some("awsvpc") => Some(NetworkMode::Awsvpc),
        Some(_) => None,
    }
}

/// What a task of this definition reserves of an instance: its own size, or else what its containers say together.
pub(crate) fn size(definition: &DefinitionRow, overrides: &TaskOverride) -> Result<Size, ApiError> {
    let error = |error: rollout::fargate::SizeError| texts::client(error.to_string());
    let over = |name: &Option<String>| overrides.container_overrides.iter().flatten().find(|over| over.name == *name);
    let (mut cpu_sum, mut memory_sum) = (0u32, 0u32);
    for container in definition.containers() {
        let over = over(&container.name);
        let cpu = over.and_then(|over| over.cpu).or(container.cpu).unwrap_or(0);
        let soft = over.and_then(|over| over.memory_reservation).or(container.memory_reservation);
        let hard = over.and_then(|over| over.memory).or(container.memory);
        cpu_sum = cpu_sum.saturating_add(u32::try_from(cpu).unwrap_or(0));
        memory_sum = memory_sum.saturating_add(u32::try_from(soft.or(hard).unwrap_or(0)).unwrap_or(0));
    }
    let cpu = overrides.cpu.as_deref().or(definition.shape.cpu.as_deref()).map(parse_cpu).transpose();
    let memory = overrides.memory.as_deref().or(definition.shape.memory.as_deref()).map(parse_memory).transpose();
    Ok(Size { cpu: cpu.map_err(error)?.unwrap_or(cpu_sum), memory: memory.map_err(error)?.unwrap_or(memory_sum) })
}

/// A port of a container, with the instance's port if the definition names it.
struct Mapping {
    container: String,
    protocol: Protocol,
    container_port: u16,
    host_port: Option<u16>,
}

fn mappings(definition: &DefinitionRow, mode: NetworkMode) -> Vec<Mapping> {
    if mode == NetworkMode::Awsvpc {
        return vec![];
    }
    let of_container = |container: &model::ecs::ContainerDefinition| {
        let name = container.name.clone().unwrap_or_default();
        let ports = container.port_mappings.iter().flatten();
        let mapping = |mapping: &model::ecs::PortMapping| {
            let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            let container_port = port(mapping.container_port)?;
            let named = if mode == NetworkMode::Host { Some(container_port) } else { port(mapping.host_port) };
            let protocol = if mapping.protocol.as_deref() == Some("udp") { Protocol::Udp } else { Protocol::Tcp };
            Some(Mapping { container: name.clone(), protocol, container_port, host_port: named })
        };
        ports.filter_map(mapping).collect::<Vec<_>>()
    };
    definition.containers().iter().flat_map(of_container).collect()
}

fn needs(definition: &DefinitionRow, mode: NetworkMode, size: Size, network: &NetworkRow) -> Needs {
    let named = mappings(definition, mode);
    let awsvpc = mode == NetworkMode::Awsvpc;
    let attributes = definition.shape.requires_attributes.iter().flatten();
    Needs {
        cpu: size.cpu,
        memory: size.memory,
        ports: named.iter().filter_map(|mapping| Some((mapping.protocol, mapping.host_port?))).collect(),
        interface: awsvpc,
        zones: awsvpc.then(|| network.places.iter().map(|place| place.zone.clone()).collect()),
        attributes: attributes.map(|attribute| (attribute.name.clone(), attribute.value.clone())).collect(),
    }
}

/// The ports of a task on its instance. `None`: there are not so many free ones.
fn bind(mappings: Vec<Mapping>, taken: &BTreeSet<(Protocol, u16)>) -> Option<Vec<BindingRow>> {
    let mut taken = taken.clone();
    taken.extend(mappings.iter().filter_map(|mapping| Some((mapping.protocol, mapping.host_port?))));
    let mut rows = Vec::with_capacity(mappings.len());
    for Mapping { container, protocol, container_port, host_port } in mappings {
        let host_port = match host_port {
            Some(port) => port,
            None => DYNAMIC_PORTS.clone().find(|port| !taken.contains(&(protocol, *port)))?,
        };
        taken.insert((protocol, host_port));
        rows.push(BindingRow { container, protocol, container_port, host_port });
    }
    Some(rows)
}

/// The lowest free address behind an instance.
fn address_behind(taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let (first, many) = BEHIND;
    let all = (2..many - 1).map(|offset| Ipv4Addr::from(u32::from(first) + offset));
    all.into_iter().find(|address| !taken.contains(address))
}

/// A task that is to be placed.
pub(crate) struct Wish<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) provider: Option<&'a str>,
    pub(crate) definition: &'a DefinitionRow,
    pub(crate) size: Size,
    pub(crate) network: &'a NetworkRow,
    pub(crate) constraints: &'a [Constraint],
    pub(crate) strategies: &'a [Strategy],
    pub(crate) group: &'a str,
    pub(crate) seed: u64,
}

impl Wish<'_> {
    fn needs(&self) -> (NetworkMode, Needs) {
        // Definitions with another mode are refused before.
        let mode = mode(self.definition).unwrap_or(NetworkMode::Awsvpc);
        (mode, needs(self.definition, mode, self.size, self.network))
    }

    fn request<'a>(&'a self, needs: &'a Needs) -> Request<'a> {
        let Wish { constraints, strategies, group, seed, .. } = *self;
        Request { needs, constraints, strategies, group, seed }
    }

    /// Whether an instance that stands like this would take it.
    pub(crate) fn suits(&self, instance: &Instance) -> bool {
        placement::lack(instance, &self.request(&self.needs().1)).is_none()
    }
}

/// Where a task goes.
pub(crate) struct Placed {
    pub(crate) host: HostRow,
    /// Its instance's interface, unless it gets its own.
    pub(crate) eni: Option<EniRow>,
    pub(crate) placement: Placement,
}

/// Why a task goes nowhere.
pub(crate) enum Unplaced {
    /// There are no instances.
    NoInstances,
    /// What each instance lacks, by its id.
    Lacks(Vec<(String, Lack)>),
}

impl Unplaced {
    /// The instance that is closest to fitting, and what it lacks.
    pub(crate) fn closest(&self) -> Option<(&str, Lack)> {
        let Self::Lacks(lacks) = self else { return None };
        lacks.iter().rev().max_by_key(|(_, lack)| *lack).map(|(id, lack)| (id.as_str(), *lack))
    }
}

/// The instance for a task, as things stand in `view`.
pub(crate) fn choose(view: &View, scope: &Scope, wish: &Wish) -> Result<Placed, Unplaced> {
    let members = fleet(view, scope, wish.cluster, wish.provider);
    choose_among(&members, wish)
}

/// The instance for a task among these.
pub(crate) fn choose_among(members: &[Member], wish: &Wish) -> Result<Placed, Unplaced> {
    if members.is_empty() {
        return Err(Unplaced::NoInstances);
    }
    let (mode, needs) = wish.needs();
    let request = wish.request(&needs);
    let seen: Vec<Instance> = members.iter().map(|member| member.seen.clone()).collect();
    let lacks =
        |lacks: Vec<Lack>| Unplaced::Lacks(members.iter().map(|member| member.row.id.clone()).zip(lacks).collect());
    let at = placement::place(&seen, &request).map_err(|refusal| lacks(refusal.0))?;
    let member = &members[at];
    let out_of_ports = || lacks(vec![Lack::Ports; members.len()]);
    let bindings = bind(mappings(wish.definition, mode), &member.seen.ports).ok_or_else(out_of_ports)?;
    let behind = match mode {
        NetworkMode::Bridge => Some(address_behind(&member.behind).ok_or_else(out_of_ports)?),
        _ => None,
    };
    let zone = member.zone();
    let own = wish.network.places.iter().find(|place| place.zone == zone);
    Ok(Placed {
        host: HostRow {
            instance: member.row.id.clone(),
            ec2: member.row.ec2.clone(),
            namespace: member.row.namespace.clone(),
            role: member.row.role.clone(),
            mode,
            behind,
            bindings,
        },
        eni: (mode != NetworkMode::Awsvpc).then(|| member.row.eni.clone()),
        placement: match (mode, own) {
            (NetworkMode::Awsvpc, Some(place)) => place.clone(),
            _ => Placement { subnet: String::new(), zone },
        },
    })
}

/// The constraints of a definition and of whoever runs it.
pub(crate) fn constraints(
    definition: &DefinitionRow,
    given: &[(String, Option<String>)],
) -> Result<Vec<Constraint>, Malformed> {
    let of_definition = definition.shape.placement_constraints.iter().flatten();
    let of_definition = of_definition.map(|constraint| (constraint.type_.as_deref(), constraint.expression.as_deref()));
    let given = given.iter().map(|(kind, expression)| (Some(kind.as_str()), expression.as_deref()));
    let all = of_definition.chain(given);
    all.map(|(kind, expression)| match kind {
        Some("distinctInstance") => Ok(Constraint::DistinctInstance),
        _ => Expression::parse(expression.unwrap_or_default()).map(Constraint::MemberOf),
    })
    .collect()
}

/// Strategies as given; what is none of them was refused.
pub(crate) fn strategies(given: &[(String, Option<String>)]) -> Vec<Strategy> {
    let strategy = |(kind, field): &(String, Option<String>)| {
        let field = field.as_deref().unwrap_or_default();
        match (kind.as_str(), field) {
            ("binpack", "cpu" | "CPU") => Strategy::BinpackCpu,
            ("binpack", _) => Strategy::BinpackMemory,
            ("spread", "instanceId" | "host") => Strategy::SpreadByInstance,
            ("spread", name) => Strategy::SpreadByAttribute(name.strip_prefix("attribute:").unwrap_or(name).to_owned()),
            _ => Strategy::Random,
        }
    };
    given.iter().map(strategy).collect()
}

/// How a service's tasks are placed where it does not say: over the zones, then over the instances. Source: API reference,
/// `UpdateService`.
fn evenly() -> Vec<Strategy> {
    vec![Strategy::SpreadByAttribute(placement::ZONE.to_owned()), Strategy::SpreadByInstance]
}

/// The constraints and strategies of a service. `None` if a constraint cannot be read, which none is that was accepted.
pub(crate) fn of_service(
    definition: &DefinitionRow,
    placement: &PlacementRow,
) -> Option<(Vec<Constraint>, Vec<Strategy>)> {
    let mut constraints = constraints(definition, &placement.constraints).ok()?;
    if placement.daemon {
        constraints.push(Constraint::DistinctInstance);
    }
    let strategies = strategies(&placement.strategies);
    Some((constraints, if strategies.is_empty() { evenly() } else { strategies }))
}

/// How many instances a daemon is wanted on: those that take tasks and meet its constraints.
pub(crate) fn eligible(
    view: &View,
    scope: &Scope,
    cluster: &str,
    definition: &DefinitionRow,
    placement: &PlacementRow,
) -> u32 {
    let Ok(constraints) = constraints(definition, &placement.constraints) else { return 0 };
    let needs = Needs {
        attributes: definition
            .shape
            .requires_attributes
            .iter()
            .flatten()
            .map(|attribute| (attribute.name.clone(), attribute.value.clone()))
            .collect(),
        ..Needs::default()
    };
    let request = Request { needs: &needs, constraints: &constraints, strategies: &[], group: "", seed: 0 };
    let members = fleet(view, scope, cluster, None);
    let fitting = members.iter().filter(|member| placement::lack(&member.seen, &request).is_none());
    u32::try_from(fitting.count()).unwrap_or(u32::MAX)
}

/// The network of tasks on instances: only with an interface of their own have they one to configure.
pub(crate) fn network(
    ports: &Ports,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    configuration: Option<&NetworkConfiguration>,
) -> Result<NetworkRow, ApiError> {
    if mode(definition) == Some(NetworkMode::Awsvpc) {
        let network = ports::resolve_network(ports, view, scope, configuration)?;
        if network.assign_public_ip {
            return Err(texts::invalid(texts::PUBLIC_IP_ON_INSTANCE));
        }
        return Ok(network);
    }
    if configuration.is_some_and(|configuration| configuration.awsvpc_configuration.is_some()) {
        return Err(texts::invalid(texts::NETWORK_NOT_VALID));
    }
    Ok(NetworkRow::default())
}

/// Refuses by name what a definition asks of an instance and this version cannot give, so that nothing is silently left
/// out.
pub(crate) fn check_runnable(definition: &DefinitionRow) -> Result<(), ApiError> {
    let refuse = |what: &str| Err(ApiError::not_implemented(format_args!("{what} on container instances")));
    let Some(mode) = mode(definition) else { return refuse("the network mode none") };
    // A task's containers share one network here, where Docker gives each its own.
    let mut own = BTreeSet::new();
    let ports = mappings(definition, NetworkMode::Bridge);
    if mode == NetworkMode::Bridge && !ports.iter().all(|port| own.insert((port.protocol, port.container_port))) {
        return refuse("the same containerPort twice in a task in bridge mode");
    }
    for container in definition.containers() {
        let linux = container.linux_parameters.as_ref().and_then(|linux| linux.capabilities.as_ref());
        let added = linux.and_then(|capabilities| capabilities.add.as_ref());
        let ranges = container.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some());
        let asked = [
            // One more capability would open the machine.
            (added.into_iter().flatten().any(|name| name != "SYS_PTRACE"), "capabilities but SYS_PTRACE"),
            (container.links.as_ref().is_some_and(|list| !list.is_empty()), "links"),
            (ranges && mode != NetworkMode::Awsvpc, "containerPortRange"),
        ];
        if let Some((_, what)) = asked.into_iter().find(|(asked, _)| *asked) {
            return refuse(what);
        }
    }
    launch::check_runnable(definition)
}
