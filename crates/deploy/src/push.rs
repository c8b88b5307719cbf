//! Pushing an image over the OCI distribution API, as `docker push` does: blobs that are missing, then the manifest.

use crate::Failure;
use crate::image::{Content, Image, MANIFEST_TYPE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A registry to push to.
pub struct Registry {
    client: Client<HttpConnector, Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Registry {
    /// The registry at `host` (`localhost:4566`, plain HTTP) with the token of `GetAuthorizationToken`, which is the
    /// Basic authorization as it stands.
    pub fn new(host: &str, token: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, host: host.to_owned(), authorization: format!("Basic {token}") }
    }

    /// The token for `user` and `password`.
    pub fn token(user: &str, password: &str) -> String {
        STANDARD.encode(format!("{user}:{password}"))
    }

    /// Pushes `image` to `repository` under each of `tags`.
    pub async fn push(&self, repository: &str, image: &Image, tags: &[&str]) -> Result<(), Failure> {
        for content in [&image.layer, &image.config] {
            self.blob(repository, content).await?;
        }
        for tag in tags {
            let path = format!("/v2/{repository}/manifests/{tag}");
            let body = image.manifest.bytes.clone();
            let answer = self.send(Method::PUT, &path, Some(MANIFEST_TYPE), body).await?;
            self.expect(answer, StatusCode::CREATED, &format!("push the manifest of {repository}:{tag}")).await?;
        }
        Ok(())
    }

    async fn blob(&self, repository: &str, content: &Content) -> Result<(), Failure> {
        let step = format!("push {} to {repository}", &content.digest[..19.min(content.digest.len())]);
        let there =
            self.send(Method::HEAD, &format!("/v2/{repository}/blobs/{}", content.digest), None, Vec::new()).await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let begun = self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), None, Vec::new()).await?;
        let location = begun.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.expect(begun, StatusCode::ACCEPTED, &step).await?;
        let location = location.ok_or_else(|| Failure::new(&step, "the registry named no place to upload to"))?;
        // The location may be absolute; only its path and query matter, for there is one registry.
        let location: Uri = location.parse().map_err(|error| Failure::new(&step, error))?;
        let place = location.path_and_query().map_or("/", |place| place.as_str());
        let joiner = if place.contains('?') { '&' } else { '?' };
        let path = format!("{place}{joiner}digest={}", content.digest);
        let put = self.send(Method::PUT, &path, Some("application/octet-stream"), content.bytes.clone()).await?;
        self.expect(put, StatusCode::CREATED, &step).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let step = format!("{method} http://{}{path}", self.host);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.host))
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::from(body)).map_err(|error| Failure::new(&step, error))?;
        self.client.request(request).await.map_err(|error| Failure::new(&step, error))
    }

    async fn expect(
        &self,
        answer: Response<hyper::body::Incoming>,
        status: StatusCode,
        step: &str,
    ) -> Result<(), Failure> {
        let got = answer.status();
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if got == status {
            return Ok(());
        }
        Err(Failure::new(step, format!("the registry answered {got}: {}", String::from_utf8_lossy(&body))))
    }
}
