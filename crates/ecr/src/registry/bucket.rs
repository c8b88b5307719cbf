//! The bucket that layers are downloaded from: to those who come from inside a VPC the registry does not hand out bytes, but
//! an address in Amazon S3 that is signed for an hour. So a pull needs a way to S3, too, and the policy of a gateway endpoint
//! on that way must let it pass.
//!
//! An address is `http://prod-<region>-starport-layer-bucket.s3.<region>.amazonaws.com/<account>/<repository>/<digest>`. Whoever
//! comes from the machine itself is served by the registry: there that name leads out to the real Amazon S3.

use super::download::{DownloadError, download};
use super::route::Query;
use crate::rows::{Layer, key};
use crate::service::Ecr;
use crate::texts;
use crate::token::TokenError;
use blob::{BlobError, Digest};
use futures_util::future::BoxFuture;
use gateway::Origin;
use gateway::identity::Action;
use gateway::server::{Body, Extra, full};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use types::{Region, Scope, Timestamp};

/// Who signs the addresses.
const SIGNER: &str = "ecr.amazonaws.com";

/// Answers for the layer buckets of all regions.
#[derive(Clone)]
pub struct LayerBucket(Ecr);

/// Where a layer can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerAddress {
    /// The bucket's host.
    pub host: String,
    /// Path and query, the signature within.
    pub target: String,
}

impl LayerAddress {
    /// The whole address. Nobody here can prove to be amazonaws.com, so it is one of plain HTTP.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.host, self.target)
    }
}

/// The bucket's name.
fn bucket(region: &Region) -> String {
    format!("prod-{region}-starport-layer-bucket")
}

/// The region of the bucket that has this host, if one has.
fn region_of(host: &str) -> Option<Region> {
    let (_, rest) = host.split_once(".s3.")?;
    let region: Region = rest.strip_suffix(".amazonaws.com")?.parse().ok()?;
    (host == host_of(&region)).then_some(region)
}

fn host_of(region: &Region) -> String {
    format!("{}.s3.{region}.amazonaws.com", bucket(region))
}

impl Ecr {
    /// Where the layer of a repository in `scope` can be downloaded for the next hour.
    pub fn layer_address(&self, scope: &Scope, repository: &str, digest: &Digest, now: Timestamp) -> LayerAddress {
        let token = self.key().download(scope, &key(repository, digest), now);
        let target = format!("/{}/{repository}/{}?token={token}", scope.account, digest.hex());
        LayerAddress { host: host_of(&scope.region), target }
    }
}

/// The parts of `/<account>/<repository>/<digest>`.
fn object(path: &str) -> Option<(&str, &str, Digest)> {
    let (account, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (repository, hex) = rest.rsplit_once('/')?;
    Some((account, repository, format!("sha256:{hex}").parse().ok()?))
}

impl Extra for LayerBucket {
    fn takes(&self, host: &str, _: &str) -> bool {
        region_of(host).is_some()
    }

    fn service(&self) -> Option<&'static str> {
        Some("s3")
    }

    fn answer(&self, request: Request<Incoming>, origin: Origin) -> BoxFuture<'_, Response<Body>> {
        let response = self.get(&request, &origin).unwrap_or_else(Refusal::response);
        Box::pin(async move { response })
    }
}

impl LayerBucket {
    /// The buckets with the registry's layers.
    pub fn new(ecr: Ecr) -> Self {
        Self(ecr)
    }

    fn get<B>(&self, request: &Request<B>, origin: &Origin) -> Result<Response<Body>, Refusal> {
        let (uri, headers) = (request.uri(), request.headers());
        if request.method() != Method::GET {
            let text = "The specified method is not allowed against this resource.";
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", text));
        }
        let now = self.0.clock().now();
        let (account, repository, digest) = object(uri.path()).ok_or(Refusal::DENIED)?;
        let query = Query::parse(uri.query().unwrap_or_default());
        let token = query.get("token").ok_or(Refusal::DENIED)?;
        let id = key(repository, &digest);
        let scope = self.0.key().check_download(token, &id, now)?;
        self.may_pass(&scope, uri.path(), origin, now)?;
        if scope.account.as_str() != account || !self.0.store().view().contains::<Layer>(&scope, &id) {
            return Err(Refusal::NO_KEY);
        }
        download(&self.0, &digest, headers, Response::builder()).map_err(|error| match error {
            DownloadError::OutOfRange(_) => {
                let text = "The requested range is not satisfiable";
                Refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", text)
            }
            DownloadError::Blob(BlobError::Unknown(_)) => Refusal::NO_KEY,
            DownloadError::Blob(error) => Refusal::internal(&error),
            DownloadError::Other(error) => Refusal::internal(&error),
        })
    }

    /// Whether the VPC endpoint on the way lets it pass.
    fn may_pass(&self, scope: &Scope, path: &str, origin: &Origin, now: Timestamp) -> Result<(), Refusal> {
        let resources = [format!("arn:aws:s3:::{}{path}", bucket(&scope.region))];
        let action =
            Action { action: "s3:GetObject", resources: &resources, region: scope.region.as_str(), origin, now };
        let view = self.0.store().view();
        self.0.identity().authorize_signed_by(&view, SIGNER, &action).map_err(|_| Refusal::DENIED)
    }
}

/// Why S3 does not answer with an object: status, code, message.
struct Refusal(StatusCode, &'static str, &'static str);

impl Refusal {
    const DENIED: Self = Self(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
    const NO_KEY: Self = Self(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");

    fn internal(why: &dyn std::fmt::Display) -> Self {
        tracing::error!(%why, "a layer could not be read");
        let text = "We encountered an internal error. Please try again.";
        Self(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", text)
    }

    fn response(self) -> Response<Body> {
        let Self(status, code, message) = self;
        let id = types::id::random_uuid();
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{id}</RequestId></Error>"
        );
        let mut response = Response::new(full(document));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        response
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"),
            TokenError::Invalid => Self(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", texts::S3_MISMATCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_known_by_its_host_in_its_own_region() {
        for (host, region) in [
            ("prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com", Some("us-east-1")),
            ("prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("prod-us-east-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com", None),
            ("other.s3.us-east-1.amazonaws.com", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(region_of(host).as_ref().map(Region::as_str), region, "{host}");
        }
    }

    #[test]
    fn an_object_is_an_account_a_repository_and_a_digest() {
        let digest = Digest::of(b"x");
        let path = format!("/123456789012/team/app/{}", digest.hex());
        assert_eq!(object(&path), Some(("123456789012", "team/app", digest)));
        for path in ["", "/", "/a", "/a/b", "/123456789012/app/sha256:1", "/123456789012//"] {
            assert_eq!(object(path), None, "{path}");
        }
    }
}
