//! Which resources a call is about, as ARNs that policies are matched with.
//!
//! A request names things by name, by id or by ARN, in members that each service has its own habits for; the table here
//! holds them. What a member means is never guessed from its content: text that looks like an ARN is text. Operations
//! without resources in IAM's eyes are about `*`. Source: Service Authorization Reference, "Actions, resources, and
//! condition keys for AWS services".

use types::Scope;
use types::arn::Arn;
use wire::Value;
use wire::service::{OperationInfo, ServiceInfo};

/// A form of resources: what follows the account in an ARN, with members of the request in braces. `{cluster=default}`
/// stands for `default` where the member is absent; a form whose member is absent without that is passed over. A member
/// whose value is an ARN stands for all of the form.
type Form = &'static str;

/// The forms of a service's operations. The first alternative that gives resources holds.
struct Habits {
    prefix: &'static str,
    /// Operations that IAM gives no resource, by how their names begin.
    without: &'static [&'static str],
    /// Operations with forms of their own.
    own: &'static [(&'static str, &'static [Form])],
    /// Those of all other operations.
    rest: &'static [&'static [Form]],
}

const HABITS: [Habits; 14] = [
    Habits {
        prefix: "ecs",
        without: &["List", "DescribeTaskDefinition", "DeregisterTaskDefinition"],
        own: &[
            ("ListTagsForResource", &["{resourceArn}"]),
            ("CreateCluster", &["cluster/{clusterName=default}"]),
            ("DeleteCluster", &["cluster/{cluster=default}"]),
            ("DescribeClusters", &["cluster/{clusters=default}"]),
            ("UpdateCluster", &["cluster/{cluster=default}"]),
            ("UpdateClusterSettings", &["cluster/{cluster=default}"]),
            ("PutClusterCapacityProviders", &["cluster/{cluster=default}"]),
            ("CreateCapacityProvider", &["capacity-provider/{name}"]),
            ("ListContainerInstances", &["cluster/{cluster=default}"]),
            ("RegisterContainerInstance", &["cluster/{cluster=default}"]),
            ("DeregisterContainerInstance", &["cluster/{cluster=default}"]),
            ("UpdateContainerAgent", &["container-instance/{cluster=default}/{containerInstance}"]),
            ("DiscoverPollEndpoint", &["container-instance/{cluster=default}/{containerInstance}"]),
            ("DescribeContainerInstances", &["container-instance/{cluster=default}/{containerInstances}"]),
            ("UpdateContainerInstancesState", &["container-instance/{cluster=default}/{containerInstances}"]),
            ("StartTask", &["task-definition/{taskDefinition}"]),
            ("DescribeCapacityProviders", &["capacity-provider/{capacityProviders}"]),
            ("UpdateCapacityProvider", &["capacity-provider/{name}"]),
            ("DeleteCapacityProvider", &["capacity-provider/{capacityProvider}"]),
            ("RegisterTaskDefinition", &["task-definition/{family}:*"]),
            ("DeleteTaskDefinitions", &["task-definition/{taskDefinitions}"]),
            ("ExecuteCommand", &["cluster/{cluster=default}", "task/{cluster=default}/{task}"]),
            ("RunTask", &["task-definition/{taskDefinition}"]),
            ("ListServiceDeployments", &["service/{cluster=default}/{service}"]),
            ("DescribeServiceDeployments", &["{serviceDeploymentArns}"]),
            ("DescribeServiceRevisions", &["{serviceRevisionArns}"]),
            ("StopServiceDeployment", &["{serviceDeploymentArn}"]),
            ("ContinueServiceDeployment", &["{serviceDeploymentArn}"]),
        ],
        rest: &[
            &["{resourceArn}"],
            &["service/{cluster=default}/{service}"],
            &["service/{cluster=default}/{services}"],
            &["service/{cluster=default}/{serviceName}"],
            &["task/{cluster=default}/{task}"],
            &["task/{cluster=default}/{tasks}"],
        ],
    },
    Habits {
        prefix: "ecr",
        without: &["GetAuthorizationToken"],
        own: &[],
        rest: &[&["{resourceArn}"], &["repository/{repositoryName}"], &["repository/{repositoryNames}"]],
    },
    Habits {
        prefix: "iam",
        without: &[],
        own: &[("CreatePolicy", &["policy/{PolicyName}"])],
        rest: &[
            &["instance-profile/{InstanceProfileName}"],
            &["role/{RoleName}"],
            &["user/{UserName}"],
            &["{PolicyArn}"],
        ],
    },
    Habits { prefix: "sts", without: &[], own: &[], rest: &[&["{RoleArn}"]] },
    Habits {
        prefix: "secretsmanager",
        without: &["ListSecrets"],
        // Its six characters are not known yet.
        own: &[("CreateSecret", &["secret:{Name}-??????"])],
        rest: &[&["secret:{SecretId}"]],
    },
    Habits {
        prefix: "ssm",
        without: &["DescribeParameters"],
        own: &[],
        rest: &[&["parameter/{Name}"], &["parameter/{Names}"], &["parameter/{Path}"], &["parameter/{ResourceId}"]],
    },
    Habits {
        prefix: "logs",
        without: &[],
        own: &[
            ("CreateLogStream", &["log-group:{logGroupName}:log-stream:{logStreamName}"]),
            ("DeleteLogStream", &["log-group:{logGroupName}:log-stream:{logStreamName}"]),
            ("PutLogEvents", &["log-group:{logGroupName}:log-stream:{logStreamName}"]),
            (
                "GetLogEvents",
                &[
                    "log-group:{logGroupName}:log-stream:{logStreamName}",
                    "log-group:{logGroupIdentifier}:log-stream:{logStreamName}",
                ],
            ),
            ("DescribeLogGroups", &["log-group:*"]),
        ],
        rest: &[
            &["{resourceArn}"],
            &["log-group:{logGroupName}:log-stream:"],
            &["log-group:{logGroupIdentifier}:log-stream:"],
        ],
    },
    Habits {
        prefix: "elasticloadbalancing",
        without: &["Describe"],
        own: &[
            ("CreateLoadBalancer", &["loadbalancer/app/{Name}/*"]),
            ("CreateTargetGroup", &["targetgroup/{Name}/*"]),
        ],
        rest: &[&["{ResourceArns}"], &["{LoadBalancerArn}"], &["{ListenerArn}"], &["{RuleArn}"], &["{TargetGroupArn}"]],
    },
    Habits {
        prefix: "application-autoscaling",
        without: &["Describe"],
        own: &[],
        rest: &[&["{ResourceARN}"], &["scalable-target/*"]],
    },
    Habits {
        prefix: "autoscaling",
        without: &["Describe"],
        own: &[],
        rest: &[
            &["autoScalingGroup:*:autoScalingGroupName/{AutoScalingGroupName}"],
            // An instance or a tag names its group in ways of its own.
            &["autoScalingGroup:*:autoScalingGroupName/*"],
        ],
    },
    Habits {
        prefix: "cloudwatch",
        without: &["GetMetric", "ListMetrics", "PutMetricData"],
        own: &[("DescribeAlarms", &["alarm:{AlarmNames=*}"]), ("DescribeAlarmHistory", &["alarm:{AlarmName=*}"])],
        rest: &[&["{ResourceARN}"], &["alarm:{AlarmName}"], &["alarm:{AlarmNames}"]],
    },
    Habits {
        prefix: "events",
        without: &["ListRules", "ListRuleNamesByTarget", "ListEventBuses", "TestEventPattern"],
        own: &[
            ("PutEvents", &["event-bus/default"]),
            ("DescribeEventBus", &["event-bus/{Name=default}"]),
            ("ListTargetsByRule", &["rule/{Rule}"]),
        ],
        rest: &[&["{ResourceARN}"], &["rule/{Name}"], &["rule/{Rule}"]],
    },
    Habits {
        prefix: "servicediscovery",
        without: &["List", "Discover", "GetOperation", "CreateHttpNamespace", "CreatePrivateDnsNamespace"],
        own: &[
            ("ListTagsForResource", &["{ResourceARN}"]),
            ("CreateService", &["namespace/{NamespaceId}"]),
            ("GetNamespace", &["namespace/{Id}"]),
            ("UpdateHttpNamespace", &["namespace/{Id}"]),
            ("UpdatePrivateDnsNamespace", &["namespace/{Id}"]),
            ("DeleteNamespace", &["namespace/{Id}"]),
        ],
        rest: &[&["{ResourceARN}"], &["service/{ServiceId}"], &["service/{Id}"]],
    },
    Habits { prefix: "acm", without: &["ListCertificates"], own: &[], rest: &[&["{CertificateArn}"]] },
];

