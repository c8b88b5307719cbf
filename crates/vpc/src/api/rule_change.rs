//! Changes to rules that stand: their content, and their descriptions alone.

use super::rule::{Permissions, check_room, duplicate, no_such_rule, rules};
use super::{Ec2, begin, security_group};
use crate::rows::{Rule, SecurityGroup};
use crate::texts;
use gateway::Context;
use model::ec2;
use std::mem::discriminant;
use store::View;
use types::{ApiError, Scope};

/// The one rule that a request describes.
fn wanted(
    view: &View,
    scope: &Scope,
    group: &SecurityGroup,
    egress: bool,
    request: ec2::SecurityGroupRuleRequest,
) -> Result<Rule, ApiError> {
    let description = request.description;
    let permission = ec2::IpPermission {
        ip_protocol: request.ip_protocol,
        from_port: request.from_port,
        to_port: request.to_port,
        ip_ranges: request
            .cidr_ipv4
            .map(|cidr| vec![ec2::IpRange { cidr_ip: Some(cidr), description: description.clone() }]),
        ipv6_ranges: request
            .cidr_ipv6
            .map(|cidr| vec![ec2::Ipv6Range { cidr_ipv6: Some(cidr), description: description.clone() }]),
        prefix_list_ids: request
            .prefix_list_id
            .map(|id| vec![ec2::PrefixListId { prefix_list_id: Some(id), description: description.clone() }]),
        user_id_group_pairs: request.referenced_group_id.map(|id| {
            vec![ec2::UserIdGroupPair { group_id: Some(id), description: description.clone(), ..Default::default() }]
        }),
    };
    let mut found = rules(view, scope, group, egress, vec![permission])?;
    match (found.pop(), found.pop()) {
        (Some(rule), None) => Ok(rule),
        _ => Err(texts::one_rule_type()),
    }
}

pub(crate) fn modify(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifySecurityGroupRulesRequest,
) -> Result<ec2::ModifySecurityGroupRulesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut group = (*security_group::find(tx, &scope, Some(&input.group_id), None)?).clone();
    for update in input.security_group_rules {
        let id = update.security_group_rule_id;
        let request = update.security_group_rule.ok_or_else(|| texts::missing("SecurityGroupRule"))?;
        let at = group.rules.iter().position(|rule| rule.id.as_str() == id);
        let at = at.ok_or_else(|| texts::group_rule_not_found(&id))?;
        let old = &group.rules[at];
        let new = wanted(tx, &scope, &group, old.egress, request)?;
        if discriminant(&old.peer) != discriminant(&new.peer) {
            return Err(texts::rule_type_changed(&id));
        }
        if group.rules.iter().any(|other| other.id != old.id && other.same(&new)) {
            return Err(duplicate(&new));
        }
        let new = Rule { id: old.id.clone(), tags: old.tags.clone(), ..new };
        group.rules[at] = new;
    }
    check_room(tx, &scope, &group.rules)?;
    tx.put(&scope, group);
    Ok(ec2::ModifySecurityGroupRulesResult { return_: Some(true) })
}

/// Changes descriptions by rule ids or by permissions; one that is not given is removed.
fn describe_rules(
    cx: &mut Context,
    (id, name): (Option<&str>, Option<&str>),
    egress: bool,
    permissions: Permissions,
    by_id: Option<Vec<ec2::SecurityGroupRuleDescription>>,
) -> Result<(), ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let mut group = (*security_group::find(tx, &scope, id, name)?).clone();
    let mut new = Vec::new();
    for one in by_id.into_iter().flatten() {
        let id = one.security_group_rule_id.ok_or_else(|| texts::missing("SecurityGroupRuleId"))?;
        let at = group.rules.iter().position(|rule| rule.id.as_str() == id && rule.egress == egress);
        new.push((at.ok_or_else(|| texts::group_rule_not_found(&id))?, one.description));
    }
    if new.is_empty() {
        for wanted in rules(tx, &scope, &group, egress, permissions.unwrap_or_default())? {
            let at = group.rules.iter().position(|rule| rule.same(&wanted)).ok_or_else(no_such_rule)?;
            new.push((at, wanted.description));
        }
    }
    for (at, description) in new {
        group.rules[at].description = description.filter(|text| !text.is_empty());
    }
    tx.put(&scope, group);
    Ok(())
}

pub(crate) fn describe_ingress(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<ec2::UpdateSecurityGroupRuleDescriptionsIngressResult, ApiError> {
    begin(cx, input.dry_run)?;
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    describe_rules(cx, group, false, input.ip_permissions, input.security_group_rule_descriptions)?;
    Ok(ec2::UpdateSecurityGroupRuleDescriptionsIngressResult { return_: Some(true) })
}

pub(crate) fn describe_egress(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<ec2::UpdateSecurityGroupRuleDescriptionsEgressResult, ApiError> {
    begin(cx, input.dry_run)?;
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    describe_rules(cx, group, true, input.ip_permissions, input.security_group_rule_descriptions)?;
    Ok(ec2::UpdateSecurityGroupRuleDescriptionsEgressResult { return_: Some(true) })
}
