//! Our tasks: a VPC with a way out, a role, a repository, and `RunTask`.

use super::{COMMAND, Took};
use crate::aws::{Api, EC2, ECR, ECS, IAM, LOGS, element, text};
use crate::process::cpu_ms;
use crate::task::podman::Podman;
use crate::world::Server;
use crate::{Outcome, stop};
use base64::Engine;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const POLICY: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";

pub(crate) struct Tasks {
    api: Api,
    daemon: u32,
    subnet: String,
}

impl Tasks {
    /// Makes all that tasks need, and pushes the image.
    pub(crate) fn new(server: &Server, podman: &Podman) -> Outcome<Self> {
        let api = server.api;
        let subnet = network(api)?;
        let role = api.query(IAM, "CreateRole", &[("RoleName", "bench"), ("AssumeRolePolicyDocument", TRUST)])?;
        let role = element(&role, "Arn")?;
        api.query(IAM, "AttachRolePolicy", &[("RoleName", "bench"), ("PolicyArn", POLICY)])?;
        api.json(LOGS, "CreateLogGroup", &json!({ "logGroupName": "bench" }))?;
        api.json(ECR, "CreateRepository", &json!({ "repositoryName": "bench" }))?;
        let token = api.json(ECR, "GetAuthorizationToken", &json!({}))?;
        let token = text(&token, "/authorizationData/0/authorizationToken")?;
        let credentials = base64::engine::general_purpose::STANDARD.decode(token).map_err(|error| error.to_string())?;
        let image = format!("localhost:{}/bench:1", api.0.port());
        podman.push(&image, &String::from_utf8_lossy(&credentials))?;
        api.json(ECS, "CreateCluster", &json!({ "clusterName": "bench" }))?;
        for family in ["plain", "logs"] {
            let mut container = json!({ "name": "main", "image": image, "command": ["/bin/sh", "-c", COMMAND] });
            if family == "logs" {
                let options = json!({
                    "awslogs-group": "bench", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "bench",
                });
                container["logConfiguration"] = json!({ "logDriver": "awslogs", "options": options });
            }
            let definition = json!({
                "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
                "memory": "512", "executionRoleArn": role, "containerDefinitions": [container],
            });
            api.json(ECS, "RegisterTaskDefinition", &definition)?;
        }
        Ok(Self { api, daemon: server.process.pid(), subnet })
    }

    /// The input of RunTask.
    pub(crate) fn wish(&self, family: &str, count: usize) -> Value {
        let network = json!({ "subnets": [self.subnet], "assignPublicIp": "ENABLED" });
        json!({
            "cluster": "bench", "taskDefinition": family, "launchType": "FARGATE", "count": count,
            "networkConfiguration": { "awsvpcConfiguration": network },
        })
    }

    /// Runs a task until it is RUNNING, and stops it.
    pub(crate) fn start(&self, family: &str) -> Outcome<Took> {
        let wish = self.wish(family, 1);
        let (cpu, begun) = (cpu_ms(self.daemon), Instant::now());
        let made = self.api.json(ECS, "RunTask", &wish)?;
        let task = text(&made, "/tasks/0/taskArn")?;
        self.wait(task, "RUNNING", Duration::from_millis(2))?;
        let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
        let cpu_ms = cpu_ms(self.daemon) - cpu;
        self.api.json(ECS, "StopTask", &json!({ "cluster": "bench", "task": task }))?;
        self.wait(task, "STOPPED", Duration::from_millis(20))?;
        Ok(Took { wall_ms, cpu_ms })
    }

    fn wait(&self, task: &str, status: &str, pause: Duration) -> Outcome {
        let begun = Instant::now();
        loop {
            stop::check()?;
            let found = self.api.json(ECS, "DescribeTasks", &json!({ "cluster": "bench", "tasks": [task] }))?;
            let last = text(&found, "/tasks/0/lastStatus")?;
            if last == status {
                return Ok(());
            }
            if last == "STOPPED" || begun.elapsed() > PATIENCE {
                let reason = found.pointer("/tasks/0/stoppedReason").and_then(Value::as_str).unwrap_or("no reason");
                return Err(format!("a task is {last}, not {status}: {reason}"));
            }
            std::thread::sleep(pause);
        }
    }
}

/// A VPC whose one subnet leads to an internet gateway. Gives the subnet.
fn network(api: Api) -> Outcome<String> {
    let vpc = api.query(EC2, "CreateVpc", &[("CidrBlock", "10.0.0.0/16")])?;
    let vpc = element(&vpc, "vpcId")?;
    let subnet = api.query(EC2, "CreateSubnet", &[("VpcId", vpc), ("CidrBlock", "10.0.0.0/20")])?;
    let gateway = api.query(EC2, "CreateInternetGateway", &[])?;
    let gateway = element(&gateway, "internetGatewayId")?;
    api.query(EC2, "AttachInternetGateway", &[("VpcId", vpc), ("InternetGatewayId", gateway)])?;
    let main = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
    let tables = api.query(EC2, "DescribeRouteTables", &main)?;
    let everywhere = [
        ("RouteTableId", element(&tables, "routeTableId")?),
        ("DestinationCidrBlock", "0.0.0.0/0"),
        ("GatewayId", gateway),
    ];
    api.query(EC2, "CreateRoute", &everywhere)?;
    element(&subnet, "subnetId").map(str::to_owned)
}
