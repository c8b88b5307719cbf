//! What instances are told, over a store in memory.

use super::*;
use crate::api::{Ec2, handlers};
use crate::intent::PublicPool;
use gateway::{Context, Principal};
use model::ec2;
use types::{AccountId, ApiError, SimClock};

struct World {
    store: Store,
    clock: SimClock,
    metadata: Metadata,
    ec2: Ec2,
}

const HOME: &str = "arn:aws:iam::123456789012:instance-profile/nodes";

impl World {
    fn new() -> Self {
        let tables = [crate::tables(), iam::tables(), observe::tables()].concat();
        let store = Store::in_memory(tables);
        let clock = SimClock::new(Timestamp(1_800_000_000_000));
        let directory = tempfile::tempdir().expect("a directory");
        let vault = vault::Vault::open(directory.path()).expect("a key");
        let iam = Iam { account: AccountId::default(), vault };
        let ground = netplan::Ground {
            instance: "0123abcd".to_owned(),
            pool: "198.18.0.0/20".parse().expect("the pool is a block"),
            ipv6: true,
            outbound: false,
        };
        let metadata = Metadata::new(store.clone(), Arc::new(clock.clone()), iam.clone());
        let world = Self { store, clock, metadata, ec2: Ec2 { pool: PublicPool::new(&ground), ground } };
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        let api = iam::handlers();
        let named = |name: &str| name.to_owned();
        world.call(
            &iam,
            api.create_role,
            model::iam::CreateRoleRequest {
                role_name: named("node"),
                assume_role_policy_document: trust.to_owned(),
                ..Default::default()
            },
        );
        world.call(
            &iam,
            api.create_instance_profile,
            model::iam::CreateInstanceProfileRequest { instance_profile_name: named("nodes"), ..Default::default() },
        );
        world.call(
            &iam,
            api.add_role_to_instance_profile,
            model::iam::AddRoleToInstanceProfileRequest {
                instance_profile_name: named("nodes"),
                role_name: named("node"),
            },
        );
        world
    }

    fn call<S, I, O>(&self, service: &S, handler: fn(&S, &mut Context, I) -> Result<O, ApiError>, input: I) -> O {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.clock.now());
        let answer = handler(service, &mut cx, input).unwrap_or_else(|error| panic!("{error}"));
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        answer
    }

    /// An instance, by its address.
    fn run(&self, options: ec2::InstanceMetadataOptionsRequest) -> (VpcId, Ipv4Addr) {
        let tag = ec2::Tag { key: Some("Name".to_owned()), value: Some("node".to_owned()) };
        let input = ec2::RunInstancesRequest {
            image_id: Some(crate::images::all(&Scope::default().region)[0].id.clone()),
            instance_type: Some("t3.small".to_owned()),
            min_count: 1,
            max_count: 1,
            user_data: Some(STANDARD.encode("#!/bin/sh\n")),
            metadata_options: Some(options),
            iam_instance_profile: Some(ec2::IamInstanceProfileSpecification { arn: Some(HOME.to_owned()), name: None }),
            tag_specifications: Some(vec![ec2::TagSpecification {
                resource_type: Some("instance".to_owned()),
                tags: Some(vec![tag]),
            }]),
            ..Default::default()
        };
        let made = self.call(&self.ec2, handlers().run_instances, input);
        let instance = made.instances.unwrap_or_default().remove(0);
        let vpc = instance.vpc_id.and_then(|id| VpcId::parse(&id)).expect("a VPC");
        let ip = instance.private_ip_address.and_then(|ip| ip.parse().ok()).expect("an address");
        (vpc, ip)
    }

    fn ask(&self, (vpc, ip): &(VpcId, Ipv4Addr), request: &Request) -> Option<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.metadata.answer(&Scope::default(), vpc, *ip, request))
    }

    fn get(&self, who: &(VpcId, Ipv4Addr), path: &str, token: Option<&str>) -> (u16, String) {
        let request = Request { path: path.to_owned(), token: token.map(str::to_owned), ..Default::default() };
        let answer = self.ask(who, &request).expect("an instance is answered");
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }

    fn token(&self, who: &(VpcId, Ipv4Addr), seconds: &str) -> Answer {
        let request = Request {
            put: true,
            path: "/latest/api/token".to_owned(),
            ttl: Some(seconds.to_owned()),
            ..Default::default()
        };
        self.ask(who, &request).expect("an instance is answered")
    }
}

fn optional() -> ec2::InstanceMetadataOptionsRequest {
    ec2::InstanceMetadataOptionsRequest { http_tokens: Some("optional".to_owned()), ..Default::default() }
}

