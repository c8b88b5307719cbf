//! What becomes of services, told to EventBridge as `ECS Service Action` and `ECS Deployment State Change`. Source: ECS
//! developer guide, "Amazon ECS service action events" and "Amazon ECS service deployment state change events".
//!
//! The rows say what was told: of a service's events up to which, and of its deployments which states. So nothing is told
//! twice or lost, whatever is killed. Of a service that nothing was told of yet only what is new since the change that woke us is told.

use super::Control;
use crate::rows::{EventsRow, ServiceRow, ToldRow};
use crate::{names, texts};
use async_trait::async_trait;
use controller::{Controller, Failure, Key, Next};
use events::Event;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{Change, Row, Tx, View};
use types::{Scope, Timestamp};

/// What was there before the first change seen of each: the newest event, and the deployments with their states.
#[derive(Default)]
struct Before {
    event: Option<Option<String>>,
    deployments: Option<BTreeMap<String, String>>,
}

/// What was told of a service.
type Told = (Option<String>, BTreeMap<String, String>);

/// Tells of services. Its key is `cluster/service`.
pub struct ServiceEvents {
    control: Control,
    before: Mutex<HashMap<Key, Before>>,
}

impl ServiceEvents {
    /// The controller.
    pub fn new(control: Control) -> Self {
        Self { control, before: Mutex::default() }
    }

    fn before(&self) -> MutexGuard<'_, HashMap<Key, Before>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an event of a service is called there, if anything: its level and its name.
fn action(message: &str) -> Option<(&'static str, &'static str)> {
    let parts = [
        ("has reached a steady state.", "INFO", "SERVICE_STEADY_STATE"),
        ("is unable to consistently start tasks successfully.", "WARN", "SERVICE_TASK_START_IMPAIRED"),
        ("was unable to place a task", "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE"),
    ];
    parts.into_iter().find(|(part, ..)| message.contains(part)).map(|(_, level, name)| (level, name))
}

fn newest(row: &EventsRow) -> Option<String> {
    row.events.front().map(|event| event.id.clone())
}

fn states(row: &ServiceRow) -> BTreeMap<String, String> {
    row.deployments.iter().map(|row| (row.state.id.clone(), row.state.rollout.to_string())).collect()
}

struct Service<'a> {
    scope: &'a Scope,
    row: &'a ServiceRow,
}

impl Service<'_> {
    fn event(&self, detail_type: &str, at: Timestamp, detail: Value) -> Event {
        Event {
            source: "aws.ecs".to_owned(),
            detail_type: detail_type.to_owned(),
            resources: vec![names::service_arn(self.scope, &self.row.cluster, &self.row.name)],
            at,
            detail,
        }
    }

    fn cluster(&self) -> String {
        names::cluster_arn(self.scope, &self.row.cluster)
    }

    fn action(&self, event: &crate::rows::Event) -> Option<Event> {
        let (level, name) = action(&event.message)?;
        let mut detail = json!({
            "eventType": level, "eventName": name, "clusterArn": self.cluster(), "createdAt": event.at.iso8601(),
        });
        if name == "SERVICE_TASK_PLACEMENT_FAILURE" {
            let (reason, closest) = texts::placement_failure(&event.message);
            detail["reason"] = reason.into();
            if let Some(instance) = closest {
                let arn = names::container_instance_arn(self.scope, &self.row.cluster, instance);
                detail["containerInstanceArns"] = json!([arn]);
            }
            let providers = self.row.strategy.iter().map(|item| names::provider_arn(self.scope, &item.provider));
            let providers: Vec<String> = providers.collect();
            if !providers.is_empty() {
                detail["capacityProviderArns"] = providers.into();
            }
        }
        Some(self.event("ECS Service Action", event.at, detail))
    }

    /// What is told of the deployments whose state differs from the one told.
    fn deployments(&self, told: &BTreeMap<String, String>) -> Vec<Event> {
        let differ =
            |row: &&crate::rows::DeploymentRow| told.get(&row.state.id) != Some(&row.state.rollout.to_string());
        // The oldest first: the newest one stands in front.
        let changed = self.row.deployments.iter().rev().filter(differ);
        let event = |row: &crate::rows::DeploymentRow| {
            let state = row.state.rollout.to_string();
            let level = if state == "FAILED" { "ERROR" } else { "INFO" };
            let detail = json!({
                "eventType": level,
                "eventName": format!("SERVICE_DEPLOYMENT_{state}"),
                "clusterArn": self.cluster(),
                "deploymentId": row.state.id,
                "updatedAt": row.updated_at.iso8601(),
                "reason": row.reason,
            });
            self.event("ECS Deployment State Change", row.updated_at, detail)
        };
        changed.map(event).collect()
    }
}

