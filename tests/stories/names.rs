//! Names inside a VPC: a container asks with a client of its own, and the agent finds what the container would.

use crate::harness::api::Api;
use crate::harness::network::{self, Source, Vpc, allow, vpc};
use crate::harness::server::Server;
use crate::harness::tasks::{self, CLUSTER};
use crate::harness::{eventually, image, possible, seconds};
use serde_json::json;
use std::time::Duration;

/// Within this, a change shows in what a container is told: a lookup that meets silence takes busybox five seconds.
const SOON: Duration = Duration::from_secs(20);

/// Shell: prints `<name> via <server> is <addresses>`, or what happened instead. Busybox's nslookup speaks DNS itself, and
/// tells the server's address and port first.
const LOOK: &str = r#"look() {
    via=nobody; found=
    while read -r key value more; do
        case "$key $value" in
            Address:*) case $via in nobody) via=$value;; *) found="$found $value";; esac;;
            "** server") found=" no-such-name";;
            ";; connection") found=" silence";;
        esac
    done <<EOF
$(nslookup -type=a "$1" $2 2>&1)
EOF
    echo "$1 via $via is${found:- nothing}"
}
"#;

const LOGS: &str = "logs.us-east-1.amazonaws.com";

/// What the newest line about `name` says: whom was asked, and the answers in order.
fn newest(api: &Api, name: &str) -> Option<(String, Vec<String>)> {
    let lines = tasks::log_lines(api, "names");
    let line = lines.iter().rev().find_map(|line| line.strip_prefix(&format!("{name} via ")))?;
    let (server, found) = line.split_once(" is ")?;
    let mut found: Vec<String> = found.split(' ').map(str::to_owned).collect();
    found.sort_unstable();
    Some((server.to_owned(), found))
}

/// Waits until a container is told `expected` of `name`.
fn told(api: &Api, name: &str, expected: &[String]) {
    eventually(&format!("a container is told {expected:?} of {name}"), SOON, || match newest(api, name) {
        Some((_, found)) if found == expected => Ok(()),
        other => Err(other),
    });
}

fn addresses(api: &Api, field: &str, filter: &str, value: &str) -> Vec<String> {
    let fields = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
    let found = api.ec2("DescribeNetworkInterfaces", &fields);
    let mut list: Vec<String> = found.all(field).into_iter().map(str::to_owned).collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn attribute(api: &Api, vpc: &Vpc, name: &str, value: bool) {
    let field = format!("{name}.Value");
    api.ec2("ModifyVpcAttribute", &[("VpcId", &vpc.id), (&field, &value.to_string())]);
}

/// A set of DHCP options for the VPC.
fn dhcp(api: &Api, vpc: &Vpc, options: &[(&str, &str)]) {
    let mut fields = Vec::new();
    for (n, (key, value)) in (1..).zip(options) {
        fields.push((format!("DhcpConfiguration.{n}.Key"), *key));
        fields.push((format!("DhcpConfiguration.{n}.Value.1"), *value));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let id = api.ec2("CreateDhcpOptions", &fields).get("dhcpOptionsId").to_owned();
    api.ec2("AssociateDhcpOptions", &[("DhcpOptionsId", &id), ("VpcId", &vpc.id)]);
}

/// Runs `script` in a task of its own and gives what it wrote, which ends with `done`.
fn written(api: &Api, vpc: &Vpc, role: &str, image: &str, family: &str, script: &str) -> Vec<String> {
    api.json("logs", "CreateLogGroup", json!({ "logGroupName": format!("/ecs/{family}") }));
    let definition = tasks::definition(family, role, image, &format!("{script}; echo done"));
    let definition = tasks::register(api, definition);
    let group = vpc.group(api, family);
    tasks::run(api, vpc, &definition, &[&group]);
    eventually(&format!("the task {family} has written all"), seconds(40), || {
        let lines = tasks::log_lines(api, family);
        if lines.last().is_some_and(|line| line == "done") { Ok(lines) } else { Err(lines) }
    })
}

#[test]
fn a_container_is_told_what_aws_would_tell_it() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    attribute(&api, &vpc, "EnableDnsHostnames", true);
    let (open, asker) = (vpc.group(&api, "open"), vpc.group(&api, "asker"));
    allow(&api, &open, 80, Source::World);
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "names");
    let web = network::balancer(&api, &vpc, "web", &open);
    let inner = api.elb(
        "CreateLoadBalancer",
        &[
            ("Name", "inner"),
            ("Scheme", "internal"),
            ("Subnets.member.1", &vpc.subnets[0]),
            ("Subnets.member.2", &vpc.subnets[1]),
            ("SecurityGroups.member.1", &open),
        ],
    );
    let inner = inner.get("DNSName").to_owned();

    let names = [&web.dns_name, &inner, LOGS, "example.com"].join(" ");
    let script = format!(
        "{LOOK} trap 'exit 0' TERM; while :; do for name in $(hostname) {names}; do look $name; done; \
         look $(hostname) 169.254.169.253; echo round; sleep 0.3; done"
    );
    let definition = tasks::register(&api, tasks::definition("names", &role, &image, &script));
    let task = tasks::run(&api, &vpc, &definition, &[&asker]);
    let address = tasks::address_of(&tasks::wait_for(&api, &task, "RUNNING", seconds(30)));

    let own = format!("ip-{}.ec2.internal", address.replace('.', "-"));
    told(&api, &own, &[address]);
    let public = addresses(&api, "publicIp", "description", "ELB app/web/*");
    assert_eq!(public.len(), 2, "a node in each zone");
    told(&api, &web.dns_name, &public);
    told(&api, &inner, &addresses(&api, "privateIpAddress", "description", "ELB app/inner/*"));
    told(&api, "example.com", &["no-such-name".to_owned()]);
    eventually("both resolvers answer", seconds(10), || {
        let asked: Vec<String> = tasks::log_lines(&api, "names");
        let by = |server: &str| asked.iter().any(|line| line.starts_with(&format!("{own} via {server}:53 is 10.")));
        if by("10.0.0.2") && by("169.254.169.253") { Ok(()) } else { Err(asked) }
    });

    // A service is the world's until the VPC has an endpoint with private DNS for it.
    let (_, outside) = newest(&api, LOGS).expect("the container has asked for it");
    assert!(outside.len() == 1 && outside[0].starts_with("198."), "expected a public address, but: {outside:?}");
    let endpoint = api.ec2(
        "CreateVpcEndpoint",
        &[
            ("VpcId", &vpc.id),
            ("VpcEndpointType", "Interface"),
            ("ServiceName", "com.amazonaws.us-east-1.logs"),
            ("SubnetId.1", &vpc.subnets[0]),
            ("SubnetId.2", &vpc.subnets[1]),
            ("SecurityGroupId.1", &open),
            ("PrivateDnsEnabled", "true"),
        ],
    );
    let endpoint = endpoint.get("vpcEndpointId").to_owned();
    let inside = addresses(&api, "privateIpAddress", "interface-type", "vpc_endpoint");
    assert_eq!(inside.len(), 2, "an interface in each subnet");
    told(&api, LOGS, &inside);
    let private_dns = |on: &str| {
        api.ec2("ModifyVpcEndpoint", &[("VpcEndpointId", &endpoint), ("PrivateDnsEnabled", on)]);
    };
    private_dns("false");
    told(&api, LOGS, &outside);
    private_dns("true");
    told(&api, LOGS, &inside);

    attribute(&api, &vpc, "EnableDnsSupport", false);
    told(&api, &own, &["silence".to_owned()]);
    attribute(&api, &vpc, "EnableDnsSupport", true);
    told(&api, LOGS, &inside);
    server.leave();
}

