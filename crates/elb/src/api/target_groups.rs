//! Target groups.

use super::page::page;
use super::{TARGET_GROUP, check_name, given, load_balancer, refuse, tags, target_group};
use crate::rows::{HealthCheck, Target, TargetGroup};
use crate::{Elb, query, texts};
use gateway::Context;
use model::elbv2::{
    CreateTargetGroupInput, CreateTargetGroupOutput, DeleteTargetGroupInput, DeleteTargetGroupOutput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput, DescribeTargetGroupsInput,
    DescribeTargetGroupsOutput, Matcher, ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput,
    ModifyTargetGroupInput, ModifyTargetGroupOutput, TargetGroup as Shown, TargetGroupAttribute,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::id::random_hex;
use types::{ApiError, Scope};

pub(super) fn create(
    _: &Elb,
    cx: &mut Context,
    input: CreateTargetGroupInput,
) -> Result<CreateTargetGroupOutput, ApiError> {
    check_name(&input.name, "Target group")?;
    let target_type = input.target_type.clone().unwrap_or_else(|| "instance".to_owned());
    refuse(!matches!(target_type.as_str(), "ip" | "instance"), &format!("target groups of type {target_type}"))?;
    refuse(input.ip_address_type.as_deref().is_some_and(|kind| kind != "ipv4"), "target groups of IPv6 addresses")?;
    refuse(input.target_control_port.is_some(), "target control ports")?;
    let tags = tags::at_creation(input.tags.clone())?;
    let protocol = input.protocol.clone().ok_or_else(|| texts::invalid("A protocol must be specified"))?;
    refuse(!matches!(protocol.as_str(), "HTTP" | "HTTPS"), &format!("target groups with protocol {protocol}"))?;
    let port = input.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| texts::invalid("A port must be specified"))?;
    let vpc = input.vpc_id.clone().ok_or_else(|| texts::invalid("A VPC ID must be specified"))?;
    let version = given(input.protocol_version.clone()).unwrap_or_else(|| "HTTP1".to_owned());
    if !matches!(version.as_str(), "HTTP1" | "HTTP2" | "GRPC") {
        return Err(texts::invalid(format!("Protocol version '{version}' must be one of '[GRPC, HTTP1, HTTP2]'")));
    }
    let grpc = version == "GRPC";
    let default = HealthCheck {
        enabled: true,
        protocol: "HTTP".to_owned(),
        port: "traffic-port".to_owned(),
        path: if grpc { "/AWS.ALB/healthcheck" } else { "/" }.to_owned(),
        interval: 30,
        timeout: 5,
        healthy: 5,
        unhealthy: 2,
        matcher: if grpc { "12" } else { "200" }.to_owned(),
    };
    let check = Check {
        protocol: input.health_check_protocol,
        port: input.health_check_port,
        path: input.health_check_path,
        enabled: input.health_check_enabled,
        interval: input.health_check_interval_seconds,
        timeout: input.health_check_timeout_seconds,
        healthy: input.healthy_threshold_count,
        unhealthy: input.unhealthy_threshold_count,
        matcher: input.matcher,
    };
    let check = check.over(&default, grpc)?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let vpc = vpc::query::vpc(tx, &scope, &vpc)
        .ok_or_else(|| texts::invalid(format!("The VPC ID '{vpc}' is not found")))?
        .id
        .clone();
    if let Some(present) = tx.by_index(&TargetGroup::BY_NAME, &scope, &input.name).next() {
        let same = (&present.protocol, &present.protocol_version, present.port, &present.vpc)
            == (&protocol, &version, port, &vpc)
            && present.target_type == target_type
            && present.check == check;
        return if same {
            Ok(CreateTargetGroupOutput { target_groups: Some(vec![show(tx, &scope, present)]) })
        } else {
            Err(texts::duplicate_target_group(&input.name))
        };
    }
    let path = format!("targetgroup/{}/{}", input.name, random_hex(16));
    let row = tx.put(
        &scope,
        TargetGroup {
            arn: Arn::new("elasticloadbalancing", &scope, path).to_string(),
            name: input.name,
            protocol,
            protocol_version: version,
            port,
            vpc,
            target_type,
            check,
            attributes: BTreeMap::new(),
            created: now,
            tags,
        },
    );
    Ok(CreateTargetGroupOutput { target_groups: Some(vec![show(tx, &scope, &row)]) })
}

/// The health check as requests give it.
struct Check {
    protocol: Option<String>,
    port: Option<String>,
    path: Option<String>,
    enabled: Option<bool>,
    interval: Option<i32>,
    timeout: Option<i32>,
    healthy: Option<i32>,
    unhealthy: Option<i32>,
    matcher: Option<Matcher>,
}

