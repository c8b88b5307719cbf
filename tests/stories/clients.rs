//! Clients as they are installed: the AWS CLI, boto3, skopeo, podman and Terraform, each against one server.

use crate::harness::clients::{both, client, succeed};
use crate::harness::image;
use crate::harness::possible;
use crate::harness::server::Server;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// A program that finds the server as users' programs do: through the environment.
fn pointed(server: &Server, program: &str) -> Command {
    let mut command = client(program);
    command.env("AWS_ENDPOINT_URL", server.endpoint());
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env_remove("AWS_PROFILE").env_remove("AWS_REGION").env("AWS_PAGER", "");
    command
}

fn aws(server: &Server, arguments: &[&str]) -> Value {
    let told = succeed(pointed(server, "aws").args(["--output", "json"]).args(arguments));
    if told.trim().is_empty() { Value::Null } else { serde_json::from_str(&told).unwrap() }
}

#[test]
fn the_aws_cli_speaks_every_protocol() {
    if !possible(&["aws"]) {
        return;
    }
    let server = Server::start();
    // JSON.
    let made = aws(&server, &["ecs", "create-cluster", "--cluster-name", "cli", "--tags", "key=a,value=b"]);
    assert_eq!(made["cluster"]["clusterArn"], "arn:aws:ecs:us-east-1:123456789012:cluster/cli");
    let told = aws(&server, &["ecs", "describe-clusters", "--clusters", "cli", "gone", "--include", "TAGS"]);
    assert_eq!(told["clusters"][0]["tags"], json!([{ "key": "a", "value": "b" }]));
    assert_eq!(told["failures"][0]["reason"], "MISSING");
    // EC2's query, with lists of lists and a wait.
    let vpc = aws(&server, &["ec2", "create-vpc", "--cidr-block", "10.9.0.0/16"]);
    let vpc = vpc["Vpc"]["VpcId"].as_str().unwrap();
    aws(&server, &["ec2", "wait", "vpc-available", "--vpc-ids", vpc]);
    let group = ["ec2", "create-security-group", "--group-name", "web", "--description", "web", "--vpc-id", vpc];
    let group = aws(&server, &group);
    let group = group["GroupId"].as_str().unwrap();
    let permission = "IpProtocol=tcp,FromPort=80,ToPort=80,IpRanges=[{CidrIp=10.0.0.0/8,Description=ten}]";
    let allow = ["ec2", "authorize-security-group-ingress", "--group-id", group, "--ip-permissions", permission];
    assert_eq!(aws(&server, &allow)["SecurityGroupRules"][0]["CidrIpv4"], "10.0.0.0/8");
    // Query.
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let trust = trust.to_string();
    let role = ["iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", &trust];
    assert_eq!(aws(&server, &role)["Role"]["Arn"], "arn:aws:iam::123456789012:role/cli");
    // The CLI's own pages.
    for name in ["a", "b", "c"] {
        aws(&server, &["logs", "create-log-group", "--log-group-name", name]);
    }
    let pages = aws(&server, &["logs", "describe-log-groups", "--page-size", "1"]);
    assert_eq!(pages["logGroups"].as_array().map(Vec::len), Some(3));
    // ECR, as the README has it: a repository, a login, and lists.
    let made = aws(&server, &["ecr", "create-repository", "--repository-name", "team/cli"]);
    assert_eq!(made["repository"]["repositoryName"], "team/cli");
    let password = succeed(pointed(&server, "aws").args(["ecr", "get-login-password"]));
    assert!(password.trim().len() > 20, "expected ECR to give a password, but: {password:?}");
    assert_eq!(aws(&server, &["ecr", "list-images", "--repository-name", "team/cli"])["imageIds"], json!([]));
    // Metrics, in whichever protocol the CLI has for them.
    assert_eq!(aws(&server, &["cloudwatch", "list-metrics"])["Metrics"], json!([]));
    // Errors, as the CLI shows them.
    let output =
        pointed(&server, "aws").args(["ecs", "describe-services", "--cluster", "no", "--services", "x"]).output();
    let told = String::from_utf8(output.unwrap().stderr).unwrap();
    let expected = "An error occurred (ClusterNotFoundException) when calling the DescribeServices operation: \
                    Cluster not found.";
    assert!(told.contains(expected), "{told}");
    server.leave();
}

const BOTO: &str = r#"
import boto3, botocore, sys
ecs, ec2, logs = boto3.client("ecs"), boto3.client("ec2"), boto3.client("logs")
secrets, ssm, sts = boto3.client("secretsmanager"), boto3.client("ssm"), boto3.client("sts")
assert sts.get_caller_identity()["Account"] == "123456789012"
for n in range(12):
    ecs.create_cluster(clusterName=f"c{n}")
