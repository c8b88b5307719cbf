//! A VPC with two public subnets, security groups, and a load balancer.

use super::api::Api;
use super::{eventually, http, rooted, seconds};
use std::net::SocketAddr;

/// 10.0.0.0/16 with a public subnet in each of two zones.
pub(crate) struct Vpc {
    pub(crate) id: String,
    pub(crate) subnets: [String; 2],
}

/// Makes the VPC, its internet gateway and its routes.
pub(crate) fn vpc(api: &Api) -> Vpc {
    let id = api.ec2("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).get("vpcId").to_owned();
    let subnet = |block: &str, zone: &str| {
        let fields = [("VpcId", id.as_str()), ("CidrBlock", block), ("AvailabilityZone", zone)];
        api.ec2("CreateSubnet", &fields).get("subnetId").to_owned()
    };
    let subnets = [subnet("10.0.1.0/24", "us-east-1a"), subnet("10.0.2.0/24", "us-east-1b")];
    let igw = api.ec2("CreateInternetGateway", &[]).get("internetGatewayId").to_owned();
    api.ec2("AttachInternetGateway", &[("InternetGatewayId", &igw), ("VpcId", &id)]);
    let tables = api.ec2("DescribeRouteTables", &[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", &id)]);
    let main = tables.get("routeTableId");
    api.ec2("CreateRoute", &[("RouteTableId", main), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &igw)]);
    Vpc { id, subnets }
}

/// Whom a rule lets in.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    World,
    Group(&'a str),
}

impl Vpc {
    /// A security group that lets nothing in and everything out, as new ones do.
    pub(crate) fn group(&self, api: &Api, name: &str) -> String {
        let fields = [("VpcId", self.id.as_str()), ("GroupName", name), ("GroupDescription", name)];
        api.ec2("CreateSecurityGroup", &fields).get("groupId").to_owned()
    }
}

/// Lets `source` reach a TCP port of the members of `group`.
pub(crate) fn allow(api: &Api, group: &str, port: u16, source: Source<'_>) {
    rule(api, "AuthorizeSecurityGroupIngress", group, port, source);
}

/// Takes that back.
pub(crate) fn revoke(api: &Api, group: &str, port: u16, source: Source<'_>) {
    rule(api, "RevokeSecurityGroupIngress", group, port, source);
}

fn rule(api: &Api, operation: &str, group: &str, port: u16, source: Source<'_>) {
    let port = port.to_string();
    let peer = match source {
        Source::World => ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        Source::Group(group) => ("IpPermissions.1.Groups.1.GroupId", group),
    };
    let fields = [
        ("GroupId", group),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", &port),
        ("IpPermissions.1.ToPort", &port),
        peer,
    ];
    api.ec2(operation, &fields);
}

/// A load balancer with an HTTP listener that forwards all to one target group.
pub(crate) struct Balancer {
    pub(crate) dns_name: String,
    /// Where it is reached from here: at the public address of one of its nodes, or, without root, at its loopback port.
    pub(crate) address: SocketAddr,
    /// Its loopback port.
    pub(crate) loopback: SocketAddr,
    pub(crate) target_group: String,
}

/// Makes the load balancer `name`, whose targets are addresses, and waits until it is active.
pub(crate) fn balancer(api: &Api, vpc: &Vpc, name: &str, group: &str) -> Balancer {
    balancer_of(api, vpc, name, group, "ip")
}

/// The same with targets of another type.
pub(crate) fn balancer_of(api: &Api, vpc: &Vpc, name: &str, group: &str, targets: &str) -> Balancer {
    let made = api.elb(
        "CreateLoadBalancer",
        &[
            ("Name", name),
            ("Subnets.member.1", &vpc.subnets[0]),
            ("Subnets.member.2", &vpc.subnets[1]),
            ("SecurityGroups.member.1", group),
        ],
    );
    let (arn, dns_name) = (made.get("LoadBalancerArn").to_owned(), made.get("DNSName").to_owned());
    let made = api.elb(
        "CreateTargetGroup",
        &[
            ("Name", name),
            ("Protocol", "HTTP"),
            ("Port", "3000"),
            ("TargetType", targets),
            ("VpcId", &vpc.id),
            ("HealthCheckPath", "/health"),
            ("HealthCheckIntervalSeconds", "5"),
            ("HealthCheckTimeoutSeconds", "2"),
            ("HealthyThresholdCount", "2"),
            ("UnhealthyThresholdCount", "2"),
        ],
    );
    let target_group = made.get("TargetGroupArn").to_owned();
    let delay = "deregistration_delay.timeout_seconds";
    api.elb(
        "ModifyTargetGroupAttributes",
        &[("TargetGroupArn", &target_group), ("Attributes.member.1.Key", delay), ("Attributes.member.1.Value", "5")],
    );
    api.elb(
        "CreateListener",
        &[
            ("LoadBalancerArn", &arn),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", &target_group),
        ],
    );
    eventually("the load balancer becomes active", seconds(20), || {
        let found = api.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &arn)]);
        let state = found.get("Code").to_owned();
        if state == "active" { Ok(()) } else { Err(state) }
    });
    let filter = format!("ELB app/{name}/*");
    let found =
        api.ec2("DescribeNetworkInterfaces", &[("Filter.1.Name", "description"), ("Filter.1.Value.1", &filter)]);
    let public = SocketAddr::new(found.get("publicIp").parse().unwrap(), 80);
    let loopback = loopback(api, &dns_name, |_| true);
    Balancer { dns_name, address: if rooted() { public } else { loopback }, loopback, target_group }
}

