//! Rules of groups: changed in place, told apart, limited, revoked.

use crate::world::World;
use model::ec2;

fn web(cidr: &str, port: i32, description: Option<&str>) -> ec2::IpPermission {
    ec2::IpPermission {
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: Some(vec![ec2::IpRange {
            cidr_ip: Some(cidr.to_owned()),
            description: description.map(ToOwned::to_owned),
        }]),
        ..Default::default()
    }
}

fn authorize(group: &str, permissions: Vec<ec2::IpPermission>) -> ec2::AuthorizeSecurityGroupIngressRequest {
    ec2::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.to_owned()),
        ip_permissions: Some(permissions),
        ..Default::default()
    }
}

fn revoke(group: &str, permissions: Vec<ec2::IpPermission>) -> ec2::RevokeSecurityGroupIngressRequest {
    ec2::RevokeSecurityGroupIngressRequest {
        group_id: Some(group.to_owned()),
        ip_permissions: Some(permissions),
        ..Default::default()
    }
}

/// Authorises one rule and tells its id.
fn rule(world: &World, group: &str, permission: ec2::IpPermission) -> String {
    let answer = world.ok(world.handlers.authorize_security_group_ingress, authorize(group, vec![permission]));
    let rules = answer.security_group_rules.unwrap_or_default();
    rules.into_iter().next().and_then(|rule| rule.security_group_rule_id).expect("a rule has an id")
}

fn shown(world: &World, id: &str) -> ec2::SecurityGroupRule {
    let input = ec2::DescribeSecurityGroupRulesRequest {
        security_group_rule_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let rules = world.ok(world.handlers.describe_security_group_rules, input).security_group_rules;
    rules.unwrap_or_default().into_iter().next().expect("the rule is shown")
}

fn change(group: &str, id: &str, rule: ec2::SecurityGroupRuleRequest) -> ec2::ModifySecurityGroupRulesRequest {
    ec2::ModifySecurityGroupRulesRequest {
        group_id: group.to_owned(),
        security_group_rules: vec![ec2::SecurityGroupRuleUpdate {
            security_group_rule_id: id.to_owned(),
            security_group_rule: Some(rule),
        }],
        ..Default::default()
    }
}

fn request(port: i32) -> ec2::SecurityGroupRuleRequest {
    ec2::SecurityGroupRuleRequest {
        ip_protocol: Some("tcp".to_owned()),
        from_port: Some(port),
        to_port: Some(port),
        ..Default::default()
    }
}

#[test]
fn a_rule_changes_in_place_and_so_does_the_plan() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let subnet = world.subnet(&vpc, "10.0.1.0/24");
    let group = world.group(&vpc, "web");
    let task = world.task_interface(&subnet, "task-1");
    world.ok(
        world.handlers.modify_network_interface_attribute,
        ec2::ModifyNetworkInterfaceAttributeRequest {
            network_interface_id: task,
            groups: Some(vec![group.clone()]),
            ..Default::default()
        },
    );
    let id = rule(&world, &group, web("10.0.0.0/8", 80, Some("http")));
    let before = netplan::compile(&world.network());
    let handler = world.handlers.modify_security_group_rules;
    let to = ec2::SecurityGroupRuleRequest { cidr_ipv4: Some("10.1.0.0/16".to_owned()), ..request(443) };
    world.ok(handler, change(&group, &id, to));
    let rule = shown(&world, &id);
    assert_eq!((rule.from_port, rule.cidr_ipv4.as_deref(), rule.description), (Some(443), Some("10.1.0.0/16"), None));
    assert_ne!(netplan::compile(&world.network()), before, "the kernel is to hold the changed rule");
}

#[test]
fn a_rule_neither_changes_its_type_nor_becomes_another() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "web");
    let id = rule(&world, &group, web("10.0.0.0/8", 80, None));
    rule(&world, &group, web("10.0.0.0/8", 81, None));
    let handler = world.handlers.modify_security_group_rules;
    let block = |port| ec2::SecurityGroupRuleRequest { cidr_ipv4: Some("10.0.0.0/8".to_owned()), ..request(port) };
    assert_eq!(world.refused(handler, change(&group, &id, block(81))), "InvalidPermission.Duplicate");
    let to_group = ec2::SecurityGroupRuleRequest { referenced_group_id: Some(group.clone()), ..request(80) };
    assert_eq!(world.refused(handler, change(&group, &id, to_group.clone())), "InvalidParameterValue");
    let both = ec2::SecurityGroupRuleRequest { cidr_ipv4: Some("10.0.0.0/8".to_owned()), ..to_group };
    assert_eq!(world.refused(handler, change(&group, &id, both)), "InvalidParameterCombination");
    let gone = "sgr-0123456789abcdef0";
    assert_eq!(world.refused(handler, change(&group, gone, block(82))), "InvalidSecurityGroupRuleId.NotFound");
}

