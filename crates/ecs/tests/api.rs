//! What the API refuses and fills in, in AWS's words: each case is one that people run into.

mod fakes;

use ecs::Ecs;
use fakes::{GROUP, Outside, REGISTRY};
use gateway::{Context, Principal};
use model::ecs as shape;
use store::Store;
use types::{AccountId, ApiError, Scope, SimClock, Timestamp};

struct Server {
    store: Store,
    ecs: Ecs,
    handlers: shape::Handlers<Ecs, Context>,
}

impl Server {
    fn new() -> Self {
        let outside = Outside::new(SimClock::new(Timestamp(1_800_000_000_000)));
        let server =
            Self { store: Store::in_memory(ecs::tables()), ecs: Ecs::new(outside.ports()), handlers: ecs::handlers() };
        let input = shape::CreateClusterRequest { cluster_name: Some("c".to_owned()), ..Default::default() };
        server.call(server.handlers.create_cluster, input).expect("a cluster can be made");
        server
    }

    fn call<I, O>(&self, handler: fn(&Ecs, &mut Context, I) -> Result<O, ApiError>, input: I) -> Result<O, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, Timestamp(1_800_000_000_000));
        let answer = handler(&self.ecs, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        Ok(answer)
    }

    fn register(
        &self,
        change: impl FnOnce(&mut shape::RegisterTaskDefinitionRequest),
    ) -> Result<shape::TaskDefinition, ApiError> {
        let log = shape::LogConfiguration {
            log_driver: "awslogs".to_owned(),
            options: Some(
                [("awslogs-group", "g"), ("awslogs-region", "us-east-1"), ("awslogs-stream-prefix", "web")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            secret_options: None,
        };
        let mut input = shape::RegisterTaskDefinitionRequest {
            family: "web".to_owned(),
            network_mode: Some("awsvpc".to_owned()),
            requires_compatibilities: Some(vec!["FARGATE".to_owned()]),
            cpu: Some("256".to_owned()),
            memory: Some("512".to_owned()),
            execution_role_arn: Some("arn:aws:iam::123456789012:role/exec".to_owned()),
            container_definitions: vec![shape::ContainerDefinition {
                name: Some("web".to_owned()),
                image: Some("app:1".to_owned()),
                port_mappings: Some(vec![shape::PortMapping { container_port: Some(3000), ..Default::default() }]),
                log_configuration: Some(log),
                ..Default::default()
            }],
            ..Default::default()
        };
        change(&mut input);
        let answer = self.call(self.handlers.register_task_definition, input)?;
        Ok(answer.task_definition.expect("a registered definition is shown"))
    }

    fn run(&self, change: impl FnOnce(&mut shape::RunTaskRequest)) -> Result<Vec<shape::Task>, ApiError> {
        let vpc = shape::AwsVpcConfiguration {
            subnets: vec!["subnet-a".to_owned()],
            security_groups: Some(vec!["sg-1".to_owned()]),
            assign_public_ip: None,
        };
        let mut input = shape::RunTaskRequest {
            cluster: Some("c".to_owned()),
            task_definition: "web".to_owned(),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc) }),
            ..Default::default()
        };
        change(&mut input);
        Ok(self.call(self.handlers.run_task, input)?.tasks.unwrap_or_default())
    }

    fn create(&self, change: impl FnOnce(&mut shape::CreateServiceRequest)) -> Result<shape::Service, ApiError> {
        let vpc = shape::AwsVpcConfiguration {
            subnets: vec!["subnet-a".to_owned()],
            security_groups: Some(vec!["sg-1".to_owned()]),
            assign_public_ip: None,
        };
        let mut input = shape::CreateServiceRequest {
            cluster: Some("c".to_owned()),
            service_name: "web".to_owned(),
            task_definition: Some("web".to_owned()),
            desired_count: Some(3),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc) }),
            load_balancers: Some(vec![balancer(GROUP, "web", 3000)]),
            ..Default::default()
        };
        change(&mut input);
        let answer = self.call(self.handlers.create_service, input)?;
        Ok(answer.service.expect("a service that was made is shown"))
    }
}

fn balancer(group: &str, container: &str, port: i32) -> shape::LoadBalancer {
    shape::LoadBalancer {
        target_group_arn: Some(group.to_owned()),
        container_name: Some(container.to_owned()),
        container_port: Some(port),
        ..Default::default()
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>) -> (String, String) {
    let error = outcome.expect_err("it must be refused");
    (error.code, error.message)
}

fn says(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[test]
fn a_registry_is_checked_and_shown() {
    let server = Server::new();
    server.register(|_| {}).expect("the definition is valid");
    let create = |name: &str, registry: shape::ServiceRegistry| {
        let vpc = shape::AwsVpcConfiguration { subnets: vec!["subnet-a".to_owned()], ..Default::default() };
        let input = shape::CreateServiceRequest {
            cluster: Some("c".to_owned()),
            service_name: name.to_owned(),
            task_definition: Some("web".to_owned()),
            desired_count: Some(0),
            launch_type: Some("FARGATE".to_owned()),
            network_configuration: Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc) }),
            service_registries: Some(vec![registry]),
            ..Default::default()
        };
        server.call(server.handlers.create_service, input).map(|answer| answer.service.expect("it is shown"))
    };
    let registry = |arn: &str| shape::ServiceRegistry { registry_arn: Some(arn.to_owned()), ..Default::default() };
    let refused = |what: shape::ServiceRegistry, text: &str| {
        let error = create("x", what).expect_err("it is refused");
        assert!(error.code == "InvalidParameterException" && error.message.contains(text), "{error}");
    };
    let ports = format!("{REGISTRY}-port");
    refused(registry("arn:aws:servicediscovery:us-east-1:123456789012:service/x"), "was not found");
    refused(registry(&ports), "either a port or both");
    refused(
        shape::ServiceRegistry { container_name: Some("no".to_owned()), ..registry(&ports) },
        "The container no does not exist in the task definition.",
    );
    refused(
        shape::ServiceRegistry { container_name: Some("web".to_owned()), port: Some(80), ..registry(&ports) },
        "cannot have both",
    );
    let given = shape::ServiceRegistry { port: Some(80), ..registry(&ports) };
    assert_eq!(create("web", given.clone()).expect("it is fine").service_registries, Some(vec![given]));
}

