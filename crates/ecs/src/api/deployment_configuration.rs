//! `deploymentConfiguration`: checked, with its defaults filled in.
//! Source: API reference, `DeploymentConfiguration` and what it holds.

use crate::{Ecs, texts};
use model::ecs::{
    CanaryConfiguration, DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentLifecycleHook,
    DeploymentLifecycleHookTimeoutConfiguration, LinearConfiguration,
};
use rollout::{CircuitBreaker, Stage, Threshold};
use types::ApiError;

/// What the scheduler needs, and what is shown.
pub(super) struct Configuration {
    pub(super) minimum: u32,
    pub(super) maximum: u32,
    pub(super) breaker: Option<CircuitBreaker>,
    pub(super) shape: DeploymentConfiguration,
}

/// The longest bake time, in minutes: a day.
const MOST_BAKE: i32 = 1440;

/// Whether the strategy shifts traffic.
pub(super) fn shifts(configuration: &DeploymentConfiguration) -> bool {
    configuration.strategy.as_deref().is_some_and(|strategy| strategy != "ROLLING")
}

/// The deployment configuration with defaults filled in; an update keeps what it does not name.
pub(super) fn read(
    ecs: &Ecs,
    given: DeploymentConfiguration,
    before: Option<&DeploymentConfiguration>,
) -> Result<Configuration, ApiError> {
    let strategy = given.strategy.clone().or_else(|| before.and_then(|before| before.strategy.clone()));
    let strategy = strategy.unwrap_or_else(|| "ROLLING".to_owned());
    // What another strategy was told does not hold for this one.
    let same = before.filter(|before| before.strategy.as_deref() == Some(strategy.as_str()));
    let alarms = given.alarms.or_else(|| before.and_then(|before| before.alarms.clone()));
    if let Some(alarms) = alarms.as_ref().filter(|alarms| alarms.enable) {
        if ecs.ports.alarms.is_none() {
            return Err(ApiError::not_implemented("deployment alarms"));
        }
        if alarms.alarm_names.is_empty() {
            return Err(texts::invalid("alarmNames cannot be empty when alarms are enabled."));
        }
    }
    if given.early_success_criteria.as_ref().is_some_and(|criteria| criteria.enable) {
        return Err(ApiError::not_implemented("earlySuccessCriteria"));
    }
    let (minimum, maximum) = percents(given.minimum_healthy_percent, given.maximum_percent, before)?;
    let bake = given.bake_time_in_minutes.or_else(|| same.and_then(|same| same.bake_time_in_minutes)).unwrap_or(0);
    if !(0..=MOST_BAKE).contains(&bake) {
        return Err(texts::invalid(texts::out_of_range("bakeTimeInMinutes", "between 0 and 1440")));
    }
    let hooks = given.lifecycle_hooks.or_else(|| same.and_then(|same| same.lifecycle_hooks.clone()));
    let hooks = hooks.unwrap_or_default().into_iter().map(hook).collect::<Result<Vec<_>, _>>()?;
    if strategy == "ROLLING" && !hooks.is_empty() {
        return Err(texts::invalid(texts::HOOKS_OF_ROLLING));
    }
    let linear = given.linear_configuration.or_else(|| same.and_then(|same| same.linear_configuration.clone()));
    let canary = given.canary_configuration.or_else(|| same.and_then(|same| same.canary_configuration.clone()));
    if linear.is_some() && strategy != "LINEAR" {
        return Err(texts::invalid(texts::only_with("linearConfiguration", "LINEAR")));
    }
    if canary.is_some() && strategy != "CANARY" {
        return Err(texts::invalid(texts::only_with("canaryConfiguration", "CANARY")));
    }
    let linear = (strategy == "LINEAR").then(|| self::linear(linear.unwrap_or_default())).transpose()?;
    let canary = (strategy == "CANARY").then(|| self::canary(canary.unwrap_or_default())).transpose()?;
    let shown = given
        .deployment_circuit_breaker
        .or_else(|| before.and_then(|before| before.deployment_circuit_breaker.clone()))
        .unwrap_or(DeploymentCircuitBreaker { enable: false, rollback: false, ..DeploymentCircuitBreaker::default() });
    let breaker = breaker(&shown)?;
    let shape = DeploymentConfiguration {
        deployment_circuit_breaker: Some(shown),
        maximum_percent: i32::try_from(maximum).ok(),
        minimum_healthy_percent: i32::try_from(minimum).ok(),
        strategy: Some(strategy),
        bake_time_in_minutes: Some(bake),
        alarms,
        lifecycle_hooks: (!hooks.is_empty()).then_some(hooks),
        linear_configuration: linear,
        canary_configuration: canary,
        ..DeploymentConfiguration::default()
    };
    Ok(Configuration { minimum, maximum, breaker, shape })
}

