//! How one deployment takes over from another: by replacing tasks, by shifting traffic, or as somebody outside says.
//! Source: API reference, `DeploymentConfiguration`, `DeploymentLifecycleHook`; developer guide, "Lifecycle stages of Amazon
//! ECS blue/green service deployments".

use crate::lifecycle::spelled;
use crate::state::ALL_TRAFFIC;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::Timestamp;

/// The way of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// ROLLING: tasks are replaced between the minimum and the maximum.
    Rolling {
        /// How long a deployment that is as it should be is looked at before it completes.
        bake: Duration,
    },
    /// BLUE_GREEN, LINEAR, CANARY: all new tasks beside the old ones, then the traffic, then the old ones go.
    Shifting(Shifting),
    /// EXTERNAL: each task set is kept at its part, and nobody takes over from anybody.
    External,
}

/// How traffic is shifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifting {
    /// In which parts.
    pub steps: Steps,
    /// How long both are there after all traffic was shifted.
    pub bake: Duration,
    /// Where it pauses.
    pub hooks: Vec<Hook>,
    /// What is wrong with the listener rules, if anything is.
    pub fault: Option<String>,
}

/// The parts in which production traffic is shifted; shares in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steps {
    /// BLUE_GREEN.
    AtOnce,
    /// LINEAR: equal parts.
    Linear {
        /// How much.
        step: u16,
        /// Between two.
        bake: Duration,
    },
    /// CANARY: a small part, then the rest.
    Canary {
        /// How much at first.
        share: u16,
        /// Before the rest.
        bake: Duration,
    },
}

impl Steps {
    /// What the green side gets after `now`.
    pub(crate) fn after(self, now: u16) -> u16 {
        let next = match self {
            Self::Linear { step, .. } => now.saturating_add(step.max(1)),
            Self::Canary { share, .. } if now == 0 => share.max(1),
            Self::AtOnce | Self::Canary { .. } => ALL_TRAFFIC,
        };
        next.min(ALL_TRAFFIC)
    }

    /// How long a step is looked at before the next. The last one is not: there is a bake time after it.
    pub(crate) fn bake_at(self, share: u16) -> Duration {
        match self {
            Self::Linear { bake, .. } | Self::Canary { bake, .. } if share < ALL_TRAFFIC => bake,
            _ => Duration::ZERO,
        }
    }
}

spelled! {
    /// `lifecycleStage`, in their order.
    Stage {
        /// More than one deployment is there besides the new one: all but the serving one go.
        Reconcile = "RECONCILE_SERVICE",
        /// Nothing of the green one is there.
        PreScaleUp = "PRE_SCALE_UP",
        /// Its tasks start.
        ScaleUp = "SCALE_UP",
        /// All of them are healthy, without traffic.
        PostScaleUp = "POST_SCALE_UP",
        /// It gets the test traffic.
        TestTrafficShift = "TEST_TRAFFIC_SHIFT",
        /// It has the test traffic.
        PostTestTrafficShift = "POST_TEST_TRAFFIC_SHIFT",
        /// Before each step of production traffic: for hooks alone.
        PreProductionTrafficShift = "PRE_PRODUCTION_TRAFFIC_SHIFT",
        /// It gets production traffic.
        ProductionTrafficShift = "PRODUCTION_TRAFFIC_SHIFT",
        /// It has all production traffic.
        PostProductionTrafficShift = "POST_PRODUCTION_TRAFFIC_SHIFT",
        /// Both sides are there.
        BakeTime = "BAKE_TIME",
        /// The blue side goes; there is no way back any more.
        CleanUp = "CLEAN_UP",
    }
}

impl Stage {
    /// Of this text.
    pub fn parse(text: &str) -> Option<Self> {
        use Stage::{
            BakeTime, CleanUp, PostProductionTrafficShift, PostScaleUp, PostTestTrafficShift,
            PreProductionTrafficShift, PreScaleUp, ProductionTrafficShift, Reconcile, ScaleUp, TestTrafficShift,
        };
        let all = [
            Reconcile,
            PreScaleUp,
            ScaleUp,
            PostScaleUp,
            TestTrafficShift,
            PostTestTrafficShift,
            PreProductionTrafficShift,
            ProductionTrafficShift,
            PostProductionTrafficShift,
            BakeTime,
            CleanUp,
        ];
        all.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether a PAUSE hook may be here.
    pub fn may_pause(self) -> bool {
        matches!(
            self,
            Self::PreScaleUp
                | Self::PostScaleUp
                | Self::PostTestTrafficShift
                | Self::PreProductionTrafficShift
                | Self::PostProductionTrafficShift
        )
    }
}

/// A PAUSE hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// At these stages.
    pub stages: Vec<Stage>,
    /// How long it waits.
    pub timeout: Duration,
    /// What happens then.
    pub on_timeout: HookAction,
}

spelled! {
    /// `DeploymentLifecycleHookAction`.
    HookAction {
        /// Go on.
        Continue = "CONTINUE",
        /// Go back.
        RollBack = "ROLLBACK",
    }
}

/// A hook at which a deployment waits, or has waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// `ecs-pause-…`.
    pub id: String,
    /// Which of the hooks.
    pub hook: usize,
    /// Where.
    pub stage: Stage,
    /// Until when.
    pub expires_at: Timestamp,
    /// What happens then.
    pub on_timeout: HookAction,
    /// How it stands.
    pub status: PauseStatus,
}

impl Pause {
    /// Nobody waits here any more: the deployment was stopped, failed for another reason, or was replaced. AWS has no
    /// status of its own for that.
    pub fn give_up(&mut self) {
        if self.status == PauseStatus::Awaiting {
            self.status = PauseStatus::Failed;
        }
    }
}

spelled! {
    /// `DeploymentLifecycleHookStatus`, as far as pauses have it.
    PauseStatus {
        /// Nobody has said anything.
        Awaiting = "AWAITING_ACTION",
        /// Somebody said to go on.
        Succeeded = "SUCCEEDED",
        /// Somebody said to go back, or nobody had to say anything any more.
        Failed = "FAILED",
        /// Nobody said anything in time.
        TimedOut = "TIMED_OUT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_with_all_traffic() {
        let walk = |steps: Steps| {
            let mut shares = vec![];
            let mut share = 0;
            while share < ALL_TRAFFIC {
                share = steps.after(share);
                shares.push(share);
            }
            shares
        };
        let bake = Duration::from_mins(6);
        assert_eq!(walk(Steps::AtOnce), [1000]);
        assert_eq!(walk(Steps::Linear { step: 300, bake }), [300, 600, 900, 1000]);
        assert_eq!(walk(Steps::Canary { share: 50, bake }), [50, 1000]);
        assert_eq!(walk(Steps::Canary { share: 1000, bake }), [1000]);
        assert_eq!(Steps::Linear { step: 300, bake }.bake_at(900), bake);
        assert_eq!(Steps::Linear { step: 300, bake }.bake_at(1000), Duration::ZERO);
    }

    #[test]
    fn stages_are_spelled_and_read_alike() {
        assert_eq!(Stage::parse("BAKE_TIME"), Some(Stage::BakeTime));
        assert_eq!(Stage::parse("LUNCH"), None);
        assert!(Stage::PostScaleUp.may_pause() && !Stage::TestTrafficShift.may_pause());
    }
}
