//! The service as the scheduler sees it: from rows, and from what the ports say at this moment.

use crate::control::{Control, on_instances};
use crate::placing::is_on_instances;
use crate::ports::TargetState;
use crate::rows::{ControllerType, DeploymentRow, Health, ServiceRow, ShiftRow, TASKS_BY_SERVICE, TaskRow};
use crate::{api, texts};
use model::ecs::DeploymentConfiguration;
use rollout::{
    AlarmWatch, ContainerHealth, Hook, HookAction, Placement, ServiceState, Shifting, Stage, Steps, Strategy,
    TargetHealth, TaskStatus, Timing,
};
use std::time::Duration;
use store::View;
use types::{Pace, Scope};

/// Looks at one service.
pub(super) struct Observer<'a> {
    pub(super) control: &'a Control,
    pub(super) view: &'a View,
    pub(super) scope: &'a Scope,
    pub(super) row: &'a ServiceRow,
}

impl Observer<'_> {
    pub(super) fn state(&self) -> ServiceState {
        let (row, pace) = (self.row, self.control.pace);
        let key = ServiceRow::key(&row.cluster, &row.name);
        let tasks = self.view.by_index(&TASKS_BY_SERVICE, self.scope, &key);
        let open = tasks.filter(|task| task.last != TaskStatus::Stopped || !task.marks.end_seen);
        let places = row.deployments.iter().map(|it| (it.state.id.clone(), self.places(it)));
        ServiceState {
            strategy: self.strategy(),
            desired: row.desired,
            minimum_healthy_percent: row.minimum_healthy_percent,
            maximum_percent: row.maximum_percent,
            grace_period: pace.scale(Duration::from_secs(u64::from(row.grace_seconds.unwrap_or(0)))),
            circuit_breaker: row.circuit_breaker,
            alarms: self.alarms().map(|(watch, _)| watch),
            places: places.collect(),
            // On instances a task's zone is its host's, which is chosen when it is placed.
            rebalance: row.zone_rebalancing == "ENABLED" && !is_on_instances(row),
            deployments: row.deployments.iter().map(|deployment| deployment.state.clone()).collect(),
            last_completed: row.last_completed.clone(),
            tasks: open.map(|task| self.task(task)).collect(),
            steady_since: row.steady_since,
            stuck_since: row.stuck_since,
            uneven_since: row.uneven_since,
            protected_since: row.protected_since,
            timing: Timing::at(pace),
        }
    }

    /// Where a deployment's tasks may go. On instances that is decided when a task is placed.
    fn places(&self, deployment: &DeploymentRow) -> Vec<Placement> {
        if is_on_instances(self.row) {
            return vec![Placement { subnet: String::new(), zone: String::new() }];
        }
        deployment.network.places.clone()
    }

    fn task(&self, row: &TaskRow) -> rollout::Task {
        let checked = row.containers.iter().any(|container| container.checked && container.essential);
        let targets = row.targets.iter().map(|target| {
            let Some(registered) = row.target(target).filter(|_| row.registered) else { return TargetHealth::Initial };
            match self.control.ports.targets.state(self.view, self.scope, &target.group, &registered) {
                TargetState::Registered(health) => health,
                TargetState::Draining | TargetState::Gone => TargetHealth::Initial,
            }
        });
        rollout::Task {
            id: row.id.clone(),
            deployment: on_instances::deployment(self.view, self.scope, row),
            placement: row.placement.clone(),
            last: row.last,
            desired: row.desired,
            created_at: row.created_at,
            running_since: row.started_at,
            containers: checked.then(|| match api::health(row) {
                Health::Unknown => ContainerHealth::Unknown,
                Health::Healthy => ContainerHealth::Healthy,
                Health::Unhealthy => ContainerHealth::Unhealthy,
            }),
            targets: targets.collect(),
            ended_by_itself: row.ended_by_itself,
            protected_until: row.protected_until,
            marks: row.marks,
        }
    }

    /// The deployment alarms, if they are on, and how long one must be looked at.
    fn alarms(&self) -> Option<(AlarmWatch, Duration)> {
        let port = self.control.ports.alarms.as_ref()?;
        let given = self.row.deployment_configuration.alarms.as_ref().filter(|alarms| alarms.enable)?;
        let (mut alarming, mut window) = (vec![], Duration::ZERO);
        for name in &given.alarm_names {
            let Some(alarm) = port.alarm(self.view, self.scope, name) else { continue };
            window = window.max(alarm.window);
            if alarm.alarming {
                alarming.push(name.clone());
            }
        }
        Some((AlarmWatch { rollback: given.rollback, alarming }, window))
    }

    /// The way of the primary deployment: as it was asked for when it began.
    fn strategy(&self) -> Strategy {
        if self.row.controller == ControllerType::External {
            return Strategy::External;
        }
        let (row, pace) = (self.row, self.control.pace);
        let primary = row.primary();
        let configuration = primary.and_then(|primary| primary.configuration.as_ref());
        let configuration = &configuration.unwrap_or(&row.deployment_configuration).0;
        let bake = minutes(configuration.bake_time_in_minutes.unwrap_or(0), pace);
        let Some(steps) = steps(configuration, pace) else {
            // Alarms want to have been looked at once with all of the new tasks there.
            let window = self.alarms().map_or(Duration::ZERO, |(_, window)| pace.scale(window));
            return Strategy::Rolling { bake: bake.max(window) };
        };
        Strategy::Shifting(Shifting {
            steps,
            bake,
            hooks: configuration.lifecycle_hooks.iter().flatten().map(|it| hook(it, pace)).collect(),
            fault: primary.and_then(|primary| self.fault(primary)),
        })
    }

    /// What is wrong with the listener rules that a deployment shifts.
    fn fault(&self, primary: &DeploymentRow) -> Option<String> {
        let begins = primary.state.stage == Some(Stage::PreScaleUp);
        self.row.shifts.iter().find_map(|shift| self.fault_of(shift, begins))
    }

    fn fault_of(&self, shift: &ShiftRow, begins: bool) -> Option<String> {
        let ports = &self.control.ports;
        let forwards = |rule: &str| ports.targets.forwards(self.view, self.scope, rule);
        let Some(production) = forwards(&shift.production) else { return Some(texts::RULES_NOT_FOUND.to_owned()) };
        let test = match &shift.test {
            Some(rule) => forwards(rule).map(Some),
            None => Some(None),
        };
        let Some(test) = test else { return Some(texts::RULES_NOT_FOUND.to_owned()) };
        if !begins {
            return None;
        }
        let rules = [Some(&shift.production), shift.test.as_ref()].into_iter().flatten();
        for rule in rules {
            if !ports.roles.may_shift(self.view, self.scope, &shift.role, rule) {
                return Some(texts::infrastructure_role(&shift.role));
            }
        }
        let served: Vec<&String> =
            production.iter().filter(|(_, weight)| *weight > 0).map(|(group, _)| group).collect();
        if served.len() != 1 {
            return Some(texts::several_serve(&shift.production, served.len()));
        }
        if ![&shift.group, &shift.alternate].contains(&served[0]) {
            return Some(texts::unexpected_group(served[0], &shift.group, &shift.alternate));
        }
        let led_to = |group: &String| production.iter().chain(test.iter().flatten()).any(|(other, _)| other == group);
        [&shift.group, &shift.alternate].into_iter().find(|group| !led_to(group)).map(|group| texts::group_unled(group))
    }
}

