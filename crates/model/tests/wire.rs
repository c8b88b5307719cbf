//! The generated tables under the codecs of `wire`.

use model::{SERVICES, Stored, Unit, acm, autoscaling, ec2, ecr, ecs, elbv2, iam, logs};
use types::{ApiError, Timestamp};
use wire::schema::{Kind, Schema};
use wire::{Output, Protocol, Service, Shape, decode, encode, validate};

/// Calls `each` on every schema that the operations reach.
fn every_schema(each: &mut dyn FnMut(&'static str, &'static Schema)) {
    fn walk(
        service: &'static str,
        schema: &'static Schema,
        seen: &mut Vec<*const Schema>,
        each: &mut dyn FnMut(&'static str, &'static Schema),
    ) {
        if seen.contains(&std::ptr::from_ref(schema)) {
            return;
        }
        seen.push(schema);
        each(service, schema);
        match &schema.kind {
            Kind::List(list) => walk(service, list.member, seen, each),
            Kind::Map(map) => {
                walk(service, map.key, seen, each);
                walk(service, map.value, seen, each);
            }
            Kind::Structure(members) => members.iter().for_each(|member| walk(service, member.schema, seen, each)),
            _ => {}
        }
    }
    let mut seen = Vec::new();
    for service in SERVICES {
        for operation in service.operations {
            walk(service.name, operation.input, &mut seen, each);
            walk(service.name, operation.output, &mut seen, each);
        }
    }
}

#[test]
fn every_pattern_compiles() {
    let mut broken = Vec::new();
    every_schema(&mut |service, schema| {
        if schema.traits.pattern.as_ref().is_some_and(|pattern| !pattern.compiles()) {
            broken.push((service, schema.name, schema.traits.pattern.as_ref().map(|pattern| pattern.expression)));
        }
    });
    assert!(broken.is_empty(), "not in our engine's syntax: {broken:#?}");
}

#[test]
fn operations_are_sorted_for_lookup() {
    for service in SERVICES {
        assert!(service.operations.is_sorted_by_key(|operation| operation.name), "{}", service.name);
        assert!(service.all.is_sorted(), "{}", service.name);
        assert!(service.operations.iter().all(|operation| service.knows(operation.name)), "{}", service.name);
    }
    assert_eq!(ec2::SERVICE.operation("CreateVpc").map(|(_, found)| found.name), Some("CreateVpc"));
    assert!(ec2::SERVICE.operation("CreateTransitGateway").is_none());
    assert!(ec2::SERVICE.knows("RunInstances"));
}

fn input<T: Shape>(protocol: Protocol, text: &str) -> T {
    T::from_value(decode(protocol, T::SCHEMA, text.as_bytes()).expect("decodes"))
}

#[test]
fn an_ec2_request_decodes() {
    let form = "Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId=sg-1&IpPermissions.1.IpProtocol=tcp\
                &IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F16\
                &IpPermissions.1.Groups.1.GroupId=sg-2";
    let request: ec2::AuthorizeSecurityGroupIngressRequest = input(Protocol::Ec2, form);
    let permissions = request.ip_permissions.expect("permissions");
    assert_eq!(permissions[0].from_port, Some(80));
    assert_eq!(permissions[0].ip_ranges.as_ref().expect("ranges")[0].cidr_ip.as_deref(), Some("10.0.0.0/16"));
    assert_eq!(permissions[0].user_id_group_pairs.as_ref().expect("pairs")[0].group_id.as_deref(), Some("sg-2"));
}

#[test]
fn a_query_request_decodes() {
    let form =
        "Action=CreateTargetGroup&Name=a+b&Matcher.HttpCode=200&Tags.member.1.Key=k&Tags.member.1.Value=v&Port=80";
    let request: elbv2::CreateTargetGroupInput = input(Protocol::Query, form);
    assert_eq!((request.name.as_str(), request.port), ("a b", Some(80)));
    assert_eq!(request.tags.expect("tags")[0].key, "k");
    assert_eq!(request.matcher.expect("matcher").http_code.as_deref(), Some("200"));
}

