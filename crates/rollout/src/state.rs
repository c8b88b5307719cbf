//! What [`crate::decide`] looks at: one service, its deployments and its tasks, as observed.
//!
//! The service controller builds this from its rows; nothing here is kept that is not also in the store.

use crate::breaker::CircuitBreaker;
use crate::health::{ContainerHealth, TargetHealth};
use crate::lifecycle::{DesiredStatus, TaskStatus, spelled};
use crate::monitor::{AlarmWatch, StopRequest};
use crate::strategy::{Pause, Stage, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use types::{Pace, Timestamp};

/// A service with the REPLICA scheduling strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// How the primary deployment takes over from the others.
    pub strategy: Strategy,
    /// How many healthy tasks are wanted.
    pub desired: u32,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// `healthCheckGracePeriodSeconds`.
    pub grace_period: Duration,
    /// The circuit breaker, if enabled.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The deployment alarms, if enabled.
    pub alarms: Option<AlarmWatch>,
    /// Where the tasks of each deployment may go, by its id. Of one that has no places nothing starts.
    pub places: BTreeMap<String, Vec<Placement>>,
    /// `availabilityZoneRebalancing` is ENABLED.
    pub rebalance: bool,
    /// The primary deployment first, then the older ones, newest first.
    pub deployments: Vec<Deployment>,
    /// The last deployment that completed, if any: where a rollback goes.
    pub last_completed: Option<String>,
    /// All tasks that are not yet forgotten.
    pub tasks: Vec<Task>,
    /// When the steady state was last announced; `None` once something has changed since.
    pub steady_since: Option<Timestamp>,
    /// When the stuck configuration was last announced; `None` once it got loose.
    pub stuck_since: Option<Timestamp>,
    /// When it was announced that the zones are uneven; `None` once they are even.
    pub uneven_since: Option<Timestamp>,
    /// When it was last announced that protected tasks are in the way; `None` once none is.
    pub protected_since: Option<Timestamp>,
    /// The times that AWS does not let users set.
    pub timing: Timing,
}

impl ServiceState {
    /// The fewest healthy tasks that we may leave: rounded up.
    pub fn minimum(&self) -> u32 {
        self.minimum_of(self.desired)
    }

    /// The most running and pending tasks that we may make: rounded down.
    pub fn maximum(&self) -> u32 {
        self.maximum_of(self.desired)
    }

    /// The same where `wanted` tasks are.
    pub(crate) fn minimum_of(&self, wanted: u32) -> u32 {
        percent(wanted, self.minimum_healthy_percent, true)
    }

    pub(crate) fn maximum_of(&self, wanted: u32) -> u32 {
        percent(wanted, self.maximum_percent, false)
    }

    /// The deployment that the service is going to.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }

    /// The deployment that serves while the primary one is on its way: [`serving`].
    pub fn serving(&self) -> Option<&Deployment> {
        let primary = self.primary().map_or("", |primary| &primary.id);
        serving(&self.deployments, self.last_completed.as_deref(), primary)
    }

    pub(crate) fn places_of(&self, deployment: &str) -> &[Placement] {
        self.places.get(deployment).map_or(&[], Vec::as_slice)
    }
}

/// Of `deployments` without `except`, the one that serves: the last one that completed, else the one with most of the
/// production traffic.
pub fn serving<'a>(
    deployments: &'a [Deployment],
    last_completed: Option<&str>,
    except: &str,
) -> Option<&'a Deployment> {
    let others = || deployments.iter().filter(|deployment| deployment.id != except);
    let completed = others().find(|deployment| Some(deployment.id.as_str()) == last_completed);
    // Part of it may be with one that was stopped on its way.
    completed.or_else(|| others().filter(|deployment| deployment.weight > 0).max_by_key(|deployment| deployment.weight))
}

/// The whole of the production traffic, in thousandths: AWS lets users say tenths of percent.
pub const ALL_TRAFFIC: u16 = 1000;

