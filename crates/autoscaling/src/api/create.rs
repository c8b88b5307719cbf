//! A new group, and what a group may be told to be.

use super::{find, hooks, refuse, tags};
use crate::rows::{Group, Template};
use crate::{AutoScaling, control, texts};
use gateway::{Context, Principal};
use model::autoscaling::{AvailabilityZoneDistribution, CreateAutoScalingGroupType, LaunchTemplateSpecification};
use std::collections::BTreeMap;
use store::View;
use types::id::random_uuid;
use types::{ApiError, Scope, Timestamp};
use wire::Unit;

/// The largest group: what a launch may have of processors, one each.
const LARGEST: u32 = 512;

/// How instances are distributed over zones. Source: API reference, `AvailabilityZoneDistribution`.
pub(super) const BEST_EFFORT: &str = "balanced-best-effort";

/// Whether another way over the zones is asked for than the one that is here.
pub(super) fn is_other_distribution(asked: Option<AvailabilityZoneDistribution>) -> bool {
    asked.and_then(|asked| asked.capacity_distribution_strategy).is_some_and(|strategy| strategy != BEST_EFFORT)
}

const POLICIES: [&str; 7] = [
    "AllocationStrategy",
    "ClosestToNextInstanceHour",
    "Default",
    "NewestInstance",
    "OldestInstance",
    "OldestLaunchConfiguration",
    "OldestLaunchTemplate",
];

pub(super) fn create(_: &AutoScaling, cx: &mut Context, input: CreateAutoScalingGroupType) -> Result<Unit, ApiError> {
    for (given, what) in [
        (input.launch_configuration_name.is_some(), "launch configurations, which AWS has retired"),
        (input.instance_id.is_some(), "groups made after an instance"),
        (input.mixed_instances_policy.is_some(), "mixed instances policies"),
        (input.load_balancer_names.is_some(), "classic load balancers"),
        (input.placement_group.is_some(), "placement groups"),
        (input.capacity_rebalance == Some(true), "capacity rebalancing, as there are no spot instances"),
        (input.max_instance_lifetime.is_some_and(|seconds| seconds != 0), "maximum instance lifetimes"),
        (input.context.is_some(), "contexts of groups"),
        (other_than(input.desired_capacity_type.as_deref(), "units"), "capacity in processors or memory"),
        (input.traffic_sources.is_some(), "traffic sources other than TargetGroupARNs"),
        (input.instance_maintenance_policy.is_some(), "instance maintenance policies"),
        (
            is_other_distribution(input.availability_zone_distribution),
            "other distributions over zones than balanced-best-effort",
        ),
        (input.availability_zone_impairment_policy.is_some(), "policies on impaired zones"),
        (input.capacity_reservation_specification.is_some(), "capacity reservations"),
        (input.instance_lifecycle_policy.is_some(), "instance lifecycle policies"),
        (input.operator.is_some(), "managed groups"),
        (input.availability_zone_ids.is_some(), "zones by their ids"),
    ] {
        refuse(given, what)?;
    }
    let (scope, now, caller) = (cx.scope.clone(), cx.now, Caller::of(cx));
    let name = input.auto_scaling_group_name;
    if name.contains(':') {
        return Err(texts::colon_in_name(&name));
    }
    let tx = cx.tx();
    if find(tx, &scope, &name).is_ok() {
        return Err(texts::group_exists(&name));
    }
    let template = input.launch_template.as_ref().ok_or_else(texts::no_template)?;
    let (min, max) = bounds(input.min_size, input.max_size)?;
    let mut group = Group {
        name: name.clone(),
        uuid: random_uuid(),
        template: named(tx, &scope, template)?,
        min,
        max,
        desired: desired(input.desired_capacity, min, max)?,
        cooldown: number(input.default_cooldown, "DefaultCooldown")?.unwrap_or(300),
        grace: number(input.health_check_grace_period, "HealthCheckGracePeriod")?.unwrap_or(0),
        health_check: health_check(input.health_check_type.as_deref())?.unwrap_or_else(|| "EC2".to_owned()),
        subnets: subnets(
            tx,
            &scope,
            input.vpc_zone_identifier.as_deref(),
            input.availability_zones.as_deref().unwrap_or_default(),
        )?,
        target_groups: Vec::new(),
        tags: tags::of(&name, input.tags.unwrap_or_default(), Vec::new())?,
        protect_new: input.new_instances_protected_from_scale_in.unwrap_or_default(),
        termination_policies: policies(input.termination_policies)?.unwrap_or_else(|| vec!["Default".to_owned()]),
        suspended: BTreeMap::new(),
        deletion_protection: protection(input.deletion_protection)?.unwrap_or_else(|| "none".to_owned()),
        warmup: input.default_instance_warmup,
        created: now,
        deleting: false,
        cause: String::new(),
        failed: None,
    };
    for arn in input.target_group_ar_ns.into_iter().flatten() {
        check_target_group(tx, &scope, &arn)?;
        if !group.target_groups.contains(&arn) {
            group.target_groups.push(arn);
        }
    }
    group.cause = texts::created(now, group.desired);
    check_launch(tx, &caller, &group)?;
    tx.put(&scope, group);
    hooks::put_all(tx, &scope, &name, input.lifecycle_hook_specification_list.unwrap_or_default())?;
    Ok(Unit)
}

fn other_than(given: Option<&str>, usual: &str) -> bool {
    given.is_some_and(|given| !given.is_empty() && given != usual)
}