impl Check {
    /// `before` with what is given put over it.
    fn over(self, before: &HealthCheck, grpc: bool) -> Result<HealthCheck, ApiError> {
        let mut check = before.clone();
        if let Some(protocol) = self.protocol {
            if !matches!(protocol.as_str(), "HTTP" | "HTTPS") {
                return Err(texts::invalid(format!(
                    "Health check protocol '{protocol}' must be one of '[HTTPS, HTTP]'"
                )));
            }
            check.protocol = protocol;
        }
        if let Some(port) = self.port {
            if port != "traffic-port" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
                return Err(texts::invalid(format!(
                    "Health check port '{port}' must be either 'traffic-port' or from 1 to 65535"
                )));
            }
            check.port = port;
        }
        if let Some(path) = self.path {
            if !path.starts_with('/') || path.len() > 1024 || path.bytes().any(|b| b <= b' ' || b >= 0x7f) {
                return Err(texts::invalid(format!("Health check path '{path}' must start with a '/' and be a path")));
            }
            check.path = path;
        }
        if self.enabled == Some(false) {
            return Err(texts::invalid(
                "Health check enabled must be true for target groups with target type 'ip' or 'instance'",
            ));
        }
        let number = |given: Option<i32>, before: u32, from: u32, to: u32, what: &str| match given {
            None => Ok(before),
            Some(given) => u32::try_from(given).ok().filter(|given| (from..=to).contains(given)).ok_or_else(|| {
                texts::invalid(format!("Health check {what} '{given}' must be between {from} and {to}"))
            }),
        };
        check.interval = number(self.interval, before.interval, 5, 300, "interval")?;
        check.timeout = number(self.timeout, before.timeout, 2, 120, "timeout")?;
        check.healthy = number(self.healthy, before.healthy, 2, 10, "healthy threshold")?;
        check.unhealthy = number(self.unhealthy, before.unhealthy, 2, 10, "unhealthy threshold")?;
        if check.interval <= check.timeout {
            return Err(texts::interval_above_timeout());
        }
        if let Some(matcher) = self.matcher {
            let codes = if grpc { matcher.grpc_code } else { matcher.http_code };
            if let Some(codes) = codes {
                let (from, to) = if grpc { (0, 99) } else { (200, 499) };
                let parsed = codes.parse::<routing::matcher::Matcher>().ok();
                let fine = parsed.map(|parsed| parsed.bounds()).is_some_and(|(low, high)| low >= from && high <= to);
                if !fine {
                    return Err(texts::invalid(format!(
                        "Health check matcher code '{codes}' must be within '{from}-{to}' inclusive"
                    )));
                }
                check.matcher = codes;
            }
        }
        Ok(check)
    }
}

fn show(view: &View, scope: &Scope, row: &TargetGroup) -> Shown {
    let count = |n: u32| Some(i32::try_from(n).unwrap_or(i32::MAX));
    let matcher = Some(row.check.matcher.clone());
    Shown {
        target_group_arn: Some(row.arn.clone()),
        target_group_name: Some(row.name.clone()),
        protocol: Some(row.protocol.clone()),
        port: Some(i32::from(row.port)),
        vpc_id: Some(row.vpc.to_string()),
        health_check_protocol: Some(row.check.protocol.clone()),
        health_check_port: Some(row.check.port.clone()),
        health_check_enabled: Some(row.check.enabled),
        health_check_interval_seconds: count(row.check.interval),
        health_check_timeout_seconds: count(row.check.timeout),
        healthy_threshold_count: count(row.check.healthy),
        unhealthy_threshold_count: count(row.check.unhealthy),
        health_check_path: Some(row.check.path.clone()),
        matcher: Some(match row.protocol_version.as_str() {
            "GRPC" => Matcher { grpc_code: matcher, http_code: None },
            _ => Matcher { http_code: matcher, grpc_code: None },
        }),
        load_balancer_arns: Some(query::load_balancers_of(view, scope, &row.arn).into_iter().collect()),
        target_type: Some(row.target_type.clone()),
        protocol_version: Some(row.protocol_version.clone()),
        ip_address_type: Some("ipv4".to_owned()),
        target_control_port: None,
    }
}

