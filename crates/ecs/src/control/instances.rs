//! The instance controller: what the agent on an instance does for the instance itself. It registers with the cluster that
//! its configuration names, and when the instance is gone, ends what ran there.

use super::Control;
use crate::ports::{Ec2Instance, Equipment, Standing};
use crate::rows::{
    ClusterRow, ContainerInstanceRow, INSTANCES_BY_EC2, InstanceStatus, ProviderRow, TASKS_BY_INSTANCE, Tag, TaskRow,
};
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use rollout::placement::{Instance, Protocol, ZONE};
use rollout::{StopCode, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// How long a deregistered instance can be described.
const INACTIVE_FOR: Duration = Duration::from_hours(1);
/// The ports that an agent keeps from tasks. Source: API reference, `PortMapping.hostPort`.
const RESERVED: [u16; 5] = [22, 2375, 2376, 51_678, 51_679];
/// What the agent here can do for tasks. Source: ECS developer guide, "Amazon ECS container agent attributes".
const CAPABILITIES: [&str; 14] = [
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.full-sync",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
    "ecs.capability.task-eni.ipv6",
];
/// The versions of Docker's API that definitions may ask for: 1.17 to this.
const DOCKER_API: u32 = 44;

/// Keeps container instances as their EC2 instances are. Its key is the EC2 instance's id.
pub struct InstanceController {
    control: Control,
    tables: &'static [&'static str],
}

impl InstanceController {
    /// The controller. Made once for each process: its list of tables lives as long as that.
    pub fn new(control: Control) -> Self {
        let mut tables = vec![ContainerInstanceRow::TABLE, ClusterRow::TABLE, ProviderRow::TABLE];
        tables.extend(control.ports.instances.tables());
        Self { control, tables: Box::leak(tables.into_boxed_slice()) }
    }
}

/// What is to be done about an instance.
enum Duty {
    /// Nothing, until it changes.
    Rest,
    /// Nothing before that much time.
    Wait(Duration),
    /// Registration with this cluster, which is to be made if it is not there.
    Enrol(Box<Ec2Instance>, String),
    /// Its row is not what the instance says.
    Refresh(Box<Ec2Instance>),
    /// It does not run: what ran there has ended.
    Disconnect,
    /// It is terminated.
    Bury,
    /// Its row is too old.
    Forget,
}

fn duty(view: &View, scope: &Scope, standing: Standing, row: Option<&ContainerInstanceRow>, now: Timestamp) -> Duty {
    match (standing, row) {
        (Standing::Ready(instance), None) => {
            let cluster = instance.config.get("ECS_CLUSTER").filter(|name| !name.is_empty());
            let cluster = cluster.cloned().unwrap_or_else(|| "default".to_owned());
            let there = view.get::<ClusterRow>(scope, &cluster).is_some_and(|row| row.active);
            // The agent makes the default cluster, and waits for any other.
            if there || cluster == "default" { Duty::Enrol(instance, cluster) } else { Duty::Rest }
        }
        // Deregistered by somebody, and so it stays as long as the instance is there.
        (Standing::Ready(_) | Standing::Away, Some(row)) if row.status == InstanceStatus::Inactive => Duty::Rest,
        (Standing::Gone, Some(row)) if row.status == InstanceStatus::Inactive => {
            let since = row.deregistered_at.map_or(INACTIVE_FOR, |at| now.since(at));
            if since < INACTIVE_FOR { Duty::Wait(INACTIVE_FOR.saturating_sub(since)) } else { Duty::Forget }
        }
        (Standing::Ready(instance), Some(row)) => {
            let same = row.connected
                && row.booted == instance.booted
                && row.eni == instance.eni
                && row.role == instance.role
                && row.capacity_provider == provider(view, scope, &row.cluster, &instance);
            if same { Duty::Rest } else { Duty::Refresh(instance) }
        }
        (Standing::Away, Some(row)) if row.connected => Duty::Disconnect,
        (Standing::Gone, Some(_)) => Duty::Bury,
        (Standing::Away, Some(_)) | (Standing::Away | Standing::Gone, None) => Duty::Rest,
    }
}

