//! A plan's decisions made rows and events.

use super::{journal, record};
use crate::control::{Control, on_instances};
use crate::launch::{self, Birth};
use crate::placing::is_on_instances;
use crate::rows::{
    DefinitionRow, DeploymentRow, MonitorStatus, ServiceDeploymentRow, ServiceRow, ShiftRow, TASKS_BY_SERVICE, Tag,
    TaskRow,
};
use crate::texts;
use model::ecs::TaskOverride;
use rollout::capacity::next_provider;
use rollout::health::Cause;
use rollout::{
    Decision, DeploymentStatus, DesiredStatus, FailCause, Pause, PauseStatus, Placement, Plan, RolloutState,
    ServiceState, Stage, StopCode, StopReason, Strategy, TargetHealth, TaskStatus, Timing,
};
use store::{Tx, View};
use types::{Scope, Timestamp};

/// A plan being carried out on a copy of the service's row.
pub(super) struct Carrying<'a> {
    control: &'a Control,
    row: ServiceRow,
    /// The record of the service deployment, while it is under way.
    record: Option<ServiceDeploymentRow>,
    seen: &'a ServiceState,
    scope: &'a Scope,
    now: Timestamp,
    timing: Timing,
    /// Whether the plan goes back to an earlier deployment.
    goes_back: bool,
    messages: Vec<String>,
    started: Vec<String>,
    /// Those that even the zones out, with their zone.
    started_to_even: Vec<(String, String)>,
    replaced: usize,
    stopped_running: Vec<String>,
    stopped_to_even: Vec<(String, String)>,
    stopped_pending: usize,
}

impl<'a> Carrying<'a> {
    pub(super) fn new(
        control: &'a Control,
        view: &View,
        scope: &'a Scope,
        row: &ServiceRow,
        seen: &'a ServiceState,
        now: Timestamp,
    ) -> Self {
        Self {
            control,
            row: row.clone(),
            record: record::open(view, scope, row),
            seen,
            scope,
            now,
            timing: seen.timing,
            goes_back: false,
            messages: vec![],
            started: vec![],
            started_to_even: vec![],
            replaced: 0,
            stopped_running: vec![],
            stopped_to_even: vec![],
            stopped_pending: 0,
        }
    }

    /// Applies all decisions, and writes what changed from `before`.
    pub(super) fn carry_out(mut self, tx: &mut Tx, plan: &Plan, before: &ServiceRow) {
        self.goes_back = plan.decisions.iter().any(|decision| matches!(decision, Decision::RollBack { .. }));
        for decision in &plan.decisions {
            self.apply(tx, decision);
        }
        self.finish(tx, before);
    }