arns = [a for p in ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 5}) for a in p["clusterArns"]]
assert len(arns) == 12 == len(set(arns)), arns
secret = secrets.create_secret(Name="s", SecretString="hidden")
assert secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"] == "hidden"
secrets.create_secret(Name="b", SecretBinary=b"\x00\xff")
assert secrets.get_secret_value(SecretId="b")["SecretBinary"] == b"\x00\xff"
ssm.put_parameter(Name="/a/b", Value="v", Type="SecureString")
assert ssm.get_parameter(Name="/a/b", WithDecryption=True)["Parameter"]["Value"] == "v"
logs.create_log_group(logGroupName="g"); logs.create_log_stream(logGroupName="g", logStreamName="s")
import time
now = int(time.time() * 1000)
logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": now, "message": "grüße ☃"}])
events = logs.get_log_events(logGroupName="g", logStreamName="s", startFromHead=True)["events"]
assert events[0]["message"] == "grüße ☃" and events[0]["timestamp"] == now, events
vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "b"}]}])["Vpc"]["VpcId"]
assert [v["VpcId"] for v in ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["b"]}])["Vpcs"]] == [vpc]
try:
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24"); sys.exit("a subnet outside of its VPC was made")
except botocore.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "InvalidSubnet.Range", error
    assert error.response["ResponseMetadata"]["RequestId"], error
try:
    ecs.describe_tasks(cluster="c1", tasks=["x"] * 101); sys.exit("101 tasks were described")
except ecs.exceptions.InvalidParameterException: pass
print("done")
"#;

#[test]
fn boto3_speaks_to_it() {
    if !possible(&["python3"]) {
        return;
    }
    if !client("python3").args(["-c", "import boto3"]).output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: boto3 is not installed");
        return;
    }
    let server = Server::start();
    assert_eq!(succeed(pointed(&server, "python3").args(["-c", BOTO])), "done\n");
    server.leave();
}

#[test]
fn engines_push_and_pull_images() {
    if !possible(&["skopeo"]) {
        return;
    }
    let server = Server::start();
    let pushed = image::push(&server, "app", image::busybox());
    let login = server.api().json("ecr", "GetAuthorizationToken", json!({}));
    let token = login["authorizationData"][0]["authorizationToken"].as_str().unwrap().to_owned();
    let auth = server.scratch().join("auth.json");
    let registry = pushed.split('/').next().unwrap();
    fs::write(&auth, json!({ "auths": { registry: { "auth": token } } }).to_string()).unwrap();
    let auth = auth.to_str().unwrap();
    let inspect = ["inspect", "--tls-verify=false", "--authfile", auth, &format!("docker://{pushed}")];
    let told: Value = serde_json::from_str(&succeed(client("skopeo").args(inspect))).unwrap();
    assert_eq!(told["Layers"].as_array().map(Vec::len), Some(1), "{told}");

    if possible(&["podman"]) {
        let root = server.scratch().join("podman");
        let podman = |arguments: &[&str]| {
            let mut command = client("podman");
            command.args(["--root", root.join("root").to_str().unwrap()]);
            command.args(["--runroot", root.join("run").to_str().unwrap(), "--storage-driver", "vfs"]);
            succeed(command.args(arguments))
        };
        podman(&["pull", "--quiet", "--tls-verify=false", "--authfile", auth, &pushed]);
        let again = format!("{}:again", pushed.rsplit_once(':').unwrap().0);
        podman(&["tag", &pushed, &again]);
        podman(&["push", "--quiet", "--tls-verify=false", "--authfile", auth, &again]);
        podman(&["rmi", "--all", "--force"]);
        let images = server.api().json("ecr", "DescribeImages", json!({ "repositoryName": "app" }));
        let tags: Vec<&Value> = images["imageDetails"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|image| image["imageTags"].as_array().unwrap())
            .collect();
        assert!(tags.contains(&&json!("again")), "expected podman's push to be there, but: {images}");
    }
    server.leave();
}

