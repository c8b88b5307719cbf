//! Security groups. Their rules are in [`super::rule`].

use super::describe::{self, Kind, Selection, Values, one};
use super::{Ec2, begin, rule, tags, vpc};
use crate::query;
use crate::rows::{NetworkInterface, Peer, PeeringState, Rule, SecurityGroup, Vpc, VpcEndpoint};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::id::SecurityGroupId;
use types::{ApiError, Scope};

/// How many groups a region may have. Source: VPC user guide, "Amazon VPC quotas".
const MAX_GROUPS: usize = 2500;

/// The characters that names and descriptions may have. Source: EC2 API reference, CreateSecurityGroup.
pub(crate) fn allowed(text: &str) -> bool {
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
    if tx.scan::<SecurityGroup>(&scope).count() >= MAX_GROUPS {
        return Err(texts::too_many_security_groups(&vpc.id));
    }
    if tx.by_index(&SecurityGroup::BY_VPC, &scope, vpc.id.as_str()).any(|group| group.name == name) {
        return Err(ApiError::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{}'", vpc.id),
        ));
    }
    // New groups let everything out, over IPv6 too where the VPC has it.
    let mut out = vec![vpc::everything(true, Peer::Ipv4(vpc::EVERYWHERE.to_owned()))];
    if !vpc.ipv6.is_empty() {
        out.push(vpc::everything(true, Peer::Ipv6(vpc::EVERYWHERE_IPV6.to_owned())));
    }
    let group = tx.put(
        &scope,
        SecurityGroup { id: SecurityGroupId::generate(), vpc: vpc.id.clone(), name, description, rules: out, tags },
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

fn show(view: &View, scope: &Scope, group: &SecurityGroup) -> ec2::SecurityGroup {
    ec2::SecurityGroup {
        group_id: Some(group.id.to_string()),
        group_name: Some(group.name.clone()),
        description: Some(group.description.clone()),
        owner_id: Some(scope.account.to_string()),
        vpc_id: Some(group.vpc.to_string()),
        security_group_arn: Some(arn(scope, group)),
        ip_permissions: Some(rule::permissions(view, scope, group, false)),
        ip_permissions_egress: Some(rule::permissions(view, scope, group, true)),
        tags: tags::shown(&group.tags),
    }
}

const KIND: Kind<SecurityGroup> = Kind { not_found: texts::no_group, tags: |_, group| &group.tags, filter };

fn filter(name: &str) -> Option<Values<SecurityGroup>> {
    let (egress, key) = match name.strip_prefix("egress.ip-permission.") {
        Some(key) => (true, Some(key)),
        None => (false, name.strip_prefix("ip-permission.")),
    };
    if let Some(key) = key {
        let value = rule_value(key)?;
        return Some(Box::new(move |view, scope, group| {
            let rules = group.rules.iter().filter(|rule| rule.egress == egress);
            rules.filter_map(|rule| value(view, scope, rule)).collect()
        }));
    }
    Some(match name {
        "description" => Box::new(|_, _, group| one(&group.description)),
        "group-id" => Box::new(|_, _, group| one(&group.id)),
        "group-name" => Box::new(|_, _, group| one(&group.name)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "vpc-id" => Box::new(|_, _, group| one(&group.vpc)),
        _ => return None,
    })
}

/// What a rule has of something.
type RuleValue = fn(&View, &Scope, &Rule) -> Option<String>;

/// What rules are selected by, after `ip-permission.` and `egress.ip-permission.`.
fn rule_value(key: &str) -> Option<RuleValue> {
    Some(match key {
        "cidr" => |_, _, rule| if let Peer::Ipv4(cidr) = &rule.peer { Some(cidr.clone()) } else { None },
        "ipv6-cidr" => |_, _, rule| if let Peer::Ipv6(cidr) = &rule.peer { Some(cidr.clone()) } else { None },
        "group-id" => |_, _, rule| match &rule.peer {
            Peer::Group(id) => Some(id.to_string()),
            Peer::Peered(peer) => Some(peer.group.to_string()),
            _ => None,
        },
        "group-name" => |view, scope, rule| match &rule.peer {
            Peer::Group(id) => Some(view.get::<SecurityGroup>(scope, id.as_str())?.name.clone()),
            _ => None,
        },
        "user-id" => |_, scope, rule| match &rule.peer {
            Peer::Group(_) => Some(scope.account.to_string()),
            Peer::Peered(peer) => Some(peer.account.to_string()),
            _ => None,
        },
        "prefix-list-id" => |_, _, rule| if let Peer::PrefixList(id) = &rule.peer { Some(id.clone()) } else { None },
        "from-port" => |_, _, rule| Some(rule.from_port.to_string()),
        "to-port" => |_, _, rule| Some(rule.to_port.to_string()),
        "protocol" => |_, _, rule| Some(rule.protocol.clone()),
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
        security_groups: Some(rows.iter().map(|row| show(cx.view(), &scope, row)).collect()),
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
        (Some(id), _) => view.get(scope, id).ok_or_else(|| texts::no_group(id)),
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

/// The VPCs other than a group's own whose groups refer to it.
pub(crate) fn references(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeSecurityGroupReferencesRequest,
) -> Result<ec2::DescribeSecurityGroupReferencesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let mut found = BTreeSet::new();
    for id in &input.group_id {
        let group = find(view, &scope, Some(id), None)?;
        for connection in query::peerings(view, &scope).iter().filter(|row| row.state == PeeringState::Active) {
            let Some(side) = connection.beyond(&group.vpc) else { continue };
            let mut others = view.by_index(&SecurityGroup::BY_VPC, &side.scope, side.vpc.as_str());
            let refers = |rule: &Rule| matches!(&rule.peer, Peer::Peered(peer) if peer.group == group.id);
            if others.any(|other| other.rules.iter().any(refers)) {
                found.insert((id.clone(), side.vpc.to_string(), connection.id.to_string()));
            }
        }
    }
    let shown = found.into_iter().map(|(group, vpc, connection)| ec2::SecurityGroupReference {
        group_id: Some(group),
        referencing_vpc_id: Some(vpc),
        vpc_peering_connection_id: Some(connection),
        ..Default::default()
    });
    Ok(ec2::DescribeSecurityGroupReferencesResult { security_group_reference_set: Some(shown.collect()) })
}

const FOR_VPC: Kind<SecurityGroup> = Kind { filter: filter_for_vpc, ..KIND };

fn filter_for_vpc(name: &str) -> Option<Values<SecurityGroup>> {
    Some(match name {
        "description" => Box::new(|_, _, group| one(&group.description)),
        "group-id" => Box::new(|_, _, group| one(&group.id)),
        "group-name" => Box::new(|_, _, group| one(&group.name)),
        "owner-id" => Box::new(|_, scope, _| one(&scope.account)),
        "primary-vpc-id" => Box::new(|_, _, group| one(&group.vpc)),
        _ => return None,
    })
}

/// The groups that interfaces in a VPC may have.
pub(crate) fn for_vpc(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::GetSecurityGroupsForVpcRequest,
) -> Result<ec2::GetSecurityGroupsForVpcResult, ApiError> {
    begin(cx, input.dry_run)?;
    let ids = in_vpc(cx, &input.vpc_id)?;
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: Some(ids), filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &FOR_VPC, selection)?;
    let owner = cx.scope.account.to_string();
    let show = |group: &Arc<SecurityGroup>| ec2::SecurityGroupForVpc {
        description: Some(group.description.clone()),
        group_name: Some(group.name.clone()),
        owner_id: Some(owner.clone()),
        group_id: Some(group.id.to_string()),
        tags: tags::shown(&group.tags),
        primary_vpc_id: Some(group.vpc.to_string()),
    };
    Ok(ec2::GetSecurityGroupsForVpcResult {
        security_group_for_vpcs: Some(rows.iter().map(show).collect()),
        next_token,
    })
}

/// The ids of a VPC's groups: never none, for it has a default group.
fn in_vpc(cx: &mut Context, vpc: &str) -> Result<Vec<String>, ApiError> {
    let scope = cx.scope.clone();
    let view = cx.view();
    if !view.contains::<Vpc>(&scope, vpc) {
        return Err(texts::vpc_not_found(vpc));
    }
    let mut ids: Vec<String> =
        view.by_index(&SecurityGroup::BY_VPC, &scope, vpc).map(|group| group.id.to_string()).collect();
    ids.sort();
    Ok(ids)
}

/// The groups of a VPC with rules whose peer is gone.
pub(crate) fn stale(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeStaleSecurityGroupsRequest,
) -> Result<ec2::DescribeStaleSecurityGroupsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let ids = in_vpc(cx, &input.vpc_id)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let is_stale = |rule: &Rule| matches!(&rule.peer, Peer::Peered(peer) if !query::reaches(view, &scope, peer));
    let groups = ids.iter().filter_map(|id| view.get::<SecurityGroup>(&scope, id)).filter_map(|group| {
        let mut group = (*group).clone();
        group.rules.retain(is_stale);
        (!group.rules.is_empty()).then_some(group)
    });
    let (groups, next_token) =
        describe::page(groups.collect(), input.max_results, input.next_token.as_deref(), |group: &SecurityGroup| {
            group.id.to_string()
        })?;
    let show = |group: &SecurityGroup| ec2::StaleSecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.to_string()),
        group_name: Some(group.name.clone()),
        stale_ip_permissions: Some(stale_permissions(view, &scope, group, false)),
        stale_ip_permissions_egress: Some(stale_permissions(view, &scope, group, true)),
        vpc_id: Some(group.vpc.to_string()),
    };
    Ok(ec2::DescribeStaleSecurityGroupsResult {
        stale_security_group_set: Some(groups.iter().map(show).collect()),
        next_token,
    })
}

fn stale_permissions(view: &View, scope: &Scope, group: &SecurityGroup, egress: bool) -> Vec<ec2::StaleIpPermission> {
    let show = |permission: ec2::IpPermission| ec2::StaleIpPermission {
        from_port: permission.from_port,
        ip_protocol: permission.ip_protocol,
        ip_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        to_port: permission.to_port,
        user_id_group_pairs: permission.user_id_group_pairs,
    };
    rule::permissions(view, scope, group, egress).into_iter().map(show).collect()
}