#[test]
fn descriptions_change_by_permission_and_by_id() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "web");
    let id = rule(&world, &group, web("10.0.0.0/8", 80, Some("old")));
    let handler = world.handlers.update_security_group_rule_descriptions_ingress;
    let input = |permission| ec2::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        group_id: Some(group.clone()),
        ip_permissions: Some(vec![permission]),
        ..Default::default()
    };
    world.ok(handler, input(web("10.0.0.0/8", 80, Some("new"))));
    assert_eq!(shown(&world, &id).description.as_deref(), Some("new"));
    assert_eq!(world.refused(handler, input(web("10.0.0.0/8", 99, None))), "InvalidPermission.NotFound");
    let by_id = ec2::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        group_id: Some(group.clone()),
        security_group_rule_descriptions: Some(vec![ec2::SecurityGroupRuleDescription {
            security_group_rule_id: Some(id.clone()),
            description: None,
        }]),
        ..Default::default()
    };
    world.ok(handler, by_id);
    assert_eq!(shown(&world, &id).description, None);
}

#[test]
fn rules_are_limited_by_address_family() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "web");
    let handler = world.handlers.authorize_security_group_ingress;
    let many = |ports: std::ops::Range<i32>| ports.map(|port| web("10.0.0.0/8", port, None)).collect::<Vec<_>>();
    world.ok(handler, authorize(&group, many(0..60)));
    assert_eq!(
        world.refused(handler, authorize(&group, many(60..61))),
        "RulesPerSecurityGroupLimitExceeded",
        "sixty of a family are the most"
    );
    let ipv6 = ec2::IpPermission {
        ip_ranges: None,
        ipv6_ranges: Some(vec![ec2::Ipv6Range { cidr_ipv6: Some("2001:db8::/32".to_owned()), description: None }]),
        ..web("", 80, None)
    };
    world.ok(handler, authorize(&group, vec![ipv6]));
    let twice = vec![web("10.9.0.0/16", 1, None), web("10.9.0.0/16", 1, None)];
    assert_eq!(world.refused(handler, authorize(&group, twice)), "InvalidParameterValue");
}

#[test]
fn revoking_what_does_not_stand_is_an_error_but_in_the_default_vpc() {
    let world = World::new();
    let group = world.group(&world.vpc("10.0.0.0/16"), "web");
    rule(&world, &group, web("10.0.0.0/8", 80, None));
    let handler = world.handlers.revoke_security_group_ingress;
    let both = || vec![web("10.0.0.0/8", 80, None), web("10.0.0.0/8", 81, None)];
    assert_eq!(world.refused(handler, revoke(&group, both())), "InvalidPermission.NotFound");
    assert_eq!(world.refused(handler, revoke(&group, Vec::new())), "MissingParameter");
    let input = ec2::CreateSecurityGroupRequest {
        group_name: "web".to_owned(),
        description: "in the default VPC".to_owned(),
        ..Default::default()
    };
    let lenient = world.ok(world.handlers.create_security_group, input).group_id.expect("a group has an id");
    rule(&world, &lenient, web("10.0.0.0/8", 80, None));
    let answer = world.ok(handler, revoke(&lenient, both()));
    assert_eq!(answer.revoked_security_group_rules.map(|rules| rules.len()), Some(1));
    assert_eq!(answer.unknown_ip_permissions.map(|unknown| unknown[0].from_port), Some(Some(81)));
}

#[test]
fn the_groups_of_a_vpc_are_listed_and_none_is_stale() {
    let world = World::new();
    let vpc = world.vpc("10.0.0.0/16");
    let group = world.group(&vpc, "web");
    let name = ec2::Filter { name: Some("group-name".to_owned()), values: Some(vec!["we*".to_owned()]) };
    let input =
        ec2::GetSecurityGroupsForVpcRequest { vpc_id: vpc.clone(), filters: Some(vec![name]), ..Default::default() };
    let found = world.ok(world.handlers.get_security_groups_for_vpc, input).security_group_for_vpcs;
    let ids: Vec<_> = found.unwrap_or_default().into_iter().filter_map(|group| group.group_id).collect();
    assert_eq!(ids, std::slice::from_ref(&group));
    let input = ec2::DescribeStaleSecurityGroupsRequest { vpc_id: vpc, ..Default::default() };
    let stale = world.ok(world.handlers.describe_stale_security_groups, input).stale_security_group_set;
    assert_eq!(stale.map(|stale| stale.len()), Some(0));
    let input = ec2::DescribeSecurityGroupReferencesRequest { group_id: vec![group], ..Default::default() };
    let references = world.ok(world.handlers.describe_security_group_references, input).security_group_reference_set;
    assert_eq!(references.map(|references| references.len()), Some(0));
}
