//! What must not work: tasks that reach nobody, networks with a piece missing. Each fails as it does on AWS, with the
//! message that a user sees there, and works once the piece is there.

use crate::harness::api::Api;
use crate::harness::image::{self, busybox};
use crate::harness::network::{self, Source, allow, balancer, endpoints, isolated, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER, WEB, reason_of, run_in};
use crate::harness::{eventually, possible, seconds};
use serde_json::json;

/// Tries `target` once a moment and says how it went: `name through` or `name blocked`.
fn tries(name: &str, target: &str, port: u16) -> String {
    format!(
        "trap 'exit 0' TERM; while :; do \
         if printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 1 {target} {port} | grep -q HTTP; then echo {name} through; \
         else echo {name} blocked; fi; sleep 0.2; done"
    )
}

/// Expects that the tries of `name`, of which there are some, all went the same way.
fn all_go(api: &Api, family: &str, name: &str, how: &str) {
    let lines = eventually(&format!("{name} tries"), seconds(20), || {
        let lines = tasks::log_lines(api, family);
        let own: Vec<String> = lines.into_iter().filter(|line| line.starts_with(&format!("{name} "))).collect();
        if own.len() >= 4 { Ok(own) } else { Err(own) }
    });
    assert!(lines.iter().all(|line| line.ends_with(how)), "expected {name} always {how}, but: {lines:?}");
}

#[test]
fn a_task_without_a_way_to_its_services_says_so() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "quiet", busybox());
    let role = tasks::ground(&api, "quiet");
    let (subnet, table) = isolated(&api, &vpc, "10.0.10.0/24");
    let (app, closed, doors) = (vpc.group(&api, "app"), vpc.group(&api, "closed"), vpc.group(&api, "endpoints"));
    let everything = [
        ("GroupId", closed.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    api.ec2("RevokeSecurityGroupEgress", &everything);
    allow(&api, &doors, 443, Source::Group(&app));
    allow(&api, &doors, 443, Source::Group(&closed));
    let definition = tasks::register(&api, tasks::definition("quiet", &role, &image, WEB));

    // Neither a NAT gateway nor endpoints.
    let reason = reason_of(&api, &run_in(&api, &subnet, &definition, &app));
    let words = "ResourceInitializationError: unable to pull secrets or registry auth: ";
    assert!(reason.starts_with(words) && reason.contains("i/o timeout"), "{reason}");

    endpoints(&api, &vpc, &subnet, &table, &doors);
    let task = run_in(&api, &subnet, &definition, &app);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));

    // The endpoints are there, and the task's group lets nothing out to them.
    let reason = reason_of(&api, &run_in(&api, &subnet, &definition, &closed));
    assert!(reason.starts_with(words) && reason.contains("i/o timeout"), "{reason}");

    // Only what is needed, and it starts.
    let only = [
        ("GroupId", closed.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "443"),
        ("IpPermissions.1.ToPort", "443"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    api.ec2("AuthorizeSecurityGroupEgress", &only);
    let task = run_in(&api, &subnet, &definition, &closed);
    tasks::wait_for(&api, &task, "RUNNING", seconds(30));
    server.leave();
}

#[test]
fn a_database_is_reached_by_services_alone_and_reaches_nobody() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "data", busybox());
    let role = tasks::ground(&api, "data");
    let (subnet, table) = isolated(&api, &vpc, "10.0.20.0/24");
    let (sg_db, sg_ecs, doors) = (vpc.group(&api, "db"), vpc.group(&api, "ecs"), vpc.group(&api, "endpoints"));
    let other = vpc.group(&api, "other");
    allow(&api, &doors, 443, Source::World);
    allow(&api, &sg_db, 5432, Source::Group(&sg_ecs));
    endpoints(&api, &vpc, &subnet, &table, &doors);
    let register = |script: &str| tasks::register(&api, tasks::definition("data", &role, &image, script));
    // The pool's first addresses are those of the host and of AWS's services: outside of every VPC.
    let outside = api.ec2("AllocateAddress", &[]).get("publicIp").to_owned();
    let outside = format!("{}.2", outside.rsplit_once('.').unwrap().0);
    let database = format!("httpd -p 5432 -h /tmp; {}", tries("database", &outside, 80));
    let database = run_in(&api, &subnet, &register(&database), &sg_db);
    let database = tasks::address_of(&tasks::wait_for(&api, &database, "RUNNING", seconds(30)));
    for (name, group, target, port) in
        [("service", &sg_ecs, &database, 5432), ("stranger", &other, &database, 5432), ("public", &other, &outside, 80)]
    {
        let task = tasks::run(&api, &vpc, &register(&tries(name, target, port)), &[group.as_str()]);
        tasks::wait_for(&api, &task, "RUNNING", seconds(30));
    }
    all_go(&api, "data", "service", "through");
    all_go(&api, "data", "stranger", "blocked");
    all_go(&api, "data", "database", "blocked");
    // The same place is reached from a subnet that has a way out.
    all_go(&api, "data", "public", "through");
    server.leave();
}