/// As the README has it: a repository, a login with the password that the CLI gives, a build, a push to the server's own
/// address, and a pull that brings the same image back.
#[test]
fn what_is_built_is_pushed_with_the_password_of_the_cli() {
    if !possible(&["aws", "buildah", "skopeo"]) {
        return;
    }
    let server = Server::start();
    aws(&server, &["ecr", "create-repository", "--repository-name", "built"]);
    let store = server.scratch().join("buildah");
    let auth = server.scratch().join("auth.json");
    let buildah = |arguments: &[&str]| {
        let mut command = client("buildah");
        command.arg("--root").arg(store.join("root")).arg("--runroot").arg(store.join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments).env("REGISTRY_AUTH_FILE", &auth);
        command
    };
    let registry = server.address.to_string();
    let mut login = buildah(&["login", "--tls-verify=false", "--username", "AWS", "--password-stdin", &registry]);
    let password = server.scratch().join("password");
    fs::write(&password, succeed(pointed(&server, "aws").args(["ecr", "get-login-password"]))).unwrap();
    succeed(login.stdin(fs::File::open(&password).unwrap()));
    fs::write(&password, "wrong").unwrap();
    let mut login = buildah(&["login", "--tls-verify=false", "--username", "AWS", "--password-stdin", &registry]);
    login.env("REGISTRY_AUTH_FILE", server.scratch().join("other.json"));
    let refused = login.stdin(fs::File::open(&password).unwrap()).output().unwrap();
    assert!(!refused.status.success(), "expected a wrong password to be refused, but: {}", both(&refused));

    let context = server.scratch().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Containerfile"), "FROM scratch\nCOPY page /page\nLABEL told=by-a-story\n").unwrap();
    fs::write(context.join("page"), "hello").unwrap();
    let image = format!("{registry}/built:v1");
    succeed(buildah(&["build", "--quiet", "--isolation", "chroot", "--tag", &image]).arg(&context));
    succeed(&mut buildah(&["push", "--quiet", "--tls-verify=false", &image]));

    let found = aws(&server, &["ecr", "describe-images", "--repository-name", "built", "--image-ids", "imageTag=v1"]);
    let digest = found["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    let source = format!("docker://{registry}/built@{digest}");
    let mut inspect = client("skopeo");
    inspect.args(["inspect", "--tls-verify=false", "--authfile"]).arg(&auth).arg(&source);
    let told: Value = serde_json::from_str(&succeed(&mut inspect)).unwrap();
    assert_eq!((&told["Digest"], &told["Labels"]["told"]), (&json!(digest), &json!("by-a-story")), "{told}");
    succeed(&mut buildah(&["rmi", "--all", "--force"]));
    succeed(&mut buildah(&["pull", "--quiet", "--tls-verify=false", &image]));
    server.leave();
}

const STACK: &str = r##"
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" { region = "us-east-1" }
resource "aws_vpc" "main" {
  cidr_block                       = "10.7.0.0/16"
  assign_generated_ipv6_cidr_block = true
  enable_dns_hostnames             = true
  tags                             = { Name = "story" }
}
resource "aws_subnet" "one" {
  vpc_id                          = aws_vpc.main.id
  cidr_block                      = "10.7.1.0/24"
  ipv6_cidr_block                 = cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, 1)
  assign_ipv6_address_on_creation = true
}
resource "aws_egress_only_internet_gateway" "main" { vpc_id = aws_vpc.main.id }
resource "aws_route_table" "one" { vpc_id = aws_vpc.main.id }
resource "aws_route" "out" {
  route_table_id              = aws_route_table.one.id
  destination_ipv6_cidr_block = "::/0"
  egress_only_gateway_id      = aws_egress_only_internet_gateway.main.id
}
resource "aws_security_group" "web" {
  vpc_id = aws_vpc.main.id
  ingress {
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks      = ["10.0.0.0/8"]
    ipv6_cidr_blocks = [aws_vpc.main.ipv6_cidr_block]
  }
}
resource "aws_ecs_cluster" "main" { name = "story" }
resource "aws_ecs_task_definition" "app" {
  family                   = "story"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = 256
  memory                   = 512
  container_definitions    = jsonencode([{ name = "app", image = "story", essential = true }])
}
resource "aws_ecs_service" "app" {
  name            = "app"
  cluster         = aws_ecs_cluster.main.id
  task_definition = aws_ecs_task_definition.app.arn
  desired_count   = 0
  launch_type     = "FARGATE"
  network_configuration { subnets = [aws_subnet.one.id] }
}
data "aws_ssm_parameter" "image" { name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id" }
resource "aws_launch_template" "node" {
  name          = "node"
  image_id      = data.aws_ssm_parameter.image.value
  instance_type = "t3.small"
  user_data     = base64encode("#!/bin/bash\necho ECS_CLUSTER=story >> /etc/ecs/ecs.config\n")
}
resource "aws_autoscaling_group" "nodes" {
  name                = "nodes"
  min_size            = 1
  max_size            = 3
  vpc_zone_identifier = [aws_subnet.one.id]
  launch_template {
    id      = aws_launch_template.node.id
    version = "$Latest"
  }
  tag {
    key                 = "Name"
    value               = "node"
    propagate_at_launch = true
  }
}
resource "aws_appautoscaling_target" "app" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.app.name}"
  min_capacity       = 0
  max_capacity       = 4
}
resource "aws_appautoscaling_policy" "cpu" {
  name               = "cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.app.service_namespace
  scalable_dimension = aws_appautoscaling_target.app.scalable_dimension
  resource_id        = aws_appautoscaling_target.app.resource_id
  target_tracking_scaling_policy_configuration {
    target_value = 70
    predefined_metric_specification { predefined_metric_type = "ECSServiceAverageCPUUtilization" }
  }
}
resource "aws_appautoscaling_policy" "steps" {
  name               = "steps"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.app.service_namespace
  scalable_dimension = aws_appautoscaling_target.app.scalable_dimension
  resource_id        = aws_appautoscaling_target.app.resource_id
  step_scaling_policy_configuration {
    adjustment_type = "ChangeInCapacity"
    cooldown        = 60
    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = 1
    }
  }
}
resource "aws_appautoscaling_scheduled_action" "morning" {
  name               = "morning"
  service_namespace  = aws_appautoscaling_target.app.service_namespace
  scalable_dimension = aws_appautoscaling_target.app.scalable_dimension
  resource_id        = aws_appautoscaling_target.app.resource_id
  schedule           = "cron(0 8 ? * MON-FRI *)"
  timezone           = "Europe/Berlin"
  scalable_target_action {
    min_capacity = 1
    max_capacity = 4
  }
}
resource "aws_cloudwatch_metric_alarm" "busy" {
  alarm_name          = "busy"
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  period              = 60
  evaluation_periods  = 2
  alarm_actions       = [aws_appautoscaling_policy.steps.arn]
  dimensions          = { ClusterName = aws_ecs_cluster.main.name, ServiceName = aws_ecs_service.app.name }
  tags                = { Name = "busy" }
}
resource "aws_ecr_repository" "app" {
  name         = "story"
  force_delete = true
}
resource "aws_cloudwatch_log_group" "app" {
  name              = "/story"
  retention_in_days = 7
}
resource "aws_iam_role" "flows" {
  name = "flows"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow", Principal = { Service = "vpc-flow-logs.amazonaws.com" }, Action = "sts:AssumeRole"
  }] })
}
resource "aws_flow_log" "all" {
  vpc_id                   = aws_vpc.main.id
  traffic_type             = "ALL"
  iam_role_arn             = aws_iam_role.flows.arn
  log_destination          = aws_cloudwatch_log_group.app.arn
  max_aggregation_interval = 60
  log_format               = "$${version} $${interface-id} $${pkt-srcaddr} $${pkt-dstaddr} $${action}"
  tags                     = { Name = "all" }
}
resource "aws_flow_log" "refused" {
  subnet_id      = aws_subnet.one.id
  traffic_type   = "REJECT"
  iam_role_arn   = aws_iam_role.flows.arn
  log_group_name = aws_cloudwatch_log_group.app.name
}
"##;

