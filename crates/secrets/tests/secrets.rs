//! Stories of Secrets Manager and the Parameter Store through their handlers, with a store in memory.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use gateway::{Context, Principal};
use model::secretsmanager::{
    CreateSecretRequest, DeleteSecretRequest, DescribeSecretRequest, GetSecretValueRequest, GetSecretValueResponse,
    PutSecretValueRequest, RestoreSecretRequest,
};
use model::ssm::{GetParameterRequest, GetParametersByPathRequest, GetParametersRequest, PutParameterRequest};
use secrets::Secrets;
use secrets::query::{Reference, Unresolved, resolve};
use store::Store;
use types::{AccountId, ApiError, Scope, Timestamp};
use vault::Vault;

struct World {
    store: Store,
    secrets: Secrets,
    api: model::secretsmanager::Handlers<Secrets, Context>,
    ssm: model::ssm::Handlers<Secrets, Context>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::in_memory(secrets::tables()),
            secrets: Secrets { vault: Vault::ephemeral() },
            api: secrets::handlers(),
            ssm: secrets::ssm_handlers(),
            now: Timestamp(1_790_000_000_000),
        }
    }

    fn call<T>(&self, run: impl FnOnce(&Secrets, &mut Context) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let principal = Principal::root(&AccountId::default(), "test");
        let mut cx = Context::new(self.store.clone(), Scope::default(), principal, self.now);
        let outcome = run(&self.secrets, &mut cx);
        let tx = cx.take_tx();
        if outcome.is_ok()
            && let Some(tx) = tx
        {
            tx.commit().wait_blocking().expect("a store in memory commits");
        }
        outcome
    }

    fn create(&self, name: &str, value: &str) -> Result<String, ApiError> {
        let input =
            CreateSecretRequest { name: name.to_owned(), secret_string: Some(value.to_owned()), ..Default::default() };
        self.call(|s, cx| (self.api.create_secret)(s, cx, input)).map(|output| output.arn.unwrap())
    }

    fn get(&self, id: &str, stage: Option<&str>) -> Result<GetSecretValueResponse, ApiError> {
        let input = GetSecretValueRequest {
            secret_id: id.to_owned(),
            version_stage: stage.map(str::to_owned),
            ..Default::default()
        };
        self.call(|s, cx| (self.api.get_secret_value)(s, cx, input))
    }

    fn put(&self, id: &str, value: &str, token: Option<&str>) -> Result<String, ApiError> {
        let input = PutSecretValueRequest {
            secret_id: id.to_owned(),
            secret_string: Some(value.to_owned()),
            client_request_token: token.map(str::to_owned),
            ..Default::default()
        };
        self.call(|s, cx| (self.api.put_secret_value)(s, cx, input)).map(|output| output.version_id.unwrap())
    }

    fn put_parameter(&self, name: &str, value: &str, kind: &str, overwrite: bool) -> Result<i64, ApiError> {
        let input = PutParameterRequest {
            name: name.to_owned(),
            value: value.to_owned(),
            type_: Some(kind.to_owned()),
            overwrite: Some(overwrite),
            ..Default::default()
        };
        self.call(|s, cx| (self.ssm.put_parameter)(s, cx, input)).map(|output| output.version.unwrap())
    }

    fn parameter(&self, name: &str, decrypt: bool) -> Result<String, ApiError> {
        let input = GetParameterRequest { name: name.to_owned(), with_decryption: Some(decrypt) };
        self.call(|s, cx| (self.ssm.get_parameter)(s, cx, input)).map(|output| output.parameter.unwrap().value.unwrap())
    }
}

fn text(value: GetSecretValueResponse) -> String {
    value.secret_string.expect("a string")
}

#[test]
fn values_move_through_their_stages() {
    let world = World::new();
    let arn = world.create("app/db", "one").unwrap();
    assert!(arn.starts_with("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-"));
    assert_eq!(
        world.create("app/db", "x").unwrap_err().message,
        "The operation failed because the secret app/db already exists."
    );
    let token = "0123456789abcdef0123456789abcdef";
    assert_eq!(world.put("app/db", "two", Some(token)).unwrap(), token);
    world.put("app/db", "two", Some(token)).expect("a retry succeeds");
    assert_eq!(world.put("app/db", "three", Some(token)).unwrap_err().code, "ResourceExistsException");
    assert_eq!(text(world.get(&arn, None).unwrap()), "two");
    let partial = arn.rsplit_once('-').unwrap().0;
    assert_eq!(text(world.get(partial, Some("AWSPREVIOUS")).unwrap()), "one");
    assert_eq!(
        world.get("app/db", Some("NONE")).unwrap_err().message,
        "Secrets Manager can't find the specified secret value for staging label: NONE"
    );
    assert_eq!(world.get("other", None).unwrap_err().message, "Secrets Manager can't find the specified secret.");
}

