//! The deployment circuit breaker's threshold.
//! Source: API reference, `DeploymentCircuitBreaker` and `ThresholdConfiguration` (2026): by default half the desired count,
//! rounded up, at least 3 and at most 200; failures are consecutive unless `resetOnHealthyTask` is false.

use serde::{Deserialize, Serialize};

/// Which number of failed tasks fails a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    /// Exactly so many.
    Count(u32),
    /// Percent of the desired count, rounded up, between 3 and 200.
    BoundedPercent(u32),
    /// Percent of the desired count, rounded up.
    UnboundedPercent(u32),
}

impl Default for Threshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

/// `deploymentCircuitBreaker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Go back to the last deployment that completed.
    pub rollback: bool,
    /// When to trip.
    #[serde(default)]
    pub threshold: Threshold,
    /// A healthy task sets the count of failures to zero.
    pub reset_on_healthy_task: bool,
}

impl CircuitBreaker {
    /// The number of failed tasks at which a deployment to `desired` tasks fails.
    pub fn trips_at(&self, desired: u32) -> u32 {
        let percent =
            |percent: u32| u32::try_from((u64::from(desired) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX);
        match self.threshold {
            Threshold::Count(count) => count.max(1),
            Threshold::BoundedPercent(part) => percent(part).clamp(3, 200),
            Threshold::UnboundedPercent(part) => percent(part).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_half_between_3_and_200() {
        let breaker = CircuitBreaker { rollback: true, threshold: Threshold::default(), reset_on_healthy_task: true };
        let trips: Vec<u32> = [0, 1, 6, 7, 25, 400, 5000].map(|desired| breaker.trips_at(desired)).to_vec();
        assert_eq!(trips, [3, 3, 3, 4, 13, 200, 200]);
    }
}
