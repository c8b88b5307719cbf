//! Targets: registering, deregistering, and how they are.

use super::{refuse, target_group};
use crate::rows::{Target, TargetGroup};
use crate::{Elb, intent, query, texts};
use gateway::Context;
use model::elbv2::{
    DeregisterTargetsInput, DeregisterTargetsOutput, DescribeTargetHealthInput, DescribeTargetHealthOutput,
    RegisterTargetsInput, RegisterTargetsOutput, TargetDescription, TargetHealth as ShownHealth,
    TargetHealthDescription,
};
use routing::TargetHealth;
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::View;
use types::id::InstanceId;
use types::{ApiError, Scope};
use vpc::rows::Subnet;

pub(super) fn register(
    _: &Elb,
    cx: &mut Context,
    input: RegisterTargetsInput,
) -> Result<RegisterTargetsOutput, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = target_group(tx, &scope, &input.target_group_arn)?;
    if group.target_type == "instance" {
        instances(tx, &scope, &group, &input.targets)?;
    }
    for target in input.targets {
        refuse(target.quic_server_id.is_some(), "QUIC targets")?;
        let port = port(target.port, &group)?;
        let id = match group.target_type.as_str() {
            "instance" => target.id,
            _ => address(tx, &scope, &group, &target)?.to_string(),
        };
        intent::register_target(tx, &scope, &group.arn, &id, port, now);
    }
    Ok(RegisterTargetsOutput::default())
}

/// Checks instances that are to be targets: they run, in the group's VPC.
fn instances(view: &View, scope: &Scope, group: &TargetGroup, targets: &[TargetDescription]) -> Result<(), ApiError> {
    let quoted = |ids: Vec<&str>| ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    if let Some(target) = targets.iter().find(|target| InstanceId::parse(&target.id).is_none()) {
        return Err(texts::invalid(format!("Instance ID '{}' is not valid", target.id)));
    }
    let running = |id: &str| vpc::query::running_instance(view, scope, id);
    let resting: Vec<&str> = targets.iter().map(|one| one.id.as_str()).filter(|id| running(id).is_none()).collect();
    if !resting.is_empty() {
        return Err(texts::invalid_target(format!(
            "The following targets are not in a running state and cannot be registered: {}",
            quoted(resting)
        )));
    }
    let elsewhere = |id: &&str| running(id).is_some_and(|row| row.vpc.as_str() != group.vpc.as_str());
    let elsewhere: Vec<&str> = targets.iter().map(|one| one.id.as_str()).filter(elsewhere).collect();
    if !elsewhere.is_empty() {
        return Err(texts::invalid_target(format!(
            "The following targets are not in the target group VPC '{}': {}",
            group.vpc.as_str(),
            quoted(elsewhere)
        )));
    }
    Ok(())
}

fn port(given: Option<i32>, group: &TargetGroup) -> Result<u16, ApiError> {
    match given {
        None => Ok(group.port),
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| texts::invalid(format!("Port '{port}' must be between 1 and 65535"))),
    }
}

/// An address within the group's VPC, or a private one outside it that is said to be in zone `all`.
fn address(view: &View, scope: &Scope, group: &TargetGroup, target: &TargetDescription) -> Result<Ipv4Addr, ApiError> {
    let ip: Ipv4Addr = target
        .id
        .parse()
        .map_err(|_| texts::invalid(format!("The IP address '{}' is not a valid IPv4 address", target.id)))?;
    let inside = view.by_index(&Subnet::BY_VPC, scope, group.vpc.as_str()).any(|subnet| subnet.cidr.contains(&ip));
    if inside || (target.availability_zone.as_deref() == Some("all") && ip.is_private()) {
        return Ok(ip);
    }
    Err(texts::invalid(format!(
        "You must specify the Availability Zone 'all' for IP address '{ip}', which is outside the VPC"
    )))
}

pub(super) fn deregister(
    _: &Elb,
    cx: &mut Context,
    input: DeregisterTargetsInput,
) -> Result<DeregisterTargetsOutput, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let group = target_group(tx, &scope, &input.target_group_arn)?;
    for target in input.targets {
        let port = port(target.port, &group)?;
        // One that is not registered is no error.
        intent::deregister_target(tx, &scope, &group.arn, &target.id, port, now);
    }
    Ok(DeregisterTargetsOutput::default())
}

pub(super) fn describe_health(
    _: &Elb,
    cx: &mut Context,
    input: DescribeTargetHealthInput,
) -> Result<DescribeTargetHealthOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let group = target_group(view, &scope, &input.target_group_arn)?;
    let rows: Vec<Arc<Target>> = query::targets(view, &scope, &group.arn).cloned().collect();
    let described = match input.targets.filter(|targets| !targets.is_empty()) {
        None => rows.iter().map(|row| describe(&group, row, query::health_of(view, &scope, row))).collect::<Vec<_>>(),
        Some(asked) => {
            let mut described = Vec::with_capacity(asked.len());
            for target in asked {
                let port = port(target.port, &group)?;
                let row = rows.iter().find(|row| row.target == target.id && row.port == port);
                described.push(match row {
                    Some(row) => describe(&group, row, query::health_of(view, &scope, row)),
                    None => unknown(&group, target.id, port),
                });
            }
            described
        }
    };
    Ok(DescribeTargetHealthOutput { target_health_descriptions: Some(described) })
}

fn describe(group: &TargetGroup, row: &Target, health: TargetHealth) -> TargetHealthDescription {
    TargetHealthDescription {
        target: Some(TargetDescription {
            id: row.target.clone(),
            port: Some(i32::from(row.port)),
            availability_zone: Some(row.zone.clone().unwrap_or_else(|| "all".to_owned())),
            ..Default::default()
        }),
        health_check_port: Some(check_port(group, row.port)),
        target_health: Some(shown(health)),
        ..Default::default()
    }
}

fn unknown(group: &TargetGroup, id: String, port: u16) -> TargetHealthDescription {
    TargetHealthDescription {
        target: Some(TargetDescription { id, port: Some(i32::from(port)), ..Default::default() }),
        health_check_port: Some(check_port(group, port)),
        target_health: Some(shown(TargetHealth::not_registered())),
        ..Default::default()
    }
}

fn check_port(group: &TargetGroup, port: u16) -> String {
    if group.check.port == "traffic-port" { port.to_string() } else { group.check.port.clone() }
}

fn shown(health: TargetHealth) -> ShownHealth {
    ShownHealth {
        state: Some(health.state.as_str().to_owned()),
        reason: health.reason,
        description: health.description,
    }
}