fn minutes(given: i32, pace: Pace) -> Duration {
    pace.scale(Duration::from_mins(u64::try_from(given).unwrap_or(0)))
}

/// A percentage as AWS has them, to tenths, in thousandths.
fn share(percent: f64) -> u16 {
    (percent * 10.0).round().clamp(0.0, f64::from(rollout::ALL_TRAFFIC)) as u16
}

/// The steps of a strategy that shifts traffic.
fn steps(configuration: &DeploymentConfiguration, pace: Pace) -> Option<Steps> {
    Some(match configuration.strategy.as_deref()? {
        "BLUE_GREEN" => Steps::AtOnce,
        "LINEAR" => {
            let linear = configuration.linear_configuration.clone().unwrap_or_default();
            let bake = minutes(linear.step_bake_time_in_minutes.unwrap_or(6), pace);
            Steps::Linear { step: share(linear.step_percent.unwrap_or(10.0)), bake }
        }
        "CANARY" => {
            let canary = configuration.canary_configuration.clone().unwrap_or_default();
            let bake = minutes(canary.canary_bake_time_in_minutes.unwrap_or(10), pace);
            Steps::Canary { share: share(canary.canary_percent.unwrap_or(5.0)), bake }
        }
        _ => return None,
    })
}

fn hook(given: &model::ecs::DeploymentLifecycleHook, pace: Pace) -> Hook {
    let timeout = given.timeout_configuration.clone().unwrap_or_default();
    Hook {
        stages: given.lifecycle_stages.iter().flatten().filter_map(|stage| Stage::parse(stage)).collect(),
        timeout: minutes(timeout.timeout_in_minutes.unwrap_or(1440), pace),
        on_timeout: match timeout.action.as_deref() {
            Some("CONTINUE") => HookAction::Continue,
            _ => HookAction::RollBack,
        },
    }
}
