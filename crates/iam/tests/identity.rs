//! Stories of IAM and STS through their handlers, with a store in memory.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use gateway::door::{Endpoint, EndpointPolicy, PolicySource};
use gateway::{Action, Context, Door, Identity, Origin, Principal};
use iam::Iam;
use model::iam::{
    AttachRolePolicyRequest, CreateAccessKeyRequest, CreatePolicyRequest, CreateRoleRequest, CreateUserRequest,
    DeletePolicyRequest, DeleteRoleRequest, DetachRolePolicyRequest, GetPolicyRequest, GetRoleRequest,
    ListAttachedRolePoliciesRequest, ListRolesRequest, PutRolePolicyRequest, PutUserPolicyRequest,
};
use model::sts::{AssumeRoleRequest, GetCallerIdentityRequest};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, View};
use types::id::{VpcEndpointId, VpcId};
use types::{AccountId, ApiError, Scope, Timestamp};
use vault::Vault;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const TRUST_ECS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const EXECUTION: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";

struct World {
    store: Store,
    iam: Iam,
    api: model::iam::Handlers<Iam, Context>,
    sts: model::sts::Handlers<Iam, Context>,
}

impl World {
    fn new() -> Self {
        let iam = Iam { account: AccountId::default(), vault: Vault::ephemeral() };
        let store = Store::in_memory(iam::tables());
        Self { store, iam, api: iam::handlers(), sts: iam::sts_handlers() }
    }

    /// Runs a handler as `principal` and commits where it succeeds.
    fn call_as<T>(
        &self,
        principal: Principal,
        run: impl FnOnce(&Iam, &mut Context) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, NOW);
        let outcome = run(&self.iam, &mut cx);
        let tx = cx.take_tx();
        if outcome.is_ok()
            && let Some(tx) = tx
        {
            tx.commit().wait_blocking().expect("a store in memory commits");
        }
        outcome
    }

    fn call<T>(&self, run: impl FnOnce(&Iam, &mut Context) -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.call_as(iam::auth::root(&self.iam.account), run)
    }

    fn create_role(&self, name: &str, trust: &str) -> Result<model::iam::Role, ApiError> {
        let input = CreateRoleRequest {
            role_name: name.to_owned(),
            assume_role_policy_document: trust.to_owned(),
            ..Default::default()
        };
        self.call(|iam, cx| (self.api.create_role)(iam, cx, input)).map(|output| output.role)
    }

    fn attach(&self, role: &str, arn: &str) -> Result<wire::Unit, ApiError> {
        let input = AttachRolePolicyRequest { role_name: role.to_owned(), policy_arn: arn.to_owned() };
        self.call(|iam, cx| (self.api.attach_role_policy)(iam, cx, input))
    }

    /// A user with an inline policy, as its access key authenticates it.
    fn user(&self, name: &str, statement: &str) -> Principal {
        let user = CreateUserRequest { user_name: name.to_owned(), ..Default::default() };
        self.call(|iam, cx| (self.api.create_user)(iam, cx, user)).unwrap();
        let policy = PutUserPolicyRequest {
            user_name: name.to_owned(),
            policy_name: "p".to_owned(),
            policy_document: format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#),
        };
        self.call(|iam, cx| (self.api.put_user_policy)(iam, cx, policy)).unwrap();
        let key = CreateAccessKeyRequest { user_name: Some(name.to_owned()) };
        let key = self.call(|iam, cx| (self.api.create_access_key)(iam, cx, key)).unwrap().access_key;
        let found = self.iam.credentials(&self.store.view(), &key.access_key_id, NOW).expect("the key is known");
        assert_eq!(found.secret.key, key.secret_access_key);
        found.principal
    }

    fn may(&self, principal: &Principal, action: &str, resource: &str) -> Result<(), ApiError> {
        self.may_from(&Origin::local(), principal, action, resource)
    }

    fn may_from(&self, origin: &Origin, principal: &Principal, action: &str, resource: &str) -> Result<(), ApiError> {
        let resources = [resource.to_owned()];
        let action = Action { action, resources: &resources, region: "us-east-1", origin, now: NOW };
        self.iam.authorize(&self.store.view(), principal, &action)
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ApiError>) -> (String, String) {
    let error = outcome.expect_err("must be refused");
    (error.code, error.message)
}