/// Tells of what is new since `before`, and remembers it.
fn tell(tx: &mut Tx, scope: &Scope, key: &str, before: &Told, now: Timestamp) {
    let Some(row) = tx.get::<ServiceRow>(scope, key) else { return };
    let journal = tx.get::<EventsRow>(scope, key);
    let newest = journal.as_deref().and_then(newest);
    let service = Service { scope, row: &row };
    for event in service.deployments(&before.1) {
        events::publish(tx, scope, &event, now);
    }
    let messages = journal.iter().flat_map(|journal| journal.events.iter());
    let mut fresh: Vec<_> = messages.take_while(|event| Some(&event.id) != before.0.as_ref()).collect();
    fresh.reverse();
    for event in fresh.into_iter().filter_map(|event| service.action(event)) {
        events::publish(tx, scope, &event, now);
    }
    let told = ToldRow { what: ToldRow::service(key), version: 0, event: newest, deployments: states(&row) };
    let same = tx.get::<ToldRow>(scope, &told.what).is_some_and(|before| *before == told);
    if !same {
        tx.put(scope, told);
    }
}

#[async_trait]
impl Controller for ServiceEvents {
    fn name(&self) -> &'static str {
        "ecs-service-events"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ServiceRow::TABLE, EventsRow::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let key = Key::new(&change.scope, change.id.to_string());
        let known = view.contains::<ToldRow>(&key.scope, &ToldRow::service(&key.id));
        if !known && !events::is_awaited(view, &key.scope) {
            return Vec::new();
        }
        if !known {
            let mut all = self.before();
            let before = all.entry(key.clone()).or_default();
            if change.table == EventsRow::TABLE {
                before.event.get_or_insert_with(|| change.before::<EventsRow>().and_then(|row| newest(&row)));
            } else {
                let states = || change.before::<ServiceRow>().map(|row| states(&row)).unwrap_or_default();
                before.deployments.get_or_insert_with(states);
            }
        }
        vec![key]
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let told = view.scan_all::<ToldRow>();
        told.filter_map(|(scope, row)| Some(Key::new(scope, row.what.strip_prefix("service/")?))).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let (scope, now) = (&key.scope, self.control.now());
        let what = ToldRow::service(&key.id);
        let seen = self.before().remove(key);
        let ((), ticket) = self.control.write(|tx| {
            let row = tx.get::<ServiceRow>(scope, &key.id);
            let (Some(row), true) = (row, events::is_awaited(tx, scope)) else {
                tx.delete::<ToldRow>(scope, &what);
                return;
            };
            let told = tx.get::<ToldRow>(scope, &what).map(|row| (row.event.clone(), row.deployments.clone()));
            let before = told.or_else(|| {
                let seen = seen?;
                // What has not changed is as it was.
                let present = || tx.get::<EventsRow>(scope, &key.id).and_then(|row| newest(&row));
                Some((seen.event.unwrap_or_else(present), seen.deployments.unwrap_or_else(|| states(&row))))
            });
            if let Some(before) = before {
                tell(tx, scope, &key.id, &before, now);
            }
        });
        ticket.await?;
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::placement::Lack;

    #[test]
    fn events_of_services_have_their_names() {
        let name = |message: &str| action(message).map(|(_, name)| name);
        assert_eq!(name(&texts::steady("web")), Some("SERVICE_STEADY_STATE"));
        assert_eq!(name(&texts::impaired("web")), Some("SERVICE_TASK_START_IMPAIRED"));
        assert_eq!(name(&texts::unable_to_place("web", "x")), Some("SERVICE_TASK_PLACEMENT_FAILURE"));
        assert_eq!(name(&texts::started("web", &[], 0)), None);
    }

    #[test]
    fn events_tell_why_no_task_can_be_placed() {
        for lack in [
            Lack::Agent,
            Lack::Attribute,
            Lack::MemberOf,
            Lack::Distinct,
            Lack::Interfaces,
            Lack::Ports,
            Lack::Cpu,
            Lack::Memory,
        ] {
            let message = texts::unplaced("web", Some(("0a", lack)), false);
            assert_eq!(action(&message).map(|(_, name)| name), Some("SERVICE_TASK_PLACEMENT_FAILURE"));
            assert_eq!(texts::placement_failure(&message), (texts::lack(lack).to_owned(), Some("0a")), "{message}");
        }
        let without = texts::unplaced("web", None, false);
        assert_eq!(texts::placement_failure(&without), (texts::NO_INSTANCES.to_owned(), None));
        let failed = texts::unable_to_place("web", "CannotPullContainerError: x.");
        assert_eq!(texts::placement_failure(&failed), ("CannotPullContainerError: x.".to_owned(), None));
    }
}