#[test]
fn a_definition_gets_its_defaults_and_its_number() {
    let server = Server::new();
    let first = server.register(|_| {}).expect("it is valid");
    assert_eq!((first.revision, first.status.as_deref()), (Some(1), Some("ACTIVE")));
    assert_eq!(first.compatibilities.as_deref(), Some(&["EC2".to_owned(), "FARGATE".to_owned()][..]));
    let container = &first.container_definitions.expect("containers are shown")[0];
    let port = &container.port_mappings.as_ref().expect("ports are shown")[0];
    assert_eq!((port.host_port, port.protocol.as_deref()), (Some(3000), Some("tcp")));
    assert_eq!((container.essential, container.cpu), (Some(true), Some(0)));
    let second = server
        .register(|input| {
            input.cpu = Some(".5 vCPU".to_owned());
            input.memory = Some("1 GB".to_owned());
        })
        .expect("units may be spelled");
    assert_eq!(
        (second.revision, second.cpu.as_deref(), second.memory.as_deref()),
        (Some(2), Some("512"), Some("1024"))
    );

    let input = shape::DeregisterTaskDefinitionRequest { task_definition: "web:1".to_owned() };
    let gone = server.call(server.handlers.deregister_task_definition, input).expect("it can be retired");
    assert_eq!(gone.task_definition.and_then(|it| it.status).as_deref(), Some("INACTIVE"));
    let newest = shape::DescribeTaskDefinitionRequest { task_definition: "web".to_owned(), include: None };
    let newest = server.call(server.handlers.describe_task_definition, newest).expect("one is active");
    assert_eq!(newest.task_definition.and_then(|it| it.revision), Some(2));
    let third = server.register(|_| {}).expect("it is valid");
    assert_eq!(third.revision, Some(3), "a number is never given twice");
    let retired = server.create(|input| input.task_definition = Some("web:1".to_owned()));
    assert_eq!(refused(retired), says("ClientException", "TaskDefinition is inactive"));
}