/// The kinds of EC2's resources, by the members that name them.
const EC2: [(&str, &str); 29] = [
    ("AllocationId", "elastic-ip"),
    ("AllocationIds", "elastic-ip"),
    ("DhcpOptionsId", "dhcp-options"),
    ("EgressOnlyInternetGatewayId", "egress-only-internet-gateway"),
    ("FlowLogIds", "vpc-flow-log"),
    ("GroupId", "security-group"),
    ("GroupIds", "security-group"),
    ("Groups", "security-group"),
    ("InstanceId", "instance"),
    ("InstanceIds", "instance"),
    ("InternetGatewayId", "internet-gateway"),
    ("LaunchTemplateId", "launch-template"),
    ("NatGatewayId", "natgateway"),
    ("NetworkAclId", "network-acl"),
    ("NetworkInterfaceId", "network-interface"),
    ("PeerVpcId", "vpc"),
    ("PrefixListId", "prefix-list"),
    ("RouteTableId", "route-table"),
    ("RouteTableIds", "route-table"),
    ("SecurityGroupIds", "security-group"),
    ("SecurityGroupRuleIds", "security-group-rule"),
    ("SubnetId", "subnet"),
    ("SubnetIds", "subnet"),
    ("AddSubnetIds", "subnet"),
    ("VpcEndpointId", "vpc-endpoint"),
    ("VpcEndpointIds", "vpc-endpoint"),
    ("VpcId", "vpc"),
    ("VpcPeeringConnectionId", "vpc-peering-connection"),
    ("VpcIds", "vpc"),
];

