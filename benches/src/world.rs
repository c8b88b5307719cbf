//! The two servers of the API, ours and moto, each started the same way; and what is put into them.

use crate::aws::{self, Api, EC2, ECS, Prepared, STS};
use crate::process::{Running, free_port, on_cores};
use crate::{Outcome, peers, stop};
use serde_json::json;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The peer of the API.
pub(crate) const MOTO: &str = "moto";
/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many VPCs and services are made.
pub(crate) const VPCS: usize = 20;
pub(crate) const SERVICES: usize = 10;

/// A server that answers.
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) api: Api,
    /// From the process's start to the first answer.
    pub(crate) start_ms: f64,
}

/// The release build of the product, beside this executable.
pub(crate) fn binary() -> Outcome<PathBuf> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = here.with_file_name("windtunnel");
    if found.is_file() { Ok(found) } else { Err("windtunnel is not built; use cargo xtask bench".to_owned()) }
}

/// Windtunnel on the data directory; `cores`, where given, are all that it has.
pub(crate) fn ours(data: &Path, cores: Option<&str>) -> Outcome<Server> {
    let mut command = command(binary()?, cores);
    command.arg("--data-dir").arg(data).arg("serve").arg("--listen");
    start(command, |address| address.to_string(), data)
}

/// Windtunnel at this pace.
pub(crate) fn ours_at(data: &Path, pace: &str) -> Outcome<Server> {
    let mut command = command(binary()?, None);
    command.arg("--data-dir").arg(data).args(["serve", "--pace", pace, "--listen"]);
    start(command, |address| address.to_string(), data)
}

/// moto on nothing; `folder` is where its output goes.
pub(crate) fn moto(folder: &Path, cores: Option<&str>) -> Outcome<Server> {
    let mut command = command(peers::moto()?, cores);
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p"]);
    start(command, |address| address.port().to_string(), folder)
}

fn command(program: PathBuf, cores: Option<&str>) -> Command {
    cores.map_or_else(|| Command::new(&program), |cores| on_cores(cores, &program))
}

/// Starts the command, whose last argument says where to listen.
fn start(mut command: Command, at: impl Fn(SocketAddr) -> String, folder: &Path) -> Outcome<Server> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let log = folder.with_extension("log");
    let file = File::create(&log).map_err(|error| error.to_string())?;
    command.arg(at(address)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let api = Api(address);
    let hello = api.prepare_query(STS, "GetCallerIdentity", &[])?;
    let begun = Instant::now();
    let mut process = Running::start(&mut command)?;
    while !answers(api, &hello) {
        stop::check()?;
        if process.has_ended() || begun.elapsed() > PATIENCE {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("a server does not start: {said}"));
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(Server { process, api, start_ms: begun.elapsed().as_secs_f64() * 1e3 })
}

fn answers(api: Api, hello: &Prepared) -> bool {
    api.send(hello).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"))
}

/// Makes VPCs until there are [`VPCS`], and a cluster of [`SERVICES`] services that run nothing.
pub(crate) fn fill(api: Api) -> Outcome {
    let there = api.query(EC2, "DescribeVpcs", &[])?.matches("<vpcId>").count();
    let mut vpc = String::new();
    for number in there..VPCS {
        let made = api.query(EC2, "CreateVpc", &[("CidrBlock", &format!("10.{number}.0.0/16"))])?;
        aws::element(&made, "vpcId")?.clone_into(&mut vpc);
    }
    let block = format!("10.{}.1.0/24", VPCS - 1);
    let made = api.query(EC2, "CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", &block)])?;
    let subnet = aws::element(&made, "subnetId")?;
    let group = [("VpcId", vpc.as_str()), ("GroupName", "bench"), ("GroupDescription", "bench")];
    let group = api.query(EC2, "CreateSecurityGroup", &group)?;
    // moto wants what AWS takes as optional.
    let network = json!({
        "subnets": [subnet], "securityGroups": [aws::element(&group, "groupId")?], "assignPublicIp": "DISABLED",
    });
    api.json(ECS, "CreateCluster", &json!({ "clusterName": "bench" }))?;
    let definition = json!({
        "family": "bench", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{ "name": "main", "image": "bench:1", "essential": true }],
    });
    api.json(ECS, "RegisterTaskDefinition", &definition)?;
    for number in 0..SERVICES {
        let service = json!({
            "cluster": "bench", "serviceName": format!("service-{number}"), "taskDefinition": "bench", "desiredCount": 0,
            "launchType": "FARGATE", "networkConfiguration": { "awsvpcConfiguration": network },
        });
        api.json(ECS, "CreateService", &service)?;
    }
    Ok(())
}
