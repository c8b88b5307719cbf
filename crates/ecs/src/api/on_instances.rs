//! Tasks on container instances: RunTask where it chooses them, and StartTask, which names them.

use super::capacity::Capacity;
use super::clusters::missing;
use super::tasks::{check_overrides, check_started_by, inherit};
use super::{cluster, exec, instances, placement, runnable, shapes};
use crate::control::waiting;
use crate::launch::{self, Birth};
use crate::placing::{self, Member, Placed, Unplaced, Wish};
use crate::rows::{
    ClusterRow, DefinitionRow, InstanceStatus, NetworkMode, NetworkRow, ProviderRow, Tag, TaskRow, WaitRow,
};
use crate::{Ecs, names, texts};
use gateway::Context;
use model::ecs::{Failure, RunTaskRequest, StartTaskRequest, StartTaskResponse, TaskOverride};
use rollout::Placement;
use rollout::capacity::next_provider;
use rollout::fargate::Size;
use rollout::placement::Strategy;
use std::sync::Arc;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// What a request asks of each task that it starts.
struct Asked {
    definition: Arc<DefinitionRow>,
    overrides: TaskOverride,
    size: Size,
    network: NetworkRow,
    group: String,
    started_by: Option<String>,
    enable_execute_command: bool,
    tags: Vec<Tag>,
}

impl Asked {
    fn birth(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        cluster: &str,
        place: Result<Placed, WaitRow>,
        at: (Option<String>, Timestamp),
    ) -> TaskRow {
        let (provider, now) = at;
        let (place, waits) = place.map_or_else(|waits| (None, Some(waits)), |place| (Some(place), None));
        let (placement, host, eni) = match place {
            Some(place) => (place.placement, Some(place.host), place.eni),
            None => (Placement { subnet: String::new(), zone: String::new() }, None, None),
        };
        let birth = Birth {
            cluster,
            definition: &self.definition,
            overrides: self.overrides.clone(),
            size: self.size,
            service: None,
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            launch_type: provider.is_none().then(|| "EC2".to_owned()),
            capacity_provider: provider,
            network: &self.network,
            placement,
            host,
            eni,
            waits,
            targets: vec![],
            registries: vec![],
            connect: None,
            enable_execute_command: self.enable_execute_command,
            tags: self.tags.clone(),
            now,
        };
        TaskRow::clone(&tx.put(scope, launch::task(scope, birth)))
    }
}

/// As many tasks of a cluster may wait for room. Source: ECS developer guide, "Service quotas".
const MOST_WAITING: usize = 500;

/// Starts as many tasks as can be placed. Those for whom a capacity provider can make room wait for it; of the others it is said
/// what each instance lacks.
pub(super) fn run(
    ecs: &Ecs,
    tx: &mut Tx,
    scope: &Scope,
    (cluster, definition, capacity): (&ClusterRow, Arc<DefinitionRow>, &Capacity),
    input: &RunTaskRequest,
    (mut tags, now): (Vec<Tag>, Timestamp),
) -> Result<(Vec<TaskRow>, Vec<Failure>), ApiError> {
    if input.platform_version.as_ref().is_some_and(|version| !version.is_empty()) {
        return Err(texts::invalid(texts::PLATFORM_ON_INSTANCE));
    }
    let given = placement::constraints(input.placement_constraints.as_deref().unwrap_or_default())?;
    let given_strategies = placement::strategies(input.placement_strategy.as_deref().unwrap_or_default())?;
    let overrides = input.overrides.clone().unwrap_or_default();
    check_overrides(&definition, &overrides)?;
    let role = overrides.task_role_arn.as_deref().or(definition.shape.task_role_arn.as_deref());
    exec::check_role(input.enable_execute_command == Some(true), role, "task", "run")?;
    placing::check_runnable(&definition)?;
    if input.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
        inherit(&mut tags, &definition.tags);
    }
    if input.enable_ecs_managed_tags == Some(true) {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.clone() });
    }
    let asked = Asked {
        size: placing::size(&definition, &overrides)?,
        network: placing::network(&ecs.ports, tx, scope, &definition, input.network_configuration.as_ref())?,
        group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
        started_by: input.started_by.clone(),
        enable_execute_command: input.enable_execute_command.unwrap_or(false),
        overrides,
        definition,
        tags,
    };
    let constraints = placing::constraints(&asked.definition, &given)
        .map_err(|why| texts::invalid(texts::expression_malformed(&why)))?;
    let mut strategies = placing::strategies(&given_strategies);
    if strategies.is_empty() {
        strategies.push(Strategy::Random);
    }
    let strategy = if let Capacity::Strategy(items) = capacity { items.as_slice() } else { &[] };
    let (mut rows, mut failures, mut taken) = (Vec::new(), Vec::new(), Vec::<String>::new());
    for index in 0..input.count.unwrap_or(1) {
        let has = |name: &str| u32::try_from(taken.iter().filter(|on| *on == name).count()).unwrap_or(u32::MAX);
        let provider = next_provider(strategy, has).map(str::to_owned);
        taken.extend(provider.clone());
        let wish = Wish {
            cluster: &cluster.name,
            provider: provider.as_deref(),
            definition: &asked.definition,
            size: asked.size,
            network: &asked.network,
            constraints: &constraints,
            strategies: &strategies,
            group: &asked.group,
            seed: u64::try_from(now.millis()).unwrap_or(0).wrapping_add(u64::try_from(index).unwrap_or(0)),
        };
        match placing::choose(tx, scope, &wish) {
            Ok(place) => rows.push(asked.birth(tx, scope, &cluster.name, Ok(place), (provider, now))),
            Err(why)
                if waiting::may_wait(&why)
                    && provider.as_ref().is_some_and(|name| scales(tx, scope, name))
                    && waiting::count(tx, scope, &cluster.name) < MOST_WAITING =>
            {
                let waits = WaitRow {
                    // Definitions with another mode are refused before.
                    mode: placing::mode(&asked.definition).unwrap_or(NetworkMode::Awsvpc),
                    constraints: given.clone(),
                    strategies: given_strategies.clone(),
                    network: asked.network.clone(),
                };
                rows.push(asked.birth(tx, scope, &cluster.name, Err(waits), (provider, now)));
            }
            Err(Unplaced::NoInstances) if provider.is_some() => {
                return Err(texts::invalid(texts::NO_INSTANCES_OF_PROVIDER));
            }
            Err(Unplaced::NoInstances) => return Err(texts::invalid(texts::NO_INSTANCES)),
            Err(Unplaced::Lacks(lacks)) => {
                let failure = |(id, lack): (String, _)| Failure {
                    arn: Some(names::container_instance_arn(scope, &cluster.name, &id)),
                    reason: Some(texts::lack(lack).to_owned()),
                    detail: None,
                };
                failures.extend(lacks.into_iter().map(failure));
            }
        }
    }
    Ok((rows, failures))
}