fn percent(of: u32, percent: u32, up: bool) -> u32 {
    let product = u64::from(of) * u64::from(percent);
    let quotient = if up { product.div_ceil(100) } else { product / 100 };
    u32::try_from(quotient).unwrap_or(u32::MAX)
}

spelled! {
    /// `Deployment.status`.
    DeploymentStatus {
        /// The newest.
        Primary = "PRIMARY",
        /// Being replaced.
        Active = "ACTIVE",
        /// Replaced.
        Inactive = "INACTIVE",
    }
}

spelled! {
    /// `Deployment.rolloutState`.
    RolloutState {
        /// Under way.
        InProgress = "IN_PROGRESS",
        /// Reached the steady state once.
        Completed = "COMPLETED",
        /// The breaker tripped. It starts nothing more.
        Failed = "FAILED",
    }
}

/// One deployment's part of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/<19 digits>`.
    pub id: String,
    /// `status`.
    pub status: DeploymentStatus,
    /// `rolloutState`.
    pub rollout: RolloutState,
    /// `failedTasks`: the breaker's count.
    pub failed_tasks: u32,
    /// How often in a row a task ended without having reached RUNNING: the throttle's count.
    pub start_failures: u32,
    /// Start nothing before this instant.
    pub not_before: Timestamp,
    /// Since when it is as it should be, and bakes: the rolling strategy's alone.
    #[serde(default)]
    pub settled_since: Option<Timestamp>,
    /// Whether alarms are watched for it; unknown until it was looked at the first time.
    #[serde(default)]
    pub watches_alarms: Option<bool>,
    /// What the user asked for by `StopServiceDeployment`.
    #[serde(default)]
    pub stop: Option<StopRequest>,
    /// It is gone back to: without hooks, steps and bake time.
    #[serde(default)]
    pub goes_back: bool,
    /// Where it stands, if traffic is shifted to it.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// Since when.
    #[serde(default)]
    pub stage_since: Timestamp,
    /// When this stage has shifted traffic.
    #[serde(default)]
    pub shifted_at: Option<Timestamp>,
    /// Its part of the production traffic, in thousandths.
    #[serde(default)]
    pub weight: u16,
    /// It has the test traffic.
    #[serde(default)]
    pub tested: bool,
    /// Its tasks are in the alternate target groups.
    #[serde(default)]
    pub alternate: bool,
    /// The pauses of this stage.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// A task set's part of the desired count, in hundredths of a percent.
    #[serde(default)]
    pub scale: Option<u32>,
}

impl Deployment {
    /// A new primary deployment.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: DeploymentStatus::Primary,
            rollout: RolloutState::InProgress,
            failed_tasks: 0,
            start_failures: 0,
            not_before: Timestamp::default(),
            settled_since: None,
            watches_alarms: None,
            stop: None,
            goes_back: false,
            stage: None,
            stage_since: Timestamp::default(),
            shifted_at: None,
            weight: 0,
            tested: false,
            alternate: false,
            pauses: vec![],
            scale: None,
        }
    }

    /// The same as the primary one that is gone back to at `now`; what traffic it has, it keeps.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Self {
        Self {
            goes_back: true,
            stage: self.stage.map(|_| Stage::ProductionTrafficShift),
            stage_since: now,
            weight: self.weight,
            tested: self.tested,
            alternate: self.alternate,
            ..Self::new(self.id.clone())
        }
    }

    /// How many of a service's `desired` tasks a task set has: rounded up.
    pub fn share_of(&self, desired: u32) -> u32 {
        let scale = u64::from(self.scale.unwrap_or(10_000));
        u32::try_from((u64::from(desired) * scale).div_ceil(10_000)).unwrap_or(u32::MAX)
    }

    /// Enters the next stage.
    pub fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = Some(stage);
        self.stage_since = now;
        self.shifted_at = None;
        self.pauses.clear();
    }

    /// Books a failed task. `reached_running` tells a crash or a failed check from a task that never came up: only the
    /// latter slows the next start down.
    pub fn count_failure(&mut self, reached_running: bool, timing: &Timing, now: Timestamp) {
        self.failed_tasks = self.failed_tasks.saturating_add(1);
        if reached_running {
            self.start_failures = 0;
        } else {
            self.start_failures = self.start_failures.saturating_add(1);
            self.not_before = now.plus(timing.throttle(self.start_failures));
        }
    }

    /// Books a task that became healthy.
    pub fn count_success(&mut self, reset_failures: bool) {
        self.start_failures = 0;
        self.not_before = Timestamp::default();
        if reset_failures {
            self.failed_tasks = 0;
        }
    }
}

