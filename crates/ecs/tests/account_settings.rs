//! Account settings: whose hold for whom, and what they do.

mod fakes;

use ecs::Ecs;
use fakes::{Outside, REGISTRY};
use gateway::{Context, Principal, PrincipalKind};
use model::ecs as shape;
use store::Store;
use types::{AccountId, ApiError, Scope, SimClock, Timestamp};

const ROOT: &str = "arn:aws:iam::123456789012:root";
const USER: &str = "arn:aws:iam::123456789012:user/u";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/r/s";

struct Server {
    store: Store,
    ecs: Ecs,
    handlers: shape::Handlers<Ecs, Context>,
}

type Handler<I, O> = fn(&Ecs, &mut Context, I) -> Result<O, ApiError>;

impl Server {
    fn new() -> Self {
        let outside = Outside::new(SimClock::new(Timestamp(0)));
        Self { store: Store::in_memory(ecs::tables()), ecs: Ecs::new(outside.ports()), handlers: ecs::handlers() }
    }

    fn call<I, O>(&self, who: &str, handler: Handler<I, O>, input: I) -> Result<O, ApiError> {
        let kind = match who {
            ROOT => PrincipalKind::Root,
            SESSION => PrincipalKind::AssumedRole,
            _ => PrincipalKind::User,
        };
        let principal = Principal {
            kind,
            account: AccountId::default(),
            arn: who.to_owned(),
            user_id: "x".to_owned(),
            access_key: "x".to_owned(),
        };
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, Timestamp(0));
        let answer = handler(&self.ecs, &mut cx, input)?;
        if let Some(tx) = cx.take_tx() {
            tx.commit().wait_blocking().expect("the memory store commits");
        }
        Ok(answer)
    }

    fn put(&self, who: &str, name: &str, value: &str, whom: Option<&str>) -> Result<shape::Setting, ApiError> {
        let input = shape::PutAccountSettingRequest {
            name: name.to_owned(),
            value: value.to_owned(),
            principal_arn: whom.map(str::to_owned),
        };
        self.call(who, self.handlers.put_account_setting, input).map(|answer| answer.setting.expect("it is shown"))
    }

    /// The settings that are listed for `who`: names and values.
    fn list(&self, who: &str, name: Option<&str>, effective: bool) -> Vec<(String, String)> {
        let input = shape::ListAccountSettingsRequest {
            name: name.map(str::to_owned),
            effective_settings: Some(effective),
            max_results: Some(100),
            ..Default::default()
        };
        let answer = self.call(who, self.handlers.list_account_settings, input).expect("they can be listed");
        let pair = |setting: shape::Setting| Some((setting.name?, setting.value?));
        answer.settings.expect("a list").into_iter().filter_map(pair).collect()
    }

    /// `containerInsights` of a new cluster.
    fn insights(&self, who: &str, cluster: &str) -> Option<String> {
        let input = shape::CreateClusterRequest { cluster_name: Some(cluster.to_owned()), ..Default::default() };
        let made = self.call(who, self.handlers.create_cluster, input).expect("it can be made").cluster?;
        made.settings?.first()?.value.clone()
    }
}

