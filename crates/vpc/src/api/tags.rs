//! Tags: at creation, and by CreateTags, DeleteTags and DescribeTags on any resource.

use super::{Ec2, begin, describe, peering};
use crate::query;
use crate::rows::{
    Address, DhcpOptions, EgressOnlyInternetGateway, FlowLog, Instance, InternetGateway, LaunchTemplate,
    ManagedPrefixList, NatGateway, NetworkAcl, NetworkInsightsAnalysis, NetworkInsightsPath, NetworkInterface,
    RouteTable, SecurityGroup, Subnet, Tags, Vpc, VpcEndpoint,
};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::collections::{BTreeMap, BTreeSet};
use store::{Tx, View};
use types::{ApiError, Scope};
use wire::Unit;

/// How many tags a resource may have. Source: EC2 user guide, "Tag restrictions".
const MAX_TAGS: usize = 50;

/// The tags that a creation gives to resources of `kind`; specifications for another kind are an error.
pub(crate) fn at_creation(specifications: Option<Vec<ec2::TagSpecification>>, kind: &str) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for specification in specifications.unwrap_or_default() {
        let named = specification.resource_type.as_deref().unwrap_or_default();
        if named != kind {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("'{named}' is not a valid taggable resource type for this operation."),
            ));
        }
        add(&mut tags, specification.tags.unwrap_or_default())?;
    }
    Ok(tags)
}

/// The same for a creation of several kinds at once: the tags of each.
pub(crate) fn of_kinds(
    specifications: Option<Vec<ec2::TagSpecification>>,
    kinds: &[&str],
) -> Result<BTreeMap<String, Tags>, ApiError> {
    let mut found: BTreeMap<String, Tags> = BTreeMap::new();
    for specification in specifications.unwrap_or_default() {
        let kind = specification.resource_type.clone().unwrap_or_default();
        let one = kinds.iter().find(|known| **known == kind).copied().unwrap_or_default();
        found.entry(kind).or_default().extend(at_creation(Some(vec![specification]), one)?);
    }
    Ok(found)
}

fn add(tags: &mut Tags, new: Vec<ec2::Tag>) -> Result<(), ApiError> {
    let mut keys = BTreeSet::new();
    for tag in new {
        let key = tag.key.unwrap_or_default();
        if !keys.insert(key.clone()) {
            return Err(ApiError::new("InvalidParameterValue", format!("Duplicate tag key '{key}' specified.")));
        }
        // XML could not tell them again.
        if key.chars().chain(tag.value.iter().flat_map(|value| value.chars())).any(char::is_control) {
            return Err(ApiError::new("InvalidParameterValue", "Tags must not have control characters."));
        }
        if key.is_empty() || key.chars().count() > 128 {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("Tag key exceeds the maximum length of 128 characters or is empty: '{key}'"),
            ));
        }
        if key.starts_with("aws:") {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("Tag keys starting with 'aws:' are reserved for internal use: '{key}'"),
            ));
        }
        let value = tag.value.unwrap_or_default();
        if value.chars().count() > 256 {
            return Err(ApiError::new(
                "InvalidParameterValue",
                "Tag value exceeds the maximum length of 256 characters",
            ));
        }
        tags.insert(key, value);
    }
    if tags.len() > MAX_TAGS {
        return Err(ApiError::new(
            "TagLimitExceeded",
            format!("The maximum number of tags for a resource is {MAX_TAGS}."),
        ));
    }
    Ok(())
}

