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
}

/// Where an instance stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifecycle {
    /// It starts.
    Pending,
    /// It runs.
    InService,
    /// It ends.
    Terminating,
}

impl Lifecycle {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
        }
    }
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
    /// It was done.
    Successful,
    /// It could not be done.
    Failed,
}

impl Status {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
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