/// The ARNs of what a call is about; `*` where that is nothing in particular.
pub fn resources(info: &ServiceInfo, operation: &OperationInfo, input: &Value, scope: &Scope) -> Vec<String> {
    let request = Request { info, operation, input, scope };
    let found = if info.iam_prefix == "ec2" { request.of_ec2() } else { request.by_habit() };
    if found.is_empty() { vec!["*".to_owned()] } else { found }
}

struct Request<'r> {
    info: &'r ServiceInfo,
    operation: &'r OperationInfo,
    input: &'r Value,
    scope: &'r Scope,
}

impl Request<'_> {
    /// The texts of a member: one, several of a list, or none.
    fn member(&self, name: &str) -> Vec<&str> {
        let Value::Structure(members) = self.input else { return Vec::new() };
        let schemas = self.operation.input.members();
        let found = members.iter().find(|(at, _)| schemas.get(*at).is_some_and(|member| member.name == name));
        match found {
            Some((_, Value::String(text))) => vec![text],
            Some((_, Value::List(items))) => items
                .iter()
                .filter_map(|item| if let Value::String(text) = item { Some(text.as_str()) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn arn(&self, resource: &str) -> String {
        if self.info.iam_prefix == "iam" {
            return format!("arn:aws:iam::{}:{resource}", self.scope.account);
        }
        Arn::new(self.info.iam_prefix, self.scope, resource).to_string()
    }

    /// Reads are about nothing in particular there.
    fn of_ec2(&self) -> Vec<String> {
        let name = self.operation.name;
        if name.starts_with("Describe") || name.starts_with("Get") {
            return Vec::new();
        }
        let of = |(member, kind): &(&str, &'static str)| {
            self.member(member).into_iter().map(|id| self.arn(&format!("{kind}/{id}"))).collect::<Vec<_>>()
        };
        EC2.iter().flat_map(of).chain(self.of_flow_logs()).chain(self.of_launches()).collect()
    }

    /// What flow logs are made for, of whichever kind, and they themselves, which have no ids yet.
    fn of_flow_logs(&self) -> Vec<String> {
        if self.operation.name != "CreateFlowLogs" {
            return Vec::new();
        }
        let kind = |id: &str| match id.split('-').next() {
            Some("eni") => "network-interface",
            Some("subnet") => "subnet",
            _ => "vpc",
        };
        let watched = self.member("ResourceIds").into_iter().map(|id| format!("{}/{id}", kind(id)));
        watched.chain(["vpc-flow-log/*".to_owned()]).map(|resource| self.arn(&resource)).collect()
    }

    /// What a launch makes, which has no ids yet, and the image, which is no account's.
    fn of_launches(&self) -> Vec<String> {
        if self.operation.name != "RunInstances" {
            return Vec::new();
        }
        let images = self.member("ImageId").into_iter();
        let images = images.map(|id| format!("arn:aws:ec2:{}::image/{id}", self.scope.region));
        images.chain(["instance/*", "network-interface/*"].map(|resource| self.arn(resource))).collect()
    }

    fn by_habit(&self) -> Vec<String> {
        let Some(habits) = HABITS.iter().find(|habits| habits.prefix == self.info.iam_prefix) else {
            return Vec::new();
        };
        let name = self.operation.name;
        if let Some((_, forms)) = habits.own.iter().find(|(own, _)| *own == name) {
            return forms.iter().flat_map(|form| self.fill(form)).collect();
        }
        if habits.without.iter().any(|start| name.starts_with(start)) {
            return Vec::new();
        }
        let mut alternatives =
            habits.rest.iter().map(|forms| forms.iter().flat_map(|form| self.fill(form)).collect::<Vec<_>>());
        alternatives.find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The ARNs of a form: one for each item of its last member.
    fn fill(&self, form: &str) -> Vec<String> {
        let mut resources = vec![String::new()];
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((member, after)) = after.split_once('}') else { break };
            let (member, default) = member.split_once('=').map_or((member, None), |(name, text)| (name, Some(text)));
            let mut texts = self.member(member);
            if texts.is_empty() {
                texts.extend(default);
            }
            let mut filled = Vec::new();
            for text in texts {
                // The whole resource by its ARN, or a part of it: `cluster` within a service.
                let whole = text.starts_with("arn:") && after.is_empty();
                let part = if text.starts_with("arn:") { text.rsplit(['/', ':']).next().unwrap_or(text) } else { text };
                // Parameters' names begin with a slash or not; their ARNs have one either way.
                let part = part.strip_prefix('/').filter(|_| before.ends_with('/')).unwrap_or(part);
                filled.extend(
                    resources.iter().map(
                        |so_far| {
                            if whole { text.to_owned() } else { format!("{so_far}{before}{part}") }
                        },
                    ),
                );
            }
            resources = filled;
            rest = after;
        }
        let complete = |resource: String| {
            if resource.starts_with("arn:") {
                return resource;
            }
            // Without a revision it is the latest, whichever that is.
            let latest = resource.starts_with("task-definition/") && !resource.contains(':') && rest.is_empty();
            self.arn(&format!("{resource}{}", if latest { ":*" } else { rest }))
        };
        resources.into_iter().map(complete).collect()
    }
}