#[test]
fn terraform_applies_plans_nothing_and_destroys() {
    if !possible(&["terraform"]) {
        return;
    }
    let Ok(mirror) = std::env::var("TF_PLUGINS") else {
        println!("SKIPPED: TF_PLUGINS names no mirror of Terraform's AWS provider");
        return;
    };
    let server = Server::start();
    let dir = server.scratch().join("stack");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("main.tf"), STACK).unwrap();
    let settings = format!("provider_installation {{ filesystem_mirror {{ path = \"{mirror}\" }} }}\n");
    fs::write(dir.join("terraformrc"), settings).unwrap();
    let terraform = |arguments: &[&str]| {
        let mut command = pointed(&server, "terraform");
        command.env("TF_CLI_CONFIG_FILE", dir.join("terraformrc")).env("TF_IN_AUTOMATION", "1").current_dir(&dir);
        succeed(command.args(arguments))
    };
    terraform(&["init", "-input=false", "-no-color"]);
    terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
    // Exit code 2 is a plan that is not empty.
    terraform(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]);
    terraform(&["destroy", "-auto-approve", "-input=false", "-no-color"]);
    let clusters = server.api().ecs("ListClusters", json!({}));
    assert_eq!(clusters["clusterArns"], json!([]));
    server.leave();
}