#[test]
fn a_deleted_secret_can_be_restored_within_its_window() {
    let mut world = World::new();
    world.create("s", "v").unwrap();
    let delete = |world: &World| {
        let input =
            DeleteSecretRequest { secret_id: "s".to_owned(), recovery_window_in_days: Some(7), ..Default::default() };
        world.call(|s, cx| (world.api.delete_secret)(s, cx, input))
    };
    delete(&world).unwrap();
    assert_eq!(world.get("s", None).unwrap_err().code, "InvalidRequestException");
    assert!(world.create("s", "w").unwrap_err().message.contains("already scheduled for deletion"));
    let restore = RestoreSecretRequest { secret_id: "s".to_owned() };
    world.call(|s, cx| (world.api.restore_secret)(s, cx, restore)).unwrap();
    assert_eq!(text(world.get("s", None).unwrap()), "v");
    delete(&world).unwrap();
    world.now = world.now.plus(std::time::Duration::from_hours(7 * 24));
    let describe = DescribeSecretRequest { secret_id: "s".to_owned() };
    assert!(world.call(|s, cx| (world.api.describe_secret)(s, cx, describe)).is_err(), "the window has passed");
    world.create("s", "new").unwrap();
    assert_eq!(text(world.get("s", None).unwrap()), "new");
}

#[test]
fn parameters_have_versions_paths_and_sealed_values() {
    let world = World::new();
    assert_eq!(world.put_parameter("/app/db/url", "one", "SecureString", false), Ok(1));
    assert_eq!(
        world.put_parameter("/app/db/url", "two", "SecureString", false).unwrap_err().code,
        "ParameterAlreadyExists"
    );
    assert_eq!(world.put_parameter("/app/db/url", "two", "SecureString", true), Ok(2));
    world.put_parameter("/app/name", "web", "String", false).unwrap();
    assert_eq!(world.parameter("/app/db/url", true).as_deref(), Ok("two"));
    assert_eq!(world.parameter("/app/db/url:1", true).as_deref(), Ok("one"));
    assert_ne!(world.parameter("/app/db/url", false).as_deref(), Ok("two"), "shown without decryption");
    assert_eq!(world.parameter("/app/db/url:9", true).unwrap_err().code, "ParameterVersionNotFound");
    assert_eq!(world.parameter("/none", true).unwrap_err().code, "ParameterNotFound");
    let by_path = |recursive| {
        let input =
            GetParametersByPathRequest { path: "/app".to_owned(), recursive: Some(recursive), ..Default::default() };
        world.call(|s, cx| (world.ssm.get_parameters_by_path)(s, cx, input)).unwrap().parameters.unwrap().len()
    };
    assert_eq!((by_path(false), by_path(true)), (1, 2));
    let many = GetParametersRequest { names: vec!["/app/name".to_owned(), "/none".to_owned()], ..Default::default() };
    let many = world.call(|s, cx| (world.ssm.get_parameters)(s, cx, many)).unwrap();
    assert_eq!(many.invalid_parameters, Some(vec!["/none".to_owned()]));
    world.create("viassm", "hidden").unwrap();
    assert_eq!(world.parameter("/aws/reference/secretsmanager/viassm", true).as_deref(), Ok("hidden"));
}

#[test]
fn a_task_gets_what_value_from_names() {
    let world = World::new();
    let arn = world.create("db", r#"{"url":"postgres://x","port":5432}"#).unwrap();
    world.put_parameter("/app/name", "web", "String", false).unwrap();
    let scope = Scope::default();
    let value = |from: &str| {
        let reference = Reference::parse(&scope, from).expect("a reference");
        resolve(&world.secrets, &world.store.view(), &reference, world.now)
    };
    assert_eq!(value(&format!("{arn}:url::")).as_deref(), Ok("postgres://x"));
    assert_eq!(value(&format!("{arn}:port::")).as_deref(), Ok("5432"));
    assert_eq!(value(&format!("{arn}:none::")), Err(Unresolved::NoJsonKey("none".to_owned())));
    assert!(matches!(value(&format!("{arn}::AWSPREVIOUS:")), Err(Unresolved::Service(_))));
    assert_eq!(value("/app/name").as_deref(), Ok("web"));
    assert_eq!(value("/app/none").unwrap_err().to_string(), "invalid ssm parameters: /app/none");
    let json = serde_json::to_string(&*world.store.view().get::<secrets::rows::Secret>(&scope, "db").unwrap()).unwrap();
    assert!(!json.contains("postgres"), "a plain value would reach the disk");
}
