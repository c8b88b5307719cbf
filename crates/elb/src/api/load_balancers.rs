//! Load balancers.

use super::page::page;
use super::subnets::{check_gateway, chosen, create_node, groups, zones};
use super::{LOAD_BALANCER, check_name, listeners, load_balancer, refuse, tags};
use crate::rows::{Listener, LoadBalancer, LoadBalancerState};
use crate::{Elb, texts};
use gateway::Context;
use model::elbv2::{
    CreateLoadBalancerInput, CreateLoadBalancerOutput, DeleteLoadBalancerInput, DeleteLoadBalancerOutput,
    DescribeCapacityReservationInput, DescribeCapacityReservationOutput, DescribeLoadBalancerAttributesInput,
    DescribeLoadBalancerAttributesOutput, DescribeLoadBalancersInput, DescribeLoadBalancersOutput,
    LoadBalancer as Shown, LoadBalancerAttribute, LoadBalancerState as ShownState, ModifyLoadBalancerAttributesInput,
    ModifyLoadBalancerAttributesOutput,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::ApiError;
use types::arn::Arn;
use types::id::{random_digits, random_hex};

pub(super) fn create(
    elb: &Elb,
    cx: &mut Context,
    input: CreateLoadBalancerInput,
) -> Result<CreateLoadBalancerOutput, ApiError> {
    let kind = input.type_.as_deref().unwrap_or("application");
    refuse(kind != "application", &format!("load balancers of type {kind}"))?;
    refuse(input.ip_address_type.as_deref().is_some_and(|kind| kind != "ipv4"), "load balancers with IPv6 addresses")?;
    refuse(input.customer_owned_ipv4_pool.is_some() || input.ipam_pools.is_some(), "address pools of load balancers")?;
    check_name(&input.name, "The load balancer")?;
    if input.name.starts_with("internal-") {
        return Err(texts::invalid(format!("The load balancer name '{}' cannot begin with 'internal-'", input.name)));
    }
    let tags = tags::at_creation(input.tags)?;
    let internal = input.scheme.as_deref() == Some("internal");
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    let subnets = chosen(tx, &scope, input.subnets, input.subnet_mappings)?;
    let vpc = subnets[0].vpc.clone();
    let security_groups = groups(tx, &scope, &vpc, input.security_groups.unwrap_or_default())?;
    if let Some(present) = tx.by_index(&LoadBalancer::BY_NAME, &scope, &input.name).next() {
        let same = present.internal == internal
            && present.security_groups == security_groups
            && present.nodes.iter().map(|node| &node.subnet).collect::<BTreeSet<_>>()
                == subnets.iter().map(|subnet| &subnet.id).collect();
        return if same {
            Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![show(present)]) })
        } else {
            Err(texts::duplicate_load_balancer(&input.name))
        };
    }
    if !internal {
        check_gateway(tx, &scope, &vpc)?;
    }
    let path = format!("loadbalancer/app/{}/{}", input.name, random_hex(16));
    let prefix = if internal { "internal-" } else { "" };
    let mut row = LoadBalancer {
        arn: Arn::new("elasticloadbalancing", &scope, path).to_string(),
        dns_name: format!("{prefix}{}-{}.{}.elb.amazonaws.com", input.name, random_digits(10), scope.region),
        name: input.name,
        internal,
        vpc,
        security_groups,
        nodes: Vec::new(),
        created: now,
        state: LoadBalancerState::Provisioning,
        attributes: BTreeMap::new(),
        tags,
    };
    for subnet in &subnets {
        let node = create_node(elb, tx, &scope, &row, subnet, now)?;
        row.nodes.push(node);
    }
    let row = tx.put(&scope, row);
    Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![show(&row)]) })
}

fn show(row: &LoadBalancer) -> Shown {
    let region = row.arn.split(':').nth(3).unwrap_or_default();
    Shown {
        load_balancer_arn: Some(row.arn.clone()),
        dns_name: Some(row.dns_name.clone()),
        canonical_hosted_zone_id: Some(hosted_zone(region).to_owned()),
        created_time: Some(row.created),
        load_balancer_name: Some(row.name.clone()),
        scheme: Some(if row.internal { "internal" } else { "internet-facing" }.to_owned()),
        vpc_id: Some(row.vpc.to_string()),
        state: Some(ShownState { code: Some(row.state.as_str().to_owned()), reason: None }),
        type_: Some("application".to_owned()),
        availability_zones: Some(zones(&row.nodes)),
        security_groups: Some(row.security_groups.iter().map(ToString::to_string).collect()),
        ip_address_type: Some("ipv4".to_owned()),
        ..Default::default()
    }
}

