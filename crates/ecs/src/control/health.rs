//! The health checker: runs the container health checks of task definitions as Docker would.
//! Source: API reference, `HealthCheck`.
//!
//! [`Streak`] is the pure part: a run of results to a verdict. Its memory is this process's; after a restart a container keeps
//! its last verdict and the count of failures begins anew.

use super::Control;
use crate::rows::{ContainerRow, DefinitionRow, Health, TaskRow};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use model::ecs::HealthCheck;
use rollout::TaskStatus;
use runtime::{ExecSpec, TaskId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Row, View};
use types::Timestamp;

/// Runs container health checks. Its key is `task/container`.
pub struct HealthChecker {
    control: Control,
    streaks: Mutex<HashMap<Key, Streak>>,
}

impl HealthChecker {
    /// The checker.
    pub fn new(control: Control) -> Self {
        Self { control, streaks: Mutex::default() }
    }

    fn streaks(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Streak>> {
        self.streaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default)]
struct Streak {
    /// The start of the container that it is of: one that was started again begins anew.
    of: Option<Timestamp>,
    failures: u32,
    succeeded: bool,
    next: Option<Timestamp>,
}

impl Streak {
    /// Books a result; the verdict, if it changes anything.
    fn book(&mut self, passed: bool, in_start_period: bool, retries: u32) -> Option<Health> {
        if passed {
            self.succeeded = true;
            self.failures = 0;
            return Some(Health::Healthy);
        }
        // A failure within the start period counts only once a check has succeeded.
        if in_start_period && !self.succeeded {
            return None;
        }
        self.failures += 1;
        (self.failures >= retries).then_some(Health::Unhealthy)
    }
}

/// `CMD-SHELL text`, `CMD program arguments…`, or a bare list, which AWS treats as CMD. `None`: switched off.
pub(crate) fn argv(check: &HealthCheck) -> Option<Vec<String>> {
    match check.command.first().map(String::as_str)? {
        "NONE" => None,
        "CMD-SHELL" => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), check.command[1..].join(" ")]),
        "CMD" => Some(check.command[1..].to_vec()).filter(|argv| !argv.is_empty()),
        _ => Some(check.command.clone()),
    }
}

fn keys_of(scope: &types::Scope, row: &TaskRow) -> Vec<Key> {
    if !(TaskStatus::Activating..=TaskStatus::Running).contains(&row.last) {
        return vec![];
    }
    let checked = row.containers.iter().filter(|c| c.checked && c.last == TaskStatus::Running);
    checked.map(|container| Key::new(scope, format!("{}/{}", row.id, container.name))).collect()
}

#[async_trait]
impl Controller for HealthChecker {
    fn name(&self) -> &'static str {
        "ecs-container-health"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TaskRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        view.get::<TaskRow>(&change.scope, &change.id).map(|row| keys_of(&change.scope, &row)).unwrap_or_default()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        view.scan_all::<TaskRow>().flat_map(|(scope, row)| keys_of(scope, row)).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let Some((task, name)) = key.id.split_once('/') else { return Ok(Next::Done) };
        let view = self.control.store.view();
        let row = view.get::<TaskRow>(&key.scope, task).filter(|row| row.last <= TaskStatus::Running);
        let running = row
            .as_ref()
            .and_then(|row| row.containers.iter().find(|c| c.name == name && c.last == TaskStatus::Running));
        let (Some(row), Some(container), Some(id)) = (&row, running, TaskId::parse(task)) else {
            self.streaks().remove(key);
            return Ok(Next::Done);
        };
        let definition = view.get::<DefinitionRow>(&key.scope, &DefinitionRow::key(&row.family, row.revision));
        let check = definition.as_ref().and_then(|definition| {
            let found = definition.containers().iter().find(|c| c.name.as_deref() == Some(name));
            found.and_then(|c| c.health_check.as_ref())
        });
        let Some((check, argv)) = check.and_then(|check| Some((check, argv(check)?))) else { return Ok(Next::Done) };
        let seconds = |value: Option<i32>, default: u64| {
            let real = value.and_then(|n| u64::try_from(n).ok()).unwrap_or(default);
            self.control.pace.scale(Duration::from_secs(real))
        };
        let interval = seconds(check.interval, 30);
        let now = self.control.now();
        let known = self.streaks().get(key).copied().filter(|streak| streak.of == container.started_at);
        let mut streak = known.unwrap_or(Streak { of: container.started_at, ..Streak::default() });
        // The first check comes one interval after the start; a change of the row must not bring one forward.
        let due = streak.next.unwrap_or_else(|| container.started_at.unwrap_or(now).plus(interval));
        if now < due {
            self.streaks().insert(key.clone(), Streak { next: Some(due), ..streak });
            return Ok(Next::After(due.since(now)));
        }
        let timeout = seconds(check.timeout, 5).max(Duration::from_millis(500));
        let outcome = self.control.runtime.exec(&id, name, ExecSpec { argv, timeout }).await;
        let passed = outcome.is_ok_and(|outcome| outcome.code == Some(0));
        let start_period = seconds(check.start_period, 0);
        let in_start_period = container.started_at.is_some_and(|at| now.since(at) < start_period);
        let retries = check.retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(3).max(1);
        let verdict = streak.book(passed, in_start_period, retries);
        streak.next = Some(self.control.now().plus(interval));
        self.streaks().insert(key.clone(), streak);
        if let Some(health) = verdict.filter(|health| *health != container.health) {
            let ((), ticket) = self.control.write(|tx| {
                tx.update::<TaskRow>(&key.scope, task, |row| {
                    let same = |c: &&mut ContainerRow| c.name == name && c.started_at == container.started_at;
                    if let Some(container) = row.containers.iter_mut().find(same) {
                        container.health = health;
                        row.version += 1;
                    }
                });
            });
            ticket.await?;
        }
        Ok(Next::After(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_in_a_row_and_not_in_the_start_period() {
        let mut streak = Streak::default();
        assert_eq!(streak.book(false, true, 2), None);
        assert_eq!(streak.book(false, false, 2), None);
        assert_eq!(streak.book(true, false, 2), Some(Health::Healthy));
        assert_eq!(streak.book(false, true, 2), None, "a success ends the start period");
        assert_eq!(streak.book(false, true, 2), Some(Health::Unhealthy));
    }

    #[test]
    fn commands_have_dockers_forms() {
        let check = |command: &[&str]| HealthCheck {
            command: command.iter().map(|s| (*s).to_owned()).collect(),
            ..HealthCheck::default()
        };
        assert_eq!(
            argv(&check(&["CMD-SHELL", "curl -f x || exit 1"])).unwrap(),
            ["/bin/sh", "-c", "curl -f x || exit 1"]
        );
        assert_eq!(argv(&check(&["CMD", "/ok"])).unwrap(), ["/ok"]);
        assert_eq!(argv(&check(&["NONE"])), None);
        assert_eq!(argv(&check(&[])), None);
    }
}