#[test]
fn fargate_refuses_what_it_refuses() {
    let server = Server::new();
    let register = |change: fn(&mut shape::RegisterTaskDefinitionRequest)| refused(server.register(change));
    let client = |message: &str| says("ClientException", message);
    assert_eq!(
        register(|input| input.memory = Some("4096".to_owned())),
        client("No Fargate configuration exists for given values.")
    );
    assert_eq!(
        register(|input| input.cpu = Some("300".to_owned())),
        client("No Fargate configuration exists for given values.")
    );
    assert_eq!(register(|input| input.cpu = Some("much".to_owned())), client("Invalid 'cpu' setting for task."));
    assert_eq!(register(|input| input.cpu = None), client("Fargate requires that 'cpu' be defined at the task level."));
    assert_eq!(
        register(|input| input.network_mode = Some("bridge".to_owned())),
        client("Fargate only supports network mode ‘awsvpc’.")
    );
    assert_eq!(
        register(|input| input.execution_role_arn = None),
        client("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
    );
    assert_eq!(
        register(|input| {
            input.execution_role_arn = None;
            input.container_definitions[0].log_configuration = None;
            input.container_definitions[0].image = Some("1.dkr.ecr.us-east-1.amazonaws.com/app:1".to_owned());
        }),
        client("Fargate requires task definition to have execution role ARN to support ECR images.")
    );
}

#[test]
fn a_definition_says_which_secrets_roles_and_images_it_means() {
    let server = Server::new();
    let client = |message: &str| says("ClientException", message);
    let secret = |name: &str| shape::Secret { name: name.to_owned(), value_from: "/a".to_owned() };
    let variable = |name: &str| shape::KeyValuePair { name: Some(name.to_owned()), value: Some("1".to_owned()) };
    let with = |variables: &[&str], secrets: &[&str]| {
        server.register(|input| {
            first(input).environment = Some(variables.iter().copied().map(variable).collect());
            first(input).secrets = Some(secrets.iter().copied().map(secret).collect());
        })
    };
    let twice = "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as 'A'.";
    assert_eq!(refused(with(&["A"], &["B", "A"])), client(twice));
    assert_eq!(refused(with(&[], &["A", "A"])), client(twice));
    with(&["A", "B"], &["C", "a"]).expect("each has its own name");

    for no_role in [" ", "☃", "arn:aws:s3:::x", "arn:aws:iam::123456789012:user/x"] {
        let task = server.register(|input| input.task_role_arn = Some(no_role.to_owned()));
        let execution = server.register(|input| input.execution_role_arn = Some(no_role.to_owned()));
        assert_eq!((refused(task), refused(execution)), (client("Role is not valid"), client("Role is not valid")));
    }
    let by_name = server.register(|input| input.task_role_arn = Some("app".to_owned())).expect("a name will do");
    assert_eq!(by_name.task_role_arn.as_deref(), Some("arn:aws:iam::123456789012:role/app"));
    let without = server.register(|input| input.task_role_arn = Some(String::new())).expect("an empty one is none");
    assert_eq!(without.task_role_arn, None);
    let without = server.register(|input| input.execution_role_arn = Some(String::new()));
    assert_eq!(
        refused(without),
        client("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
    );

    let image = |name: String| server.register(|input| first(input).image = Some(name));
    assert_eq!(refused(image(String::new())), client("Container.image should not be null or empty."));
    assert_eq!(refused(image("a".repeat(256))), client("Container.image should be 255 characters or less"));
    for odd in ["app 1", "app:ü", "${app}", "app:1\n"] {
        assert_eq!(refused(image(odd.to_owned())), client("Container.image contains invalid characters."));
    }
    image(format!("r.example:5000/a_b/c-d.e@sha256:{}", "0".repeat(64))).expect("that is one");
}

/// Changes the first container of a definition.
fn first(input: &mut shape::RegisterTaskDefinitionRequest) -> &mut shape::ContainerDefinition {
    &mut input.container_definitions[0]
}

fn capabilities(add: &[&str], drop: &[&str]) -> Option<shape::LinuxParameters> {
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let capabilities = shape::KernelCapabilities { add: list(add), drop: list(drop) };
    Some(shape::LinuxParameters { capabilities: Some(capabilities), ..Default::default() })
}

#[test]
fn a_container_gains_no_capability_that_opens_the_host() {
    let server = Server::new();
    for name in ["ALL", "SYS_ADMIN", "NET_ADMIN", "sys_admin"] {
        let outcome = server.register(|input| first(input).linux_parameters = capabilities(&["SYS_PTRACE", name], &[]));
        assert_eq!(refused(outcome), says("ClientException", &format!("{name} is not allowed on Fargate.")));
    }
    let fine = server.register(|input| first(input).linux_parameters = capabilities(&["SYS_PTRACE"], &["ALL"]));
    fine.expect("SYS_PTRACE may be added, and all dropped");
    let other = server.register(|input| {
        input.requires_compatibilities = None;
        first(input).linux_parameters = capabilities(&["SYS_ADMIN"], &[]);
    });
    let other = other.expect("an instance may run it");
    assert_eq!(other.compatibilities.as_deref(), Some(&["EC2".to_owned()][..]));
    assert_eq!(
        refused(server.run(|_| {})),
        says("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    );
    assert_eq!(
        refused(server.create(|_| {})),
        says("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    );
}

#[test]
fn what_a_container_names_is_not_blank_and_what_it_counts_not_negative() {
    let server = Server::new();
    let says_of = |change: &dyn Fn(&mut shape::ContainerDefinition)| {
        let (code, message) = refused(server.register(|input| change(first(input))));
        assert_eq!(code, "ClientException");
        message
    };
    for name in [None, Some(""), Some(" ")] {
        let pair = shape::KeyValuePair { name: name.map(str::to_owned), value: Some("1".to_owned()) };
        assert_eq!(
            says_of(&|container| container.environment = Some(vec![pair.clone()])),
            "Environment variable name cannot be null or blank."
        );
    }
    let secret = |name: &str, from: &str| {
        let secret = shape::Secret { name: name.to_owned(), value_from: from.to_owned() };
        says_of(&|container| container.secrets = Some(vec![secret.clone()]))
    };
    assert_eq!(secret("", "/a"), "Secret name cannot be null or blank.");
    assert_eq!(secret("A", ""), "Secret valueFrom cannot be null or blank.");
    assert_eq!(says_of(&|it| it.cpu = Some(-1)), "Invalid 'cpu' setting for container 'web'.");
    assert_eq!(says_of(&|it| it.start_timeout = Some(-1)), "Invalid 'startTimeout' setting for container 'web'.");
    for compatible in [None, Some(vec!["FARGATE".to_owned()])] {
        let outcome = server.register(|input| {
            input.requires_compatibilities = compatible;
            first(input).stop_timeout = Some(-1);
        });
        let told = "Invalid 'stopTimeout' setting for container 'web'.";
        assert_eq!(refused(outcome), says("ClientException", told));
    }
    let router = |kind: &str| Some(shape::FirelensConfiguration { type_: kind.to_owned(), options: None });
    for kind in ["", "logstash"] {
        let told = says_of(&|container| container.firelens_configuration = router(kind));
        assert!(told.ends_with("The type must be fluentd or fluentbit."), "{told}");
    }
    server.register(|input| first(input).firelens_configuration = router("fluentbit")).expect("that is one");
}

#[test]
fn fargate_refuses_what_only_an_instance_has() {
    let server = Server::new();
    let register = |change: fn(&mut shape::RegisterTaskDefinitionRequest)| refused(server.register(change));
    let lacks =
        |member: &str| says("ClientException", &format!("Fargate compatible task definitions do not support {member}"));
    let linux = |change: fn(&mut shape::LinuxParameters)| {
        refused(
            server.register(|input| change(first(input).linux_parameters.insert(shape::LinuxParameters::default()))),
        )
    };
    assert_eq!(linux(|linux| linux.devices = Some(vec![shape::Device::default()])), lacks("devices"));
    assert_eq!(linux(|linux| linux.shared_memory_size = Some(64)), lacks("sharedMemorySize"));
    assert_eq!(linux(|linux| linux.max_swap = Some(0)), lacks("maxSwap"));
    assert_eq!(linux(|linux| linux.swappiness = Some(60)), lacks("swappiness"));
    assert_eq!(
        register(|input| first(input).docker_security_options = Some(vec!["no-new-privileges".to_owned()])),
        lacks("dockerSecurityOptions")
    );
    let gpu = |input: &mut shape::RegisterTaskDefinitionRequest| {
        let value = Some("1".to_owned());
        let gpu = shape::ResourceRequirement { type_: "GPU".to_owned(), value, ..Default::default() };
        first(input).resource_requirements = Some(vec![gpu]);
    };
    assert_eq!(refused(server.register(gpu)), lacks("resourceRequirements"));
    let on_instance = server.register(|input| {
        gpu(input);
        input.requires_compatibilities = None;
    });
    let compatible = on_instance.expect("an instance may have one").compatibilities;
    assert_eq!(compatible.as_deref(), Some(&["EC2".to_owned()][..]));
    assert_eq!(
        register(|input| input.pid_mode = Some("host".to_owned())),
        says(
            "ClientException",
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'."
        )
    );
    assert_eq!(
        register(|input| input.ipc_mode = Some("task".to_owned())),
        says("ClientException", "Tasks using the Fargate launch type do not support ipcMode.")
    );
    let fine = server.register(|input| {
        input.pid_mode = Some("task".to_owned());
        let tmpfs = shape::Tmpfs { container_path: "/scratch".to_owned(), size: 16, mount_options: None };
        first(input).linux_parameters = Some(shape::LinuxParameters { tmpfs: Some(vec![tmpfs]), ..Default::default() });
    });
    fine.expect("Fargate has memory file systems");
}

#[test]
fn ports_checks_and_tags_are_looked_at() {
    let server = Server::new();
    let register = |change: &dyn Fn(&mut shape::ContainerDefinition)| server.register(|input| change(first(input)));
    let port = |port: Option<i32>, name: &str, protocol: &str| shape::PortMapping {
        container_port: port,
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        ..Default::default()
    };
    let client = |message: &str| says("ClientException", message);
    for wrong in [None, Some(0), Some(65_536)] {
        let outcome = register(&|it| it.port_mappings = Some(vec![port(wrong, "a", "tcp")]));
        assert_eq!(refused(outcome), client("Invalid 'containerPort' setting for container 'web'."));
    }
    for name in ["", "HTTP", "-a", "a b", "é", &"a".repeat(65)] {
        let (code, message) = refused(register(&|it| it.port_mappings = Some(vec![port(Some(80), name, "tcp")])));
        assert!(code == "ClientException" && message.starts_with("Invalid 'name' setting"), "{name}: {message}");
    }
    let name = "a_1-".repeat(16);
    register(&|it| it.port_mappings = Some(vec![port(Some(80), &name, "tcp")])).expect("64 characters are fine");
    let two = |one: shape::PortMapping, other: shape::PortMapping| {
        server.register(|input| {
            first(input).port_mappings = Some(vec![one]);
            let second = shape::ContainerDefinition { name: Some("side".to_owned()), ..first(input).clone() };
            input.container_definitions.push(shape::ContainerDefinition { port_mappings: Some(vec![other]), ..second });
        })
    };
    assert_eq!(
        refused(two(port(Some(3000), "a", "tcp"), port(Some(3000), "b", "tcp"))),
        client("TCP host port '3000' is mapped multiple times in task.")
    );
    assert_eq!(
        refused(two(port(Some(80), "a", "tcp"), port(Some(81), "a", "tcp"))),
        client("Port mapping names should be unique. Duplicate name: a.")
    );
    two(port(Some(53), "a", "tcp"), port(Some(53), "b", "udp")).expect("those are two ports");

    let both = register(&|it| it.port_mappings = Some(vec![port(Some(53), "a", "tcp"), port(Some(53), "b", "udp")]));
    both.expect("a container may have both");
    assert_eq!(
        refused(server.create(|input| input.load_balancers = Some(vec![balancer(GROUP, "web", 53)]))),
        says("InvalidParameterException", "Container port 53 is used in more than one port mapping for container web")
    );

    for command in [&[][..], &["CMD"], &["CMD-SHELL", " "], &[""]] {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let check = shape::HealthCheck { command, ..Default::default() };
        let (code, message) = refused(register(&|it| it.health_check = Some(check.clone())));
        assert!(code == "ClientException" && message.starts_with("Invalid 'command' setting"), "{message}");
    }
    let bare = shape::HealthCheck { command: vec!["/healthcheck".to_owned()], ..Default::default() };
    register(&|it| it.health_check = Some(bare.clone())).expect("AWS takes it for a program");

    let tag = |value: &str| shape::Tag { key: Some("team".to_owned()), value: Some(value.to_owned()) };
    let twice = server.register(|input| input.tags = Some(vec![tag("a"), tag("b")]));
    assert_eq!(refused(twice), says("InvalidParameterException", "Tag keys must be unique. Duplicate key: team."));
}

#[test]
fn a_tasks_interface_takes_names_and_resolvers_out_of_its_containers_hands() {
    let server = Server::new();
    let container = |change: fn(&mut shape::ContainerDefinition)| {
        let (code, message) = refused(server.register(|input| {
            // It is the network mode that refuses them, not Fargate.
            input.requires_compatibilities = None;
            change(first(input));
        }));
        assert_eq!(code, "ClientException");
        message
    };
    let one = |text: &str| Some(vec![text.to_owned()]);
    assert_eq!(
        container(|it| it.links = Some(vec!["db".to_owned()])),
        "Links are not supported when networkMode=awsvpc."
    );
    assert_eq!(
        container(|it| it.hostname = Some("web".to_owned())),
        "hostname is not supported on container when networkMode=awsvpc."
    );
    assert_eq!(
        container(|it| it.extra_hosts = Some(vec![shape::HostEntry::default()])),
        "Extra hosts are not supported on container when networkMode=awsvpc."
    );
    assert_eq!(
        container(|it| it.dns_servers = Some(vec!["1.1.1.1".to_owned()])),
        "DNS servers are not supported on container when networkMode=awsvpc."
    );
    assert_eq!(
        container(|it| it.dns_search_domains = Some(vec!["corp".to_owned()])),
        "DNS search domains are not supported on container when networkMode=awsvpc."
    );
    assert_eq!(
        container(|it| it.disable_networking = Some(true)),
        "Disable Networking is not supported on container when networkMode=awsvpc."
    );
    let bridge = server.register(|input| {
        (input.requires_compatibilities, input.network_mode) = (None, Some("bridge".to_owned()));
        (first(input).dns_servers, first(input).hostname) = (one("1.1.1.1"), Some("web".to_owned()));
    });
    bridge.expect("on a bridge they may be given");
}

#[test]
fn the_values_of_a_definition_have_bounds() {
    let server = Server::new();
    let message = |change: &dyn Fn(&mut shape::RegisterTaskDefinitionRequest)| {
        let (code, message) = refused(server.register(|input| change(input)));
        assert_eq!(code, "ClientException");
        message
    };
    let check = |interval, timeout, retries, start_period| {
        Some(shape::HealthCheck {
            command: vec!["CMD".to_owned(), "true".to_owned()],
            interval,
            timeout,
            retries,
            start_period,
        })
    };
    for (health, setting) in [
        (check(Some(4), None, None, None), "interval must be between 5 and 300"),
        (check(Some(301), None, None, None), "interval must be between 5 and 300"),
        (check(None, Some(1), None, None), "timeout must be between 2 and 60"),
        (check(None, None, Some(0), None), "retries must be between 1 and 10"),
        (check(None, None, Some(11), None), "retries must be between 1 and 10"),
        (check(None, None, None, Some(-1)), "startPeriod must be between 0 and 300"),
    ] {
        assert_eq!(message(&|input| first(input).health_check = health.clone()), format!("Health check {setting}."));
    }
    let bounds = server.register(|input| first(input).health_check = check(Some(300), Some(60), Some(10), Some(300)));
    bounds.expect("the bounds themselves are fine");

    assert_eq!(
        message(&|input| first(input).memory = Some(513)),
        "The 'memory' setting for container 'web' is greater than for the task."
    );
    let two = |input: &mut shape::RegisterTaskDefinitionRequest, memory, reservation| {
        let mut other = first(input).clone();
        (other.name, other.port_mappings) = (Some("other".to_owned()), None);
        input.container_definitions.push(other);
        for container in &mut input.container_definitions {
            (container.memory, container.memory_reservation) = (memory, reservation);
        }
    };
    assert_eq!(
        message(&|input| two(input, Some(300), None)),
        "The sum of the containers' memory is greater than for the task."
    );
    server.register(|input| two(input, Some(512), Some(256))).expect("what they reserve fits");
    let shares = |input: &mut shape::RegisterTaskDefinitionRequest, cpu| {
        two(input, None, None);
        input.container_definitions.iter_mut().for_each(|container| container.cpu = Some(cpu));
    };
    assert_eq!(
        message(&|input| shares(input, 129)),
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."
    );
    server.register(|input| shares(input, 128)).expect("all of the task's is shared out");

    let ulimit =
        |soft_limit, hard_limit| Some(vec![shape::Ulimit { name: "nofile".to_owned(), soft_limit, hard_limit }]);
    for (soft, hard) in [(2048, 1024), (-1, 1024)] {
        assert_eq!(
            message(&|input| first(input).ulimits = ulimit(soft, hard)),
            "Soft limit exceeds hard limit for ulimit nofile"
        );
    }
    server.register(|input| first(input).ulimits = ulimit(1024, -1)).expect("the hard limit is none");

    let long = message(&|input| first(input).command = Some(vec!["x".repeat(65_536)]));
    assert!(long.starts_with("Actual length: '6") && long.ends_with("Max allowed length is '65536' bytes."), "{long}");
    server.register(|input| first(input).command = Some(vec!["x".repeat(60_000)])).expect("it is not too long");
}

#[test]
fn what_would_have_no_effect_is_refused_by_name() {
    let server = Server::new();
    let accelerator = shape::InferenceAccelerator { device_name: "a".to_owned(), device_type: "eia2".to_owned() };
    assert_eq!(
        refused(server.register(|input| input.inference_accelerators = Some(vec![accelerator]))),
        says("ClientException", "Unsupported field 'inferenceAccelerators'.")
    );
    let secret = shape::Secret { name: "token".to_owned(), value_from: "x".to_owned() };
    let change = |input: &mut shape::RegisterTaskDefinitionRequest| {
        let log = first(input).log_configuration.as_mut().expect("it has a log");
        log.secret_options = Some(vec![secret]);
    };
    server.register(change).expect("it is registered, as there");
    let (code, message) = refused(server.run(|_| {}));
    assert!(code == "NotImplemented" && message.contains("secretOptions"), "refused by name: {message}");
    server.register(|input| first(input).credential_specs = Some(vec!["x".to_owned()])).expect("it is registered");
    let (code, message) = refused(server.run(|_| {}));
    assert!(code == "NotImplemented" && message.contains("credentialSpecs"), "refused by name: {message}");

    let range = |range: &str, container_port| {
        let container_port_range = Some(range.to_owned());
        let mapping = shape::PortMapping { container_port, container_port_range, ..Default::default() };
        server.register(|input| first(input).port_mappings = Some(vec![mapping]))
    };
    range("8080-8090", None).expect("a range is fine");
    for wrong in ["8090-8080", "8080", "0-80", "80-70000", "a-b", "80-80"] {
        assert_eq!(refused(range(wrong, None)), says("ClientException", "Invalid 'containerPortRange' setting"));
    }
    assert_eq!(
        refused(range("8080-8090", Some(80))),
        says("ClientException", "cannot specify both single port and port range")
    );
}

#[test]
fn a_definition_must_make_sense() {
    let server = Server::new();
    let register = |change: fn(&mut shape::RegisterTaskDefinitionRequest)| refused(server.register(change));
    let client = |message: &str| says("ClientException", message);
    assert_eq!(register(|input| input.container_definitions.clear()), client("Container list cannot be empty."));
    assert_eq!(
        register(|input| input.container_definitions[0].image = None),
        client("Container.image should not be null or empty.")
    );
    assert_eq!(
        register(|input| input.container_definitions[0].name = None),
        client("Container.name should not be null or empty.")
    );
    assert_eq!(
        register(|input| {
            let ports = input.container_definitions[0].port_mappings.as_mut().expect("it has ports");
            ports[0].host_port = Some(80);
        }),
        client("When networkMode=awsvpc, the host ports and container ports in port mappings must match.")
    );
    assert_eq!(
        register(|input| {
            input.requires_compatibilities = None;
            input.memory = None;
        }),
        client(
            "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified."
        )
    );
    let (code, _) = register(|input| {
        let on = |name: &str| {
            vec![shape::ContainerDependency { container_name: name.to_owned(), condition: "START".to_owned() }]
        };
        let mut other = input.container_definitions[0].clone();
        other.name = Some("other".to_owned());
        other.depends_on = Some(on("web"));
        input.container_definitions[0].depends_on = Some(on("other"));
        input.container_definitions.push(other);
    });
    assert_eq!(code, "ClientException", "a cycle of dependencies never starts");
}

#[test]
fn a_task_is_refused_what_it_would_not_get() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    let run = |change: fn(&mut shape::RunTaskRequest)| refused(server.run(change));
    let invalid = |message: &str| says("InvalidParameterException", message);
    let volume = |input: &mut shape::RunTaskRequest| {
        let volume = shape::TaskVolumeConfiguration { name: "data".to_owned(), ..Default::default() };
        input.volume_configurations = Some(vec![volume]);
    };
    let (code, message) = run(volume);
    assert!(code == "NotImplemented" && message.contains("Amazon EBS"), "refused by name: {message}");
    assert_eq!(
        run(|input| input.placement_constraints = Some(vec![shape::PlacementConstraint::default()])),
        invalid("Placement constraints are not supported with FARGATE launch type.")
    );
    assert_eq!(
        run(|input| input.placement_strategy = Some(vec![shape::PlacementStrategy::default()])),
        invalid("Placement strategies are not supported with FARGATE launch type.")
    );
    assert_eq!(
        run(|input| {
            let accelerators = Some(vec![shape::InferenceAcceleratorOverride::default()]);
            let overrides = shape::TaskOverride { inference_accelerator_overrides: accelerators, ..Default::default() };
            input.overrides = Some(overrides);
        }),
        says("ClientException", "Unsupported field 'inferenceAcceleratorOverrides'.")
    );
    assert_eq!(
        run(|input| {
            let command = Some(vec!["x".repeat(9000)]);
            let over = shape::ContainerOverride { name: Some("web".to_owned()), command, ..Default::default() };
            let overrides = shape::TaskOverride { container_overrides: Some(vec![over]), ..Default::default() };
            input.overrides = Some(overrides);
        }),
        invalid("Container Overrides length must be at most 8192.")
    );
    assert_eq!(run(|input| input.started_by = Some("x".repeat(129))), invalid("startedBy longer than 128."));
    assert_eq!(
        run(|input| input.started_by = Some("a b".to_owned())),
        invalid("startedBy contains invalid characters.")
    );
    let task = server.run(|input| input.started_by = Some(format!("ci/build_7-{}", "x".repeat(117))));
    assert_eq!(task.expect("128 characters are fine")[0].started_by.as_ref().map(String::len), Some(128));
}

#[test]
fn a_token_remembers_a_request_and_not_what_was_in_it() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    let run = |value: &str| {
        server.run(|input| {
            let pair = shape::KeyValuePair { name: Some("PASSWORD".to_owned()), value: Some(value.to_owned()) };
            let over = shape::ContainerOverride {
                name: Some("web".to_owned()),
                environment: Some(vec![pair]),
                ..Default::default()
            };
            let overrides = shape::TaskOverride { container_overrides: Some(vec![over]), ..Default::default() };
            input.overrides = Some(overrides);
            input.client_token = Some("once".to_owned());
        })
    };
    let first = run("hunter2").expect("it runs");
    let again = run("hunter2").expect("a repetition is answered");
    assert_eq!(first[0].task_arn, again[0].task_arn, "a repetition starts nothing");
    assert_eq!(refused(run("other")).0, "ConflictException");
    let row = server.store.view().get::<ecs::rows::TokenRow>(&Scope::default(), "c/once").expect("it is remembered");
    assert!(row.request.len() == 64 && !format!("{row:?}").contains("hunter2"), "a secret is kept: {row:?}");
}

#[test]
fn a_service_must_fit_its_definition_and_its_target_group() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    let create = |change: fn(&mut shape::CreateServiceRequest)| refused(server.create(change));
    let invalid = |message: &str| says("InvalidParameterException", message);
    let instances = GROUP.replace("web", "instance");
    let outcome = server.create(|input| input.load_balancers = Some(vec![balancer(&instances, "web", 3000)]));
    assert_eq!(
        refused(outcome),
        invalid(&format!(
            "The provided target group {instances} has target type instance, which is incompatible with the awsvpc network mode specified in the task definition."
        ))
    );
    assert_eq!(
        create(|input| input.network_configuration = None),
        invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    );
    assert_eq!(
        create(|input| input.load_balancers = Some(vec![balancer(GROUP, "nope", 3000)])),
        invalid("The container nope does not exist in the task definition.")
    );
    assert_eq!(
        create(|input| input.load_balancers = Some(vec![balancer(GROUP, "web", 80)])),
        invalid("The container web did not have a container port 80 defined.")
    );
    assert_eq!(
        create(|input| input.desired_count = Some(5001)),
        invalid("desiredCount should not be greater than 5000, the quota of tasks per service.")
    );
    assert_eq!(
        create(|input| input.role = Some("ecsServiceRole".to_owned())),
        invalid("You cannot specify an IAM role for services that require a service linked role.")
    );
    assert_eq!(
        create(|input| input.cluster = Some("nope".to_owned())),
        says("ClusterNotFoundException", "Cluster not found.")
    );
    assert_eq!(
        create(|input| input.task_definition = Some("nope".to_owned())),
        says("ClientException", "TaskDefinition not found.")
    );
    assert_eq!(
        create(|input| {
            let vpc = input.network_configuration.as_mut().and_then(|it| it.awsvpc_configuration.as_mut());
            vpc.expect("it has one").security_groups = Some(vec!["sg-9".to_owned()]);
        }),
        invalid(
            "Error retrieving security group information for [sg-9]: The security group 'sg-9' does not exist (ErrorCode: InvalidGroup.NotFound)"
        )
    );
    assert_eq!(
        create(|input| {
            let vpc = input.network_configuration.as_mut().and_then(|it| it.awsvpc_configuration.as_mut());
            vpc.expect("it has one").assign_public_ip = Some("ENABLED".to_owned());
            input.launch_type = Some("EC2".to_owned());
        }),
        invalid("Assign public IP is not supported for this launch type.")
    );

    let service = server.create(|_| {}).expect("it fits");
    assert_eq!(service.platform_version.as_deref(), Some("LATEST"));
    assert_eq!(create(|_| {}), invalid("Creation of service was not idempotent."));
    let input = shape::DeleteServiceRequest { cluster: Some("c".to_owned()), service: "web".to_owned(), force: None };
    assert_eq!(
        refused(server.call(server.handlers.delete_service, input)),
        invalid("The service cannot be stopped while it is scaled above 0.")
    );
    let input = shape::DeleteClusterRequest { cluster: "c".to_owned() };
    assert_eq!(refused(server.call(server.handlers.delete_cluster, input)).0, "ClusterContainsServicesException");
}

#[test]
fn tags_are_kept_and_taken_away() {
    let server = Server::new();
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/c".to_owned();
    let tag = |key: &str| shape::Tag { key: Some(key.to_owned()), value: Some("v".to_owned()) };
    let input = shape::TagResourceRequest { resource_arn: arn.clone(), tags: vec![tag("a"), tag("b")] };
    server.call(server.handlers.tag_resource, input).expect("a cluster can be tagged");
    let input = shape::UntagResourceRequest { resource_arn: arn.clone(), tag_keys: vec!["a".to_owned()] };
    server.call(server.handlers.untag_resource, input).expect("a cluster can be untagged");
    let input = shape::ListTagsForResourceRequest { resource_arn: arn.clone() };
    let left = server.call(server.handlers.list_tags_for_resource, input).expect("tags can be listed");
    assert_eq!(left.tags, Some(vec![tag("b")]));
    let input = shape::TagResourceRequest { resource_arn: arn, tags: vec![tag("aws:x")] };
    assert_eq!(refused(server.call(server.handlers.tag_resource, input)).0, "InvalidParameterException");
}

impl Server {
    fn put_providers(&self, providers: &[&str], strategy: &[(&str, i32, i32)]) -> Result<shape::Cluster, ApiError> {
        let input = shape::PutClusterCapacityProvidersRequest {
            cluster: "c".to_owned(),
            capacity_providers: providers.iter().map(|name| (*name).to_owned()).collect(),
            default_capacity_provider_strategy: items(strategy),
        };
        let answer = self.call(self.handlers.put_cluster_capacity_providers, input)?;
        Ok(answer.cluster.expect("the cluster is shown"))
    }
}

fn items(strategy: &[(&str, i32, i32)]) -> Vec<shape::CapacityProviderStrategyItem> {
    let item = |(name, weight, base): &(&str, i32, i32)| shape::CapacityProviderStrategyItem {
        capacity_provider: (*name).to_owned(),
        weight: Some(*weight),
        base: Some(*base),
    };
    strategy.iter().map(item).collect()
}

#[test]
fn a_strategy_shares_tasks_out_among_the_clusters_providers() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    let invalid = |message: &str| says("InvalidParameterException", message);
    let run = |strategy: &[(&str, i32, i32)]| {
        server.run(|input| {
            (input.launch_type, input.count) = (None, Some(6));
            input.capacity_provider_strategy = Some(items(strategy)).filter(|items| !items.is_empty());
        })
    };
    let spot = [("FARGATE_SPOT", 1, 0)];
    assert_eq!(refused(run(&spot)), invalid(ecs::texts::PROVIDER_NOT_ASSOCIATED));
    assert_eq!(refused(server.put_providers(&["NONE"], &[])), invalid(ecs::texts::PROVIDER_NOT_FOUND));
    for wrong in [
        &[("FARGATE", 0, 0), ("FARGATE_SPOT", 0, 0)][..],
        &[("FARGATE", 1, 1), ("FARGATE_SPOT", 1, 1)],
        &[("FARGATE", 1, 0), ("FARGATE", 1, 0)],
        &[("FARGATE", 1001, 0)],
        &[("FARGATE", -1, 0)],
    ] {
        let refusal = refused(server.put_providers(&["FARGATE", "FARGATE_SPOT"], wrong));
        assert_eq!(refusal.0, "InvalidParameterException", "{wrong:?}");
    }
    let strategy = [("FARGATE", 1, 2), ("FARGATE_SPOT", 3, 0)];
    let cluster = server.put_providers(&["FARGATE", "FARGATE_SPOT"], &strategy).expect("both are there");
    assert_eq!(cluster.default_capacity_provider_strategy, Some(items(&strategy)));
    let of = |tasks: &[shape::Task], name: &str| {
        tasks.iter().filter(|task| task.capacity_provider_name.as_deref() == Some(name)).count()
    };
    let tasks = run(&[]).expect("the default strategy takes it");
    assert_eq!((of(&tasks, "FARGATE"), of(&tasks, "FARGATE_SPOT")), (3, 3));
    assert_eq!(of(&run(&spot).expect("Spot alone"), "FARGATE_SPOT"), 6);
    assert_eq!(
        refused(server.run(|input| input.capacity_provider_strategy = Some(items(&spot)))),
        invalid(ecs::texts::LAUNCH_TYPE_AND_STRATEGY)
    );
    assert_eq!(
        refused(server.put_providers(&["FARGATE"], &[])),
        says("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
    );
}

#[test]
fn a_service_changes_its_strategy_for_tasks_to_come() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    server.put_providers(&["FARGATE", "FARGATE_SPOT"], &[]).expect("both are there");
    let service = server.create(|_| {}).expect("it fits");
    assert_eq!(service.launch_type.as_deref(), Some("FARGATE"));
    let update = |strategy: &[(&str, i32, i32)], force| {
        let input = shape::UpdateServiceRequest {
            cluster: Some("c".to_owned()),
            service: "web".to_owned(),
            capacity_provider_strategy: Some(items(strategy)),
            force_new_deployment: Some(force),
            ..Default::default()
        };
        server.call(server.handlers.update_service, input).map(|answer| answer.service.expect("it is shown"))
    };
    let changed = update(&[("FARGATE_SPOT", 1, 0)], false).expect("a strategy may take a launch type's place");
    let newest = |service: &shape::Service| service.deployments.as_ref().and_then(|list| list[0].id.clone());
    assert_eq!((&changed.launch_type, newest(&changed)), (&None, newest(&service)));
    assert_eq!(changed.capacity_provider_strategy, Some(items(&[("FARGATE_SPOT", 1, 0)])));
    let forced = update(&[("FARGATE", 1, 0)], true).expect("and another the first's");
    assert_ne!(newest(&forced), newest(&changed));
    assert_eq!(
        refused(server.put_providers(&["FARGATE_SPOT"], &[])).0,
        "ResourceInUseException",
        "the service needs FARGATE"
    );
    let back = update(&[], false).expect("an empty strategy is none");
    assert_eq!((back.launch_type.as_deref(), back.capacity_provider_strategy), (Some("FARGATE"), None));
}

#[test]
fn clusters_are_changed_and_shown_in_part() {
    let server = Server::new();
    let setting = |value: &str| {
        vec![shape::ClusterSetting { name: Some("containerInsights".to_owned()), value: Some(value.to_owned()) }]
    };
    let input = shape::UpdateClusterSettingsRequest { cluster: "c".to_owned(), settings: setting("enhanced") };
    let shown = server.call(server.handlers.update_cluster_settings, input).expect("it can be set");
    assert_eq!(shown.cluster.and_then(|cluster| cluster.settings), Some(setting("enhanced")));
    let input = shape::UpdateClusterSettingsRequest { cluster: "c".to_owned(), settings: setting("much") };
    assert_eq!(refused(server.call(server.handlers.update_cluster_settings, input)).0, "InvalidParameterException");
    let configuration = shape::ClusterConfiguration {
        managed_storage_configuration: Some(shape::ManagedStorageConfiguration::default()),
        ..Default::default()
    };
    let input = shape::UpdateClusterRequest {
        cluster: "c".to_owned(),
        configuration: Some(configuration.clone()),
        ..Default::default()
    };
    let shown = server.call(server.handlers.update_cluster, input).expect("it can be set").cluster.expect("shown");
    assert_eq!((shown.settings, shown.configuration), (Some(setting("enhanced")), Some(configuration)));
    let input = shape::DescribeClustersRequest { clusters: Some(vec!["c".to_owned()]), include: None };
    let bare = server.call(server.handlers.describe_clusters, input).expect("it is there").clusters.expect("shown");
    assert_eq!((bare[0].settings.clone(), bare[0].configuration.clone()), (Some(vec![]), None));
}

#[test]
fn fargates_capacity_providers_are_in_every_account() {
    let server = Server::new();
    let describe = |change: &dyn Fn(&mut shape::DescribeCapacityProvidersRequest)| {
        let mut input = shape::DescribeCapacityProvidersRequest::default();
        change(&mut input);
        let answer = server.call(server.handlers.describe_capacity_providers, input).expect("it is answered");
        let names = answer.capacity_providers.unwrap_or_default().into_iter().filter_map(|provider| provider.name);
        (names.collect::<Vec<_>>(), answer.failures.unwrap_or_default(), answer.next_token)
    };
    assert_eq!(describe(&|_| {}).0, ["FARGATE", "FARGATE_SPOT"]);
    let arn = "arn:aws:ecs:us-east-1:123456789012:capacity-provider/FARGATE_SPOT";
    let (found, failures, _) =
        describe(&|input| input.capacity_providers = Some(vec![arn.to_owned(), "mine".to_owned()]));
    assert_eq!((found, failures.len()), (vec!["FARGATE_SPOT".to_owned()], 1));
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    let (first, _, token) = describe(&|input| input.max_results = Some(1));
    assert_eq!(first, ["FARGATE"]);
    assert_eq!(describe(&|input| input.next_token.clone_from(&token)).0, ["FARGATE_SPOT"]);
    assert_eq!(describe(&|input| input.cluster = Some("c".to_owned())).0, [""; 0], "the cluster has none");

    let delete = |name: &str| {
        let input = shape::DeleteCapacityProviderRequest { capacity_provider: name.to_owned(), cluster: None };
        refused(server.call(server.handlers.delete_capacity_provider, input))
    };
    assert_eq!(delete("mine"), says("ClientException", ecs::texts::PROVIDER_ABSENT));
    assert_eq!(delete("FARGATE").0, "InvalidParameterException");
    let input = shape::CreateCapacityProviderRequest { name: "fargate-2".to_owned(), ..Default::default() };
    assert_eq!(refused(server.call(server.handlers.create_capacity_provider, input)).0, "InvalidParameterException");
}

#[test]
fn restarts_and_dependencies_have_their_bounds() {
    let server = Server::new();
    let policy = |period, codes: usize| {
        Some(shape::ContainerRestartPolicy {
            enabled: true,
            ignored_exit_codes: Some(vec![0; codes]),
            restart_attempt_period: period,
        })
    };
    let with = |period, codes| server.register(|input| first(input).restart_policy = policy(period, codes));
    with(Some(60), 50).expect("the least period and the most codes");
    with(None, 0).expect("the default period");
    let period = "restartAttemptPeriod must be between 60 and 1800 seconds.";
    assert_eq!(refused(with(Some(59), 0)), says("ClientException", period));
    assert_eq!(refused(with(Some(1801), 0)), says("ClientException", period));
    let codes = "ignoredExitCodes can have at most 50 items.";
    assert_eq!(refused(with(None, 51)), says("ClientException", codes));

    let depends = |condition: &str, essential: bool, check: Option<&[&str]>| {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let check = check.map(|words| shape::HealthCheck { command: command(words), ..Default::default() });
        server.register(|input| {
            let other = shape::ContainerDefinition {
                name: Some("init".to_owned()),
                image: Some("app:1".to_owned()),
                essential: Some(essential),
                health_check: check,
                ..Default::default()
            };
            input.container_definitions.push(other);
            first(input).depends_on = Some(vec![shape::ContainerDependency {
                container_name: "init".to_owned(),
                condition: condition.to_owned(),
            }]);
        })
    };
    let essential = "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container";
    for condition in ["SUCCESS", "COMPLETE"] {
        assert_eq!(refused(depends(condition, true, None)), says("ClientException", essential));
        depends(condition, false, None).expect("it may end");
    }
    depends("START", true, None).expect("an essential container may start first");
    depends("HEALTHY", true, Some(&["CMD", "true"])).expect("it has a check");
    let unchecked = "Container web has a dependency on the health of container init, which has no health check.";
    assert_eq!(refused(depends("HEALTHY", true, None)), says("ClientException", unchecked));
    assert_eq!(refused(depends("HEALTHY", true, Some(&["NONE"]))), says("ClientException", unchecked));
}

#[test]
fn sizes_that_mean_something_else_to_the_kernel_are_refused() {
    let server = Server::new();
    let with = |change: &dyn Fn(&mut shape::LinuxParameters)| {
        let mut linux = shape::LinuxParameters::default();
        change(&mut linux);
        server.register(|input| {
            (input.requires_compatibilities, input.network_mode) = (None, Some("bridge".to_owned()));
            first(input).linux_parameters = Some(linux);
        })
    };
    let tmpfs = |size| {
        let tmpfs = shape::Tmpfs { container_path: "/t".to_owned(), size, mount_options: None };
        with(&move |linux| linux.tmpfs = Some(vec![tmpfs.clone()]))
    };
    tmpfs(1).expect("one MiB is a size");
    for wrong in [0, -1] {
        assert_eq!(refused(tmpfs(wrong)), says("ClientException", "The size of a tmpfs must be at least 1 MiB."));
    }
    with(&|linux| (linux.max_swap, linux.swappiness) = (Some(0), Some(100))).expect("no swap, readily");
    let sizes = "sharedMemorySize and maxSwap cannot be negative.";
    assert_eq!(refused(with(&|linux| linux.max_swap = Some(-1))), says("ClientException", sizes));
    assert_eq!(refused(with(&|linux| linux.shared_memory_size = Some(-1))), says("ClientException", sizes));
    let swappiness = "swappiness must be between 0 and 100.";
    assert_eq!(refused(with(&|linux| linux.swappiness = Some(101))), says("ClientException", swappiness));
}

#[test]
fn volumes_are_of_one_kind_and_mounted_by_those_who_are_there() {
    let server = Server::new();
    let efs = |change: &dyn Fn(&mut shape::EFSVolumeConfiguration)| {
        let mut efs = shape::EFSVolumeConfiguration { file_system_id: "fs-0123".to_owned(), ..Default::default() };
        change(&mut efs);
        shape::Volume { name: Some("data".to_owned()), efs_volume_configuration: Some(efs), ..Default::default() }
    };
    let register = |volume: shape::Volume| server.register(|input| input.volumes = Some(vec![volume]));
    let made = register(efs(&|_| {})).expect("a file system is enough");
    let shown = made.volumes.expect("it is shown")[0].efs_volume_configuration.clone().expect("as EFS");
    assert_eq!(shown.root_directory.as_deref(), Some("/"), "the default is shown");
    let authorization = |point: Option<&str>, iam: Option<&str>| {
        Some(shape::EFSAuthorizationConfig { access_point_id: point.map(str::to_owned), iam: iam.map(str::to_owned) })
    };
    let encrypted = Some("ENABLED".to_owned());
    let pointed = efs(&|it| {
        it.authorization_config = authorization(Some("fsap-1"), None);
        (it.transit_encryption, it.root_directory) = (encrypted.clone(), Some("/x".to_owned()));
    });
    let root = "When using an EFS access point, the root directory must either be set to \"/\" or be omitted.";
    assert_eq!(refused(register(pointed)), says("ClientException", root));
    let plain = efs(&|it| it.authorization_config = authorization(None, Some("ENABLED")));
    let encryption = "Transit encryption must be enabled when an EFS access point or IAM authorization is used.";
    assert_eq!(refused(register(plain)), says("ClientException", encryption));
    assert_eq!(
        refused(register(efs(&|it| it.file_system_id = "../x".to_owned()))),
        says("ClientException", "Invalid EFS file system ID '../x'.")
    );
    let two = shape::Volume {
        docker_volume_configuration: Some(shape::DockerVolumeConfiguration::default()),
        ..efs(&|_| {})
    };
    let one = "When the volume parameter is specified, only one volume configuration type should be used.";
    assert_eq!(refused(register(two)), says("ClientException", one));
    for name in [None, Some(String::new())] {
        let nameless = shape::Volume { name, ..efs(&|_| {}) };
        assert_eq!(refused(register(nameless)), says("ClientException", "Volume name cannot be null or blank."));
    }
    let mount = |volume: Option<&str>, path: Option<&str>| {
        let (source_volume, container_path) = (volume.map(str::to_owned), path.map(str::to_owned));
        let point = shape::MountPoint { source_volume, container_path, read_only: None };
        server.register(|input| {
            input.volumes = Some(vec![efs(&|_| {})]);
            first(input).mount_points = Some(vec![point]);
        })
    };
    mount(Some("data"), Some("/data")).expect("it is mounted");
    assert_eq!(refused(mount(None, Some("/data"))), says("ClientException", "Unknown volume 'null'."));
    assert_eq!(refused(mount(Some("other"), Some("/data"))), says("ClientException", "Unknown volume 'other'."));
    for path in [None, Some("")] {
        let told = "Mount point containerPath cannot be null or blank.";
        assert_eq!(refused(mount(Some("data"), path)), says("ClientException", told));
    }
    let from = |other: &str| {
        let from = shape::VolumeFrom { source_container: Some(other.to_owned()), read_only: None };
        server.register(|input| first(input).volumes_from = Some(vec![from]))
    };
    for other in ["nobody", "web"] {
        let unknown = format!("Unknown container '{other}' in volumesFrom.");
        assert_eq!(refused(from(other)), says("ClientException", &unknown));
    }
}

#[test]
fn the_log_driver_has_its_own_options_alone() {
    let server = Server::new();
    let with = |change: &dyn Fn(&mut std::collections::BTreeMap<String, String>)| {
        server.register(|input| {
            let log = first(input).log_configuration.as_mut().expect("it has a log");
            change(log.options.get_or_insert_default());
        })
    };
    let foreign = with(&|options| {
        options.insert("awslogs-endpoint".to_owned(), "x".to_owned());
    });
    let disallowed = "Log driver awslogs disallows options: awslogs-endpoint";
    assert_eq!(refused(foreign), says("ClientException", disallowed));
    let required = "Log driver awslogs requires options: awslogs-region, awslogs-group";
    assert_eq!(refused(with(&std::collections::BTreeMap::clear)), says("ClientException", required));
    let prefix = with(&|options| drop(options.remove("awslogs-stream-prefix")));
    let required = "Log driver awslogs requires options: awslogs-stream-prefix";
    assert_eq!(refused(prefix), says("ClientException", required));
}

#[test]
fn a_cluster_says_where_sessions_are_written_down() {
    let server = Server::new();
    let set = |logging: Option<&str>, log: Option<shape::ExecuteCommandLogConfiguration>, key: Option<&str>| {
        let exec = shape::ExecuteCommandConfiguration {
            kms_key_id: key.map(str::to_owned),
            logging: logging.map(str::to_owned),
            log_configuration: log,
        };
        let configuration =
            shape::ClusterConfiguration { execute_command_configuration: Some(exec), ..Default::default() };
        let input = shape::UpdateClusterRequest {
            cluster: "c".to_owned(),
            configuration: Some(configuration),
            ..Default::default()
        };
        server.call(server.handlers.update_cluster, input)
    };
    let group = || shape::ExecuteCommandLogConfiguration {
        cloud_watch_log_group_name: Some("/sessions".to_owned()),
        ..Default::default()
    };
    for logging in [None, Some("NONE"), Some("DEFAULT")] {
        set(logging, None, None).expect("a setting of its own");
        assert_eq!(refused(set(logging, Some(group()), None)).0, "InvalidParameterException");
    }
    set(Some("OVERRIDE"), Some(group()), None).expect("a log group");
    assert_eq!(refused(set(Some("OVERRIDE"), None, None)).0, "InvalidParameterException");
    assert_eq!(refused(set(Some("ELSEWHERE"), None, None)).0, "InvalidParameterException");
    assert_eq!(refused(set(None, None, Some("alias/key"))).0, "NotImplemented");
    let bucket = shape::ExecuteCommandLogConfiguration { s3_bucket_name: Some("b".to_owned()), ..group() };
    assert_eq!(refused(set(Some("OVERRIDE"), Some(bucket), None)).0, "NotImplemented");
    let encrypted = shape::ExecuteCommandLogConfiguration { cloud_watch_encryption_enabled: Some(true), ..group() };
    assert_eq!(refused(set(Some("OVERRIDE"), Some(encrypted), None)).0, "NotImplemented");
}

#[test]
fn an_updated_definition_must_have_what_the_target_groups_lead_to() {
    let server = Server::new();
    server.register(|_| {}).expect("it is valid");
    server.create(|_| {}).expect("it fits");
    let invalid = |message: &str| says("InvalidParameterException", message);
    let update = |change: fn(&mut shape::ContainerDefinition)| {
        let registered = server.register(|input| change(&mut input.container_definitions[0])).expect("it is valid");
        let input = shape::UpdateServiceRequest {
            cluster: Some("c".to_owned()),
            service: "web".to_owned(),
            task_definition: registered.task_definition_arn,
            ..Default::default()
        };
        server.call(server.handlers.update_service, input)
    };
    assert_eq!(
        refused(update(|container| container.port_mappings = None)),
        invalid("The container web did not have a container port 3000 defined.")
    );
    assert_eq!(
        refused(update(|container| container.name = Some("other".to_owned()))),
        invalid("The container web does not exist in the task definition.")
    );
    update(|container| container.cpu = Some(1)).expect("it has the port");
}

#[test]
fn a_task_is_refused_whose_role_cannot_be_had() {
    let server = Server::new();
    let untrusting = "arn:aws:iam::123456789012:role/untrusting";
    server.register(|input| input.task_role_arn = Some(untrusting.to_owned())).expect("nobody looks at it yet");
    let text = format!(
        "ECS was unable to assume the role '{untrusting}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    );
    assert_eq!(refused(server.run(|_| {})), says("ClientException", &text));
}