/// Whether managed scaling is on for a capacity provider. Without it nobody would make room.
fn scales(view: &View, scope: &Scope, provider: &str) -> bool {
    view.get::<ProviderRow>(scope, provider).is_some_and(|row| row.scaling.enabled)
}

pub(super) fn start(ecs: &Ecs, cx: &mut Context, input: StartTaskRequest) -> Result<StartTaskResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    check_started_by(input.started_by.as_deref())?;
    if input.volume_configurations.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::not_implemented("volumeConfigurations (Amazon EBS)"));
    }
    if input.container_instances.is_empty() {
        return Err(texts::invalid(texts::INSTANCES_EMPTY));
    }
    if input.container_instances.len() > 10 {
        return Err(texts::invalid("Container instances cannot have more than 10 elements"));
    }
    let mut tags = shapes::tag_rows(input.tags.as_deref().unwrap_or_default())?;
    let tx = cx.tx();
    let cluster = cluster(tx, &scope, input.cluster.as_deref())?;
    let definition = runnable(tx, &scope, &input.task_definition)?;
    let overrides = input.overrides.unwrap_or_default();
    check_overrides(&definition, &overrides)?;
    let role = overrides.task_role_arn.as_deref().or(definition.shape.task_role_arn.as_deref());
    exec::check_role(input.enable_execute_command == Some(true), role, "task", "run")?;
    placing::check_runnable(&definition)?;
    if input.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
        inherit(&mut tags, &definition.tags);
    }
    if input.enable_ecs_managed_tags == Some(true) {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.clone() });
    }
    let asked = Asked {
        size: placing::size(&definition, &overrides)?,
        network: placing::network(&ecs.ports, tx, &scope, &definition, input.network_configuration.as_ref())?,
        group: input.group.unwrap_or_else(|| format!("family:{}", definition.family)),
        started_by: input.started_by,
        enable_execute_command: input.enable_execute_command.unwrap_or(false),
        overrides,
        definition,
        tags,
    };
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in &input.container_instances {
        let Some(row) = instances::find(tx, &scope, reference, &cluster.name)? else {
            failures.push(instances::absent(&scope, reference, &cluster.name));
            continue;
        };
        let failure = |reason: &str| Failure {
            reason: Some(reason.to_owned()),
            ..missing(names::container_instance_arn(&scope, &cluster.name, &row.id))
        };
        if row.status == InstanceStatus::Inactive {
            failures.push(failure("INACTIVE"));
            continue;
        }
        let wish = Wish {
            cluster: &cluster.name,
            provider: None,
            definition: &asked.definition,
            size: asked.size,
            network: &asked.network,
            // Who names the instance, has chosen it.
            constraints: &[],
            strategies: &[],
            group: &asked.group,
            seed: 0,
        };
        match placing::choose_among(&[Member::of(tx, &scope, &row)], &wish) {
            Ok(place) => {
                let row = asked.birth(tx, &scope, &cluster.name, Ok(place), (None, now));
                tasks.push(shapes::task(&scope, &row, true));
            }
            Err(unplaced) => failures.extend(unplaced.closest().map(|(_, lack)| failure(texts::lack(lack)))),
        }
    }
    Ok(StartTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}
