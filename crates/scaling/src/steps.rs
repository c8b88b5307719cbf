//! A step scaling policy, from its shape to what decisions take.

use crate::texts;
use model::application_autoscaling::{StepAdjustment, StepScalingPolicyConfiguration};
use tracking::step::{Adjustment, Fault, Step, Steps};
use types::ApiError;

/// The steps, checked. The words of errors are ours.
pub(crate) fn steps(given: &StepScalingPolicyConfiguration) -> Result<Steps, ApiError> {
    let adjustment = match given.adjustment_type.as_deref() {
        Some("ChangeInCapacity") => Adjustment::Change,
        Some("PercentChangeInCapacity") => Adjustment::Percent,
        Some("ExactCapacity") => Adjustment::Exact,
        _ => return Err(texts::validation("AdjustmentType must be provided for step scaling policies")),
    };
    if given.min_adjustment_magnitude.is_some() && adjustment != Adjustment::Percent {
        return Err(texts::validation(
            "MinAdjustmentMagnitude is supported only for the adjustment type PercentChangeInCapacity",
        ));
    }
    if given.cooldown.is_some_and(|seconds| seconds < 0) {
        return Err(texts::validation("Cooldown cannot be less than 0"));
    }
    let step = |step: &StepAdjustment| Step {
        lower: step.metric_interval_lower_bound,
        upper: step.metric_interval_upper_bound,
        by: step.scaling_adjustment,
    };
    let steps: Vec<Step> = given.step_adjustments.iter().flatten().map(step).collect();
    if adjustment == Adjustment::Exact && steps.iter().any(|step| step.by < 0) {
        return Err(texts::validation("ScalingAdjustment cannot be less than 0 for the adjustment type ExactCapacity"));
    }
    tracking::step::check(&steps).map_err(|fault| {
        texts::validation(match fault {
            Fault::None => "At least one step adjustment must be provided for step scaling policies",
            Fault::Empty => "A step adjustment's lower bound must be less than its upper bound",
            Fault::Overlap => "Step adjustment intervals cannot overlap",
            Fault::Gap => "Step adjustment intervals cannot have a gap between them",
            Fault::Unbounded => "Only a single step adjustment can have neither a lower nor an upper bound",
        })
    })?;
    let least = given.min_adjustment_magnitude.and_then(|n| u32::try_from(n).ok());
    Ok(Steps { adjustment, steps, least })
}