#[test]
fn health_checks_time_out_without_ephemeral_ports() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "web", busybox());
    let role = tasks::ground(&api, "web");
    let (sg_alb, sg_ecs) = (vpc.group(&api, "alb"), vpc.group(&api, "ecs"));
    allow(&api, &sg_alb, 80, Source::World);
    allow(&api, &sg_ecs, 3000, Source::Group(&sg_alb));
    let (subnet, table) = isolated(&api, &vpc, "10.0.30.0/24");
    let gateway =
        api.ec2("DescribeInternetGateways", &[("Filter.1.Name", "attachment.vpc-id"), ("Filter.1.Value.1", &vpc.id)]);
    let way_out = [
        ("RouteTableId", table.as_str()),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("GatewayId", gateway.get("internetGatewayId")),
    ];
    api.ec2("CreateRoute", &way_out);
    let balancer = balancer(&api, &vpc, "web", &sg_alb);
    let definition = tasks::register(&api, tasks::definition("web", &role, &image, WEB));
    api.ecs(
        "CreateService",
        json!({
            "cluster": CLUSTER, "serviceName": "web", "taskDefinition": definition, "desiredCount": 1,
            "launchType": "FARGATE", "healthCheckGracePeriodSeconds": 600,
            "networkConfiguration": { "awsvpcConfiguration": {
                "subnets": [subnet], "securityGroups": [sg_ecs], "assignPublicIp": "ENABLED",
            } },
            "loadBalancers": [{
                "targetGroupArn": balancer.target_group, "containerName": "app", "containerPort": 3000,
            }],
        }),
    );
    let state = |wanted: &str| {
        eventually(&format!("the target becomes {wanted}"), seconds(60), || {
            let found = network::targets(&api, &balancer.target_group);
            if found.len() == 1 && found[0].ends_with(&format!(" {wanted}")) { Ok(()) } else { Err(found) }
        });
    };
    state("healthy");

    // An ACL as people write it who think of it as a security group: port 3000 in, and no way for the answers.
    let acl = api.ec2("CreateNetworkAcl", &[("VpcId", &vpc.id)]).get("networkAclId").to_owned();
    let entry = |number: &str, egress: &str, ports: [&str; 2]| {
        api.ec2(
            "CreateNetworkAclEntry",
            &[
                ("NetworkAclId", &acl),
                ("RuleNumber", number),
                ("Egress", egress),
                ("Protocol", "6"),
                ("RuleAction", "allow"),
                ("CidrBlock", "0.0.0.0/0"),
                ("PortRange.From", ports[0]),
                ("PortRange.To", ports[1]),
            ],
        );
    };
    entry("100", "false", ["3000", "3000"]);
    let acls =
        api.ec2("DescribeNetworkAcls", &[("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", &subnet)]);
    let associations: Vec<(&str, &str)> =
        acls.all("networkAclAssociationId").into_iter().zip(acls.all("subnetId")).collect();
    let (association, _) = associations.iter().find(|(_, of)| *of == subnet).expect("the subnet has an ACL");
    api.ec2("ReplaceNetworkAclAssociation", &[("AssociationId", association), ("NetworkAclId", &acl)]);
    state("unhealthy");
    let found = api.elb("DescribeTargetHealth", &[("TargetGroupArn", &balancer.target_group)]);
    assert_eq!((found.get("Reason"), found.get("Description")), ("Target.Timeout", "Request timed out"));

    // The ports that answers go to.
    entry("100", "true", ["1024", "65535"]);
    state("healthy");
    server.leave();
}
