//! Step scaling: by how much the metric is beyond the alarm's threshold, so much capacity is added or taken.
//! Source: Application Auto Scaling user guide, "Step adjustments", "Scaling adjustment types".

use serde::{Deserialize, Serialize};

/// `AdjustmentType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Adjustment {
    /// `ChangeInCapacity`.
    Change,
    /// `PercentChangeInCapacity`.
    Percent,
    /// `ExactCapacity`.
    Exact,
}

/// A step: between these distances from the threshold, this much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `MetricIntervalLowerBound`; none is minus infinity.
    pub lower: Option<f64>,
    /// `MetricIntervalUpperBound`; none is infinity.
    pub upper: Option<f64>,
    /// `ScalingAdjustment`.
    pub by: i32,
}

/// The steps of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// What the steps' numbers are.
    pub adjustment: Adjustment,
    /// The steps.
    pub steps: Vec<Step>,
    /// `MinAdjustmentMagnitude`, for percents.
    pub least: Option<u32>,
}

/// What is wrong with steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There are none.
    None,
    /// One has no width.
    Empty,
    /// Two share a part.
    Overlap,
    /// There is a gap between two.
    Gap,
    /// Steps below the threshold must reach minus infinity if any step has no lower bound, and likewise above.
    Unbounded,
}

/// Looks whether steps can be told apart.
pub fn check(steps: &[Step]) -> Result<(), Fault> {
    let mut sorted: Vec<(f64, f64)> = steps
        .iter()
        .map(|step| (step.lower.unwrap_or(f64::NEG_INFINITY), step.upper.unwrap_or(f64::INFINITY)))
        .collect();
    if sorted.is_empty() {
        return Err(Fault::None);
    }
    if steps.len() > 1 && steps.iter().any(|step| step.lower.is_none() && step.upper.is_none()) {
        return Err(Fault::Unbounded);
    }
    if sorted.iter().any(|(lower, upper)| lower.partial_cmp(upper) != Some(std::cmp::Ordering::Less)) {
        return Err(Fault::Empty);
    }
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for pair in sorted.windows(2) {
        match pair[0].1.total_cmp(&pair[1].0) {
            std::cmp::Ordering::Greater => return Err(Fault::Overlap),
            std::cmp::Ordering::Less => return Err(Fault::Gap),
            std::cmp::Ordering::Equal => {}
        }
    }
    Ok(())
}