fn percents(
    minimum: Option<i32>,
    maximum: Option<i32>,
    before: Option<&DeploymentConfiguration>,
) -> Result<(u32, u32), ApiError> {
    let percent = |value: i32, name: &str| {
        u32::try_from(value).map_err(|_| texts::invalid(format!("{name} should not be negative.")))
    };
    let minimum = minimum.or_else(|| before.and_then(|before| before.minimum_healthy_percent)).unwrap_or(100);
    let maximum = maximum.or_else(|| before.and_then(|before| before.maximum_percent)).unwrap_or(200);
    let (minimum, maximum) = (percent(minimum, "minimumHealthyPercent")?, percent(maximum, "maximumPercent")?);
    if minimum > 100 {
        return Err(texts::invalid("minimumHealthyPercent should be less than or equal to 100."));
    }
    if maximum == 0 {
        return Err(texts::invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 0 as this will block deployments.",
        ));
    }
    if maximum < minimum {
        return Err(texts::invalid("maximumPercent should be greater than or equal to minimumHealthyPercent."));
    }
    if maximum == 100 && minimum == 100 {
        return Err(texts::invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    Ok((minimum, maximum))
}

fn breaker(shown: &DeploymentCircuitBreaker) -> Result<Option<CircuitBreaker>, ApiError> {
    let threshold = match &shown.threshold_configuration {
        None => Threshold::default(),
        Some(configuration) => {
            let value = u32::try_from(configuration.value).ok().filter(|value| *value > 0);
            let value =
                value.ok_or_else(|| texts::invalid("The circuit breaker's threshold value must be greater than 0."))?;
            match configuration.type_.as_str() {
                "COUNT" => Threshold::Count(value),
                "UNBOUNDED_PERCENT" => Threshold::UnboundedPercent(value),
                _ => Threshold::BoundedPercent(value),
            }
        }
    };
    let reset_on_healthy_task = shown.reset_on_healthy_task.unwrap_or(true);
    Ok(shown.enable.then_some(CircuitBreaker { rollback: shown.rollback, threshold, reset_on_healthy_task }))
}

/// A percentage between `least` and 100.0 that is a multiple of 0.1.
fn percentage(value: f64, least: f64, member: &str) -> Result<f64, ApiError> {
    let tenths = value * 10.0;
    let fine = value.is_finite() && (least..=100.0).contains(&value) && (tenths - tenths.round()).abs() < 1e-6;
    let range = format!("a multiple of 0.1 from {least:.1} to 100.0");
    if fine { Ok(tenths.round() / 10.0) } else { Err(texts::invalid(texts::out_of_range(member, &range))) }
}

fn step_bake(value: i32, member: &str) -> Result<i32, ApiError> {
    let fine = (0..=MOST_BAKE).contains(&value);
    if fine { Ok(value) } else { Err(texts::invalid(texts::out_of_range(member, "between 0 and 1440"))) }
}

fn linear(given: LinearConfiguration) -> Result<LinearConfiguration, ApiError> {
    let bake = step_bake(given.step_bake_time_in_minutes.unwrap_or(6), "stepBakeTimeInMinutes")?;
    Ok(LinearConfiguration {
        step_percent: Some(percentage(given.step_percent.unwrap_or(10.0), 3.0, "stepPercent")?),
        step_bake_time_in_minutes: Some(bake),
    })
}

fn canary(given: CanaryConfiguration) -> Result<CanaryConfiguration, ApiError> {
    let bake = step_bake(given.canary_bake_time_in_minutes.unwrap_or(10), "canaryBakeTimeInMinutes")?;
    Ok(CanaryConfiguration {
        canary_percent: Some(percentage(given.canary_percent.unwrap_or(5.0), 0.1, "canaryPercent")?),
        canary_bake_time_in_minutes: Some(bake),
    })
}

/// A PAUSE hook; the others call AWS Lambda, which is not here.
fn hook(given: DeploymentLifecycleHook) -> Result<DeploymentLifecycleHook, ApiError> {
    if given.target_type.as_deref().unwrap_or("AWS_LAMBDA") != "PAUSE" {
        return Err(ApiError::not_implemented("lifecycle hooks that call AWS Lambda (use targetType PAUSE)"));
    }
    let stages = given.lifecycle_stages.clone().unwrap_or_default();
    let may = |stage: &String| Stage::parse(stage).is_some_and(Stage::may_pause);
    if stages.is_empty() || !stages.iter().all(may) {
        return Err(texts::invalid(texts::PAUSE_STAGE));
    }
    let timeout = given.timeout_configuration.unwrap_or_default();
    Ok(DeploymentLifecycleHook {
        target_type: Some("PAUSE".to_owned()),
        lifecycle_stages: Some(stages),
        timeout_configuration: Some(DeploymentLifecycleHookTimeoutConfiguration {
            timeout_in_minutes: Some(timeout.timeout_in_minutes.unwrap_or(1440)),
            action: Some(timeout.action.unwrap_or_else(|| "ROLLBACK".to_owned())),
        }),
        ..DeploymentLifecycleHook::default()
    })
}
