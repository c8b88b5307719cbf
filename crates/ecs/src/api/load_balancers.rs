//! `loadBalancers`: entries checked against the definition, the target groups and the listener rules.
//! Source: the rules of `advancedConfiguration` are the developer guide's "Troubleshooting Amazon ECS blue/green deployments".

use super::services_write::has_interface;
use crate::rows::{DefinitionRow, ShiftRow, TargetRow};
use crate::{Ecs, texts};
use model::ecs::{AdvancedConfiguration, LoadBalancer};
use std::collections::BTreeSet;
use store::View;
use types::{ApiError, Scope};

/// Source: API reference, `CreateService.loadBalancers`.
const MOST: usize = 5;

/// The entries, and where the traffic of each is shifted: of all or of none.
pub(super) fn read(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    given: &[LoadBalancer],
) -> Result<(Vec<TargetRow>, Vec<ShiftRow>), ApiError> {
    let (mut rows, mut shifts) = (Vec::with_capacity(given.len()), Vec::new());
    for entry in given {
        let group = entry.target_group_arn.clone().unwrap_or_default();
        if group.is_empty() {
            return Err(match (&entry.load_balancer_name, &entry.advanced_configuration) {
                (Some(_), Some(_)) => texts::invalid(texts::ADVANCED_CLASSIC),
                (Some(_), None) => ApiError::not_implemented("classic load balancers"),
                (None, _) => texts::invalid("loadBalancerName and targetGroupArn cannot both be empty."),
            });
        }
        let name = entry.container_name.clone().unwrap_or_default();
        let port = entry.container_port.unwrap_or(0);
        check_port(definition, &name, port)?;
        check_group(ecs, view, scope, definition, &group)?;
        if let Some(advanced) = &entry.advanced_configuration {
            shifts.push(shift(ecs, view, scope, definition, (&group, advanced))?);
        }
        let port = u16::try_from(port).map_err(|_| texts::invalid(texts::container_port_missing(&name, port)))?;
        rows.push(TargetRow { group, container: name, port });
    }
    if rows.len() > MOST {
        return Err(texts::invalid("loadBalancers can have at most 5 items."));
    }
    if !shifts.is_empty() && shifts.len() != rows.len() {
        return Err(texts::invalid(texts::SOME_ADVANCED));
    }
    let mut seen = BTreeSet::new();
    for shift in &shifts {
        for group in [&shift.group, &shift.alternate] {
            if !seen.insert(group) {
                return Err(texts::invalid(texts::group_twice(group)));
            }
        }
    }
    let production: BTreeSet<&String> = shifts.iter().map(|shift| &shift.production).collect();
    if let Some(rule) = shifts.iter().filter_map(|shift| shift.test.as_ref()).find(|rule| production.contains(rule)) {
        return Err(texts::invalid(texts::rule_twice(rule)));
    }
    Ok((rows, shifts))
}

/// Whether a definition that takes another's place has what the service's target groups lead to.
pub(super) fn check_kept(definition: &DefinitionRow, targets: &[TargetRow]) -> Result<(), ApiError> {
    targets.iter().try_for_each(|target| check_port(definition, &target.container, i32::from(target.port)))
}

fn check_port(definition: &DefinitionRow, name: &str, port: i32) -> Result<(), ApiError> {
    let container = definition.containers().iter().find(|container| container.name.as_deref() == Some(name));
    let container = container.ok_or_else(|| texts::invalid(texts::container_missing(name)))?;
    let mappings = container.port_mappings.iter().flatten().filter(|mapping| mapping.container_port == Some(port));
    match mappings.count() {
        0 => Err(texts::invalid(texts::container_port_missing(name, port))),
        1 => Ok(()),
        _ => Err(texts::invalid(texts::port_in_two_mappings(name, port))),
    }
}

fn check_group(ecs: &Ecs, view: &View, scope: &Scope, definition: &DefinitionRow, group: &str) -> Result<(), ApiError> {
    let found = ecs.ports.targets.group(view, scope, group);
    let found = found.ok_or_else(|| texts::invalid(texts::TARGET_GROUP_UNKNOWN))?;
    let wanted = if has_interface(definition) { "ip" } else { "instance" };
    if found.target_type != wanted {
        let mode = definition.shape.network_mode.as_deref().unwrap_or("bridge");
        return Err(texts::invalid(texts::target_type(group, &found.target_type, mode)));
    }
    if !found.has_load_balancer {
        return Err(texts::invalid(texts::no_load_balancer(group)));
    }
    Ok(())
}

fn shift(
    ecs: &Ecs,
    view: &View,
    scope: &Scope,
    definition: &DefinitionRow,
    (group, given): (&str, &AdvancedConfiguration),
) -> Result<ShiftRow, ApiError> {
    let needed = |value: &Option<String>, member: &str| {
        let value = value.clone().filter(|value| !value.is_empty());
        value.ok_or_else(|| texts::invalid(format!("{member} is required in advancedConfiguration.")))
    };
    let alternate = needed(&given.alternate_target_group_arn, "alternateTargetGroupArn")?;
    let production = needed(&given.production_listener_rule, "productionListenerRule")?;
    let role = needed(&given.role_arn, "roleArn")?;
    let test = given.test_listener_rule.clone().filter(|rule| !rule.is_empty());
    for (member, rule) in [("productionListenerRule", Some(&production)), ("testListenerRule", test.as_ref())] {
        if let Some(rule) = rule.filter(|rule| !rule.contains(":listener-rule/app/")) {
            return Err(texts::invalid(texts::rule_arn(member, rule)));
        }
    }
    // A rule that is not there is found when something is deployed, as on AWS.
    let forwards = ecs.ports.targets.forwards(view, scope, &production);
    if test.is_none() && forwards.is_some_and(|to| ![group, &alternate].iter().all(|g| to.iter().any(|it| it.0 == **g)))
    {
        return Err(texts::invalid(texts::TEST_RULE_NEEDED));
    }
    check_group(ecs, view, scope, definition, &alternate)?;
    Ok(ShiftRow { group: group.to_owned(), alternate, production, test, role })
}
