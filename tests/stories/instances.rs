//! An instance lives in a network namespace of its own: what runs there is reached over the network as its groups say, by a
//! task and through a load balancer, finds its metadata and its role's credentials, and is gone with it.

use crate::harness::api::Api;
use crate::harness::clients::{client, succeed};
use crate::harness::network::{Source, allow, balancer_of, vpc};
use crate::harness::server::Server;
use crate::harness::{eventually, http, image, possible, rooted, seconds, tasks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::process::{Child, Command};

/// A program that runs on the instance.
fn on(server: &Server, instance: &str, program: &[&str]) -> Command {
    let net = format!("--net={}", server.traces.netns(instance).display());
    let mut inside = client("nsenter");
    if !rooted() {
        // The server's namespaces first: from outside of them nothing leads to the instance's.
        let pid = server.pid().to_string();
        inside.args(["--target", &pid, "--user", "--mount", "--preserve-credentials", "nsenter"]);
    }
    inside.arg(net).args(program);
    inside
}

/// What 169.254.169.254 says to an instance.
fn metadata(server: &Server, instance: &str, arguments: &[&str], path: &str) -> String {
    let url = format!("http://169.254.169.254/latest/{path}");
    let curl = ["curl", "--silent", "--max-time", "5", "--write-out", " %{http_code}", &url];
    succeed(&mut on(server, instance, &[&curl[..], arguments].concat()))
}

fn profile(api: &Api) {
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ec2.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let fields = [("RoleName", "node"), ("AssumeRolePolicyDocument", &trust.to_string())];
    api.query("iam", "CreateRole", &fields);
    api.query("iam", "CreateInstanceProfile", &[("InstanceProfileName", "nodes")]);
    api.query("iam", "AddRoleToInstanceProfile", &[("InstanceProfileName", "nodes"), ("RoleName", "node")]);
}

fn state(api: &Api, instance: &str) -> String {
    let shown = api.ec2("DescribeInstances", &[("InstanceId.1", instance)]);
    shown
        .0
        .split("<instanceState>")
        .nth(1)
        .and_then(|rest| rest.split("<name>").nth(1))
        .map_or_else(|| shown.0.clone(), |rest| rest.split('<').next().unwrap_or_default().to_owned())
}

fn becomes(api: &Api, instance: &str, wanted: &str) {
    eventually(&format!("the instance becomes {wanted}"), seconds(10), || {
        let state = state(api, instance);
        if state == wanted { Ok(()) } else { Err(state) }
    });
}

/// A web server on the instance, as long as it is wanted.
struct Web(Child);

impl Drop for Web {
    fn drop(&mut self) {
        // `timeout` hands on what can be caught.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn an_instance_is_reached_knows_itself_and_leaves_nothing() {
    if !possible(&["skopeo", "curl", "nsenter"]) {
        return;
    }
    let server = Server::start_brisk();
    let api = server.api();
    let vpc = vpc(&api);
    profile(&api);
    let (nodes, clients) = (vpc.group(&api, "nodes"), vpc.group(&api, "clients"));
    allow(&api, &clients, 80, Source::World);
    let name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id";
    let image = api.json("ssm", "GetParameter", json!({ "Name": name }))["Parameter"]["Value"].clone();
    let made = api.ec2(
        "RunInstances",
        &[
            ("ImageId", image.as_str().unwrap()),
            ("InstanceType", "t3.small"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SubnetId", &vpc.subnets[0]),
            ("SecurityGroupId.1", &nodes),
            ("IamInstanceProfile.Name", "nodes"),
        ],
    );
    let (instance, address) = (made.get("instanceId").to_owned(), made.get("privateIpAddress").to_owned());
    becomes(&api, &instance, "running");

    // Metadata: no word without a token, and credentials that prove the role.
    let said = |arguments: &[&str], path: &str| metadata(&server, &instance, arguments, path);
    eventually("metadata answers", seconds(5), || {
        let answer = said(&[], "meta-data/instance-id");
        if answer.ends_with(" 401") { Ok(()) } else { Err(answer) }
    });
    let token = said(&["--request", "PUT", "--header", "X-aws-ec2-metadata-token-ttl-seconds: 60"], "api/token");
    let header = format!("X-aws-ec2-metadata-token: {}", token.trim_end_matches(" 200"));
    let told = |path: &str| said(&["--header", &header], path).trim_end_matches(" 200").to_owned();
    assert_eq!(told("meta-data/instance-id"), instance);
    assert_eq!(told("meta-data/local-ipv4"), address);
    let keys: Value = serde_json::from_str(&told("meta-data/iam/security-credentials/node")).unwrap();
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    let mut aws = Command::new("curl");
    aws.args(["--silent", "--user", &format!("{}:{}", text("AccessKeyId"), text("SecretAccessKey"))])
        .args(["--aws-sigv4", "aws:amz:us-east-1:sts", "--header", &format!("X-Amz-Security-Token: {}", text("Token"))])
        .args(["--data", "Action=GetCallerIdentity&Version=2011-06-15", &format!("http://{}/", api.address)]);
    let who = succeed(&mut aws);
    assert!(who.contains(&format!("assumed-role/node/{instance}")), "expected the node's session, but: {who}");

    // A web server there: its groups let nobody in, then those with a group.
    let directory = server.scratch();
    std::fs::write(directory.join("health"), "ok").unwrap();
    let home = directory.display().to_string();
    let program = ["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", &home];
    let web = Web(on(&server, &instance, &program).spawn().unwrap());
    let app = image::push(&server, "asks", image::busybox());
    let role = tasks::ground(&api, "asks");
    let script = format!(
        "while sleep 0.2; do if printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {address} 3000 | grep -q ' 200 '; then echo ok; fi; done"
    );
    let definition = tasks::register(&api, tasks::definition("asks", &role, &app, &script));
    let task = tasks::run(&api, &vpc, &definition, &[&clients]);
    tasks::wait_for(&api, &task, "RUNNING", seconds(20));
    let heard = || tasks::log_lines(&api, "asks").iter().filter(|line| line.as_str() == "ok").count();
    std::thread::sleep(seconds(1));
    assert_eq!(heard(), 0, "expected the instance's group to let nobody in");
    allow(&api, &nodes, 3000, Source::Group(&clients));
    eventually("the task hears the instance", seconds(10), || if heard() > 0 { Ok(()) } else { Err(heard()) });

    // The same behind a load balancer, by its id.
    let front = balancer_of(&api, &vpc, "front", &clients, "instance");
    let group = front.target_group.as_str();
    api.elb("RegisterTargets", &[("TargetGroupArn", group), ("Targets.member.1.Id", &instance)]);
    eventually("the load balancer hears the instance", seconds(20), || {
        let answer = http::request(front.address, "GET", "/health", &[], b"").map(|answer| answer.status);
        if matches!(answer, Ok(200)) { Ok(()) } else { Err(answer) }
    });
    let health = || api.elb("DescribeTargetHealth", &[("TargetGroupArn", group)]);
    eventually("the instance is told healthy by its id", seconds(5), || {
        let told = health();
        if (told.get("Id"), told.get("State")) == (instance.as_str(), "healthy") { Ok(()) } else { Err(told) }
    });

    api.ec2("TerminateInstances", &[("InstanceId.1", &instance)]);
    becomes(&api, &instance, "terminated");
    eventually("the target is gone with the instance", seconds(5), || {
        let left = health();
        if left.all("Id").is_empty() { Ok(()) } else { Err(left) }
    });
    let left = api.ec2("DescribeNetworkInterfaces", &[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", &nodes)]);
    assert!(left.all("networkInterfaceId").is_empty(), "{left:?}");
    if rooted() {
        eventually("its namespace is gone", seconds(5), || {
            if server.traces.netns(&instance).exists() { Err("it stands") } else { Ok(()) }
        });
    }
    drop(web);
    server.leave();
}