    fn apply(&mut self, tx: &mut Tx, decision: &Decision) {
        match decision {
            Decision::MarkHealthy { task } => {
                let task = tx.update::<TaskRow>(self.scope, task, |row| row.marks.was_healthy = true);
                let reset = self.row.circuit_breaker.is_none_or(|breaker| breaker.reset_on_healthy_task);
                if let Some(deployment) = task.and_then(|task| self.deployment(task.started_by.as_deref())) {
                    deployment.state.count_success(reset);
                }
                self.row.impaired = false;
            }
            Decision::MarkUnhealthy { task, cause, failure } => self.mark_unhealthy(tx, task, *cause, *failure),
            Decision::MarkEnded { task, failure } => self.mark_ended(tx, task, *failure),
            Decision::StartTask { deployment, placement, replaces_unhealthy, rebalances } => {
                if let Some(task) = self.start(tx, deployment, placement) {
                    if *rebalances {
                        self.started_to_even.push((placement.zone.clone(), task));
                    } else {
                        self.started.push(task);
                    }
                    self.replaced += usize::from(*replaces_unhealthy);
                }
            }
            Decision::StopTask { task, reason } => self.stop(tx, task, *reason),
            Decision::WatchAlarms { deployment, watch } => {
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.watches_alarms = Some(*watch);
                }
                if let Some(record) = self.record.as_mut().filter(|record| record.rollback.is_none()) {
                    record.alarms = if *watch { MonitorStatus::Monitoring } else { MonitorStatus::Disabled };
                }
            }
            Decision::BeginBake { deployment } => {
                let now = self.now;
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.settled_since = Some(now);
                }
                if let Some(record) = &mut self.record {
                    record.stage = Some(Stage::BakeTime);
                }
            }
            Decision::EnterStage { deployment, stage } => {
                let now = self.now;
                self.note_pauses();
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.enter(*stage, now);
                    row.updated_at = now;
                }
                if *stage == Stage::CleanUp {
                    self.row.last_completed = Some(deployment.clone());
                }
            }
            Decision::BeginPause { deployment, stage, hook, expires_at, on_timeout } => {
                let pause = Pause {
                    id: record::pause_id(),
                    hook: *hook,
                    stage: *stage,
                    expires_at: *expires_at,
                    on_timeout: *on_timeout,
                    status: PauseStatus::Awaiting,
                };
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.pauses.push(pause);
                }
            }
            Decision::EndPause { deployment, pause } => {
                if let Some(row) = self.deployment(Some(deployment)) {
                    let over = row.state.pauses.iter_mut().filter(|open| open.id == *pause);
                    over.for_each(|pause| pause.status = PauseStatus::TimedOut);
                }
            }
            Decision::ShiftTraffic { to, from, share } => self.shift(tx, to, from.as_deref(), *share),
            Decision::StandIn { deployment } => self.stand_in(deployment),
            Decision::ShiftTestTraffic { to } => self.shift_test(tx, to),
            Decision::CompleteDeployment { deployment } => {
                let (now, name) = (self.now, self.row.name.clone());
                if let Some(row) = self.deployment(Some(deployment)) {
                    row.state.rollout = RolloutState::Completed;
                    row.reason = texts::rollout_completed(deployment);
                    row.updated_at = now;
                }
                self.row.last_completed = Some(deployment.clone());
                self.messages.push(texts::completed(&name, deployment));
                if let Some(record) = &mut self.record {
                    record::complete(record, now);
                }
            }
            Decision::FailDeployment { deployment, cause, rollback } => self.fail(deployment, cause, *rollback),
            Decision::RollBack { from, to } => self.roll_back(from, to),
            Decision::RemoveDeployment { deployment } => {
                self.row.deployments.retain(|row| row.state.id != *deployment);
            }
            Decision::Unsteady => self.row.steady_since = None,
            Decision::Unstuck => self.row.stuck_since = None,
            Decision::Unprotected => self.row.protected_since = None,
            Decision::Evened => self.row.uneven_since = None,
            Decision::Announce(rollout::Event::Steady) => {
                self.row.steady_since = Some(self.now);
                self.messages.push(texts::steady(&self.row.name));
            }
            Decision::Announce(rollout::Event::Stuck) => {
                self.row.stuck_since = Some(self.now);
                self.messages.push(texts::stuck(&self.row.name));
            }
            Decision::Announce(rollout::Event::Protected { tasks }) => {
                self.row.protected_since = Some(self.now);
                let primary = self.row.primary().map(|primary| primary.state.id.clone()).unwrap_or_default();
                self.messages.push(texts::protected(&self.row.name, &primary, *tasks));
            }
            Decision::Announce(rollout::Event::Uneven(zones)) => {
                self.row.uneven_since = Some(self.now);
                self.messages.push(texts::uneven(&self.row.name, zones));
            }
            Decision::Announce(rollout::Event::Even(zones)) => {
                self.row.uneven_since = None;
                self.messages.push(texts::even(&self.row.name, zones));
            }
        }
    }

    /// The record keeps how the pauses of a stage ended that the deployment leaves.
    fn note_pauses(&mut self) {
        if let Some(record) = &mut self.record {
            record::note_pauses(record, &self.row);
        }
    }

    fn deployment(&mut self, id: Option<&str>) -> Option<&mut DeploymentRow> {
        self.row.deployments.iter_mut().find(|row| Some(row.state.id.as_str()) == id)
    }

    fn mark_unhealthy(&mut self, tx: &mut Tx, task: &str, cause: Cause, failure: bool) {
        let (now, timing) = (self.now, self.timing);
        let Some(task) = tx.update::<TaskRow>(self.scope, task, |row| row.marks.was_unhealthy = true) else { return };
        let name = &self.row.name;
        self.messages.push(match cause {
            Cause::Container => format!("(service {name}) (task {}) failed container health checks.", task.id),
            Cause::Target(index) => match task.targets.get(index) {
                Some(target) => {
                    let seen = self.seen.tasks.iter().find(|seen| seen.id == task.id);
                    let reason = match seen.and_then(|seen| seen.targets.get(index)) {
                        Some(TargetHealth::Unhealthy(reason)) => reason,
                        _ => "Health checks failed",
                    };
                    texts::unhealthy(name, &task.id, target.port, &target.group, reason)
                }
                None => return,
            },
        });
        if failure && let Some(deployment) = self.deployment(task.started_by.as_deref()) {
            deployment.state.count_failure(true, &timing, now);
            deployment.updated_at = now;
        }
    }

    fn mark_ended(&mut self, tx: &mut Tx, task: &str, failure: bool) {
        let (now, timing) = (self.now, self.timing);
        let Some(task) = tx.update::<TaskRow>(self.scope, task, |row| row.marks.end_seen = true) else { return };
        let name = self.row.name.clone();
        if task.started_at.is_none()
            && let Some(stop) = task.stop.as_ref().filter(|stop| stop.code == StopCode::TaskFailedToStart)
        {
            let of_role = stop.reason.starts_with(texts::UNABLE_TO_ASSUME);
            let text = if of_role { texts::unable_to_launch } else { texts::unable_to_place };
            self.messages.push(text(&name, &stop.reason));
        }
        if !failure {
            return;
        }
        let Some(deployment) = self.deployment(task.started_by.as_deref()) else { return };
        deployment.state.count_failure(task.started_at.is_some(), &timing, now);
        deployment.updated_at = now;
        let (failures, failed) = (deployment.state.start_failures, deployment.state.failed_tasks);
        // Where the breaker trips over it, that is told instead.
        let trips = self.row.circuit_breaker.as_ref().is_some_and(|it| failed >= it.trips_at(self.row.desired));
        if timing.is_impaired(failures) && !trips && !self.row.impaired {
            self.row.impaired = true;
            self.messages.push(texts::impaired(&name));
        }
    }

    /// Starts a task; its id.
    fn start(&mut self, tx: &mut Tx, deployment: &str, placement: &Placement) -> Option<String> {
        let deployment = self.deployment(Some(deployment)).cloned()?;
        let key = DefinitionRow::key(&deployment.family, deployment.revision);
        let Some(definition) = tx.get::<DefinitionRow>(self.scope, &key) else {
            tracing::error!(service = self.row.name, definition = key, "a deployment's task definition is gone");
            return None;
        };
        let overrides = TaskOverride::default();
        let provider = capacity_provider(tx, self.scope, &self.row, &deployment);
        let (size, placement, host, eni) = if is_on_instances(&self.row) {
            let about = (&deployment, &*definition, provider.as_deref());
            let (size, place) = on_instances::place(tx, self.scope, &self.row, about, self.now)?;
            match place {
                Ok(place) => {
                    self.row.placement.complaint = None;
                    (size, place.placement, Some(place.host), place.eni)
                }
                Err(unplaced) => {
                    self.complain(texts::unplaced(&self.row.name, unplaced.closest(), provider.is_some()));
                    return None;
                }
            }
        } else {
            (launch::size(&definition, &overrides).ok()?, placement.clone(), None, None)
        };
        let service = &self.row;
        let set = deployment.task_set.as_ref();
        let birth = Birth {
            cluster: &service.cluster,
            definition: &definition,
            overrides,
            size,
            service: Some(&service.name),
            group: format!("service:{}", service.name),
            started_by: Some(deployment.state.id.clone()),
            launch_type: set.map_or(&service.launch_type, |set| &set.launch_type).clone(),
            capacity_provider: provider,
            network: &deployment.network,
            placement,
            host,
            eni,
            waits: None,
            targets: deployment.targets.clone(),
            registries: deployment.registries.clone(),
            connect: deployment.connect.as_ref(),
            enable_execute_command: service.enable_execute_command,
            tags: tags(service, &definition),
            now: self.now,
        };
        Some(tx.put(self.scope, launch::task(self.scope, birth)).id.clone())
    }

    /// Says why a task could not be placed, and again only where the cause is another or six hours have passed.
    fn complain(&mut self, text: String) {
        let said = self.row.placement.complaint.as_ref();
        if said.is_some_and(|(said, at)| *said == text && self.now.since(*at) < self.timing.repeat) {
            return;
        }
        self.row.placement.complaint = Some((text.clone(), self.now));
        self.messages.push(text);
    }

    fn stop(&mut self, tx: &mut Tx, task: &str, reason: StopReason) {
        let now = self.now;
        let Some(before) = tx.get::<TaskRow>(self.scope, task) else { return };
        let text = match reason {
            StopReason::Scaling | StopReason::Rebalancing => {
                texts::scaling_activity(before.started_by.as_deref().unwrap_or_default())
            }
            StopReason::Unhealthy(Cause::Container) => texts::CONTAINER_CHECKS_FAILED.to_owned(),
            StopReason::Unhealthy(Cause::Target(index)) => {
                texts::elb_checks_failed(before.targets.get(index).map_or("", |target| &target.group))
            }
        };
        tx.update::<TaskRow>(self.scope, task, |row| row.stop(StopCode::ServiceSchedulerInitiated, text, now));
        if before.last == TaskStatus::Running && reason == StopReason::Rebalancing {
            self.stopped_to_even.push((before.placement.zone.clone(), task.to_owned()));
        } else if before.last == TaskStatus::Running {
            self.stopped_running.push(task.to_owned());
        } else {
            self.stopped_pending += 1;
        }
    }

    fn fail(&mut self, deployment: &str, cause: &FailCause, rollback: bool) {
        let (now, name) = (self.now, self.row.name.clone());
        let rolls = !matches!(self.seen.strategy, Strategy::Shifting(_));
        // What is to go back, and has nowhere to go, does not.
        let reason = texts::failure(cause, self.goes_back);
        if let Some(row) = self.deployment(Some(deployment)) {
            row.state.rollout = RolloutState::Failed;
            row.state.pauses.iter_mut().for_each(Pause::give_up);
            row.reason = texts::rollout_failed(cause);
            row.updated_at = now;
        }
        self.messages.push(match cause {
            FailCause::CircuitBreaker if rolls => texts::failed(&name, deployment),
            FailCause::Alarms(_) if rolls => texts::failed_for(&name, deployment, texts::ALARM_DETECTED),
            _ => texts::failed_for(&name, deployment, &reason),
        });
        if let Some(record) = &mut self.record {
            record::fail(record, cause, reason, rollback, now);
        }
    }

    fn roll_back(&mut self, from: &str, to: &str) {
        let now = self.now;
        let mut configuration = None;
        if let Some(row) = self.deployment(Some(from)) {
            row.state.status = DeploymentStatus::Active;
            row.updated_at = now;
            configuration.clone_from(&row.configuration);
        }
        let Some(at) = self.row.deployments.iter().position(|row| row.state.id == to) else { return };
        let mut target = self.row.deployments.remove(at);
        target.state = target.state.again(now);
        target.reason = texts::rollout_back_to(to);
        target.updated_at = now;
        // It goes back the way that it came.
        target.configuration = configuration;
        if let Some(record) = &mut self.record {
            record::roll_back(record, target.digits(), now);
        }
        if self.row.shifts.is_empty() {
            self.row.targets.clone_from(&target.targets);
        }
        self.row.registries.clone_from(&target.registries);
        self.row.connect.clone_from(&target.connect);
        self.row.deployments.insert(0, target);
        self.row.impaired = false;
        self.messages.push(texts::rolling_back(&self.row.name, to));
    }

    /// Has a deployment be what serves, and the primary one beside it.
    fn stand_in(&mut self, id: &str) {
        let Some(beside) = self.deployment(Some(id)).map(|row| row.state.alternate) else { return };
        self.row.last_completed = Some(id.to_owned());
        let shifts = self.row.shifts.clone();
        let primary = self.row.deployments.iter_mut().find(|row| row.state.status == DeploymentStatus::Primary);
        let Some(primary) = primary else { return };
        primary.state.alternate = !beside;
        for (target, shift) in primary.targets.iter_mut().zip(&shifts) {
            shift.group_of(!beside).clone_into(&mut target.group);
        }
    }

    /// Gives `share` thousandths of production traffic to `to`, and the rest to the other side.
    fn shift(&mut self, tx: &mut Tx, to: &str, from: Option<&str>, share: u16) {
        let now = self.now;
        for row in &mut self.row.deployments {
            row.state.weight = match row.state.id.as_str() {
                id if id == to => share,
                id if Some(id) == from => rollout::ALL_TRAFFIC - share,
                _ => 0,
            };
        }
        let Some(row) = self.deployment(Some(to)) else { return };
        row.state.shifted_at = Some(now);
        row.updated_at = now;
        let alternate = row.state.alternate;
        for shift in &self.row.shifts {
            self.forward(tx, shift, &shift.production, alternate, share);
        }
    }

    /// Gives all test traffic to `to`.
    fn shift_test(&mut self, tx: &mut Tx, to: &str) {
        for row in &mut self.row.deployments {
            row.state.tested = row.state.id == to;
        }
        let Some(alternate) = self.deployment(Some(to)).map(|row| row.state.alternate) else { return };
        for shift in &self.row.shifts {
            if let Some(rule) = &shift.test {
                self.forward(tx, shift, rule, alternate, rollout::ALL_TRAFFIC);
            }
        }
    }

    /// Weights are percents where they can be, else thousandths, of which a rule takes 999 at most.
    fn forward(&self, tx: &mut Tx, shift: &ShiftRow, rule: &str, alternate: bool, share: u16) {
        let unit = if share.is_multiple_of(10) { 10 } else { 1 };
        let (mine, rest) = (u32::from(share / unit), u32::from((rollout::ALL_TRAFFIC - share) / unit));
        let (main, other) = if alternate { (rest, mine) } else { (mine, rest) };
        let weights = [(shift.group.as_str(), main), (shift.alternate.as_str(), other)];
        self.control.ports.targets.forward(tx, self.scope, rule, &weights);
    }

    /// Writes the row and the events; starts and stops are announced in one event each.
    fn finish(mut self, tx: &mut Tx, before: &ServiceRow) {
        let name = self.row.name.clone();
        if !self.started.is_empty() {
            self.messages.push(texts::started(&name, &self.started, self.replaced));
        }
        if !self.stopped_running.is_empty() {
            self.messages.push(texts::stopped_running(&name, &self.stopped_running));
        }
        for (zone, task) in &self.started_to_even {
            self.messages.push(texts::started_to_even(&name, zone, task));
        }
        for (zone, task) in &self.stopped_to_even {
            self.messages.push(texts::stopped_to_even(&name, zone, task));
        }
        if self.stopped_pending > 0 {
            self.messages.push(texts::stopped_pending(&name, self.stopped_pending));
        }
        let key = ServiceRow::key(&self.row.cluster, &name);
        journal(tx, self.scope, &key, self.messages, self.now);
        if let Some(record) = self.record.take() {
            record::keep(tx, self.scope, record, &self.row, self.now);
        }
        if self.row != *before {
            tx.put(self.scope, self.row);
        }
    }
}

