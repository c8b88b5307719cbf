//! Groups, the instances in them, and what happened, as the store holds them.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::{Index, Row};
use types::arn::Arn;
use types::{Scope, Timestamp};

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name, unique in its account and region.
    pub name: String,
    /// The UUID in its ARN.
    pub uuid: String,
    /// What its instances are launched from.
    pub template: Template,
    /// The least number of instances.
    pub min: u32,
    /// The greatest.
    pub max: u32,
    /// How many there are to be.
    pub desired: u32,
    /// Seconds between one activity and the next that honours it.
    pub cooldown: u32,
    /// Seconds from when an instance is in service until load balancers' checks count.
    pub grace: u32,
    /// `EC2` or `ELB`.
    pub health_check: String,
    /// Its subnets, in the order given.
    pub subnets: Vec<String>,
    /// The target groups in which its instances are targets.
    pub target_groups: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Whether new instances are protected from scale-in.
    pub protect_new: bool,
    /// How those to end are chosen, in order.
    pub termination_policies: Vec<String>,
    /// Processes that do not run, and why.
    pub suspended: BTreeMap<String, String>,
    /// `none`, `prevent-force-deletion` or `prevent-all-deletion`.
    pub deletion_protection: String,
    /// Seconds that a new instance takes to warm up, if that was said.
    pub warmup: Option<i32>,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it goes once its last instance has gone.
    pub deleting: bool,
    /// Why as many as `desired` are wanted: the beginning of activities' causes.
    pub cause: String,
    /// When a launch failed last, and how often in a row.
    pub failed: Option<(Timestamp, u32)>,
}

/// A launch template as a group names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// A number, `$Latest` or `$Default`; the default one where nothing is said.
    pub version: Option<String>,
}

/// A tag of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether instances are launched with it.
    pub at_launch: bool,
}

impl Group {
    /// `arn:aws:autoscaling:…:autoScalingGroup:<uuid>:autoScalingGroupName/<name>`.
    pub fn arn(&self, scope: &Scope) -> String {
        let resource = format!("autoScalingGroup:{}:autoScalingGroupName/{}", self.uuid, self.name);
        Arn::new("autoscaling", scope, resource).to_string()
    }

    /// Whether a process runs.
    pub fn runs(&self, process: &str) -> bool {
        !self.suspended.contains_key(process)
    }
}

impl Row for Group {
    const TABLE: &'static str = "autoscaling.group";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// An instance in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInstance {
    /// The instance's id.
    pub instance: String,
    /// The group's name.
    pub group: String,
    /// Its zone.
    pub zone: String,
    /// Its type.
    pub kind: String,
    /// The template that it was launched from, with the version's number.
    pub template: Template,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Since when.
    pub since: Timestamp,
    /// When it was launched.
    pub launched: Timestamp,
    /// Why it is unhealthy, if it is.
    pub unhealthy: Option<Unhealthy>,
    /// Whether it is protected from scale-in.
    pub protected: bool,
    /// The activity that goes on with it.
    pub activity: Option<String>,
    /// The lifecycle actions that it waits for, or waited for last.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// Where an instance stands in its group. Source: EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifecycle {
    /// It starts.
    Pending,
    /// It runs, and hooks keep it from serving.
    PendingWait,
    /// It runs, and the hooks have let it go.
    PendingProceed,
    /// It serves.
    InService,
    /// It ends, and no hook kept it.
    Terminating,
    /// It runs still, and hooks keep it from ending.
    TerminatingWait,
    /// It ends, and the hooks have let it go.
    TerminatingProceed,
}

impl Lifecycle {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
        }
    }

    /// Whether it ends: it does not count as one that the group has.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::Terminating | Self::TerminatingWait | Self::TerminatingProceed)
    }
}

/// A lifecycle hook of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The group's name.
    pub group: String,
    /// Its own, unique in the group.
    pub name: String,
    /// When instances wait for it.
    pub transition: Transition,
    /// Seconds that may pass without a heartbeat.
    pub heartbeat: u32,
    /// The result where none is told in time.
    pub default: Outcome,
    /// What events tell along with it.
    pub metadata: Option<String>,
}

impl Hook {
    /// Hooks by their group's name.
    pub const BY_GROUP: Index<Self> = Index::new("group", |row| vec![row.group.clone()]);

    /// The row's id. A hook's name has no colon.
    pub fn key(group: &str, name: &str) -> String {
        format!("{group}:{name}")
    }
}

impl Row for Hook {
    const TABLE: &'static str = "autoscaling.hook";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.group, &self.name))
    }

    fn indexes() -> &'static [Index<Self>] {
        const { &[Self::BY_GROUP] }
    }
}

/// What an instance is about to do when a hook has it wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transition {
    /// To serve.
    Launching,
    /// To end.
    Terminating,
}

impl Transition {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Launching, Self::Terminating];

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }
}

/// The result of a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The instance goes on.
    Continue,
    /// It ends, without waiting for what else it waits for.
    Abandon,
}

impl Outcome {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Continue, Self::Abandon];

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

/// That an instance waits for a hook. Later changes of the hook do not touch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The hook's name.
    pub hook: String,
    /// What names it: a UUID.
    pub token: String,
    /// The hook's seconds without a heartbeat.
    pub heartbeat: u32,
    /// The result where none is told in time.
    pub default: Outcome,
    /// Until when a result or a heartbeat is waited for.
    pub until: Timestamp,
    /// Until when at most, whatever heartbeats come.
    pub last: Timestamp,
    /// The result that was told.
    pub result: Option<Outcome>,
}

/// Who found an instance unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unhealthy {
    /// EC2: it does not run any more.
    Ec2,
    /// A load balancer's checks.
    Elb,
    /// A user, by SetInstanceHealth.
    User,
}

impl GroupInstance {
    /// Instances by their group's name.
    pub const BY_GROUP: Index<Self> = Index::new("group", |row| vec![row.group.clone()]);
}

impl Row for GroupInstance {
    const TABLE: &'static str = "autoscaling.instance";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.instance)
    }

    fn indexes() -> &'static [Index<Self>] {
        const { &[Self::BY_GROUP] }
    }
}

/// Something that was done to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// A UUID.
    pub id: String,
    /// The group's name.
    pub group: String,
    /// What.
    pub description: String,
    /// Why.
    pub cause: String,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// What became of it.
    pub status: Status,
    /// What went wrong.
    pub message: Option<String>,
    /// Where: the subnet and its zone.
    pub place: Option<(String, String)>,
}

/// What became of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It goes on.
    InProgress,
    /// It waits for lifecycle hooks.
    MidLifecycleAction,
    /// It was done.
    Successful,
    /// It could not be done.
    Failed,
    /// It was given up.
    Cancelled,
}

impl Status {
    /// Whether more is to come.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::InProgress | Self::MidLifecycleAction)
    }

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::MidLifecycleAction => "MidLifecycleAction",
            Self::Cancelled => "Cancelled",
        }
    }
}

impl Activity {
    /// Activities by their group's name.
    pub const BY_GROUP: Index<Self> = Index::new("group", |row| vec![row.group.clone()]);
}

impl Row for Activity {
    const TABLE: &'static str = "autoscaling.activity";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        const { &[Self::BY_GROUP] }
    }
}