#[async_trait]
impl Controller for InstanceController {
    fn name(&self) -> &'static str {
        "ecs-instances"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == ContainerInstanceRow::TABLE {
            let row = view
                .get::<ContainerInstanceRow>(&change.scope, &change.id)
                .or_else(|| change.before::<ContainerInstanceRow>());
            return row.map(|row| Key::new(&change.scope, row.ec2.as_str())).into_iter().collect();
        }
        // An interface of theirs or a cluster: there are few instances, and most have nothing to do.
        self.all_keys(view)
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let instances = self.control.ports.instances.all(view).into_iter();
        let known = view.scan_all::<ContainerInstanceRow>().map(|(scope, row)| (scope.clone(), row.ec2.clone()));
        let all: BTreeSet<(Scope, String)> = instances.chain(known).collect();
        all.into_iter().map(|(scope, id)| Key::new(&scope, id)).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let look = |view: &View| {
            // A deregistered one may have been registered again.
            let rows = view.by_index(&INSTANCES_BY_EC2, scope, &key.id);
            let row = rows.max_by_key(|row| (row.status != InstanceStatus::Inactive, row.registered_at)).cloned();
            let standing = self.control.ports.instances.standing(view, scope, &key.id);
            (duty(view, scope, standing, row.as_deref(), now), row)
        };
        match look(&self.control.store.view()).0 {
            Duty::Rest => return Ok(Next::Done),
            Duty::Wait(time) => return Ok(Next::After(time)),
            _ => {}
        }
        let ((), ticket) = self.control.write(|tx| {
            let (duty, row) = look(tx);
            match (duty, row) {
                (Duty::Enrol(instance, cluster), _) => {
                    default_cluster(tx, scope, &cluster, now);
                    let capacity_provider = provider(tx, scope, &cluster, &instance);
                    tx.put(scope, ContainerInstanceRow { capacity_provider, ..enrol(&instance, cluster, now) });
                }
                (Duty::Refresh(instance), Some(row)) => {
                    if row.booted != instance.booted {
                        end_tasks(tx, scope, &row.id, &texts::host_ended(&row.ec2, "stopped"), now);
                    }
                    let capacity_provider = provider(tx, scope, &row.cluster, &instance);
                    tx.update::<ContainerInstanceRow>(scope, &row.id, |row| {
                        row.connected = true;
                        row.capacity_provider = capacity_provider;
                        row.booted = instance.booted;
                        row.eni = instance.eni;
                        row.role = instance.role;
                        row.version += 1;
                    });
                }
                (Duty::Disconnect, Some(row)) => {
                    end_tasks(tx, scope, &row.id, &texts::host_ended(&row.ec2, "stopped"), now);
                    tx.update::<ContainerInstanceRow>(scope, &row.id, |row| {
                        row.connected = false;
                        row.version += 1;
                    });
                }
                (Duty::Bury, Some(row)) => {
                    end_tasks(tx, scope, &row.id, &texts::host_ended(&row.ec2, "terminated"), now);
                    deregister(tx, scope, &row.id, now);
                }
                (Duty::Forget, Some(row)) => drop(tx.delete::<ContainerInstanceRow>(scope, &row.id)),
                _ => {}
            }
        });
        ticket.await?;
        Ok(Next::After(Duration::ZERO))
    }
}

/// The capacity provider of the cluster whose Auto Scaling group launched the instance.
fn provider(view: &View, scope: &Scope, cluster: &str, instance: &Ec2Instance) -> Option<String> {
    let group = instance.group.as_ref()?;
    let cluster = view.get::<ClusterRow>(scope, cluster)?;
    let of_group = |name: &&String| view.get::<ProviderRow>(scope, name).is_some_and(|row| row.group == *group);
    cluster.capacity_providers.iter().find(of_group).cloned()
}

fn default_cluster(tx: &mut Tx, scope: &Scope, name: &str, now: Timestamp) {
    if !tx.get::<ClusterRow>(scope, name).is_some_and(|row| row.active) {
        tx.put(scope, ClusterRow::new(name, now));
    }
}

/// Ends all tasks of a container instance: they are gone with it.
pub(crate) fn end_tasks(tx: &mut Tx, scope: &Scope, instance: &str, reason: &str, now: Timestamp) {
    let tasks: Vec<Arc<TaskRow>> = tx.by_index(&TASKS_BY_INSTANCE, scope, instance).cloned().collect();
    for task in tasks.iter().filter(|task| task.last < TaskStatus::Stopped) {
        tx.update::<TaskRow>(scope, &task.id, |row| row.stop(StopCode::TerminationNotice, reason, now));
    }
}