#[test]
fn dhcp_options_say_whom_containers_and_the_agent_ask() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let api = server.api();
    let vpc = vpc(&api);
    let image = image::push(&server, "tools", image::busybox());
    let role = tasks::ground(&api, "names");
    let run = |family: &str, script: &str| written(&api, &vpc, &role, &image, family, script);

    // An SDK that knows nothing of us goes to AWS's own names, and gets there.
    let script = format!(
        "{LOOK} cat /etc/resolv.conf; echo $AWS_ENDPOINT_URL_CLOUDWATCH_LOGS; set -- $(look {LOGS}); \
         printf 'GET / HTTP/1.0\\r\\nHost: {LOGS}\\r\\n\\r\\n' | nc -w 5 $5 80 | grep HTTP/"
    );
    let lines = run("usual", &script);
    let expected = ["search ec2.internal", "nameserver 10.0.0.2", "http://logs.us-east-1.amazonaws.com"];
    assert_eq!(lines[..3], expected);
    assert!(lines[3].starts_with("HTTP/1."), "expected the API to answer under its name, but: {lines:?}");

    dhcp(&api, &vpc, &[("domain-name", "corp.example"), ("domain-name-servers", "169.254.169.253")]);
    let lines = run("chosen", "cat /etc/resolv.conf; cat /etc/hosts | grep -c ec2.internal");
    assert_eq!(lines[..2], ["search corp.example", "nameserver 169.254.169.253"]);

    // The agent asks whom the containers would, and fails as they would.
    dhcp(&api, &vpc, &[("domain-name-servers", "10.0.1.200")]);
    let fails = |how: &str| {
        let definition = tasks::register(&api, tasks::definition("names", &role, &image, "true"));
        let group = vpc.group(&api, how);
        let task = tasks::run(&api, &vpc, &definition, &[&group]);
        eventually(&format!("a task of a VPC {how} fails to start"), seconds(60), || {
            let found = tasks::describe(&api, &task);
            match found["lastStatus"].as_str() {
                Some("STOPPED") => Ok(found["stoppedReason"].as_str().unwrap_or_default().to_owned()),
                _ => Err(found),
            }
        })
    };
    let reason = fails("without a resolver");
    let refused =
        "Post \"https://api.ecr.us-east-1.amazonaws.com/\": dial tcp: lookup api.ecr.us-east-1.amazonaws.com on";
    assert!(
        reason.starts_with("ResourceInitializationError: unable to pull secrets or registry auth: ")
            && reason.contains(&format!("{refused} 10.0.1.200:53: read udp 10.0."))
            && reason.ends_with("->10.0.1.200:53: i/o timeout"),
        "{reason}"
    );
    api.ec2("AssociateDhcpOptions", &[("DhcpOptionsId", "default"), ("VpcId", &vpc.id)]);
    let reason = fails("without DHCP options");
    assert!(
        reason.contains(&format!("{refused} 127.0.0.1:53: read udp 127.0.0.1:"))
            && reason.ends_with("->127.0.0.1:53: read: connection refused"),
        "{reason}"
    );
    assert!(!api.ecs("ListTasks", json!({ "cluster": CLUSTER })).to_string().contains("arn:"), "nothing runs");
    server.leave();
}