/// The loopback port of the first listener of the load balancer `dns_name`, once it has one that is `right`.
pub(crate) fn loopback(api: &Api, dns_name: &str, right: impl Fn(&SocketAddr) -> bool) -> SocketAddr {
    eventually("the load balancer gets a loopback port", seconds(10), || {
        let status = http::request(api.address, "GET", "/_windtunnel/status", &[], b"").unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        let ours = status["reach"].as_array().unwrap().iter().find(|reach| reach["dnsName"] == dns_name);
        let url = ours.and_then(|reach| reach["url"].as_str());
        url.and_then(|url| url.split('/').nth(2)?.parse().ok()).filter(&right).ok_or(status)
    })
}

impl Balancer {
    /// The targets with their states, `10.0.1.7 healthy`, in order.
    pub(crate) fn targets(&self, api: &Api) -> Vec<String> {
        targets(api, &self.target_group)
    }
}

/// The targets of a group with their states, `10.0.1.7 healthy`, in order.
pub(crate) fn targets(api: &Api, group: &str) -> Vec<String> {
    let found = api.elb("DescribeTargetHealth", &[("TargetGroupArn", group)]);
    let (ids, states) = (found.all("Id"), found.all("State"));
    let mut targets: Vec<_> = ids.iter().zip(states).map(|(id, state)| format!("{id} {state}")).collect();
    targets.sort_unstable();
    targets
}

/// A subnet of its own, with a route table that has nothing but the local route.
pub(crate) fn isolated(api: &Api, vpc: &Vpc, block: &str) -> (String, String) {
    let fields = [("VpcId", vpc.id.as_str()), ("CidrBlock", block), ("AvailabilityZone", "us-east-1a")];
    let subnet = api.ec2("CreateSubnet", &fields).get("subnetId").to_owned();
    let table = api.ec2("CreateRouteTable", &[("VpcId", &vpc.id)]).get("routeTableId").to_owned();
    api.ec2("AssociateRouteTable", &[("RouteTableId", &table), ("SubnetId", &subnet)]);
    (subnet, table)
}

/// The endpoints that a task on Fargate needs to start without a way out.
pub(crate) fn endpoints(api: &Api, vpc: &Vpc, subnet: &str, table: &str, group: &str) {
    for service in ["ecr.api", "ecr.dkr", "logs"] {
        interface_endpoint(api, vpc, service, subnet, group);
    }
    gateway_endpoint(api, vpc, table);
}

/// An interface endpoint with private DNS, for the VPC itself.
pub(crate) fn interface_endpoint(api: &Api, vpc: &Vpc, service: &str, subnet: &str, group: &str) -> String {
    for attribute in ["EnableDnsSupport.Value", "EnableDnsHostnames.Value"] {
        api.ec2("ModifyVpcAttribute", &[("VpcId", &vpc.id), (attribute, "true")]);
    }
    let service = format!("com.amazonaws.us-east-1.{service}");
    let mut fields = vec![
        ("VpcEndpointType", "Interface"),
        ("VpcId", vpc.id.as_str()),
        ("ServiceName", &service),
        ("SubnetId.1", subnet),
        ("SecurityGroupId.1", group),
        ("PrivateDnsEnabled", "true"),
    ];
    if service == "com.amazonaws.us-east-1.s3" {
        fields.push(("DnsOptions.PrivateDnsOnlyForInboundResolverEndpoint", "false"));
    }
    let made = api.ec2("CreateVpcEndpoint", &fields).get("vpcEndpointId").to_owned();
    eventually("the endpoint becomes available", seconds(20), || {
        let state = api.ec2("DescribeVpcEndpoints", &[("VpcEndpointId.1", &made)]).get("state").to_owned();
        if state == "available" { Ok(()) } else { Err(state) }
    });
    made
}

/// The gateway endpoint for Amazon S3, with a route in one table.
pub(crate) fn gateway_endpoint(api: &Api, vpc: &Vpc, table: &str) -> String {
    let s3 = [("VpcId", vpc.id.as_str()), ("ServiceName", "com.amazonaws.us-east-1.s3"), ("RouteTableId.1", table)];
    api.ec2("CreateVpcEndpoint", &s3).get("vpcEndpointId").to_owned()
}
