//! Managed scaling: keeps the Auto Scaling groups of capacity providers as large as their tasks need, and protects instances
//! with tasks from scale-in. Its key is the provider's name.
//! Source: ECS developer guide, "How Amazon ECS managed scaling works" and "Control the instances Amazon ECS terminates".
//!
//! Once a minute it says how many instances are needed, publishes `CapacityProviderReservation`, and brings the group there:
//! outwards at once, inwards after fifteen minutes in which there was too much, as AWS's alarms do.

use super::instances::empty;
use super::{Control, on_instances, waiting};
use crate::placing;
use crate::ports::Group;
use crate::rows::{
    ClusterRow, ContainerInstanceRow, DefinitionRow, INSTANCES_BY_CLUSTER, INSTANCES_BY_EC2, InstanceStatus,
    ProviderRow, SERVICES_BY_CLUSTER, ServiceRow, ServiceStatus, TASKS_BY_INSTANCE, TASKS_BY_SERVICE, TaskRow,
};
use crate::texts;
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use observe::publish::{Sample, publish};
use rollout::capacity::next_provider;
use rollout::placement::Instance;
use rollout::reservation::{Reserved, Scaling, wanted};
use rollout::{DesiredStatus, TaskStatus};
use std::time::Duration;
use store::{Change, Row, Tx, View};
use tracking::Minute;
use types::{Scope, Timestamp};

/// Minutes in which there must be too much before instances go.
const PATIENCE: u32 = 15;

/// Scales capacity providers' groups.
pub struct ManagedScaling {
    control: Control,
    minute: Minute,
    tables: &'static [&'static str],
}

impl ManagedScaling {
    /// The controller. Made once for each process: its list of tables lives as long as that.
    pub fn new(control: Control) -> Self {
        let mut tables = vec![ProviderRow::TABLE, ClusterRow::TABLE, ContainerInstanceRow::TABLE, TaskRow::TABLE];
        tables.extend(control.ports.groups.tables());
        let minute = Minute::at(control.pace);
        Self { control, minute, tables: Box::leak(tables.into_boxed_slice()) }
    }

    /// Looks at the group's size if a minute has passed. Returns how long until the next look.
    fn look(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        (row, group): (&ProviderRow, &Group),
        samples: &mut Vec<(Scope, Sample)>,
        now: Timestamp,
    ) -> Option<Duration> {
        let minute = self.minute.length();
        let passed = row.looked.map_or(minute, |looked| now.since(looked));
        if passed < minute {
            return Some(minute.saturating_sub(passed));
        }
        let clusters = clusters(tx, scope, &row.name);
        if clusters.is_empty() {
            tx.update::<ProviderRow>(scope, &row.name, |row| (row.looked, row.idle_since) = (None, None));
            return None;
        }
        let present = u32::try_from(group.instances.len()).unwrap_or(u32::MAX);
        let needed = clusters.iter().map(|cluster| needed(tx, scope, cluster, row, group, now)).sum();
        let reserved = Reserved { needed, present };
        for cluster in &clusters {
            let sample = Sample {
                namespace: "AWS/ECS/ManagedScaling",
                name: "CapacityProviderReservation",
                dimensions: vec![("CapacityProviderName", row.name.clone()), ("ClusterName", cluster.clone())],
                at: self.minute.start(now),
                unit: "None",
                values: vec![(reserved.percent(), 1.0)],
                sum: None,
            };
            samples.push((scope.clone(), sample));
        }
        let (target, least, most) = (row.scaling.target, row.scaling.least, row.scaling.most);
        let goal = wanted(reserved, group.desired, Scaling { target, least, most, bounds: group.bounds });
        let mut idle_since = None;
        if goal > group.desired {
            self.control.ports.groups.set_desired(
                tx,
                scope,
                &group.name,
                goal,
                texts::scaled(now, group.desired, goal),
            );
        } else if goal < group.desired {
            let since = row.idle_since.unwrap_or(now);
            if now.since(since) >= minute * (PATIENCE - 1) {
                let cause = texts::scaled(now, group.desired, goal);
                self.control.ports.groups.set_desired(tx, scope, &group.name, goal, cause);
            } else {
                idle_since = Some(since);
            }
        }
        tx.update::<ProviderRow>(scope, &row.name, |row| (row.looked, row.idle_since) = (Some(now), idle_since));
        Some(minute)
    }
}

/// The clusters that have the provider.
fn clusters(view: &View, scope: &Scope, provider: &str) -> Vec<String> {
    let has = |row: &&std::sync::Arc<ClusterRow>| row.active && row.capacity_providers.iter().any(|it| it == provider);
    view.scan::<ClusterRow>(scope).filter(has).map(|row| row.name.clone()).collect()
}

/// Whether tasks other than a daemon's are on a container instance.
pub(super) fn is_busy(view: &View, scope: &Scope, instance: &str) -> bool {
    let alive = |task: &&std::sync::Arc<TaskRow>| task.last < TaskStatus::Stopped;
    view.by_index(&TASKS_BY_INSTANCE, scope, instance).filter(alive).any(|task| {
        let service = task.service_key().and_then(|key| view.get::<ServiceRow>(scope, &key));
        !service.is_some_and(|service| service.placement.daemon)
    })
}