#[test]
fn a_role_is_made_used_and_deleted_in_order() {
    let world = World::new();
    let role = world.create_role("exec", TRUST_ECS).unwrap();
    assert_eq!(role.arn, "arn:aws:iam::123456789012:role/exec");
    assert!(role.role_id.starts_with("AROA"));
    let encoded = role.assume_role_policy_document.unwrap();
    assert!(encoded.starts_with("%7B%22Version%22%3A%222012-10-17%22"), "{encoded}");
    assert_eq!(
        code(world.create_role("EXEC", TRUST_ECS)),
        ("EntityAlreadyExists".to_owned(), "Role with name EXEC already exists.".to_owned())
    );
    world.attach("exec", EXECUTION).unwrap();
    world.attach("exec", EXECUTION).expect("attaching twice is no error");
    assert_eq!(
        code(world.attach("exec", "arn:aws:iam::aws:policy/NoSuch")).1,
        "Policy arn:aws:iam::aws:policy/NoSuch does not exist or is not attachable."
    );
    assert_eq!(code(world.attach("exec", "nonsense")).0, "InvalidInput");
    let list = ListAttachedRolePoliciesRequest { role_name: "exec".to_owned(), ..Default::default() };
    let attached = world.call(|iam, cx| (world.api.list_attached_role_policies)(iam, cx, list)).unwrap();
    let attached = attached.attached_policies.unwrap();
    assert_eq!(attached[0].policy_name.as_deref(), Some("AmazonECSTaskExecutionRolePolicy"));
    let get = GetPolicyRequest { policy_arn: EXECUTION.to_owned() };
    let policy = world.call(|iam, cx| (world.api.get_policy)(iam, cx, get)).unwrap().policy.unwrap();
    assert_eq!(policy.attachment_count, Some(1));

    let delete = || {
        let input = DeleteRoleRequest { role_name: "exec".to_owned() };
        world.call(|iam, cx| (world.api.delete_role)(iam, cx, input))
    };
    assert_eq!(code(delete()).1, "Cannot delete entity, must detach all policies first.");
    let detach = DetachRolePolicyRequest { role_name: "exec".to_owned(), policy_arn: EXECUTION.to_owned() };
    world.call(|iam, cx| (world.api.detach_role_policy)(iam, cx, detach)).unwrap();
    delete().unwrap();
    let get = GetRoleRequest { role_name: "exec".to_owned() };
    assert_eq!(
        code(world.call(|iam, cx| (world.api.get_role)(iam, cx, get))),
        ("NoSuchEntity".to_owned(), "The role with name exec cannot be found.".to_owned())
    );
}