#[test]
fn a_json_request_decodes_and_a_wrong_kind_is_told() {
    let text = r#"{"family":"f","containerDefinitions":[{"name":"c","cpu":10,"unknown":[{}]}],"cpu":null}"#;
    let request: ecs::RegisterTaskDefinitionRequest = input(Protocol::Json11, text);
    assert_eq!(request.container_definitions[0].cpu, Some(10));
    assert_eq!(request.cpu, None);
    let schema = ecs::RegisterTaskDefinitionRequest::SCHEMA;
    for (text, wanted) in [
        (r#"{"cpu":256}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"containerDefinitions":[{"cpu":"10"}]}"#, "STRING_VALUE cannot be converted to Integer"),
        (r#"{"containerDefinitions":"#, ""),
    ] {
        let error = ApiError::from(decode(Protocol::Json11, schema, text.as_bytes()).expect_err(text));
        assert_eq!((error.code.as_str(), error.message.as_str()), ("SerializationException", wanted), "{text}");
    }
}

/// What the service says to the JSON `text` as the input `T`.
fn refusal<T: Shape>(service: &wire::ServiceInfo, text: &str) -> String {
    let value = decode(Protocol::Json11, T::SCHEMA, text.as_bytes()).expect("decodes");
    let error = validate(service, service.protocols[0], T::SCHEMA, &value).expect_err("is invalid");
    format!("{}: {}", error.code, error.message)
}

#[test]
fn violations_are_told_in_awss_words() {
    assert_eq!(
        refusal::<ecs::RunTaskRequest>(&ecs::SERVICE, r#"{"launchType":"FARGAT","taskDefinition":"t"}"#),
        "InvalidParameterException: 1 validation error detected: Value 'FARGAT' at 'launchType' failed to satisfy constraint: \
         Member must satisfy enum value set: [EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES]"
    );
    assert_eq!(
        refusal::<ec2::DeleteVpcRequest>(&ec2::SERVICE, "{}"),
        "MissingParameter: The request must contain the parameter VpcId"
    );
    assert_eq!(
        refusal::<elbv2::CreateTargetGroupInput>(&elbv2::SERVICE, r#"{"Name":"n","Port":0}"#),
        "ValidationError: 1 validation error detected: Value '0' at 'port' failed to satisfy constraint: Member must have \
         value greater than or equal to 1"
    );
    assert_eq!(
        refusal::<autoscaling::SetDesiredCapacityType>(
            &autoscaling::SERVICE,
            r#"{"AutoScalingGroupName":"","DesiredCapacity":1}"#
        ),
        "ValidationError: 1 validation error detected: Value '' at 'autoScalingGroupName' failed to satisfy constraint: \
         Member must have length greater than or equal to 1"
    );
    assert_eq!(
        refusal::<logs::DescribeLogGroupsRequest>(&logs::SERVICE, r#"{"logGroupNamePrefix":""}"#),
        "InvalidParameterException: 2 validation errors detected: Value '' at 'logGroupNamePrefix' failed to satisfy \
         constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+; Value '' at \
         'logGroupNamePrefix' failed to satisfy constraint: Member must have length greater than or equal to 1"
    );
    assert_eq!(
        refusal::<ecr::CreateRepositoryRequest>(&ecr::SERVICE, r#"{"repositoryName":"Org/repo"}"#),
        "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular \
         expression '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*''"
    );
}

fn text(protocol: Protocol, service: &wire::ServiceInfo, name: &str, output: &dyn Output) -> String {
    let (_, operation) = service.operation(name).expect("implemented");
    String::from_utf8(encode::output(protocol, service, operation, output, "r-1").body).expect("text")
}

#[test]
fn responses_have_each_protocols_form() {
    let vpc = ec2::Vpc { vpc_id: Some("vpc-1".to_owned()), is_default: Some(false), ..Default::default() };
    let output = ec2::DescribeVpcsResult { vpcs: Some(vec![vpc]), next_token: None };
    assert_eq!(
        text(Protocol::Ec2, &ec2::SERVICE, "DescribeVpcs", &output),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>r-1</requestId><vpcSet><item><isDefault>false</isDefault><vpcId>vpc-1</vpcId></item></vpcSet>\
         </DescribeVpcsResponse>"
    );
    assert!(text(Protocol::Ec2, &ec2::SERVICE, "DeleteVpc", &Unit).contains("<return>true</return>"));
    let output = elbv2::DescribeTagsOutput { tag_descriptions: Some(Vec::new()) };
    assert_eq!(
        text(Protocol::Query, &elbv2::SERVICE, "DescribeTags", &output),
        "<DescribeTagsResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><DescribeTagsResult>\
         <TagDescriptions></TagDescriptions></DescribeTagsResult><ResponseMetadata><RequestId>r-1</RequestId>\
         </ResponseMetadata></DescribeTagsResponse>"
    );
    let cluster =
        ecs::Cluster { cluster_name: Some("a\"b".to_owned()), running_tasks_count: Some(0), ..Default::default() };
    let output = ecs::CreateClusterResponse { cluster: Some(cluster) };
    assert_eq!(
        text(Protocol::Json11, &ecs::SERVICE, "CreateCluster", &output),
        r#"{"cluster":{"clusterName":"a\"b","runningTasksCount":0}}"#
    );
}

#[test]
fn errors_take_status_and_spelling_from_the_model() {
    let error = ApiError::new("NoSuchEntity", "The role with name r cannot be found.");
    let encoded = encode::error(Protocol::Query, Some(&iam::SERVICE), &error, "r-1");
    assert_eq!(encoded.status, 404);
    assert_eq!(
        String::from_utf8(encoded.body).expect("text"),
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code>\
         <Message>The role with name r cannot be found.</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    );
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let request = acm::ImportCertificateRequest { private_key: b"secret".to_vec(), ..Default::default() };
    let shown = format!("{request:?}");
    assert!(shown.contains("\"PrivateKey\":\"***\""), "{shown}");
}

#[test]
fn stored_shapes_survive_a_round_trip() {
    let cluster = ecs::Task {
        created_at: Some(Timestamp(1_700_000_000_123)),
        tags: Some(vec![ecs::Tag { key: Some("k".to_owned()), value: None }]),
        ..Default::default()
    };
    let text = serde_json::to_string(&Stored(cluster.clone())).expect("writes");
    let back: Stored<ecs::Task> = serde_json::from_str(&text).expect("reads");
    assert_eq!(back.0, cluster);
}

struct State;

fn dispatch_compiles(handlers: ecs::Handlers<State, u8>) -> Box<dyn Service<u8>> {
    Box::new(ecs::Api::new(State, handlers))
}

#[test]
fn a_service_is_an_object() {
    let _: fn(ecs::Handlers<State, u8>) -> Box<dyn Service<u8>> = dispatch_compiles;
}
