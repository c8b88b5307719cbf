//! A target's health as one node sees it, and as the load balancer reports it.
//!
//! [`step`] folds one check's result into a state. Words and codes are those of `DescribeTargetHealth`
//! (API reference, `TargetHealth`; user guide, "Health checks for your target groups").

use crate::config::HealthCheck;
use serde::{Deserialize, Serialize};

/// What one check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckResult {
    /// The answer's status is in the matcher.
    Passed,
    /// The answer's status is not in the matcher.
    Mismatch(u16),
    /// No answer in time.
    TimedOut,
    /// No connection, or no HTTP.
    Failed,
}

/// A target's health in one node's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// Where it stands.
    pub phase: Phase,
    /// Successes in a row.
    pub passes: u32,
    /// Failures in a row.
    pub failures: u32,
}

/// Where a target stands in one node's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Registered, no verdict yet.
    Initial,
    /// Is given requests.
    Healthy,
    /// Is given none, unless none is healthy. Carries the last failure.
    Unhealthy(CheckResult),
    /// Checks are disabled: is given requests.
    Unchecked,
}

impl HealthState {
    /// Before the first check.
    pub fn new(check: &HealthCheck) -> Self {
        let phase = if check.enabled { Phase::Initial } else { Phase::Unchecked };
        Self { phase, passes: 0, failures: 0 }
    }

    /// Whether the target is given requests.
    pub fn usable(self) -> bool {
        matches!(self.phase, Phase::Healthy | Phase::Unchecked)
    }

    /// How it is reported.
    pub fn report(self) -> TargetHealth {
        match self.phase {
            Phase::Initial => TargetHealth::initial(),
            Phase::Healthy => TargetHealth::healthy(),
            Phase::Unchecked => TargetHealth::checks_disabled(),
            Phase::Unhealthy(why) => TargetHealth::unhealthy(why),
        }
    }
}

/// The state after one more check. The first success is enough for a target without a verdict.
#[must_use]
pub fn step(state: HealthState, result: CheckResult, settings: &HealthCheck) -> HealthState {
    let passed = result == CheckResult::Passed;
    let passes = if passed { state.passes.saturating_add(1) } else { 0 };
    let failures = if passed { 0 } else { state.failures.saturating_add(1) };
    let phase = match state.phase {
        Phase::Initial | Phase::Unchecked if passed => Phase::Healthy,
        Phase::Unhealthy(_) if passed && passes >= settings.healthy_threshold => Phase::Healthy,
        // the reason stays that of the last failure while successes are still too few
        Phase::Unhealthy(_) if !passed => Phase::Unhealthy(result),
        _ if !passed && failures >= settings.unhealthy_threshold => Phase::Unhealthy(result),
        other => other,
    };
    HealthState { phase, passes, failures }
}

/// What the load balancer reports of a target that several nodes check: unhealthy as soon as one node says so, else
/// healthy as soon as one does.
pub fn aggregate(views: impl IntoIterator<Item = HealthState>) -> TargetHealth {
    let mut all = TargetHealth::registering();
    for view in views {
        match view.phase {
            Phase::Unhealthy(_) => return view.report(),
            Phase::Initial if all.state == State::Initial => all = view.report(),
            Phase::Initial => {}
            Phase::Healthy | Phase::Unchecked => all = view.report(),
        }
    }
    all
}

/// `State` of `TargetHealth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// `initial`
    #[serde(rename = "initial")]
    Initial,
    /// `healthy`
    #[serde(rename = "healthy")]
    Healthy,
    /// `unhealthy`
    #[serde(rename = "unhealthy")]
    Unhealthy,
    /// `unused`
    #[serde(rename = "unused")]
    Unused,
    /// `draining`
    #[serde(rename = "draining")]
    Draining,
    /// `unavailable`
    #[serde(rename = "unavailable")]
    Unavailable,
}

impl State {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unused => "unused",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
        }
    }
}

/// `TargetHealth` as the API reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// The state.
    pub state: State,
    /// The reason code; healthy targets have none.
    pub reason: Option<String>,
    /// The reason in words; healthy targets have none.
    pub description: Option<String>,
}