/// A subnet and its zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// `subnet-…`.
    pub subnet: String,
    /// `us-east-1a`.
    pub zone: String,
}

/// What was already booked for a task, so that each thing is booked once, whatever crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// It has counted as healthy.
    pub was_healthy: bool,
    /// Its failed check has been announced and booked.
    pub was_unhealthy: bool,
    /// Its end has been looked at and, where it was a failure, booked.
    pub end_seen: bool,
}

/// One task of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The id of its deployment.
    pub deployment: String,
    /// Where it is.
    pub placement: Placement,
    /// `lastStatus`.
    pub last: TaskStatus,
    /// `desiredStatus`.
    pub desired: DesiredStatus,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// When it reached RUNNING, if it did.
    pub running_since: Option<Timestamp>,
    /// The health checks of its essential containers; `None` if there are none.
    pub containers: Option<ContainerHealth>,
    /// What each of the service's target groups says, in their order.
    pub targets: Vec<TargetHealth>,
    /// It ended by itself (crash, failure to start), not because somebody told it to.
    pub ended_by_itself: bool,
    /// Until when it is protected from scaling in and from being replaced.
    pub protected_until: Option<Timestamp>,
    /// What was booked.
    pub marks: Marks,
}

impl Task {
    /// Wanted, and neither stopping nor stopped.
    pub fn is_live(&self) -> bool {
        self.desired == DesiredStatus::Running && self.last <= TaskStatus::Running
    }

    /// On its way out, and still in its target groups.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.is_live() && self.last <= TaskStatus::Deactivating
    }

    /// May not be stopped but for its own faults.
    pub(crate) fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| now < until)
    }
}

/// The times of the scheduler that users cannot set, already divided by the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How long a task without any check runs before it counts as healthy.
    pub healthy_after: Duration,
    /// The pause after a first failure to start; each further one doubles it.
    pub throttle_first: Duration,
    /// The longest such pause.
    pub throttle_most: Duration,
    /// After how long an unchanged steady (or stuck) state is announced again.
    pub repeat: Duration,
    /// How long a stage of a deployment that shifts traffic may last.
    pub stage: Duration,
}

impl Timing {
    /// AWS's times at this pace: 40 s, back-off up to 15 min, 6 h, 24 h. The length of the first pause is not documented;
    /// ours is 10 s, one tick of AWS's scheduler.
    pub fn at(pace: Pace) -> Self {
        Self {
            healthy_after: pace.scale(Duration::from_secs(40)),
            throttle_first: pace.scale(Duration::from_secs(10)),
            throttle_most: pace.scale(Duration::from_mins(15)),
            repeat: pace.scale(Duration::from_hours(6)),
            stage: pace.scale(Duration::from_hours(24)),
        }
    }

    /// The pause after `failures` failures to start in a row.
    pub fn throttle(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.throttle_first.saturating_mul(1 << doublings).min(self.throttle_most)
    }

    /// Starts are being throttled noticeably: AWS announces "unable to consistently start tasks successfully".
    pub fn is_impaired(&self, failures: u32) -> bool {
        failures >= 3
    }
}
