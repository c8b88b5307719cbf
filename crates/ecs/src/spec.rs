//! A task as the runtime is to run it: the definition, the overrides, the secrets and the images put together. Pure.

use crate::control::dependencies::awaited;
use crate::rows::{DefinitionRow, EniRow, TaskRow};
use crate::volumes;
use crate::{connect, endpoints, logging};
use model::ecs::{ContainerDefinition, ContainerOverride};
use runtime::{
    Capabilities, ContainerSpec, CpuLimit, HostEntry, ImageSnapshot, Limits, Network, Resource, Restart, StartWhen,
    TaskId, TaskSpec, Tmpfs, Ulimit,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;
use types::{Pace, Scope};

/// What was found out for one container.
pub(crate) struct Resolved {
    pub(crate) image: ImageSnapshot,
    pub(crate) secrets: Vec<(String, String)>,
}

const UNLIMITED: u64 = u64::MAX;
/// What a container may use, soft and hard, where its definition says nothing: the kernel's defaults but for open files, of
/// which Fargate gives 65,535 (source: API reference, `Ulimit`). All are set, as a container would have the server's own
/// otherwise; of pending signals the kernel's default depends on the host's memory, and the server's stays.
const ULIMITS: [(Resource, u64, u64); 14] = [
    (Resource::Core, 0, UNLIMITED),
    (Resource::Cpu, UNLIMITED, UNLIMITED),
    (Resource::Data, UNLIMITED, UNLIMITED),
    (Resource::Fsize, UNLIMITED, UNLIMITED),
    (Resource::Locks, UNLIMITED, UNLIMITED),
    (Resource::Memlock, 8 << 20, 8 << 20),
    (Resource::Msgqueue, 819_200, 819_200),
    (Resource::Nice, 0, 0),
    (Resource::Nofile, 65_535, 65_535),
    (Resource::Nproc, UNLIMITED, UNLIMITED),
    (Resource::Rss, UNLIMITED, UNLIMITED),
    (Resource::Rtprio, 0, 0),
    (Resource::Rttime, UNLIMITED, UNLIMITED),
    (Resource::Stack, 8 << 20, UNLIMITED),
];

/// The task for the runtime. `None` if the task's id is not one or a container was not resolved.
pub(crate) fn task(
    scope: &Scope,
    row: &TaskRow,
    definition: &DefinitionRow,
    netns: PathBuf,
    mut resolved: BTreeMap<String, Resolved>,
    pace: Pace,
) -> Option<TaskSpec> {
    let declared = resolved.iter().map(|(name, found)| (name.clone(), found.image.config.volumes.clone())).collect();
    let mut containers = Vec::new();
    for container in definition.containers() {
        let found = resolved.remove(container.name.as_deref().unwrap_or_default())?;
        let mut spec = self::container(scope, row, container, found, pace)?;
        spec.mounts = volumes::mounts(scope, definition, &declared, container);
        containers.push(spec);
    }
    Some(TaskSpec {
        id: TaskId::parse(&row.id)?,
        network: Network::Namespace(netns),
        shared_ipc: definition.shape.ipc_mode.as_deref() == Some("task"),
        shared_processes: definition.shape.pid_mode.as_deref() == Some("task"),
        limits: limits(row, definition),
        storage_bytes: storage(row, definition),
        containers,
    })
}

/// A task has the size that it or its definition names; on an instance it may name none.
fn limits(row: &TaskRow, definition: &DefinitionRow) -> Limits {
    let named = |over: &Option<String>, own: &Option<String>| row.host.is_none() || over.is_some() || own.is_some();
    let (overrides, shape) = (&row.overrides, &definition.shape);
    Limits {
        cpu: named(&overrides.cpu, &shape.cpu).then_some(CpuLimit { units: row.cpu, hard: true }),
        memory_bytes: named(&overrides.memory, &shape.memory).then_some(u64::from(row.memory) << 20),
        ..Limits::default()
    }
}

/// The size that a task on Fargate or its definition names. Nothing holds a task to what it has by default.
fn storage(row: &TaskRow, definition: &DefinitionRow) -> Option<u64> {
    let named = row.overrides.ephemeral_storage.as_ref().or(definition.shape.ephemeral_storage.as_ref())?;
    let gib = u64::try_from(named.size_in_gi_b).ok().filter(|_| row.host.is_none())?;
    Some(gib << 30)
}

fn container(
    scope: &Scope,
    row: &TaskRow,
    container: &ContainerDefinition,
    resolved: Resolved,
    pace: Pace,
) -> Option<ContainerSpec> {
    let name = container.name.clone().unwrap_or_default();
    let state = row.containers.iter().find(|state| state.name == name)?;
    let over = row.overrides.container_overrides.iter().flatten().find(|over| over.name.as_ref() == Some(&name));
    let linux = container.linux_parameters.clone().unwrap_or_default();
    let mib = |mib: i32| u64::try_from(mib).unwrap_or(0) << 20;
    let mut spec = ContainerSpec::new(name, resolved.image);
    spec.restart = restart(container, pace);
    spec.start = if awaited(container).next().is_some() { StartWhen::Asked } else { StartWhen::Now };
    spec.entrypoint = container.entry_point.clone().filter(|list| !list.is_empty());
    let command = over.and_then(|over| over.command.clone()).or_else(|| container.command.clone());
    spec.command = command.filter(|list| !list.is_empty());
    spec.env = environment(scope, row, &state.runtime_id, container, over, resolved.secrets);
    let own = spec.image.config.env.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let own: Vec<&str> = own.chain(spec.env.iter().map(|(name, _)| name.as_str())).collect();
    let endpoints = endpoints::variables(&scope.region, &own);
    spec.env.extend(endpoints);
    spec.user.clone_from(&container.user);
    spec.working_dir.clone_from(&container.working_directory);
    spec.readonly_rootfs = container.readonly_root_filesystem.unwrap_or(false);
    spec.limits = Limits {
        cpu: u32::try_from(state.cpu).ok().filter(|units| *units > 0).map(|units| CpuLimit { units, hard: false }),
        memory_bytes: state.memory.map(mib),
        memory_reservation_bytes: state.memory_reservation.map(mib),
        swap_bytes: linux.max_swap.map(mib),
        swappiness: linux.max_swap.and(linux.swappiness).and_then(|value| u64::try_from(value).ok()),
        pids: None,
    };
    let capabilities = linux.capabilities.unwrap_or_default();
    spec.capabilities =
        Capabilities { add: capabilities.add.unwrap_or_default(), drop: capabilities.drop.unwrap_or_default() };
    spec.no_new_privileges = container.docker_security_options.iter().flatten().any(|o| o == "no-new-privileges");
    spec.ulimits = ulimits(container);
    spec.tmpfs = linux
        .tmpfs
        .unwrap_or_default()
        .into_iter()
        .map(|tmpfs| Tmpfs {
            target: tmpfs.container_path,
            bytes: mib(tmpfs.size),
            options: tmpfs.mount_options.unwrap_or_default(),
        })
        .collect();
    let named = container.hostname.clone().filter(|name| !name.is_empty());
    spec.hostname = named.or_else(|| own_name(scope, row, &state.runtime_id));
    spec.hosts = hosts(scope, row, container, spec.hostname.as_deref());
    spec.dns_servers = servers(row.eni.as_ref(), container);
    spec.dns_search = search(row.eni.as_ref(), container);
    let stop = container.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30);
    spec.stop_timeout = pace.scale(Duration::from_secs(stop));
    spec.init = linux.init_process_enabled.unwrap_or(false);
    spec.stdin = container.interactive == Some(true);
    spec.terminal = container.pseudo_terminal == Some(true);
    if let Some(size) = linux.shared_memory_size.filter(|size| *size > 0) {
        spec.shm_bytes = mib(size);
    }
    spec.sysctls = container
        .system_controls
        .iter()
        .flatten()
        .filter_map(|control| Some((control.namespace.clone()?, control.value.clone()?)))
        .collect();
    spec.log_buffer = logging::buffer(container);
    Some(spec)
}