/// Takes a container instance out of its cluster. It can be described for a while.
pub(crate) fn deregister(tx: &mut Tx, scope: &Scope, id: &str, now: Timestamp) {
    tx.update::<ContainerInstanceRow>(scope, id, |row| {
        row.status = InstanceStatus::Inactive;
        row.connected = false;
        row.deregistered_at = Some(now);
        row.version += 1;
    });
}

/// An instance with this equipment as placement sees it before anything is on it.
pub(super) fn empty(equipment: &Equipment, now: Timestamp) -> Instance {
    let setting = |name: &str| equipment.config.get(name).map(String::as_str).unwrap_or_default();
    let kept: u32 = setting("ECS_RESERVED_MEMORY").parse().unwrap_or(0);
    let ports = |name: &str| serde_json::from_str::<Vec<u16>>(setting(name)).unwrap_or_default();
    let of = |protocol: Protocol, ports: Vec<u16>| ports.into_iter().map(move |port| (protocol, port));
    let own: BTreeMap<String, String> = serde_json::from_str(setting("ECS_INSTANCE_ATTRIBUTES")).unwrap_or_default();
    let mut attributes = built_in(equipment);
    attributes.extend(own.into_iter().map(|(name, value)| (name, Some(value).filter(|value| !value.is_empty()))));
    Instance {
        id: String::new(),
        ec2_id: String::new(),
        agent_connected: true,
        agent_version: equipment.agent_version.clone(),
        registered_at: now,
        attributes,
        groups: vec![],
        running_tasks: 0,
        cpu: equipment.cpu,
        memory: usable(equipment.memory).saturating_sub(kept),
        interfaces: equipment.interfaces,
        ports: of(Protocol::Tcp, RESERVED.to_vec())
            .chain(of(Protocol::Tcp, ports("ECS_RESERVED_PORTS")))
            .chain(of(Protocol::Udp, ports("ECS_RESERVED_PORTS_UDP")))
            .collect(),
    }
}

/// An instance as it registers.
pub(crate) fn enrol(instance: &Ec2Instance, cluster: String, now: Timestamp) -> ContainerInstanceRow {
    let seen = empty(&instance.equipment(), now);
    let tags = instance.config.get("ECS_CONTAINER_INSTANCE_TAGS").map(String::as_str).unwrap_or_default();
    let tags: BTreeMap<String, String> = serde_json::from_str(tags).unwrap_or_default();
    ContainerInstanceRow {
        id: types::id::random_hex(32),
        cluster,
        ec2: instance.id.clone(),
        status: InstanceStatus::Active,
        connected: true,
        agent_version: seen.agent_version,
        namespace: instance.namespace.clone(),
        eni: instance.eni.clone(),
        role: instance.role.clone(),
        cpu: seen.cpu,
        memory: seen.memory,
        interfaces: seen.interfaces,
        reserved_ports: seen.ports,
        attributes: seen.attributes,
        capacity_provider: None,
        booted: instance.booted,
        registered_at: now,
        version: 1,
        deregistered_at: None,
        tags: tags.into_iter().map(|(key, value)| Tag { key, value }).collect(),
    }
}

/// What an operating system leaves of an instance type's memory: the share that a t3.medium's agent registers (3,904 of
/// 4,096 MiB). Source: ECS developer guide, "Reserving Amazon ECS Linux container instance memory".
fn usable(mib: u32) -> u32 {
    mib / 64 * 61 + mib % 64
}

fn built_in(equipment: &Equipment) -> BTreeMap<String, Option<String>> {
    let docker = (17..=DOCKER_API).map(|minor| format!("com.amazonaws.ecs.capability.docker-remote-api.1.{minor}"));
    let without = CAPABILITIES.map(str::to_owned).into_iter().chain(docker).map(|name| (name, None));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let with = [
        (ZONE, equipment.zone.as_str()),
        ("ecs.ami-id", &equipment.image),
        ("ecs.cpu-architecture", architecture),
        ("ecs.instance-type", &equipment.kind),
        ("ecs.os-family", "LINUX"),
        ("ecs.os-type", "linux"),
        ("ecs.subnet-id", &equipment.subnet),
        ("ecs.vpc-id", &equipment.vpc),
    ];
    without.chain(with.map(|(name, value)| (name.to_owned(), Some(value.to_owned())))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operating_system_takes_its_share() {
        assert_eq!([1024, 2048, 4096, 8192].map(usable), [976, 1952, 3904, 7808]);
    }
}
