//! Who starts after whom and stops before whom: `dependsOn`, read forwards at the start and backwards at the end. Pure.
//!
//! Source: API reference, `ContainerDependency`; what can never come to pass: the agent's source, `dependencygraph/graph.go`.

use crate::rows::{ContainerRow, Health};
use crate::texts;
use model::ecs::ContainerDefinition;
use runtime::{ContainerState, ContainerStatus, TaskStatus};
use std::time::Duration;
use types::{Pace, Timestamp};

/// What a container that has not started is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Start.
    Now,
    /// Wait; at the latest for so long, if that is limited.
    Later(Option<Duration>),
    /// It will never start, for this reason.
    Never(String),
}

/// The containers of a task as they are.
pub(super) struct Members<'a> {
    pub(super) definitions: &'a [ContainerDefinition],
    pub(super) rows: &'a [ContainerRow],
    pub(super) status: &'a TaskStatus,
    pub(super) now: Timestamp,
    pub(super) pace: Pace,
}

impl Members<'_> {
    /// The turns of all containers that have not started, by name.
    pub(super) fn turns(&self) -> Vec<(String, Turn)> {
        let created = |name: &str| self.state(name) == Some(&ContainerState::Created);
        let names = self.definitions.iter().map(|definition| (name(definition), definition));
        names
            .filter(|(name, _)| created(name))
            .map(|(name, definition)| (name.to_owned(), self.turn(definition)))
            .collect()
    }

    /// The containers that run and may be stopped: all who wait for them at the start have ended.
    pub(super) fn may_stop(&self) -> Vec<String> {
        let over = |name: &str| self.state(name).is_none_or(|s| s.is_over() || *s == ContainerState::Created);
        let open = self.status.containers.iter().filter(|container| !container.state.is_over());
        let free = |container: &&ContainerStatus| {
            let mut waiting = self.definitions.iter().filter(|by| awaited(by).any(|name| name == container.name));
            waiting.all(|by| over(name(by)))
        };
        open.filter(free).map(|container| container.name.clone()).collect()
    }

    fn state(&self, name: &str) -> Option<&ContainerState> {
        self.status.container(name).map(|container| &container.state)
    }

    fn turn(&self, target: &ContainerDefinition) -> Turn {
        let mut limit = None;
        let mut waits = false;
        for (other, condition) in conditions(target) {
            match self.step(target, other, condition) {
                Turn::Now => {}
                Turn::Later(left) => {
                    waits = true;
                    limit = limit.into_iter().chain(left).min();
                }
                never @ Turn::Never(_) => return never,
            }
        }
        if waits { Turn::Later(limit) } else { Turn::Now }
    }

    /// One dependency's part in the turn of `target`.
    fn step(&self, target: &ContainerDefinition, awaited: &str, condition: &str) -> Turn {
        let other = self.definitions.iter().find(|other| name(other) == awaited);
        let (Some(other), Some(state)) = (other, self.state(awaited)) else {
            return Turn::Never(texts::dependency_absent(awaited, &text(target, None)));
        };
        let healthy = || {
            let row = self.rows.iter().find(|row| row.name == name(other));
            row.is_some_and(|row| row.health == Health::Healthy)
        };
        let never = |why: fn(&str, &str) -> String| Turn::Never(why(&text(other, Some(state)), &text(target, None)));
        match (condition, state) {
            (_, ContainerState::Created) => Turn::Later(None),
            ("SUCCESS", ContainerState::Exited(exit)) if exit.started_at.is_some() && exit.code == 0 => Turn::Now,
            ("SUCCESS", state) if state.is_over() => never(texts::dependency_unsuccessful),
            (_, ContainerState::Failed { .. }) => never(texts::dependency_never_starts),
            (_, ContainerState::Exited(exit)) if exit.started_at.is_none() => never(texts::dependency_never_starts),
            ("START", _) | ("COMPLETE", ContainerState::Exited(_)) => Turn::Now,
            ("HEALTHY", ContainerState::Running { .. }) if healthy() => Turn::Now,
            ("HEALTHY", ContainerState::Exited(_)) => never(texts::dependency_unmet),
            (_, ContainerState::Running { started_at, .. }) => {
                let seconds = other.start_timeout.and_then(|seconds| u64::try_from(seconds).ok()).filter(|n| *n > 0);
                let Some(seconds) = seconds else { return Turn::Later(None) };
                let patience = self.pace.scale(Duration::from_secs(seconds));
                match patience.checked_sub(self.now.since(*started_at)) {
                    Some(left) if !left.is_zero() => Turn::Later(Some(left)),
                    _ => never(texts::dependency_timed_out),
                }
            }
            _ => Turn::Later(None),
        }
    }
}

/// Whom the container waits for, and until when. One whose volumes it takes over must have started.
fn conditions(container: &ContainerDefinition) -> impl Iterator<Item = (&str, &str)> {
    let named = container.depends_on.iter().flatten();
    let sources = container.volumes_from.iter().flatten().filter_map(|from| from.source_container.as_deref());
    named
        .map(|dependency| (dependency.container_name.as_str(), dependency.condition.as_str()))
        .chain(sources.map(|source| (source, "START")))
}

/// Whom the container waits for.
pub(crate) fn awaited(container: &ContainerDefinition) -> impl Iterator<Item = &str> {
    conditions(container).map(|(name, _)| name)
}

fn name(definition: &ContainerDefinition) -> &str {
    definition.name.as_deref().unwrap_or_default()
}

