//! What the API layer costs a request: signature, decoding, validation, dispatch's conversion, and the answer's encoding.
//!
//! `cargo run --release -p model --example cost`

use http::{HeaderMap, HeaderValue};
use model::{ec2, ecs, elbv2};
use types::Timestamp;
use wire::sigv4::{Authorization, Parts, Secret, Signer, Verifier, payload_hash};
use wire::{Output, Protocol, ServiceInfo, Shape, decode, encode, validate};

const ROUNDS: u32 = 20_000;

fn measure(name: &str, mut each: impl FnMut()) {
    #[allow(clippy::disallowed_methods, reason = "a measurement")]
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        each();
    }
    println!("{name:<44} {:>8.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

fn layers<I: Shape>(protocol: Protocol, service: &ServiceInfo, name: &str, body: &str, output: &dyn Output) {
    let Some((_, operation)) = service.operation(name) else { return };
    measure(&format!("{name}: decode, validate, type"), || {
        let value = decode(protocol, operation.input, body.as_bytes()).expect("decodes");
        validate(service, protocol, operation.input, &value).expect("is valid");
        std::hint::black_box(I::from_value(value));
    });
    let size = encode::output(protocol, service, operation, output, "id").body.len();
    measure(&format!("{name}: encode {size} bytes"), || {
        std::hint::black_box(encode::output(protocol, service, operation, output, "id"));
    });
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn main() {
    let vpc = ec2::Vpc {
        vpc_id: text("vpc-0123456789abcdef0"),
        cidr_block: text("10.0.0.0/16"),
        dhcp_options_id: text("dopt-0123456789abcdef0"),
        owner_id: text("123456789012"),
        state: text("available"),
        is_default: Some(false),
        tags: Some(vec![ec2::Tag { key: text("Name"), value: text("main") }]),
        ..Default::default()
    };
    let vpcs = ec2::DescribeVpcsResult { vpcs: Some(vec![vpc; 5]), next_token: None };
    let form = "Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-0123456789abcdef0";
    layers::<ec2::DescribeVpcsRequest>(Protocol::Ec2, &ec2::SERVICE, "DescribeVpcs", form, &vpcs);

    let service = ecs::Service {
        service_arn: text("arn:aws:ecs:us-east-1:123456789012:service/main/web"),
        service_name: text("web"),
        cluster_arn: text("arn:aws:ecs:us-east-1:123456789012:cluster/main"),
        status: text("ACTIVE"),
        desired_count: Some(3),
        running_count: Some(3),
        created_at: Some(Timestamp(1_700_000_000_123)),
        events: Some(vec![
            ecs::ServiceEvent {
                id: text("1"),
                message: text("(service web) has reached a steady state."),
                ..Default::default()
            };
            5
        ]),
        ..Default::default()
    };
    let services = ecs::DescribeServicesResponse { services: Some(vec![service]), ..Default::default() };
    let body = r#"{"cluster":"main","services":["web"]}"#;
    layers::<ecs::DescribeServicesRequest>(Protocol::Json11, &ecs::SERVICE, "DescribeServices", body, &services);

    let targets = elbv2::DescribeTargetHealthOutput { target_health_descriptions: Some(Vec::new()) };
    let form =
        "Action=DescribeTargetHealth&Version=2015-12-01&TargetGroupArn=arn%3Aaws%3Aelasticloadbalancing%3Aus-east-1";
    layers::<elbv2::DescribeTargetHealthInput>(
        Protocol::Query,
        &elbv2::SERVICE,
        "DescribeTargetHealth",
        form,
        &targets,
    );

    let secret = Secret { key: "secret".to_owned(), token: None };
    let signer = Signer {
        access_key: "test".to_owned(),
        secret: secret.clone(),
        region: "us-east-1".to_owned(),
        service: "ecs".to_owned(),
    };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost:4566"));
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amz-target", HeaderValue::from_static("AmazonEC2ContainerServiceV20141113.DescribeServices"));
    let now = Timestamp(1_795_424_400_000);
    signer.sign("POST", "/", "", &mut headers, &payload_hash(body.as_bytes()), now).expect("signs");
    let verifier = Verifier::default();
    measure("signature: find, hash, verify", || {
        let hash = payload_hash(body.as_bytes());
        let parts = Parts { method: "POST", path: "/", query: "", headers: &headers, payload_hash: &hash };
        let found = Authorization::find(&parts).expect("is whole").expect("is signed");
        verifier.verify(&found, &parts, &secret, now).expect("verifies");
    });
}