impl TargetHealth {
    fn because(state: State, reason: &str, description: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.to_owned()), description: Some(description.into()) }
    }

    /// Passed its checks.
    pub fn healthy() -> Self {
        Self { state: State::Healthy, reason: None, description: None }
    }

    /// Registered a moment ago.
    pub fn registering() -> Self {
        Self::because(State::Initial, "Elb.RegistrationInProgress", "Target registration is in progress")
    }

    /// Being checked for the first time.
    pub fn initial() -> Self {
        Self::because(State::Initial, "Elb.InitialHealthChecking", "Initial health checks in progress")
    }

    /// It is an instance that does not run.
    pub fn not_running(state: &str) -> Self {
        Self::because(State::Unused, "Target.InvalidState", format!("Target is in the {state} state"))
    }

    /// Its group is not attached to a load balancer.
    pub fn not_in_use() -> Self {
        Self::because(
            State::Unused,
            "Target.NotInUse",
            "Target group is not configured to receive traffic from the load balancer",
        )
    }

    /// Not registered.
    pub fn not_registered() -> Self {
        Self::because(State::Unused, "Target.NotRegistered", "Target is not registered to the target group")
    }

    /// Deregistered, finishing what it has begun.
    pub fn draining() -> Self {
        Self::because(State::Draining, "Target.DeregistrationInProgress", "Target deregistration is in progress")
    }

    /// Its group's health checks are disabled.
    pub fn checks_disabled() -> Self {
        Self::because(
            State::Unavailable,
            "Target.HealthCheckDisabled",
            "Health checks are disabled for this target group",
        )
    }

    /// Failed its checks.
    pub fn unhealthy(why: CheckResult) -> Self {
        match why {
            CheckResult::Mismatch(code) => Self::because(
                State::Unhealthy,
                "Target.ResponseCodeMismatch",
                format!("Health checks failed with these codes: [{code}]"),
            ),
            CheckResult::TimedOut => Self::because(State::Unhealthy, "Target.Timeout", "Request timed out"),
            CheckResult::Failed | CheckResult::Passed => {
                Self::because(State::Unhealthy, "Target.FailedHealthChecks", "Health checks failed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(results: &[CheckResult]) -> HealthState {
        let settings = HealthCheck { healthy_threshold: 3, unhealthy_threshold: 2, ..HealthCheck::default() };
        results.iter().fold(HealthState::new(&settings), |state, result| step(state, *result, &settings))
    }

    #[test]
    fn the_first_success_is_enough() {
        assert_eq!(run(&[CheckResult::Passed]).report(), TargetHealth::healthy());
        assert_eq!(run(&[CheckResult::Failed, CheckResult::Passed]).report(), TargetHealth::healthy());
    }

    #[test]
    fn failures_in_a_row_make_unhealthy_with_the_last_reason() {
        assert!(run(&[CheckResult::Passed, CheckResult::TimedOut]).usable(), "one failure is not two");
        let state = run(&[CheckResult::Passed, CheckResult::TimedOut, CheckResult::Mismatch(503)]);
        assert_eq!(state.report().reason.as_deref(), Some("Target.ResponseCodeMismatch"));
        assert_eq!(state.report().description.as_deref(), Some("Health checks failed with these codes: [503]"));
    }

    #[test]
    fn an_unhealthy_target_needs_its_threshold() {
        let down = [CheckResult::Failed, CheckResult::Failed];
        let p = CheckResult::Passed;
        assert!(!run(&[down[0], down[1], p, p]).usable());
        assert!(run(&[down[0], down[1], p, p, p]).usable());
        assert!(!run(&[down[0], down[1], p, p, CheckResult::Failed, p]).usable());
    }

    #[test]
    fn one_node_that_cannot_reach_a_target_shows() {
        let (well, ill) = (run(&[CheckResult::Passed]), run(&[CheckResult::TimedOut, CheckResult::TimedOut]));
        assert_eq!(aggregate([well, ill]).state, State::Unhealthy);
        assert_eq!(aggregate([well, run(&[])]).state, State::Healthy);
        assert_eq!(aggregate([run(&[])]).reason.as_deref(), Some("Elb.InitialHealthChecking"));
        assert_eq!(aggregate([]).reason.as_deref(), Some("Elb.RegistrationInProgress"));
    }

    proptest! {
        #[test]
        fn a_verdict_always_has_its_streak(results in proptest::collection::vec(any::<bool>(), 0..40)) {
            let settings = HealthCheck { healthy_threshold: 3, unhealthy_threshold: 2, ..HealthCheck::default() };
            let mut state = HealthState::new(&settings);
            for (at, passed) in results.iter().enumerate() {
                let before = state;
                state = step(state, if *passed { CheckResult::Passed } else { CheckResult::Failed }, &settings);
                if before.usable() && !state.usable() {
                    prop_assert!(results[..=at].iter().rev().take(2).all(|passed| !passed));
                }
                if matches!(before.phase, Phase::Unhealthy(_)) && state.usable() {
                    prop_assert!(results[..=at].iter().rev().take(3).all(|passed| *passed));
                }
            }
        }
    }
}