pub(super) fn describe(
    _: &Elb,
    cx: &mut Context,
    input: DescribeTargetGroupsInput,
) -> Result<DescribeTargetGroupsOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let arns = input.target_group_arns.unwrap_or_default();
    let names = input.names.unwrap_or_default();
    let ways =
        usize::from(!arns.is_empty()) + usize::from(!names.is_empty()) + usize::from(input.load_balancer_arn.is_some());
    if ways > 1 {
        return Err(texts::invalid(
            "Only one of target group ARNs, target group names and a load balancer ARN can be specified",
        ));
    }
    let rows: Vec<Arc<TargetGroup>> = if let Some(arn) = &input.load_balancer_arn {
        let owner = load_balancer(view, &scope, arn)?;
        let all = view.scan::<TargetGroup>(&scope);
        all.filter(|row| query::load_balancers_of(view, &scope, &row.arn).contains(&owner.arn)).cloned().collect()
    } else if !arns.is_empty() {
        arns.iter().map(|arn| target_group(view, &scope, arn)).collect::<Result<_, _>>()?
    } else if !names.is_empty() {
        let named = |name: &String| view.by_index(&TargetGroup::BY_NAME, &scope, name).next().cloned();
        names.iter().map(|name| named(name).ok_or_else(texts::target_group_not_found)).collect::<Result<_, _>>()?
    } else {
        view.scan::<TargetGroup>(&scope).cloned().collect()
    };
    let (rows, next_marker) = page(rows, |row| row.arn.clone(), input.marker.as_deref(), input.page_size)?;
    let shown = rows.iter().map(|row| show(view, &scope, row)).collect();
    Ok(DescribeTargetGroupsOutput { target_groups: Some(shown), next_marker })
}

pub(super) fn modify(
    _: &Elb,
    cx: &mut Context,
    input: ModifyTargetGroupInput,
) -> Result<ModifyTargetGroupOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut row = TargetGroup::clone(&*target_group(tx, &scope, &input.target_group_arn)?);
    let check = Check {
        protocol: input.health_check_protocol,
        port: input.health_check_port,
        path: input.health_check_path,
        enabled: input.health_check_enabled,
        interval: input.health_check_interval_seconds,
        timeout: input.health_check_timeout_seconds,
        healthy: input.healthy_threshold_count,
        unhealthy: input.unhealthy_threshold_count,
        matcher: input.matcher,
    };
    row.check = check.over(&row.check, row.protocol_version == "GRPC")?;
    let row = tx.put(&scope, row);
    Ok(ModifyTargetGroupOutput { target_groups: Some(vec![show(tx, &scope, &row)]) })
}

pub(super) fn delete(
    _: &Elb,
    cx: &mut Context,
    input: DeleteTargetGroupInput,
) -> Result<DeleteTargetGroupOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = match target_group(tx, &scope, &input.target_group_arn) {
        Ok(row) => row,
        // AWS: deleting what is gone succeeds.
        Err(error) if error.code == "TargetGroupNotFound" => return Ok(DeleteTargetGroupOutput::default()),
        Err(error) => return Err(error),
    };
    if query::is_attached(tx, &scope, &row.arn) {
        return Err(texts::group_in_use(&row.arn));
    }
    let targets: Vec<Arc<Target>> = query::targets(tx, &scope, &row.arn).cloned().collect();
    for target in targets {
        tx.delete::<Target>(&scope, &Target::key(&target.group, &target.target, target.port));
    }
    tx.delete::<TargetGroup>(&scope, &row.arn);
    Ok(DeleteTargetGroupOutput::default())
}

pub(super) fn describe_attributes(
    _: &Elb,
    cx: &mut Context,
    input: DescribeTargetGroupAttributesInput,
) -> Result<DescribeTargetGroupAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let row = target_group(cx.view(), &scope, &input.target_group_arn)?;
    Ok(DescribeTargetGroupAttributesOutput { attributes: Some(attributes(&row.attributes)) })
}

pub(super) fn modify_attributes(
    _: &Elb,
    cx: &mut Context,
    input: ModifyTargetGroupAttributesInput,
) -> Result<ModifyTargetGroupAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = target_group(tx, &scope, &input.target_group_arn)?;
    let given = input.attributes.into_iter().map(|one| (one.key, one.value));
    let after = TARGET_GROUP.modified(&row.attributes, given)?;
    let slow = TARGET_GROUP.number(&after, "slow_start.duration_seconds");
    if (1..30).contains(&slow) {
        return Err(texts::invalid("slow_start.duration_seconds must be 0 or between 30 and 900"));
    }
    if slow > 0 && TARGET_GROUP.value(&after, "load_balancing.algorithm.type") != "round_robin" {
        return Err(texts::invalid("Slow start mode is only supported with the round_robin algorithm"));
    }
    let shown = attributes(&after);
    tx.update::<TargetGroup>(&scope, &row.arn, |row| row.attributes = after);
    Ok(ModifyTargetGroupAttributesOutput { attributes: Some(shown) })
}

fn attributes(set: &BTreeMap<String, String>) -> Vec<TargetGroupAttribute> {
    let shown =
        |(key, value): (&str, &str)| TargetGroupAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    TARGET_GROUP.values(set).map(shown).collect()
}
