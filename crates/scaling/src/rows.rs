//! What the store keeps of scalable targets. All ids begin with the resource, `service/<cluster>/<name>`: the namespace is
//! `ecs`, and the dimension the desired count.

use model::Stored;
use model::application_autoscaling::{StepScalingPolicyConfiguration, TargetTrackingScalingPolicyConfiguration};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Row, View};
use tracking::capacity::{Bounds, Cooldown};
use types::{Scope, Timestamp};

/// `ServiceNamespace`.
pub const NAMESPACE: &str = "ecs";
/// `ScalableDimension`.
pub const DIMENSION: &str = "ecs:service:DesiredCount";

/// A scalable target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// `service/<cluster>/<name>`.
    pub resource: String,
    /// `MinCapacity` and `MaxCapacity`.
    pub bounds: Bounds,
    /// What is suspended.
    pub suspended: Suspended,
    /// `ScalableTargetARN`.
    pub arn: String,
    /// `CreationTime`.
    pub created: Timestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The bounds were set, and the capacity is still to be brought within them.
    pub unbound: bool,
    /// That of the last activity of a policy.
    pub cooldown: Option<Cooldown>,
    /// The minute of the last decision that changed something.
    pub decided: Option<Timestamp>,
}

/// `SuspendedState`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the words are AWS's")]
pub struct Suspended {
    /// `DynamicScalingInSuspended`.
    pub scaling_in: bool,
    /// `DynamicScalingOutSuspended`.
    pub scaling_out: bool,
    /// `ScheduledScalingSuspended`.
    pub scheduled: bool,
}

impl Row for Target {
    const TABLE: &'static str = "scaling.target";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.resource)
    }
}

/// The id of what belongs to a resource. Resources hold no `#`.
fn belonging(resource: &str, name: &str) -> String {
    format!("{resource}#{name}")
}

/// The resource that an id begins with.
pub(crate) fn resource_of(id: &str) -> &str {
    id.split('#').next().unwrap_or(id)
}

/// The rows of a resource, in order of their ids.
fn of_resource<'a, R: Row>(view: &'a View, scope: &Scope, resource: &str) -> impl Iterator<Item = &'a Arc<R>> {
    let first = belonging(resource, "");
    view.scan_from::<R>(scope, &first).take_while(move |row| row.id().starts_with(&first))
}

/// A scaling policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The target's resource.
    pub resource: String,
    /// `PolicyName`, unique for the target.
    pub name: String,
    /// `PolicyARN`.
    pub arn: String,
    /// What it goes by.
    pub kind: PolicyKind,
    /// `CreationTime`.
    pub created: Timestamp,
}

/// What a policy goes by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `StepScaling`.
    Steps(Stored<StepScalingPolicyConfiguration>),
    /// `TargetTrackingScaling`.
    Tracking {
        /// As it was put.
        configuration: Stored<TargetTrackingScalingPolicyConfiguration>,
        /// The name of the alarm above the target.
        high: String,
        /// That of the one below it; none where scaling in is disabled.
        low: Option<String>,
    },
}

impl Policy {
    /// Its id.
    pub fn key(resource: &str, name: &str) -> String {
        belonging(resource, name)
    }

    /// The policies of a target.
    pub fn of<'a>(view: &'a View, scope: &Scope, resource: &str) -> impl Iterator<Item = &'a Arc<Self>> {
        of_resource(view, scope, resource)
    }

    /// The names of the alarms that it keeps itself.
    pub fn own_alarms(&self) -> Vec<String> {
        match &self.kind {
            PolicyKind::Steps(_) => Vec::new(),
            PolicyKind::Tracking { high, low, .. } => [high.clone()].into_iter().chain(low.clone()).collect(),
        }
    }
}

impl Row for Policy {
    const TABLE: &'static str = "scaling.policy";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.resource, &self.name))
    }
}

/// A scheduled action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The target's resource.
    pub resource: String,
    /// `ScheduledActionName`, unique for the target.
    pub name: String,
    /// `ScheduledActionARN`.
    pub arn: String,
    /// `Schedule`, as it was put.
    pub schedule: String,
    /// `Timezone`.
    pub timezone: Option<String>,
    /// `StartTime`.
    pub start: Option<Timestamp>,
    /// `EndTime`.
    pub end: Option<Timestamp>,
    /// `MinCapacity` of its action.
    pub min: Option<u32>,
    /// `MaxCapacity` of its action.
    pub max: Option<u32>,
    /// `CreationTime`.
    pub created: Timestamp,
    /// What was due until then is done.
    pub done: Timestamp,
}

impl Scheduled {
    /// Its id.
    pub fn key(resource: &str, name: &str) -> String {
        belonging(resource, name)
    }

    /// The scheduled actions of a target.
    pub fn of<'a>(view: &'a View, scope: &Scope, resource: &str) -> impl Iterator<Item = &'a Arc<Self>> {
        of_resource(view, scope, resource)
    }
}

impl Row for Scheduled {
    const TABLE: &'static str = "scaling.scheduled";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.resource, &self.name))
    }
}

/// A scaling activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The target's resource.
    pub resource: String,
    /// `ActivityId`, a UUID.
    pub uuid: String,
    /// Which one of the resource it is, so that those of one instant keep their order.
    pub number: u32,
    /// `Description`.
    pub description: String,
    /// `Cause`.
    pub cause: String,
    /// `StartTime`.
    pub start: Timestamp,
    /// `EndTime`.
    pub end: Option<Timestamp>,
    /// `StatusCode`.
    pub status: Status,
    /// `StatusMessage`.
    pub message: String,
    /// The desired count that it set, if it did.
    pub to: Option<u32>,
}

/// `StatusCode` of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The service is on its way.
    InProgress,
    /// It is there.
    Successful,
    /// A later activity wants something else.
    Overridden,
    /// The service did not take it.
    Failed,
}

impl Status {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Overridden => "Overridden",
            Self::Failed => "Failed",
        }
    }
}

impl Activity {
    /// The activities of a resource, oldest first.
    pub fn of<'a>(view: &'a View, scope: &Scope, resource: &str) -> impl Iterator<Item = &'a Arc<Self>> {
        of_resource(view, scope, resource)
    }
}

impl Row for Activity {
    const TABLE: &'static str = "scaling.activity";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(belonging(&self.resource, &format!("{:014}#{:08}", self.start.0, self.number)))
    }
}