#[test]
fn what_a_principal_sets_holds_for_it_and_what_root_sets_for_all_others() {
    let server = Server::new();
    assert_eq!(server.list(USER, None, false), [], "nobody has set anything");
    assert_eq!(server.list(USER, None, true).len(), 11);
    let insights = |who: &str| server.list(who, Some("containerInsights"), true)[0].1.clone();
    assert_eq!(insights(USER), "disabled");
    let input =
        shape::PutAccountSettingDefaultRequest { name: "containerInsights".to_owned(), value: "enhanced".to_owned() };
    server.call(USER, server.handlers.put_account_setting_default, input).expect("it can be set");
    assert_eq!((insights(USER), insights(SESSION)), ("enhanced".to_owned(), "enhanced".to_owned()));
    let set = server.put(USER, "containerInsights", "on", None).expect("it can be set");
    assert_eq!((set.value.as_deref(), set.principal_arn.as_deref()), (Some("enabled"), Some(USER)));
    assert_eq!((insights(USER), insights(ROOT)), ("enabled".to_owned(), "enhanced".to_owned()));
    assert_eq!(server.list(USER, None, false), [("containerInsights".to_owned(), "enabled".to_owned())]);

    // They are what new clusters have.
    assert_eq!(server.insights(USER, "a").as_deref(), Some("enabled"));
    assert_eq!(server.insights(SESSION, "b").as_deref(), Some("enhanced"));

    let role = "arn:aws:iam::123456789012:role/r";
    server.put(ROOT, "containerInsights", "disabled", Some(role)).expect("root sets for others");
    assert_eq!(insights(SESSION), "disabled", "a session has its role's");
    assert_eq!(
        server.put(USER, "containerInsights", "disabled", Some(role)).unwrap_err().code,
        "AccessDeniedException"
    );
    let input = shape::DeleteAccountSettingRequest { name: "containerInsights".to_owned(), principal_arn: None };
    server.call(USER, server.handlers.delete_account_setting, input).expect("it can be taken back");
    assert_eq!(insights(USER), "enhanced");
}

#[test]
fn what_cannot_be_set_is_refused() {
    let server = Server::new();
    for (name, value) in [
        ("taskLongArnFormat", "disabled"),
        ("guardDutyActivate", "on"),
        ("fargateTaskRetirementWaitPeriod", "8"),
        ("containerInsights", "much"),
    ] {
        assert_eq!(server.put(ROOT, name, value, None).unwrap_err().code, "InvalidParameterException", "{name}");
    }
    let refused = server.put(ROOT, "awsvpcTrunking", "enabled", Some("arn:aws:iam::210987654321:user/x")).unwrap_err();
    assert_eq!(refused.code, "InvalidParameterException", "another account's");
}

#[test]
fn services_are_found_by_namespace() {
    let server = Server::new();
    server.insights(ROOT, "default");
    let container = shape::ContainerDefinition {
        name: Some("web".to_owned()),
        image: Some("app:1".to_owned()),
        ..Default::default()
    };
    let definition = shape::RegisterTaskDefinitionRequest {
        family: "web".to_owned(),
        network_mode: Some("awsvpc".to_owned()),
        requires_compatibilities: Some(vec!["FARGATE".to_owned()]),
        cpu: Some("256".to_owned()),
        memory: Some("512".to_owned()),
        container_definitions: vec![container],
        ..Default::default()
    };
    server.call(ROOT, server.handlers.register_task_definition, definition).expect("it is valid");
    let vpc = shape::AwsVpcConfiguration { subnets: vec!["subnet-a".to_owned()], ..Default::default() };
    let service = |name: &str, registry: Option<&str>| shape::CreateServiceRequest {
        service_name: name.to_owned(),
        task_definition: Some("web".to_owned()),
        desired_count: Some(0),
        launch_type: Some("FARGATE".to_owned()),
        network_configuration: Some(shape::NetworkConfiguration { awsvpc_configuration: Some(vpc.clone()) }),
        service_registries: registry
            .map(|arn| vec![shape::ServiceRegistry { registry_arn: Some(arn.to_owned()), ..Default::default() }]),
        ..Default::default()
    };
    for (name, registry) in [("a", Some(REGISTRY)), ("b", None)] {
        server.call(ROOT, server.handlers.create_service, service(name, registry)).expect("it can be made");
    }
    let list = |namespace: &str| {
        let input = shape::ListServicesByNamespaceRequest { namespace: namespace.to_owned(), ..Default::default() };
        server.call(ROOT, server.handlers.list_services_by_namespace, input).map(|answer| answer.service_arns)
    };
    let arn = "arn:aws:ecs:us-east-1:123456789012:service/default/a".to_owned();
    assert_eq!(list("corp.local"), Ok(Some(vec![arn])));
    assert_eq!(list("none").unwrap_err().code, "NamespaceNotFoundException");
}