#[test]
fn a_token_is_needed_where_it_is_required_and_ends() {
    let world = World::new();
    let (strict, other) = (world.run(ec2::InstanceMetadataOptionsRequest::default()), world.run(optional()));
    assert_eq!(world.get(&strict, "/latest/meta-data/instance-id", None).0, 401);
    assert_eq!(world.get(&other, "/latest/meta-data/instance-id", None).0, 200);
    assert_eq!(world.get(&other, "/latest/meta-data/instance-id", Some("nonsense")).0, 401);
    for bad in ["", "0", "21601", "-1", "x"] {
        assert_eq!(world.token(&strict, bad).status, 400, "{bad}");
    }
    let answer = world.token(&strict, "60");
    assert_eq!((answer.status, answer.token), (200, Some((60, 2))));
    let token = String::from_utf8(answer.body).expect("a token is text");
    assert_eq!(world.get(&strict, "/latest/meta-data/instance-id", Some(&token)).0, 200);
    assert_eq!(world.get(&other, "/latest/meta-data/instance-id", Some(&token)).0, 401, "another's token");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.get(&strict, "/latest/meta-data/instance-id", Some(&token)).0, 401);
    let proxied = Request {
        put: true,
        path: "/latest/api/token".to_owned(),
        ttl: Some("60".to_owned()),
        forwarded: true,
        ..Default::default()
    };
    assert_eq!(world.ask(&strict, &proxied).map(|answer| answer.status), Some(403));
    let elsewhere = Request { put: true, path: "/latest/meta-data".to_owned(), ..Default::default() };
    assert_eq!(world.ask(&strict, &elsewhere).map(|answer| answer.status), Some(405));
    assert_eq!(world.ask(&(strict.0.clone(), Ipv4Addr::new(172, 31, 99, 99)), &elsewhere), None);
}

#[test]
fn the_tree_is_told_and_walked() {
    let world = World::new();
    let switch = |on: &str| Some(on.to_owned());
    let who =
        world.run(ec2::InstanceMetadataOptionsRequest { instance_metadata_tags: switch("enabled"), ..optional() });
    let get = |path: &str| world.get(&who, path, None);
    assert_eq!(get("/latest"), (200, "dynamic/\nmeta-data/\nuser-data".to_owned()));
    assert_eq!(get("/latest/user-data"), (200, "#!/bin/sh\n".to_owned()));
    assert_eq!(get("/latest/meta-data/local-ipv4"), (200, who.1.to_string()));
    assert_eq!(get("/latest/meta-data/tags/instance/Name"), (200, "node".to_owned()));
    assert_eq!(get("/latest/meta-data/placement/region"), (200, "us-east-1".to_owned()));
    let mac = get("/latest/meta-data/mac").1;
    assert_eq!(get("/latest/meta-data/network/interfaces/macs/"), (200, format!("{mac}/")));
    let subnet = get(&format!("/latest/meta-data/network/interfaces/macs/{mac}/subnet-id")).1;
    assert!(subnet.starts_with("subnet-"), "{subnet}");
    assert_eq!(get("/latest/meta-data/nothing").0, 404);
    assert_eq!(get("/latest/meta-data/mac/").0, 404);
    assert_eq!(get("/latest/meta-data/mac/deeper").0, 404);
    assert_eq!(get("/../../etc/passwd").0, 404);
    let document: serde_json::Value =
        serde_json::from_str(&get("/latest/dynamic/instance-identity/document").1).unwrap();
    assert_eq!((&document["instanceType"], &document["privateIp"]), (&json!("t3.small"), &json!(who.1.to_string())));
    let off = world.run(ec2::InstanceMetadataOptionsRequest { http_endpoint: switch("disabled"), ..optional() });
    assert_eq!(world.get(&off, "/latest/meta-data/mac", None).0, 403);
    assert_eq!(world.get(&world.run(optional()), "/latest/meta-data/tags/instance/Name", None).0, 404);
}

#[test]
fn credentials_are_the_roles_and_are_handed_out_again() {
    let world = World::new();
    let who = world.run(optional());
    let get = |path: &str| world.get(&who, path, None);
    assert_eq!(get("/latest/meta-data/iam/security-credentials/"), (200, "node".to_owned()));
    let info: serde_json::Value = serde_json::from_str(&get("/latest/meta-data/iam/info").1).unwrap();
    assert_eq!((&info["Code"], &info["InstanceProfileArn"]), (&json!("Success"), &json!(HOME)));
    let (status, body) = get("/latest/meta-data/iam/security-credentials/node");
    let keys: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &keys["Code"], &keys["Type"]), (200, &json!("Success"), &json!("AWS-HMAC")));
    assert!(keys["AccessKeyId"].as_str().is_some_and(|key| key.starts_with("ASIA")));
    assert_eq!(get("/latest/meta-data/iam/security-credentials/node").1, body, "a session lasts");
    world.clock.advance(Duration::from_hours(6));
    assert_ne!(get("/latest/meta-data/iam/security-credentials/node").1, body);
    assert_eq!(get("/latest/meta-data/iam/security-credentials/other").0, 404);
}
