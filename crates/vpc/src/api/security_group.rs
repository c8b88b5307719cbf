//! Security groups. Their rules are in [`super::rule`].

use super::describe::{self, Kind, Selection, one};
use super::{Ec2, begin, rule, tags};
use crate::rows::{NetworkInterface, Peer, Rule, SecurityGroup, Tags, Vpc, VpcEndpoint};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::id::{SecurityGroupId, SecurityGroupRuleId};
use types::{ApiError, Scope};

/// The characters that names and descriptions may have. Source: EC2 API reference, CreateSecurityGroup.
fn allowed(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c))
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateSecurityGroupRequest,
) -> Result<ec2::CreateSecurityGroupResult, ApiError> {
    let (name, description) = (input.group_name, input.description);
    if name.is_empty() || name.len() > 255 || !allowed(&name) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!(
                "Value ({name}) for parameter groupName is invalid. Character sets beyond ASCII are not supported."
            ),
        ));
    }
    if name.starts_with("sg-") {
        return Err(ApiError::new("InvalidParameterValue", "Group names may not be in the format sg-*."));
    }
    if description.is_empty() {
        return Err(texts::missing("GroupDescription"));
    }
    if description.len() > 255 || !allowed(&description) {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!(
                "Value ({description}) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported."
            ),
        ));
    }
    let tags = tags::at_creation(input.tag_specifications, "security-group")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let vpc = match &input.vpc_id {
        Some(id) => tx.get::<Vpc>(&scope, id).ok_or_else(|| texts::vpc_not_found(id))?,
        None => tx
            .scan::<Vpc>(&scope)
            .find(|vpc| vpc.is_default)
            .cloned()
            .ok_or_else(|| ApiError::new("VPCIdNotSpecified", "No default VPC for this user"))?,
    };
    if tx.by_index(&SecurityGroup::BY_VPC, &scope, vpc.id.as_str()).any(|group| group.name == name) {
        return Err(ApiError::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{}'", vpc.id),
        ));
    }
    let everything_out = Rule {
        id: SecurityGroupRuleId::generate(),
        egress: true,
        protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        peer: Peer::Ipv4("0.0.0.0/0".to_owned()),
        description: None,
        tags: Tags::new(),
    };
    let group = tx.put(
        &scope,
        SecurityGroup {
            id: SecurityGroupId::generate(),
            vpc: vpc.id.clone(),
            name,
            description,
            rules: vec![everything_out],
            tags,
        },
    );
    Ok(ec2::CreateSecurityGroupResult {
        group_id: Some(group.id.to_string()),
        tags: tags::shown(&group.tags),
        security_group_arn: Some(arn(&scope, &group)),
    })
}

fn arn(scope: &Scope, group: &SecurityGroup) -> String {
    Arn::new("ec2", scope, format!("security-group/{}", group.id)).to_string()
}

fn show(scope: &Scope, group: &SecurityGroup) -> ec2::SecurityGroup {
    ec2::SecurityGroup {
        group_id: Some(group.id.to_string()),
        group_name: Some(group.name.clone()),
        description: Some(group.description.clone()),
        owner_id: Some(scope.account.to_string()),
        vpc_id: Some(group.vpc.to_string()),
        security_group_arn: Some(arn(scope, group)),
        ip_permissions: Some(rule::permissions(scope, group, false)),
        ip_permissions_egress: Some(rule::permissions(scope, group, true)),
        tags: tags::shown(&group.tags),
    }
}

const KIND: Kind<SecurityGroup> = Kind { not_found: texts::group_not_found, tags: |group| &group.tags, filter };

fn filter(_: &View, scope: &Scope, group: &SecurityGroup, name: &str) -> Option<Vec<String>> {
    let (egress, key) = match name.strip_prefix("egress.ip-permission.") {
        Some(key) => (true, Some(key)),
        None => (false, name.strip_prefix("ip-permission.")),
    };
    if let Some(key) = key {
        let rules = group.rules.iter().filter(|rule| rule.egress == egress);
        return rules
            .map(|rule| rule_value(rule, key))
            .collect::<Option<Vec<_>>>()
            .map(|found| found.into_iter().flatten().collect());
    }
    Some(match name {
        "description" => one(&group.description),
        "group-id" => one(&group.id),
        "group-name" => one(&group.name),
        "owner-id" => one(&scope.account),
        "vpc-id" => one(&group.vpc),
        _ => return None,
    })
}

fn rule_value(rule: &Rule, key: &str) -> Option<Option<String>> {
    Some(match (key, &rule.peer) {
        ("cidr", Peer::Ipv4(cidr)) | ("ipv6-cidr", Peer::Ipv6(cidr)) => Some(cidr.clone()),
        ("group-id", Peer::Group(id)) => Some(id.to_string()),
        ("prefix-list-id", Peer::PrefixList(id)) => Some(id.clone()),
        ("cidr" | "ipv6-cidr" | "group-id" | "prefix-list-id", _) => None,
        ("from-port", _) => Some(rule.from_port.to_string()),
        ("to-port", _) => Some(rule.to_port.to_string()),
        ("protocol", _) => Some(rule.protocol.clone()),
        _ => return None,
    })
}

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeSecurityGroupsRequest,
) -> Result<ec2::DescribeSecurityGroupsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let scope = cx.scope.clone();
    let mut ids = input.group_ids.unwrap_or_default();
    for name in input.group_names.iter().flatten() {
        ids.push(find(cx.view(), &scope, None, Some(name))?.id.to_string());
    }
    let selection = Selection { ids: Some(ids), filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    Ok(ec2::DescribeSecurityGroupsResult {
        security_groups: Some(rows.iter().map(|row| show(&scope, row)).collect()),
        next_token,
    })
}

/// The group of that id, or of that name in the default VPC.
pub(crate) fn find(
    view: &View,
    scope: &Scope,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Arc<SecurityGroup>, ApiError> {
    match (id, name) {
        (Some(id), _) => view.get(scope, id).ok_or_else(|| texts::group_not_found(id)),
        (None, Some(name)) => {
            let default = view.scan::<Vpc>(scope).find(|vpc| vpc.is_default);
            let group = default.and_then(|vpc| {
                view.by_index(&SecurityGroup::BY_VPC, scope, vpc.id.as_str()).find(|group| group.name == name).cloned()
            });
            group.ok_or_else(|| texts::group_not_found(name))
        }
        (None, None) => {
            Err(ApiError::new("MissingParameter", "The request must contain the parameter groupName or groupId"))
        }
    }
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteSecurityGroupRequest,
) -> Result<ec2::DeleteSecurityGroupResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let group = find(tx, &scope, input.group_id.as_deref(), input.group_name.as_deref())?;
    let id = group.id.as_str();
    if group.name == "default" {
        return Err(ApiError::new(
            "CannotDelete",
            format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
        ));
    }
    let used = tx.by_index(&NetworkInterface::BY_GROUP, &scope, id).next().is_some()
        || tx.by_index(&SecurityGroup::BY_REFERENCE, &scope, id).any(|other| other.id != group.id)
        || tx
            .by_index(&VpcEndpoint::BY_VPC, &scope, group.vpc.as_str())
            .any(|endpoint| endpoint.security_groups.contains(&group.id));
    if used {
        return Err(texts::group_in_use(id));
    }
    tx.delete::<SecurityGroup>(&scope, id);
    Ok(ec2::DeleteSecurityGroupResult { return_: Some(true), group_id: Some(id.to_owned()) })
}