/// Its restart policy, if that is enabled.
fn restart(container: &ContainerDefinition, pace: Pace) -> Option<Restart> {
    let policy = container.restart_policy.as_ref().filter(|policy| policy.enabled)?;
    let seconds = policy.restart_attempt_period.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(300);
    Some(Restart {
        ignored_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        after: pace.scale(Duration::from_secs(seconds)),
    })
}

/// What the agent sets, then the definition, the override, the secrets. A later entry wins.
fn environment(
    scope: &Scope,
    row: &TaskRow,
    runtime_id: &str,
    container: &ContainerDefinition,
    over: Option<&ContainerOverride>,
    secrets: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let region = scope.region.to_string();
    let set = |name: &str, value: String| (name.to_owned(), value);
    let mut env = vec![
        set("AWS_EXECUTION_ENV", if row.host.is_some() { "AWS_ECS_EC2" } else { "AWS_ECS_FARGATE" }.to_owned()),
        set("AWS_DEFAULT_REGION", region.clone()),
        set("AWS_REGION", region),
        set("ECS_CONTAINER_METADATA_URI", format!("http://169.254.170.2/v3/{runtime_id}")),
        set("ECS_CONTAINER_METADATA_URI_V4", format!("http://169.254.170.2/v4/{runtime_id}")),
        set("ECS_AGENT_URI", format!("http://169.254.170.2/api/{runtime_id}")),
    ];
    if row.task_role.is_some() {
        env.push(set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", format!("/v2/credentials/{}", row.credentials_id)));
    }
    let pairs = container.environment.iter().flatten();
    let pairs = pairs.chain(over.iter().flat_map(|over| over.environment.iter().flatten()));
    env.extend(pairs.filter_map(|pair| Some((pair.name.clone()?, pair.value.clone().unwrap_or_default()))));
    env.extend(secrets);
    env
}

fn ulimits(container: &ContainerDefinition) -> Vec<Ulimit> {
    let amount = |value: i32| if value < 0 { u64::MAX } else { u64::try_from(value).unwrap_or_default() };
    let mut limits: Vec<_> = ULIMITS.map(|(resource, soft, hard)| Ulimit { resource, soft, hard }).into();
    for limit in container.ulimits.iter().flatten() {
        let Some(resource) = Resource::parse(&limit.name) else { continue };
        limits.retain(|known| known.resource != resource);
        limits.push(Ulimit { resource, soft: amount(limit.soft_limit), hard: amount(limit.hard_limit) });
    }
    limits
}

/// `ip-10-0-1-5.ec2.internal`, as the task's host is called in its VPC.
pub(crate) fn host_name(scope: &Scope, ip: Ipv4Addr) -> String {
    vpc::names::private_name(&scope.region, ip)
}

/// A container is called as its interface is; behind its instance's by its id.
fn own_name(scope: &Scope, row: &TaskRow, id: &str) -> Option<String> {
    match behind(row) {
        Some(_) => Some(id.chars().take(12).collect()),
        None => row.eni.as_ref().map(|eni| host_name(scope, eni.ip)),
    }
}

/// The address of a task behind its instance's.
fn behind(row: &TaskRow) -> Option<Ipv4Addr> {
    row.host.as_ref().and_then(|host| host.behind)
}

fn hosts(scope: &Scope, row: &TaskRow, container: &ContainerDefinition, name: Option<&str>) -> Vec<HostEntry> {
    let of_interface = row.eni.as_ref().map(|eni| (eni.ip, host_name(scope, eni.ip)));
    let own = behind(row).zip(name.map(str::to_owned)).or(of_interface).into_iter();
    let own = own.map(|(ip, name)| HostEntry { address: IpAddr::V4(ip), names: vec![name] });
    let extra = container.extra_hosts.iter().flatten().filter_map(|entry| {
        Some(HostEntry { address: entry.ip_address.parse().ok()?, names: vec![entry.hostname.clone()] })
    });
    own.chain(extra).chain(connect::hosts(row)).collect()
}

/// The container's own name servers, or else those of the VPC's DHCP.
fn servers(eni: Option<&EniRow>, container: &ContainerDefinition) -> Vec<IpAddr> {
    let own: Vec<IpAddr> = container.dns_servers.iter().flatten().filter_map(|text| text.parse().ok()).collect();
    if own.is_empty() { eni.iter().flat_map(|eni| &eni.dns_servers).copied().map(IpAddr::V4).collect() } else { own }
}

/// The container's own search domains, or else those of the VPC's DHCP.
fn search(eni: Option<&EniRow>, container: &ContainerDefinition) -> Vec<String> {
    let own = container.dns_search_domains.clone().filter(|list| !list.is_empty());
    own.or_else(|| eni.map(|eni| eni.dns_search.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_limits_of_its_own_whatever_the_servers_are() {
        let limit =
            |name: &str, soft_limit, hard_limit| model::ecs::Ulimit { name: name.to_owned(), soft_limit, hard_limit };
        let mut container = ContainerDefinition::default();
        let of = |container: &ContainerDefinition, wanted| {
            let found: Vec<_> = ulimits(container).into_iter().filter(|limit| limit.resource == wanted).collect();
            assert_eq!(found.len(), 1, "{wanted:?} is set once");
            (found[0].soft, found[0].hard)
        };
        assert_eq!(of(&container, Resource::Nofile), (65_535, 65_535));
        assert_eq!(of(&container, Resource::Core), (0, UNLIMITED));
        assert_eq!(of(&container, Resource::Stack), (8 << 20, UNLIMITED));
        container.ulimits = Some(vec![limit("nofile", 1024, 4096), limit("core", -1, -1), limit("sigpending", 5, 6)]);
        assert_eq!(of(&container, Resource::Nofile), (1024, 4096));
        assert_eq!(of(&container, Resource::Core), (UNLIMITED, UNLIMITED));
        assert_eq!(of(&container, Resource::Sigpending), (5, 6));
        assert_eq!(of(&container, Resource::Nproc), (UNLIMITED, UNLIMITED));
    }

    #[test]
    fn names_are_asked_of_the_vpcs_dhcp_unless_the_container_says_otherwise() {
        let eni = EniRow {
            id: "eni-1".to_owned(),
            ip: Ipv4Addr::new(10, 0, 1, 5),
            ipv6: None,
            mac: String::new(),
            private_dns: None,
            vpc: "vpc-1".to_owned(),
            subnet_cidr: "10.0.1.0/24".to_owned(),
            subnet_ipv6_cidr: None,
            dns_servers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            dns_search: vec!["ec2.internal".to_owned()],
        };
        let mut container = ContainerDefinition::default();
        assert_eq!(servers(Some(&eni), &container), [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))]);
        assert_eq!(search(Some(&eni), &container), ["ec2.internal"]);
        let bare = EniRow { dns_servers: vec![], dns_search: vec![], ..eni.clone() };
        assert_eq!(servers(Some(&bare), &container), Vec::<IpAddr>::new(), "a VPC may have no DHCP options");
        container.dns_servers = Some(vec!["192.0.2.1".to_owned()]);
        container.dns_search_domains = Some(vec!["example.com".to_owned()]);
        assert_eq!(servers(Some(&eni), &container), [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]);
        assert_eq!(search(Some(&eni), &container), ["example.com"]);
    }

    #[test]
    fn a_tasks_host_has_its_vpcs_name() {
        assert_eq!(host_name(&Scope::default(), Ipv4Addr::new(10, 0, 1, 5)), "ip-10-0-1-5.ec2.internal");
    }
}