/// Whether an instance could be launched as things stand, and whether the caller may give it its role: what is wrong with a
/// template is said at once.
pub(super) fn check_launch(view: &View, caller: &Caller, group: &Group) -> Result<(), ApiError> {
    let Caller { scope, principal, now } = caller;
    let Some(subnet) = group.subnets.first() else { return Err(texts::no_place()) };
    let (request, _) = control::request(view, scope, group, subnet).map_err(|error| texts::bad_template(&error))?;
    let checked = vpc::launch::check(view, scope, &request).map_err(|error| match error.code.as_str() {
        "NotImplemented" => error,
        _ => texts::bad_template(&error),
    })?;
    match &checked.role {
        Some(role) => iam::query::may_pass(view, principal, role, "ec2.amazonaws.com", *now)
            .map_err(|denial| texts::may_not_pass(&group.template.id, denial)),
        None => Ok(()),
    }
}

/// Who asks, where and when.
pub(super) struct Caller {
    scope: Scope,
    principal: Principal,
    now: Timestamp,
}

impl Caller {
    pub(super) fn of(cx: &Context) -> Self {
        Self { scope: cx.scope.clone(), principal: cx.principal.clone(), now: cx.now }
    }
}

/// The template that a request names, by its id and its name.
pub(super) fn named(view: &View, scope: &Scope, given: &LaunchTemplateSpecification) -> Result<Template, ApiError> {
    let (id, name) = (given.launch_template_id.as_deref(), given.launch_template_name.as_deref());
    let row = vpc::launch::template(view, scope, id, name).map_err(|error| texts::bad_template(&error))?;
    Ok(Template {
        id: row.id.to_string(),
        name: row.name.clone(),
        version: given.version.clone().filter(|version| !version.is_empty()),
    })
}

pub(super) fn number(given: Option<i32>, what: &str) -> Result<Option<u32>, ApiError> {
    given.map(|number| u32::try_from(number).map_err(|_| texts::negative(what))).transpose()
}

pub(super) fn bounds(min: i32, max: i32) -> Result<(u32, u32), ApiError> {
    let least = u32::try_from(min).map_err(|_| texts::negative("MinSize"))?;
    let most = u32::try_from(max).map_err(|_| texts::negative("MaxSize"))?;
    if least > most {
        return Err(texts::bad_bounds(min, max));
    }
    if most > LARGEST {
        return Err(texts::too_large(LARGEST));
    }
    Ok((least, most))
}

pub(super) fn desired(given: Option<i32>, min: u32, max: u32) -> Result<u32, ApiError> {
    let Some(given) = given else { return Ok(min) };
    let valid = u32::try_from(given).ok().filter(|desired| (min..=max).contains(desired));
    valid.ok_or_else(|| texts::desired_out_of_bounds(given, min, max))
}

pub(super) fn health_check(given: Option<&str>) -> Result<Option<String>, ApiError> {
    match given {
        None => Ok(None),
        Some(kind @ ("EC2" | "ELB")) => Ok(Some(kind.to_owned())),
        Some(other @ ("VPC_LATTICE" | "EBS")) => {
            Err(ApiError::not_implemented(format!("health checks of type {other}")))
        }
        Some(other) => Err(texts::bad_value("Health Check Type", other, "EC2 and ELB")),
    }
}

pub(super) fn policies(given: Option<Vec<String>>) -> Result<Option<Vec<String>>, ApiError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    for policy in &given {
        refuse(policy.starts_with("arn:"), "termination policies of your own")?;
        if !POLICIES.contains(&policy.as_str()) {
            return Err(texts::bad_value("Termination Policy", policy, &POLICIES.join(", ")));
        }
    }
    Ok(Some(given))
}

pub(super) fn protection(given: Option<String>) -> Result<Option<String>, ApiError> {
    match given.as_deref() {
        None | Some("none" | "prevent-force-deletion" | "prevent-all-deletion") => Ok(given),
        Some(other) => {
            let expected = "none, prevent-force-deletion and prevent-all-deletion";
            Err(texts::bad_value("deletion protection", other, expected))
        }
    }
}

/// The subnets that a request names, separated by commas, or the default ones of the zones that it names.
pub(super) fn subnets(
    view: &View,
    scope: &Scope,
    listed: Option<&str>,
    zones: &[String],
) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    for id in listed.unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let row = vpc::query::subnet(view, scope, id).ok_or_else(|| texts::bad_subnet(id))?;
        if !zones.is_empty() && !zones.contains(&row.zone) {
            return Err(texts::bad_zone(&row.zone));
        }
        if !found.contains(&id.to_owned()) {
            found.push(id.to_owned());
        }
    }
    if found.is_empty() {
        for zone in zones {
            let mut all = view.scan::<vpc::rows::Subnet>(scope);
            let row = all.find(|row| row.default_for_zone && row.zone == *zone).ok_or_else(|| texts::bad_zone(zone))?;
            found.push(row.id.to_string());
        }
    }
    if found.is_empty() { Err(texts::no_place()) } else { Ok(found) }
}

/// A group's target group must be one of instances.
pub(super) fn check_target_group(view: &View, scope: &Scope, arn: &str) -> Result<(), ApiError> {
    let row = elb::query::target_group(view, scope, arn).filter(|row| row.target_type == "instance");
    row.map(|_| ()).ok_or_else(|| texts::bad_target_group(arn))
}