/// Tags as the API shows them; absent where there are none.
pub(crate) fn shown(tags: &Tags) -> Option<Vec<ec2::Tag>> {
    let shown = tags.iter().map(|(key, value)| ec2::Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Some(shown.collect())
}

/// Calls `$body` with the row type that an id's prefix tells; nested names (rules) are handled apart.
macro_rules! by_prefix {
    ($id:expr, $type:ident => $body:expr, $($prefix:literal: $row:ty),* $(,)?) => {
        $(if $id.starts_with($prefix) { type $type = $row; $body } else)* { false }
    };
}

/// Changes the tags of the resource with that id. False if there is none.
fn change(tx: &mut Tx, scope: &Scope, id: &str, change: &mut dyn FnMut(&mut Tags)) -> bool {
    if id.starts_with("sgr-") {
        let group = tx.by_index(&SecurityGroup::BY_RULE, scope, id).next().cloned();
        let Some(group) = group else { return false };
        tx.update::<SecurityGroup>(scope, group.id.as_str(), |group| {
            group.rules.iter_mut().filter(|rule| rule.id.as_str() == id).for_each(|rule| change(&mut rule.tags));
        });
        return true;
    }
    if id.starts_with("pcx-") {
        return peering::change_tags(tx, scope, id, change);
    }
    by_prefix!(id, R => tx.update::<R>(scope, id, |row| change(&mut row.tags)).is_some(),
        "eipalloc-": Address, "dopt-": DhcpOptions, "eigw-": EgressOnlyInternetGateway, "fl-": FlowLog, "igw-": InternetGateway, "nat-": NatGateway, "acl-": NetworkAcl,
        "eni-": NetworkInterface, "nia-": NetworkInsightsAnalysis, "nip-": NetworkInsightsPath, "pl-": ManagedPrefixList, "rtb-": RouteTable, "sg-": SecurityGroup, "subnet-": Subnet, "vpce-": VpcEndpoint,
        "i-": Instance, "lt-": LaunchTemplate,
        "vpc-": Vpc)
}

/// The error for an id that is not there.
fn not_found(id: &str) -> ApiError {
    match id.split('-').next() {
        Some("eipalloc") => texts::allocation_not_found(id),
        Some("dopt") => texts::dhcp_options_not_found(id),
        Some("fl") => texts::flow_logs_not_found(&[id]),
        Some("eigw") => texts::egress_only_gateway_not_found(id),
        Some("i") => texts::instance_not_found(id),
        Some("lt") => texts::launch_template_id_not_found(id),
        Some("igw") => texts::internet_gateway_not_found(id),
        Some("nat") => texts::nat_gateway_not_found(id),
        Some("acl") => texts::network_acl_not_found(id),
        Some("eni") => texts::interface_not_found(id),
        Some("nia") => texts::insights_analysis_not_found(id),
        Some("nip") => texts::insights_path_not_found(id),
        Some("pl") => texts::managed_prefix_list_not_found(id),
        Some("pcx") => texts::peering_not_found(id),
        Some("rtb") => texts::route_table_not_found(id),
        Some("sg") => texts::group_not_found(id),
        Some("sgr") => texts::group_rule_not_found(id),
        Some("subnet") => texts::subnet_not_found(id),
        Some("vpce") => texts::endpoint_not_found(id),
        Some("vpc") => texts::vpc_not_found(id),
        _ => ApiError::new("InvalidID", format!("The ID '{id}' is not valid")),
    }
}

pub(crate) fn create(_: &Ec2, cx: &mut Context, input: ec2::CreateTagsRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for id in &input.resources {
        let mut outcome = Ok(());
        if !change(tx, &scope, id, &mut |tags| outcome = add(tags, input.tags.clone())) {
            return Err(not_found(id));
        }
        outcome?;
    }
    Ok(Unit)
}

pub(crate) fn delete(_: &Ec2, cx: &mut Context, input: ec2::DeleteTagsRequest) -> Result<Unit, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    for id in &input.resources {
        // What is already gone has no tags to delete: AWS says nothing.
        change(tx, &scope, id, &mut |tags| match &input.tags {
            None => tags.clear(),
            Some(named) => tags.retain(|key, value| {
                !named.iter().any(|tag| {
                    tag.key.as_deref() == Some(key) && tag.value.as_deref().is_none_or(|wanted| wanted == value)
                })
            }),
        });
    }
    Ok(Unit)
}

fn all(view: &View, scope: &Scope) -> Vec<ec2::TagDescription> {
    let mut found = Vec::new();
    let mut tell = |kind: &str, id: &str, tags: &Tags| {
        found.extend(tags.iter().map(|(key, value)| ec2::TagDescription {
            key: Some(key.clone()),
            value: Some(value.clone()),
            resource_id: Some(id.to_owned()),
            resource_type: Some(kind.to_owned()),
        }));
    };
    macro_rules! each {
        ($($row:ty: $kind:literal),* $(,)?) => {
            $(view.scan::<$row>(scope).for_each(|row| tell($kind, row.id.as_str(), &row.tags));)*
        };
    }
    each! {
        Address: "elastic-ip", DhcpOptions: "dhcp-options", EgressOnlyInternetGateway: "egress-only-internet-gateway", FlowLog: "vpc-flow-log", InternetGateway: "internet-gateway",
        NatGateway: "natgateway", NetworkAcl: "network-acl", NetworkInterface: "network-interface",
        NetworkInsightsAnalysis: "network-insights-analysis", NetworkInsightsPath: "network-insights-path",
        ManagedPrefixList: "prefix-list", RouteTable: "route-table", SecurityGroup: "security-group", Subnet: "subnet", Vpc: "vpc",
        VpcEndpoint: "vpc-endpoint", Instance: "instance", LaunchTemplate: "launch-template",
    }
    for group in view.scan::<SecurityGroup>(scope) {
        group.rules.iter().for_each(|rule| tell("security-group-rule", rule.id.as_str(), &rule.tags));
    }
    for connection in query::peerings(view, scope) {
        tell("vpc-peering-connection", connection.id.as_str(), peering::tags_of(scope, &connection));
    }
    found.sort_by(|a, b| (&a.resource_id, &a.key).cmp(&(&b.resource_id, &b.key)));
    found
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeTagsRequest,
) -> Result<ec2::DescribeTagsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let known = ["key", "resource-id", "resource-type", "value"];
    describe::check_filters(input.filters.as_deref(), |name| known.contains(&name) || name.starts_with("tag:"))?;
    let scope = cx.scope.clone();
    let mut kept = Vec::new();
    for tag in all(cx.view(), &scope) {
        let values = |name: &str| {
            let value = match name {
                "key" => tag.key.clone(),
                "resource-id" => tag.resource_id.clone(),
                "resource-type" => tag.resource_type.clone(),
                "value" => tag.value.clone(),
                _ => {
                    let key = name.strip_prefix("tag:")?;
                    tag.value.clone().filter(|_| tag.key.as_deref() == Some(key))
                }
            };
            Some(value.into_iter().collect())
        };
        if describe::kept(input.filters.as_deref(), values)? {
            kept.push(tag);
        }
    }
    let key = |tag: &ec2::TagDescription| {
        format!("{}\n{}", tag.resource_id.as_deref().unwrap_or_default(), tag.key.as_deref().unwrap_or_default())
    };
    let (tags, next_token) = describe::page(kept, input.max_results, input.next_token.as_deref(), key)?;
    Ok(ec2::DescribeTagsResult { tags: Some(tags), next_token })
}