/// What the capacity becomes where the metric is `beyond` the threshold; none where no step is for that.
pub fn adjusted(steps: &Steps, capacity: u32, beyond: f64) -> Option<u32> {
    let within = |step: &&Step| {
        let (lower, upper) = (step.lower.unwrap_or(f64::NEG_INFINITY), step.upper.unwrap_or(f64::INFINITY));
        // Above the threshold a step's lower bound belongs to it, below the threshold its upper bound does.
        if beyond >= 0.0 { lower <= beyond && beyond < upper } else { lower < beyond && beyond <= upper }
    };
    let step = steps.steps.iter().find(within)?;
    let now = i64::from(capacity);
    let wanted = match steps.adjustment {
        Adjustment::Exact => i64::from(step.by),
        Adjustment::Change => now + i64::from(step.by),
        Adjustment::Percent => {
            let share = f64::from(capacity) * f64::from(step.by) / 100.0;
            // Towards zero, but never to it.
            let mut change = if share.abs() < 1.0 { share.signum() * share.abs().ceil() } else { share.trunc() } as i64;
            let least = i64::from(steps.least.unwrap_or(0));
            if change != 0 || least > 0 {
                let sign = if step.by < 0 { -1 } else { 1 };
                change = sign * change.abs().max(least * i64::from(step.by != 0));
            }
            now + change
        }
    };
    Some(u32::try_from(wanted.clamp(0, i64::from(u32::MAX))).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(lower: Option<f64>, upper: Option<f64>, by: i32) -> Step {
        Step { lower, upper, by }
    }

    #[test]
    fn the_step_that_the_metric_is_in_adjusts() {
        // The example of the user guide: thresholds at 50, steps at +10 and +20.
        let steps = Steps {
            adjustment: Adjustment::Percent,
            steps: vec![step(Some(0.0), Some(10.0), 0), step(Some(10.0), Some(20.0), 10), step(Some(20.0), None, 30)],
            least: None,
        };
        for (beyond, capacity, expected) in
            [(5.0, 10, 10), (10.0, 10, 11), (12.0, 10, 11), (20.0, 11, 14), (99.0, 11, 14)]
        {
            assert_eq!(adjusted(&steps, capacity, beyond), Some(expected), "{beyond} beyond, {capacity}");
        }
        assert_eq!(adjusted(&steps, 10, -1.0), None);
        let down = Steps {
            adjustment: Adjustment::Percent,
            steps: vec![step(Some(-20.0), Some(-10.0), -10), step(None, Some(-20.0), -30)],
            least: None,
        };
        assert_eq!(adjusted(&down, 10, -10.0), Some(9), "its upper bound belongs to a step below the threshold");
        assert_eq!(adjusted(&down, 10, -20.0), Some(7));
        assert_eq!(adjusted(&down, 1, -30.0), Some(0));
    }

    #[test]
    fn kinds_of_adjustment() {
        let of = |adjustment, by, least| Steps { adjustment, steps: vec![step(Some(0.0), None, by)], least };
        assert_eq!(adjusted(&of(Adjustment::Change, 3, None), 4, 1.0), Some(7));
        assert_eq!(adjusted(&of(Adjustment::Change, -9, None), 4, 1.0), Some(0));
        assert_eq!(adjusted(&of(Adjustment::Exact, 5, None), 4, 1.0), Some(5));
        assert_eq!(adjusted(&of(Adjustment::Percent, 25, Some(2)), 4, 1.0), Some(6), "at least two");
        assert_eq!(adjusted(&of(Adjustment::Percent, 10, None), 4, 1.0), Some(5), "0.4 is one");
        assert_eq!(adjusted(&of(Adjustment::Percent, 45, None), 10, 1.0), Some(14), "4.5 is four");
        assert_eq!(adjusted(&of(Adjustment::Percent, -45, None), 10, 1.0), Some(6), "-4.5 is minus four");
    }

    #[test]
    fn steps_must_not_overlap_or_leave_gaps() {
        let (a, b) = (step(Some(0.0), Some(10.0), 1), step(Some(10.0), None, 2));
        assert_eq!(check(&[b, a]), Ok(()));
        assert_eq!(check(&[]), Err(Fault::None));
        assert_eq!(check(&[a, step(Some(9.0), None, 2)]), Err(Fault::Overlap));
        assert_eq!(check(&[a, step(Some(11.0), None, 2)]), Err(Fault::Gap));
        assert_eq!(check(&[step(Some(1.0), Some(1.0), 2)]), Err(Fault::Empty));
        assert_eq!(check(&[a, step(None, None, 2)]), Err(Fault::Unbounded));
        assert_eq!(check(&[step(Some(f64::NAN), None, 2)]), Err(Fault::Empty));
    }

    proptest! {
        /// Any number is an answer or none, and a step's sign is the way that it goes.
        #[test]
        fn adjusting_goes_where_it_says(capacity in 0u32..10_000, by in -500i32..500, least in proptest::option::of(1u32..50)) {
            for adjustment in [Adjustment::Change, Adjustment::Percent] {
                let steps = Steps { adjustment, steps: vec![step(None, None, by)], least };
                let to = adjusted(&steps, capacity, 1.0).unwrap();
                prop_assert!(by <= 0 || to >= capacity);
                prop_assert!(by >= 0 || to <= capacity);
                prop_assert!(by != 0 || to == capacity);
            }
        }
    }
}
