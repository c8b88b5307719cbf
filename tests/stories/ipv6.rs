//! A dual-stack VPC: a task has an IPv6 address that is its own inside and outside, and a gateway decides who may begin.

use crate::harness::http;
use crate::harness::network::vpc;
use crate::harness::server::Server;
use crate::harness::tasks::{self, WEB};
use crate::harness::{eventually, image, possible, rooted, seconds};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// WEB, which listens on both families, and shows what the container is told of itself.
fn web() -> String {
    let metadata = "wget -q -O /tmp/w/metadata $ECS_CONTAINER_METADATA_URI_V4";
    WEB.replace("httpd -f -p 3000", &format!("{metadata}; httpd -f -p [::]:3000"))
}

#[test]
fn a_task_is_reached_over_ipv6_as_far_as_gateways_groups_and_routes_let_it() {
    if !possible(&["skopeo"]) {
        return;
    }
    if !rooted() {
        println!("SKIPPED: an ordinary user's machine reaches no address of a VPC");
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    let subnet = vpc.subnets[0].as_str();
    api.ec2("AssociateVpcCidrBlock", &[("VpcId", &vpc.id), ("AmazonProvidedIpv6CidrBlock", "true")]);
    let block = api.ec2("DescribeVpcs", &[("VpcId.1", &vpc.id)]).get("ipv6CidrBlock").to_owned();
    let of_subnet = block.replace("00::/56", "01::/64");
    api.ec2("AssociateSubnetCidrBlock", &[("SubnetId", subnet), ("Ipv6CidrBlock", &of_subnet)]);
    let tables = api.ec2("DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &vpc.id)]);
    let table = tables.get("routeTableId");
    let attached = [("Filter.1.Name", "attachment.vpc-id"), ("Filter.1.Value.1", vpc.id.as_str())];
    let igw = api.ec2("DescribeInternetGateways", &attached).get("internetGatewayId").to_owned();
    let out = [("RouteTableId", table), ("DestinationIpv6CidrBlock", "::/0")];
    api.ec2("CreateRoute", &[&out[..], &[("GatewayId", &igw)]].concat());

    let group = vpc.group(&api, "web");
    let image = image::push(&server, "dual", image::busybox());
    let role = tasks::ground(&api, "dual");
    let definition = tasks::register(&api, tasks::definition("dual", &role, &image, &web()));
    let made = api.ecs(
        "RunTask",
        serde_json::json!({
            "cluster": tasks::CLUSTER, "taskDefinition": definition, "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": {
                "subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED",
            } },
        }),
    );
    let task = made["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("expected a task, but: {made}"));
    let task = tasks::wait_for(&api, task, "RUNNING", seconds(30));
    let shown = task["containers"][0]["networkInterfaces"][0]["ipv6Address"].as_str().unwrap_or_default();
    assert_eq!(shown, tasks::detail(&task, "ipv6Address"));
    let place = SocketAddr::from((shown.parse::<IpAddr>().unwrap(), 3000));
    assert!(shown.starts_with(of_subnet.trim_end_matches(":/64")), "expected one of {of_subnet}, but: {shown}");

    let reached = || http::Connection::open(place).is_ok();
    assert!(!reached(), "the group lets nobody in");
    let world = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "3000"),
        ("IpPermissions.1.ToPort", "3000"),
        ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0"),
    ];
    api.ec2("AuthorizeSecurityGroupIngress", &world);
    let told = eventually("the task answers over IPv6", seconds(20), || {
        let answer = http::request(place, "GET", "/metadata", &[], &[]).map_err(|error| error.to_string())?;
        serde_json::from_str::<Value>(&answer.text()).map_err(|error| format!("{error}: {}", answer.text()))
    });
    assert_eq!(told["Networks"][0]["IPv6Addresses"], serde_json::json!([shown]), "{told}");
    assert_eq!(told["Networks"][0]["IPv6SubnetCIDRBlock"], of_subnet.as_str(), "{told}");

    // Who may only begin connections is not reached, though its internet gateway is still there.
    let gateway = api.ec2("CreateEgressOnlyInternetGateway", &[("VpcId", &vpc.id)]);
    let gateway = gateway.get("egressOnlyInternetGatewayId").to_owned();
    api.ec2("ReplaceRoute", &[&out[..], &[("EgressOnlyInternetGatewayId", &gateway)]].concat());
    eventually("the egress-only gateway keeps the answer", seconds(30), || if reached() { Err(()) } else { Ok(()) });
    server.leave();
}
