//! The alarms that a target tracking policy keeps: one well above the wanted value, one well below it.
//! Sources: alarms as live accounts show them (3 of 3 minutes above the target, 15 of 15 below nine tenths of it).

use crate::alarm::{Comparison, Missing, Rule};

/// In seconds.
pub const PERIOD: u32 = 60;
const HIGH_PERIODS: usize = 3;
const LOW_PERIODS: usize = 15;
const LOW_SHARE: f64 = 0.9;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above the target: more is needed.
    High,
    /// Below it: less is enough.
    Low,
}

/// What the alarm goes by.
pub fn rule(side: Side, target: f64) -> Rule {
    let (comparison, threshold, periods) = match side {
        Side::High => (Comparison::Greater, target, HIGH_PERIODS),
        Side::Low => (Comparison::Less, target * LOW_SHARE, LOW_PERIODS),
    };
    Rule { comparison, threshold, periods, to_alarm: periods, missing: Missing::Missing, patient_percentile: None }
}

/// `TargetTracking-service/default/web-AlarmHigh-<uuid>`.
pub fn alarm_name(resource: &str, side: Side, uuid: &str) -> String {
    let side = match side {
        Side::High => "AlarmHigh",
        Side::Low => "AlarmLow",
    };
    format!("TargetTracking-{resource}-{side}-{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_live_accounts() {
        for (target, low) in [(70.0, 63.0), (80.0, 72.0), (75.0, 67.5)] {
            assert_eq!((rule(Side::High, target).threshold, rule(Side::Low, target).threshold), (target, low));
        }
        assert_eq!(alarm_name("service/c/s", Side::Low, "u"), "TargetTracking-service/c/s-AlarmLow-u");
    }
}
