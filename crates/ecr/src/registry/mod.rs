//! The OCI distribution protocol, version 1.1, as ECR speaks it: `/v2/…`.
//!
//! A request's way: [`route`] reads the path; the `Authorization` header (a password that `GetAuthorizationToken` gave, or a
//! signed download address) says who asks and in which registry; IAM says whether they may; then one of [`uploads`],
//! [`blobs`], [`manifests`] or [`listing`] answers. Bodies stream both ways in pieces of at most a mebibyte, and file
//! operations run on blocking threads, so a slow client costs neither memory nor a thread.
//!
//! Who comes from inside a VPC gets a blob from [`bucket`], as on AWS.
//!
//! Nothing becomes visible before it is whole: a blob when its digest was verified, an image when all that it names is here.

mod blobs;
mod body;
mod bucket;
mod download;
mod errors;
mod listing;
mod manifests;
mod route;
mod uploads;

use crate::service::{Ecr, repository_arn};
use crate::texts;
use crate::token::{Login, TokenError};
use bytes::Bytes;
use errors::RegistryError;
use futures_util::future::BoxFuture;
use gateway::Origin;
use gateway::identity::Action;
use gateway::server::{Body, Extra, full};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use route::{Query, Route};
use types::{Scope, Timestamp};

pub use bucket::{LayerAddress, LayerBucket};

/// Answers `/v2/…`.
#[derive(Clone)]
pub struct Registry(Ecr);

/// A request that was let in.
struct Visit<'a> {
    ecr: &'a Ecr,
    scope: Scope,
    /// `None` if a signed download address let it in, which allows that download alone.
    login: Option<Login>,
    origin: Origin,
    now: Timestamp,
    method: Method,
    headers: http::HeaderMap,
    query: Query,
}

type Answer = Result<Response<Body>, RegistryError>;

impl Extra for Registry {
    fn takes(&self, _: &str, path: &str) -> bool {
        path == "/v2" || path.starts_with("/v2/")
    }

    fn service(&self) -> Option<&'static str> {
        Some("ecr.dkr")
    }

    fn answer(&self, request: Request<Incoming>, origin: Origin) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.handle(request, origin))
    }
}

impl Registry {
    /// The registry of the service.
    pub fn new(ecr: Ecr) -> Self {
        Self(ecr)
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>, origin: Origin) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin,
        B::Error: std::fmt::Display + Send,
    {
        let (parts, body) = request.into_parts();
        let mut response = match self.let_in(&parts, origin) {
            Ok((visit, route)) => visit.go(route, body).await.unwrap_or_else(|error| error.response(&parts.method)),
            Err(Refusal::Login) => self.ask_to_log_in(),
            Err(Refusal::Error(error)) => error.response(&parts.method),
        };
        let version = HeaderValue::from_static("registry/2.0");
        response.headers_mut().insert("docker-distribution-api-version", version);
        response
    }

    fn let_in<'a>(&'a self, parts: &Parts, origin: Origin) -> Result<(Visit<'a>, Route), Refusal> {
        let now = self.0.clock().now();
        let query = Query::parse(parts.uri.query().unwrap_or(""));
        let route = Route::parse(parts.uri.path());
        let download = match (&route, query.get("token")) {
            (Ok(Route::Blob { name, digest }), Some(token)) if parts.method == Method::GET => {
                let layer = crate::rows::key(name, digest);
                Some(self.0.key().check_download(token, &layer, now).map_err(refuse_token)?)
            }
            _ => None,
        };
        let (scope, login) = if let Some(scope) = download {
            (scope, None)
        } else {
            let login = self.login(parts, now)?;
            (login.scope.clone(), Some(login))
        };
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let visit = Visit { ecr: &self.0, scope, login, origin, now, method, headers, query };
        Ok((visit, route?))
    }

    fn login(&self, parts: &Parts, now: Timestamp) -> Result<Login, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header.and_then(|header| self.0.key().basic(header, now)) {
            Some(login) => login.map_err(refuse_token),
            None => Err(Refusal::Login),
        }
    }

    fn ask_to_log_in(&self) -> Response<Body> {
        let mut response = Response::new(full(texts::NOT_AUTHORIZED));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = format!("Basic realm=\"{}/\",service=\"ecr.amazonaws.com\"", self.0.config().endpoint);
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

enum Refusal {
    /// There are no credentials.
    Login,
    Error(RegistryError),
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Error(error)
    }
}

fn refuse_token(error: TokenError) -> Refusal {
    Refusal::Error(match error {
        TokenError::Expired => RegistryError::denied(texts::TOKEN_EXPIRED),
        TokenError::Invalid => RegistryError::denied(texts::TOKEN_INVALID).with_status(StatusCode::BAD_REQUEST),
    })
}

impl Visit<'_> {
    async fn go<B>(self, route: Route, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin,
        B::Error: std::fmt::Display + Send,
    {
        let method = self.method.clone();
        let reading = method == Method::GET || method == Method::HEAD;
        match route {
            Route::Base if reading => Ok(Response::new(full("{}"))),
            Route::Uploads { name } if method == Method::POST => self.begin_upload(&name, body).await,
            Route::Upload { name, id } => match method.as_str() {
                "PATCH" => self.append(&name, &id, body).await,
                "PUT" => self.finish_upload(&name, &id, body).await,
                "GET" => self.upload_status(&name, &id),
                "DELETE" => self.cancel_upload(&name, &id),
                _ => Err(RegistryError::unsupported()),
            },
            Route::Blob { name, digest } if reading => self.get_blob(&name, &digest),
            Route::Blob { name, digest } if method == Method::DELETE => self.delete_blob(&name, &digest).await,
            Route::Manifest { name, reference } => match method.as_str() {
                "GET" | "HEAD" => self.get_manifest(&name, &reference).await,
                "PUT" => self.put_manifest(&name, &reference, body).await,
                "DELETE" => self.delete_manifest(&name, &reference).await,
                _ => Err(RegistryError::unsupported()),
            },
            Route::Tags { name } if reading => self.list_tags(&name),
            Route::Referrers { name, digest } if reading => self.list_referrers(&name, &digest),
            _ => Err(RegistryError::unsupported()),
        }
    }

    /// Whether the caller may do `ecr:<action>` on the repository, which must exist. Who may not learns nothing of that.
    fn enter(&self, action: &str, name: &str) -> Result<std::sync::Arc<crate::rows::Repository>, RegistryError> {
        let view = self.ecr.store().view();
        match &self.login {
            Some(login) => {
                let action = format!("ecr:{action}");
                let resources = [repository_arn(&self.scope, name)];
                let action = Action {
                    action: &action,
                    resources: &resources,
                    region: self.scope.region.as_str(),
                    origin: &self.origin,
                    now: self.now,
                };
                let allowed = self.ecr.identity().authorize(&view, &login.principal, &action);
                allowed.map_err(|denial| RegistryError::denied(&denial.message))?;
            }
            None if action == "GetDownloadUrlForLayer" => {}
            None => return Err(RegistryError::denied(texts::TOKEN_INVALID)),
        }
        crate::images::repository(&view, &self.scope, name).map_err(|error| self.image_error(error, name))
    }

    fn image_error(&self, error: crate::images::ImageError, name: &str) -> RegistryError {
        RegistryError::of_image(error, name, self.scope.account.as_str())
    }
}