#[test]
fn trust_policies_with_impossible_principals_are_refused() {
    let world = World::new();
    let trust = |principal: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#
        )
    };
    assert_eq!(
        code(world.create_role("r", &trust(r#"{"Service":"ecs-tasks.amazonaws.co"}"#))).1,
        r#"Invalid principal in policy: "SERVICE":"ecs-tasks.amazonaws.co""#
    );
    assert_eq!(
        code(world.create_role("r", &trust(r#"{"AWS":"arn:aws:iam::123456789012:user/nobody"}"#))).0,
        "MalformedPolicyDocument"
    );
    world.create_role("r", &trust(r#"{"AWS":"arn:aws:iam::123456789012:root"}"#)).unwrap();
}

#[test]
fn what_a_user_may_is_what_its_policies_say() {
    let world = World::new();
    let jo = world.user("jo", r#"{"Effect":"Allow","Action":"ecs:Describe*","Resource":"*"}"#);
    assert_eq!(world.may(&jo, "ecs:DescribeClusters", "*"), Ok(()));
    assert_eq!(
        code(world.may(&jo, "ecs:RunTask", "*")),
        (
            "AccessDeniedException".to_owned(),
            "User: arn:aws:iam::123456789012:user/jo is not authorized to perform: ecs:RunTask on resource: * because no \
             identity-based policy allows the ecs:RunTask action"
                .to_owned()
        )
    );
    assert_eq!(code(world.may(&jo, "ec2:RunInstances", "*")).0, "UnauthorizedOperation");
    assert_eq!(code(world.may(&jo, "iam:CreateRole", "*")).0, "AccessDenied");
    let who =
        world.call_as(jo, |iam, cx| (world.sts.get_caller_identity)(iam, cx, GetCallerIdentityRequest::default()));
    assert_eq!(who.unwrap().arn.as_deref(), Some("arn:aws:iam::123456789012:user/jo"));
}

#[test]
fn a_session_lives_until_it_ends_and_its_policy_limits_it() {
    let world = World::new();
    let jo = world.user("jo", r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}"#);
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}"#;
    let role = world.create_role("app", trust).unwrap();
    let policy = PutRolePolicyRequest {
        role_name: "app".to_owned(),
        policy_name: "all".to_owned(),
        policy_document: r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#
            .to_owned(),
    };
    world.call(|iam, cx| (world.api.put_role_policy)(iam, cx, policy)).unwrap();
    let assume = |policy: Option<&str>, arn: &str, seconds: i32| {
        let input = AssumeRoleRequest {
            role_arn: arn.to_owned(),
            role_session_name: "s1".to_owned(),
            duration_seconds: Some(seconds),
            policy: policy.map(str::to_owned),
            ..Default::default()
        };
        world.call_as(jo.clone(), |iam, cx| (world.sts.assume_role)(iam, cx, input))
    };
    assert_eq!(code(assume(None, &role.arn, 7200)).0, "ValidationError");
    assert_eq!(
        code(assume(None, "arn:aws:iam::123456789012:role/none", 900)),
        (
            "AccessDenied".to_owned(),
            "User: arn:aws:iam::123456789012:user/jo is not authorized to perform: sts:AssumeRole on resource: \
             arn:aws:iam::123456789012:role/none"
                .to_owned()
        )
    );
    let limit = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:*","Resource":"*"}}"#;
    let session = assume(Some(limit), &role.arn, 900).unwrap();
    let arn = session.assumed_role_user.unwrap().arn;
    assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/app/s1");
    let keys = session.credentials.unwrap();
    assert!(keys.access_key_id.starts_with("ASIA"));
    let view = world.store.view();
    let found = world.iam.credentials(&view, &keys.access_key_id, NOW).expect("the session is known");
    assert_eq!(found.secret.token, Some(keys.session_token));
    assert_eq!(found.secret.key, keys.secret_access_key);
    let later = NOW.plus(Duration::from_mins(15));
    assert!(world.iam.credentials(&view, &keys.access_key_id, later).is_none(), "the session has ended");
    assert_eq!(world.may(&found.principal, "ecs:RunTask", "*"), Ok(()));
    let (_, text) = code(world.may(&found.principal, "ecr:PutImage", "*"));
    assert!(text.ends_with("because no session policy allows the ecr:PutImage action"), "{text}");
}

#[test]
fn the_agent_gets_a_role_only_if_it_trusts_the_service() {
    let world = World::new();
    world.create_role("exec", TRUST_ECS).unwrap();
    world.attach("exec", EXECUTION).unwrap();
    let arn = "arn:aws:iam::123456789012:role/exec";
    let mut tx = world.store.begin();
    let lasting = (NOW, Duration::from_hours(1));
    let keys = iam::query::assume_for_task(&world.iam, &mut tx, arn, "ecs-tasks.amazonaws.com", "t1", lasting).unwrap();
    tx.commit().wait_blocking().unwrap();
    let view = world.store.view();
    let found = world.iam.credentials(&view, &keys.access_key_id, NOW).expect("the session is known");
    assert_eq!(world.may(&found.principal, "logs:PutLogEvents", "*"), Ok(()));
    assert!(iam::query::trusts_service(&view, arn, "ec2.amazonaws.com", NOW).is_err());
    assert!(
        iam::query::trusts_service(&view, "arn:aws:iam::123456789012:role/x", "ecs-tasks.amazonaws.com", NOW).is_err()
    );
    assert_eq!(iam::query::role_may(&view, arn, "t1", "ecr:BatchGetImage", &[], (NOW, None)), Ok(()));
    let denied =
        iam::query::role_may(&view, arn, "t1", "secretsmanager:GetSecretValue", &["arn:aws:x:::y"], (NOW, None));
    let denied = denied.unwrap_err();
    assert!(denied.is_silence(), "nothing denies");
    let names = |service| iam::query::role_names_service(&view, arn, "t1", service);
    assert!(names("ecr") && names("logs") && !names("secretsmanager") && !names("ec"));
    assert_eq!(
        denied.to_string(),
        "User: arn:aws:sts::123456789012:assumed-role/exec/t1 is not authorized to perform: secretsmanager:GetSecretValue \
         on resource: arn:aws:x:::y because no identity-based policy allows the secretsmanager:GetSecretValue action"
    );
    let jo = world.user("jo", r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*"}"#);
    assert!(iam::query::may_pass(&world.store.view(), &jo, arn, "ecs-tasks.amazonaws.com", NOW).is_err());
}

#[test]
fn managed_policies_are_kept_while_they_are_attached_and_lists_have_pages() {
    let world = World::new();
    let create = CreatePolicyRequest {
        policy_name: "mine".to_owned(),
        path: Some("/team/".to_owned()),
        policy_document: r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:*","Resource":"*"}}"#
            .to_owned(),
        ..Default::default()
    };
    let policy = world.call(|iam, cx| (world.api.create_policy)(iam, cx, create)).unwrap().policy.unwrap();
    let arn = policy.arn.unwrap();
    assert_eq!(arn, "arn:aws:iam::123456789012:policy/team/mine");
    for name in ["a", "b", "c"] {
        world.create_role(name, TRUST_ECS).unwrap();
    }
    world.attach("a", &arn).unwrap();
    let delete = DeletePolicyRequest { policy_arn: arn };
    assert_eq!(code(world.call(|iam, cx| (world.api.delete_policy)(iam, cx, delete))).0, "DeleteConflict");
    let list = |marker: Option<String>| {
        let input = ListRolesRequest { marker, max_items: Some(2), ..Default::default() };
        world.call(|iam, cx| (world.api.list_roles)(iam, cx, input)).unwrap()
    };
    let first = list(None);
    assert_eq!((first.roles.len(), first.is_truncated), (2, Some(true)));
    let second = list(first.marker);
    assert_eq!((second.roles[0].role_name.as_str(), second.is_truncated), ("c", Some(false)));
}

/// Somebody who comes through an endpoint for a service that has such a policy.
fn through_endpoint(service: &str, policy: fn(&View, &Scope, &VpcEndpointId) -> EndpointPolicy) -> Origin {
    let endpoint = Endpoint {
        scope: Scope::default(),
        id: VpcEndpointId::generate(),
        vpc: VpcId::generate(),
        service: service.to_owned(),
        policy: PolicySource(policy),
    };
    Origin { peer: ([10, 0, 1, 5], 40_000).into(), door: Door::Endpoint(Arc::new(endpoint)) }
}

fn reads(_: &View, _: &Scope, _: &VpcEndpointId) -> EndpointPolicy {
    let statement = r#"{"Effect":"Allow","Principal":"*","Action":["logs:Describe*","sts:*"],"Resource":"*"}"#;
    EndpointPolicy::Document(format!(r#"{{"Statement":[{statement}]}}"#))
}

fn denies(_: &View, _: &Scope, _: &VpcEndpointId) -> EndpointPolicy {
    let statement = r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}"#;
    EndpointPolicy::Document(format!(r#"{{"Statement":[{statement}]}}"#))
}

#[test]
fn a_policy_of_an_endpoint_binds_everybody_who_comes_through_it() {
    let world = World::new();
    let root = iam::auth::root(&AccountId::default());
    let reading = through_endpoint("logs", reads);
    assert_eq!(world.may_from(&reading, &root, "logs:DescribeLogGroups", "*"), Ok(()));
    let (kind, text) = code(world.may_from(&reading, &root, "logs:PutLogEvents", "*"));
    assert_eq!(
        (kind.as_str(), text.as_str()),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:root is not authorized to perform: logs:PutLogEvents on resource: * because \
             no VPC endpoint policy allows the logs:PutLogEvents action"
        )
    );
    // Not even who one is may be asked through one that does not let it.
    let nobody = through_endpoint("sts", denies);
    let (_, text) = code(world.may_from(&nobody, &root, "sts:GetCallerIdentity", "*"));
    assert!(text.ends_with(" with an explicit deny in a VPC endpoint policy"), "{text}");
    // Full access is no permission of the caller's own.
    let open = through_endpoint("logs", |_, _, _| EndpointPolicy::FullAccess);
    let jo = world.user("jo", r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*"}"#);
    assert_eq!(world.may_from(&open, &root, "logs:PutLogEvents", "*"), Ok(()));
    let (_, text) = code(world.may_from(&open, &jo, "logs:PutLogEvents", "*"));
    assert!(text.ends_with("because no identity-based policy allows the logs:PutLogEvents action"), "{text}");
    // One that is gone lets nothing pass.
    let gone = through_endpoint("logs", |_, _, _| EndpointPolicy::Gone);
    assert!(world.may_from(&gone, &root, "logs:PutLogEvents", "*").is_err());
}

#[test]
fn policies_can_tell_endpoints_apart() {
    let world = World::new();
    let [one, other] = [(); 2].map(|()| through_endpoint("ecs", |_, _, _| EndpointPolicy::FullAccess));
    let id = one.endpoint().map(|endpoint| endpoint.id.to_string()).unwrap();
    let vpc = other.endpoint().map(|endpoint| endpoint.vpc.to_string()).unwrap();
    let statement = format!(
        r#"{{"Effect":"Allow","Action":"ecs:RunTask","Resource":"*","Condition":{{"StringEquals":{{"aws:SourceVpce":"{id}"}}}}}},
        {{"Effect":"Allow","Action":"ecs:StopTask","Resource":"*","Condition":{{"StringEquals":{{"aws:SourceVpc":"{vpc}"}},
            "IpAddress":{{"aws:VpcSourceIp":"10.0.0.0/16"}},"Null":{{"aws:SourceIp":"true"}}}}}}"#
    );
    let jo = world.user("jo", &statement);
    for (from, action, allowed) in [
        (&one, "ecs:RunTask", true),
        (&other, "ecs:RunTask", false),
        (&one, "ecs:StopTask", false),
        (&other, "ecs:StopTask", true),
        (&Origin::local(), "ecs:RunTask", false),
        (&Origin::local(), "ecs:StopTask", false),
    ] {
        assert_eq!(world.may_from(from, &jo, action, "*").is_ok(), allowed, "{action} from {from:?}");
    }
}