/// Source: AWS General Reference, "Elastic Load Balancing endpoints and quotas".
fn hosted_zone(region: &str) -> &'static str {
    match region {
        "us-east-2" => "Z3AADJGX6KTTL2",
        "us-west-1" => "Z368ELLRRE2KJ0",
        "us-west-2" => "Z1H1FL5HABSF5",
        "ca-central-1" => "ZQSVJUPU6J1EY",
        "eu-central-1" => "Z215JYRZR1TBD5",
        "eu-west-1" => "Z32O12XQLNTSW2",
        "eu-west-2" => "ZHURV8PSTC4K8",
        "eu-west-3" => "Z3Q77PNBQS71R4",
        "eu-north-1" => "Z23TAZ6LKFMNIO",
        "ap-northeast-1" => "Z14GRHDCWA56QT",
        "ap-southeast-1" => "Z1LMS91P8CMLE5",
        "ap-southeast-2" => "Z1GM3OXH4ZPM65",
        "ap-south-1" => "ZP97RAFLXTNZK",
        "sa-east-1" => "Z2P70J7HTTTPLU",
        _ => "Z35SXDOTRQ7X7K",
    }
}

pub(super) fn describe(
    _: &Elb,
    cx: &mut Context,
    input: DescribeLoadBalancersInput,
) -> Result<DescribeLoadBalancersOutput, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    let arns = input.load_balancer_arns.unwrap_or_default();
    let names = input.names.unwrap_or_default();
    if !arns.is_empty() && !names.is_empty() {
        return Err(texts::invalid("Load balancer names and load balancer ARNs cannot be specified at the same time"));
    }
    let rows: Vec<Arc<LoadBalancer>> = if !arns.is_empty() {
        arns.iter().map(|arn| load_balancer(view, &scope, arn)).collect::<Result<_, _>>()?
    } else if !names.is_empty() {
        let named = |name: &String| view.by_index(&LoadBalancer::BY_NAME, &scope, name).next().cloned();
        names.iter().map(|name| named(name).ok_or_else(texts::load_balancer_not_found)).collect::<Result<_, _>>()?
    } else {
        view.scan::<LoadBalancer>(&scope).cloned().collect()
    };
    let (rows, next_marker) = page(rows, |row| row.arn.clone(), input.marker.as_deref(), input.page_size)?;
    Ok(DescribeLoadBalancersOutput { load_balancers: Some(rows.iter().map(|row| show(row)).collect()), next_marker })
}

pub(super) fn delete(
    _: &Elb,
    cx: &mut Context,
    input: DeleteLoadBalancerInput,
) -> Result<DeleteLoadBalancerOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = match load_balancer(tx, &scope, &input.load_balancer_arn) {
        Ok(row) => row,
        // AWS: deleting what is gone succeeds.
        Err(error) if error.code == "LoadBalancerNotFound" => return Ok(DeleteLoadBalancerOutput::default()),
        Err(error) => return Err(error),
    };
    if LOAD_BALANCER.flag(&row.attributes, "deletion_protection.enabled") {
        return Err(texts::deletion_protected(&row.arn));
    }
    let owned: Vec<Arc<Listener>> = tx.by_index(&Listener::BY_LOAD_BALANCER, &scope, &row.arn).cloned().collect();
    for listener in owned {
        listeners::remove(tx, &scope, &listener);
    }
    for node in &row.nodes {
        vpc::intent::delete_interface(tx, &scope, &node.interface);
    }
    tx.delete::<LoadBalancer>(&scope, &row.arn);
    Ok(DeleteLoadBalancerOutput::default())
}

pub(super) fn describe_attributes(
    _: &Elb,
    cx: &mut Context,
    input: DescribeLoadBalancerAttributesInput,
) -> Result<DescribeLoadBalancerAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let row = load_balancer(cx.view(), &scope, &input.load_balancer_arn)?;
    Ok(DescribeLoadBalancerAttributesOutput { attributes: Some(attributes(&row.attributes)) })
}

pub(super) fn modify_attributes(
    _: &Elb,
    cx: &mut Context,
    input: ModifyLoadBalancerAttributesInput,
) -> Result<ModifyLoadBalancerAttributesOutput, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = load_balancer(tx, &scope, &input.load_balancer_arn)?;
    let given = input.attributes.into_iter().map(|one| (one.key, one.value));
    let after = LOAD_BALANCER.modified(&row.attributes, given)?;
    let shown = attributes(&after);
    tx.update::<LoadBalancer>(&scope, &row.arn, |row| row.attributes = after);
    Ok(ModifyLoadBalancerAttributesOutput { attributes: Some(shown) })
}

fn attributes(set: &BTreeMap<String, String>) -> Vec<LoadBalancerAttribute> {
    let shown =
        |(key, value): (&str, &str)| LoadBalancerAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    LOAD_BALANCER.values(set).map(shown).collect()
}

/// Nothing can be reserved, so nothing is.
pub(super) fn describe_capacity(
    _: &Elb,
    cx: &mut Context,
    input: DescribeCapacityReservationInput,
) -> Result<DescribeCapacityReservationOutput, ApiError> {
    let scope = cx.scope.clone();
    load_balancer(cx.view(), &scope, &input.load_balancer_arn)?;
    Ok(DescribeCapacityReservationOutput::default())
}
