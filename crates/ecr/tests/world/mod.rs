//! A registry and its API behind the real gateway on a free port, for tests; and a small client.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses a part of it

use blob::{BlobStore, Digest};
use bytes::Bytes;
use controller::{Runner, SystemClock};
use ecr::{Config, Ecr, LayerBucket, Registry};
use gateway::identity::{Action, Credentials};
use gateway::{Context, Door, Gateway, Identity, Principal, PrincipalKind};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::ecr::{CreateRepositoryRequest, GetAuthorizationTokenRequest};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use store::{Store, View};
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::{AccountId, ApiError, Clock, Scope, Timestamp};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `test` is the account; `AKIAREADER` is a user who may only pull.
struct People;

pub fn root() -> Principal {
    Principal::root(&AccountId::default(), "test")
}

pub fn reader() -> Principal {
    Principal {
        kind: PrincipalKind::User,
        arn: "arn:aws:iam::123456789012:user/reader".into(),
        user_id: "AIDAREADER".into(),
        access_key: "AKIAREADER".into(),
        ..root()
    }
}

impl Identity for People {
    fn credentials(&self, _: &View, access_key: &str, _: Timestamp) -> Option<Credentials> {
        let secret = wire::sigv4::Secret { key: "test".into(), token: None };
        (access_key == "test").then(|| Credentials { secret, principal: root() })
    }

    fn authorize(&self, _: &View, principal: &Principal, action: &Action<'_>) -> Result<(), ApiError> {
        let pulls = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];
        if *principal == root() || pulls.contains(&action.action) {
            return Ok(());
        }
        let why = format!(
            "User: {} is not authorized to perform: {} on resource: {} because no identity-based policy allows the {} action",
            principal.arn, action.action, action.resources[0], action.action
        );
        Err(ApiError::new("AccessDeniedException", why))
    }

    fn authorize_signed_by(&self, _: &View, _: &str, _: &Action<'_>) -> Result<(), ApiError> {
        Ok(())
    }
}

pub struct World {
    pub ecr: Ecr,
    gateway: Gateway,
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: watch::Sender<bool>,
    runner: Option<Runner>,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    /// The code and the message of the first error.
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let text = |name: &str| json["errors"][0][name].as_str().unwrap_or("").to_owned();
        (text("code"), text("message"))
    }
}

impl World {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, Arc::new(SystemClock)).await
    }

    pub async fn start_in(dir: tempfile::TempDir, clock: Arc<dyn Clock>) -> Self {
        let store = Store::open(&dir.path().join("store"), [ecr::tables(), events::tables()].concat()).unwrap();
        let blobs = Arc::new(BlobStore::open(dir.path(), clock.clone()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            host: format!("localhost:{}", address.port()),
            endpoint: format!("http://localhost:{}", address.port()),
            ..Config::new(dir.path())
        };
        let ecr = Ecr::open(config, store.clone(), blobs, clock.clone(), Arc::new(People)).unwrap();
        let runner =
            Runner::start(&store, clock.clone(), ecr::controller::controllers(&ecr), controller::Limits::default());
        let api = model::ecr::Api::new(ecr.clone(), ecr::handlers());
        let gateway = Gateway::new(
            store,
            clock,
            Arc::new(People),
            vec![Box::new(api)],
            vec![Box::new(LayerBucket::new(ecr.clone())), Box::new(Registry::new(ecr.clone()))],
            |_, _, _, _| None,
        );
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(gateway.clone().serve(listener, Door::Machine, stopped));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { ecr, gateway, address, dir, client, stop, runner: Some(runner) }
    }

    /// The address of another door.
    pub async fn open_door(&self, door: Door) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(self.gateway.clone().serve(listener, door, self.stop.subscribe()));
        address
    }

    /// Waits until the controllers rest.
    pub async fn idle(&self) {
        self.runner.as_ref().unwrap().idle().await;
    }

    /// Ends the server as a crash would, and gives back its data.
    pub async fn end(mut self) -> tempfile::TempDir {
        self.stop.send(true).unwrap();
        let _ = self.runner.take().unwrap().shutdown(std::time::Duration::from_secs(5)).await;
        self.dir
    }

    /// Runs one handler and commits, as the gateway does.
    pub async fn call<I, O>(
        &self,
        handler: fn(&Ecr, &mut Context, I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        self.call_as(root(), handler, input).await
    }

    pub async fn call_as<I, O>(
        &self,
        principal: Principal,
        handler: fn(&Ecr, &mut Context, I) -> Result<O, ApiError>,
        input: I,
    ) -> Result<O, ApiError> {
        let now = self.ecr.clock().now();
        let (output, ticket) = {
            let mut cx = Context::new(self.ecr.store().clone(), Scope::default(), principal, now);
            let output = handler(&self.ecr, &mut cx, input)?;
            (output, cx.take_tx().map(store::Tx::commit))
        };
        if let Some(ticket) = ticket {
            ticket.wait().await.unwrap();
        }
        Ok(output)
    }

    pub async fn create(&self, name: &str) {
        let input = CreateRepositoryRequest { repository_name: name.to_owned(), ..Default::default() };
        self.call(ecr::handlers().create_repository, input).await.unwrap();
    }

    /// `AWS:<password>`
    pub async fn login(&self, principal: Principal) -> String {
        use base64::Engine as _;
        let input = GetAuthorizationTokenRequest::default();
        let output = self.call_as(principal, ecr::handlers().get_authorization_token, input).await.unwrap();
        let token = output.authorization_data.unwrap().remove(0).authorization_token.unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(token).unwrap()).unwrap()
    }

    /// A request as the account's root.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let login = self.login(root()).await;
        self.send_as(&login, method, path, headers, body).await
    }

    pub async fn send_as(
        &self,
        login: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let reply = self.request(self.address, login, (method, path), headers, body.into()).await;
        assert_eq!(reply.headers["docker-distribution-api-version"], "registry/2.0");
        reply
    }

    /// The same at another door, without a body.
    pub async fn send_to(
        &self,
        address: SocketAddr,
        login: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.request(address, login, (method, path), headers, Bytes::new()).await
    }

    async fn request(
        &self,
        address: SocketAddr,
        login: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        use base64::Engine as _;
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        if !login.is_empty() {
            let encoded = base64::engine::general_purpose::STANDARD.encode(login);
            request = request.header("authorization", format!("Basic {encoded}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Pushes a blob in one request.
    pub async fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let reply = self.send("POST", &path, &[], bytes.to_vec()).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
        digest
    }

    /// Pushes an image of the given layer, and returns the reply and the manifest's digest.
    pub async fn push_image(&self, name: &str, reference: &str, layer: &[u8]) -> (Reply, Digest) {
        let manifest = self.manifest_of(name, layer).await.to_string();
        let digest = Digest::of(manifest.as_bytes());
        let path = format!("/v2/{name}/manifests/{reference}");
        (self.send("PUT", &path, &[("content-type", OCI_MANIFEST)], manifest).await, digest)
    }

    pub async fn manifest_of(&self, name: &str, layer: &[u8]) -> Value {
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let (config_digest, layer_digest) = (self.push_blob(name, config).await, self.push_blob(name, layer).await);
        json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
        })
    }
}

/// How many files there are below `dir`, blobs' shelves aside.
pub fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}