/// The capacity provider that a new task of the deployment goes to, where the service has a strategy.
fn capacity_provider(view: &View, scope: &Scope, service: &ServiceRow, deployment: &DeploymentRow) -> Option<String> {
    let strategy = deployment.task_set.as_ref().map_or(&service.strategy, |set| &set.strategy);
    if strategy.is_empty() {
        return None;
    }
    let key = ServiceRow::key(&service.cluster, &service.name);
    let tasks = view.by_index(&TASKS_BY_SERVICE, scope, &key);
    let live: Vec<&str> = tasks
        .filter(|task| task.desired == DesiredStatus::Running && task.started_by.as_ref() == Some(&deployment.state.id))
        .filter_map(|task| task.capacity_provider.as_deref())
        .collect();
    let has = |name: &str| u32::try_from(live.iter().filter(|on| **on == name).count()).unwrap_or(u32::MAX);
    next_provider(strategy, has).map(str::to_owned)
}

/// The tags of a service's new task.
fn tags(service: &ServiceRow, definition: &DefinitionRow) -> Vec<Tag> {
    let mut tags = match service.propagate_tags.as_deref() {
        Some("SERVICE") => service.tags.clone(),
        Some("TASK_DEFINITION") => definition.tags.clone(),
        _ => vec![],
    };
    if service.managed_tags {
        let managed = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        tags.push(managed("aws:ecs:clusterName", &service.cluster));
        tags.push(managed("aws:ecs:serviceName", &service.name));
    }
    tags
}