/// How many instances the provider's tasks need in a cluster: those that run some, or, where tasks wait for room, all that are
/// there and as many more as what waits fills at least. Tasks that fit no instance that the group launches do not count: they
/// are too large, or their ports are reserved, or their constraints or attributes are not met. Source: ECS developer guide,
/// "Amazon ECS managed scaling behavior".
fn needed(view: &View, scope: &Scope, cluster: &str, row: &ProviderRow, group: &Group, now: Timestamp) -> u32 {
    let rows = view.by_index(&INSTANCES_BY_CLUSTER, scope, cluster);
    // Those that the group is ending are none that it has.
    let in_group = |instance: &ContainerInstanceRow| group.instances.iter().any(|(id, _)| *id == instance.ec2);
    let of_provider = |instance: &&std::sync::Arc<ContainerInstanceRow>| {
        instance.status != InstanceStatus::Inactive
            && instance.capacity_provider.as_ref() == Some(&row.name)
            && in_group(instance)
    };
    let registered: Vec<_> = rows.filter(of_provider).collect();
    let launches: Vec<Instance> = group.launches.iter().map(|one| empty(one, now)).collect();
    let of = (cluster, row.name.as_str());
    let (mut count, mut cpu, mut memory) = waiting::of_provider(view, scope, of, &launches, now);
    for service in view.by_index(&SERVICES_BY_CLUSTER, scope, cluster) {
        if let Some((waiting, size)) = waiting_of(view, scope, service, &row.name, &launches, now) {
            count += u64::from(waiting);
            cpu += u64::from(waiting) * u64::from(size.0);
            memory += u64::from(waiting) * u64::from(size.1);
        }
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return number(registered.iter().filter(|one| is_busy(view, scope, &one.id)).count());
    }
    let more = launches
        .first()
        .map_or(1, |one| cpu.div_ceil(u64::from(one.cpu).max(1)).max(memory.div_ceil(u64::from(one.memory).max(1))));
    number(registered.len()).saturating_add(u32::try_from(more).unwrap_or(u32::MAX).max(1))
}

/// How many tasks of a service wait for an instance of the provider, and the CPU units and MiB of each.
fn waiting_of(
    view: &View,
    scope: &Scope,
    service: &ServiceRow,
    provider: &str,
    launches: &[Instance],
    now: Timestamp,
) -> Option<(u32, (u32, u32))> {
    let waits = service.status == ServiceStatus::Active && service.placement.complaint.is_some();
    let deployment = service.primary().filter(|_| waits)?;
    let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &ServiceRow::key(&service.cluster, &service.name));
    // Those on instances that drain are to come up elsewhere.
    let counts = |task: &TaskRow| on_instances::deployment(view, scope, task) == deployment.state.id;
    let alive: Vec<_> = tasks.filter(|task| task.desired == DesiredStatus::Running && counts(task)).collect();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let missing = service.desired.saturating_sub(number(alive.len()));
    let has = |name: &str| number(alive.iter().filter(|task| task.capacity_provider.as_deref() == Some(name)).count());
    if missing == 0 || next_provider(&service.strategy, has) != Some(provider) {
        return None;
    }
    let key = DefinitionRow::key(&deployment.family, deployment.revision);
    let definition = view.get::<DefinitionRow>(scope, &key)?;
    on_instances::wish(service, (deployment, &definition, Some(provider)), now, |wish| {
        // One that has room by now waits for nothing but its turn.
        let lacks_room = placing::choose(view, scope, wish).is_err() && launches.iter().any(|one| wish.suits(one));
        lacks_room.then_some((missing, (wish.size.cpu, wish.size.memory)))
    })?
}

#[async_trait]
impl Controller for ManagedScaling {
    fn name(&self) -> &'static str {
        "ecs-managed-scaling"
    }

    fn tables(&self) -> &'static [&'static str] {
        self.tables
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        if change.table == ProviderRow::TABLE {
            return vec![Key::new(&change.scope, change.id.to_string())];
        }
        // There are few providers.
        view.scan::<ProviderRow>(&change.scope).map(|row| Key::new(&change.scope, row.name.as_str())).collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<ProviderRow>().map(|(scope, row)| Key::new(scope, row.name.as_str())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let groups = &self.control.ports.groups;
        let on = |view: &View| view.get::<ProviderRow>(scope, &key.id).filter(|row| row.scaling.enabled);
        if on(&self.control.store.view()).is_none() {
            return Ok(Next::Done);
        }
        let mut samples = Vec::new();
        let (next, ticket) = self.control.write(|tx| {
            let row = on(tx)?;
            let group = groups.group(tx, scope, &row.group)?;
            for (instance, protected) in &group.instances {
                let registered = tx.by_index(&INSTANCES_BY_EC2, scope, instance);
                let alive = registered.filter(|one| one.status != InstanceStatus::Inactive);
                let own: Vec<String> = alive.map(|one| one.id.clone()).collect();
                // One that is not registered yet keeps what the group gave it.
                let busy = own.iter().any(|id| is_busy(tx, scope, id));
                if row.protects && !own.is_empty() && busy != *protected {
                    groups.protect(tx, scope, instance, busy);
                }
            }
            self.look(tx, scope, (&row, &group), &mut samples, now)
        });
        ticket.await?;
        publish(&self.control.store, &samples).await?;
        Ok(next.map_or(Next::Done, Next::After))
    }
}