/// A container as the agent writes it: `name(image) (STOPPED->RUNNING) - Exit: 1`.
fn text(definition: &ContainerDefinition, state: Option<&ContainerState>) -> String {
    let (known, code) = match state {
        None | Some(ContainerState::Created) => ("NONE", None),
        Some(ContainerState::Running { .. }) => ("RUNNING", None),
        Some(ContainerState::Exited(exit)) => ("STOPPED", exit.started_at.map(|_| exit.code)),
        Some(ContainerState::Failed { .. }) => ("STOPPED", None),
    };
    let code = code.map(|code| format!(" - Exit: {code}")).unwrap_or_default();
    let image = definition.image.as_deref().unwrap_or_default();
    format!("{}({image}) ({known}->RUNNING){code}", name(definition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ecs::ContainerDependency;
    use runtime::{Exit, TaskId};

    const NOW: Timestamp = Timestamp(100_000);

    fn definition(name: &str, depends_on: &[(&str, &str)]) -> ContainerDefinition {
        let dependency = |(other, condition): &(&str, &str)| ContainerDependency {
            container_name: (*other).to_owned(),
            condition: (*condition).to_owned(),
        };
        ContainerDefinition {
            name: Some(name.to_owned()),
            image: Some(format!("{name}:1")),
            depends_on: Some(depends_on.iter().map(dependency).collect()),
            ..ContainerDefinition::default()
        }
    }

    fn running(since: i64) -> ContainerState {
        ContainerState::Running { pid: 1, started_at: Timestamp(since) }
    }

    fn exited(code: i32) -> ContainerState {
        let started_at = Some(Timestamp(1));
        ContainerState::Exited(Exit { code, signal: None, oom: false, started_at, at: NOW, reason: None })
    }

    fn failed() -> ContainerState {
        ContainerState::Failed { reason: "no".to_owned(), at: NOW }
    }

    fn task(states: &[(&str, ContainerState)]) -> TaskStatus {
        let of = |(name, state): &(&str, ContainerState)| ContainerStatus {
            name: (*name).to_owned(),
            state: state.clone(),
            restarts: 0,
        };
        TaskStatus { task: TaskId::generate(), containers: states.iter().map(of).collect() }
    }

    fn turn(condition: &str, state: ContainerState, start_timeout: Option<i32>) -> Turn {
        let first = ContainerDefinition { start_timeout, ..definition("first", &[]) };
        let definitions = [first, definition("app", &[("first", condition)])];
        let status = task(&[("first", state), ("app", ContainerState::Created)]);
        let members = Members { definitions: &definitions, rows: &[], status: &status, now: NOW, pace: Pace::REAL };
        let mut turns = members.turns();
        turns.retain(|(name, _)| name == "app");
        turns.pop().expect("it has a turn").1
    }

    #[test]
    fn each_condition_waits_for_what_it_says() {
        for condition in ["START", "COMPLETE", "SUCCESS", "HEALTHY"] {
            assert_eq!(turn(condition, ContainerState::Created, Some(1)), Turn::Later(None), "{condition}");
        }
        assert_eq!(turn("START", running(0), None), Turn::Now);
        assert_eq!(turn("START", exited(1), None), Turn::Now, "it has started");
        assert_eq!(turn("COMPLETE", running(0), None), Turn::Later(None));
        assert_eq!(turn("COMPLETE", exited(3), None), Turn::Now);
        assert_eq!(turn("SUCCESS", exited(0), None), Turn::Now);
        assert_eq!(turn("HEALTHY", running(0), None), Turn::Later(None));
    }

    #[test]
    fn what_can_never_come_to_pass_says_so_in_the_agents_words() {
        let never = |condition, state, timeout| match turn(condition, state, timeout) {
            Turn::Never(why) => why,
            other => panic!("{condition}: {other:?}"),
        };
        assert_eq!(
            never("SUCCESS", exited(1), None),
            "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency \
             [first(first:1) (STOPPED->RUNNING) - Exit: 1] for target [app(app:1) (NONE->RUNNING)] as dependency did not \
             exit successfully."
        );
        assert!(never("COMPLETE", failed(), None).ends_with("because dependency will never start"));
        assert!(never("HEALTHY", exited(0), None).contains("failed to resolve the container ordering dependency"));
        assert!(never("HEALTHY", running(69_000), Some(30)).ends_with("has timed out."));
        assert_eq!(turn("HEALTHY", running(80_000), Some(30)), Turn::Later(Some(Duration::from_secs(10))));
        assert_eq!(turn("START", running(0), Some(30)), Turn::Now, "a start has no timeout");
    }

    #[test]
    fn containers_stop_in_the_reverse_order_of_their_start() {
        let definitions = [definition("db", &[]), definition("app", &[("db", "START")]), definition("other", &[])];
        let may_stop = |states: &[(&str, ContainerState)]| {
            let status = task(states);
            Members { definitions: &definitions, rows: &[], status: &status, now: NOW, pace: Pace::REAL }.may_stop()
        };
        let open = |app| [("db", running(1)), ("app", app), ("other", running(1))];
        assert_eq!(may_stop(&open(running(2))), ["app", "other"]);
        assert_eq!(may_stop(&open(exited(0))), ["db", "other"]);
        assert_eq!(may_stop(&open(ContainerState::Created)), ["db", "app", "other"], "nobody waits for the unborn");
    }
}
