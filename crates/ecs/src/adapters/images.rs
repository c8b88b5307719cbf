//! The images port on the `ecr` crate: what the Fargate agent does, as the execution role, from the task's own network.
//!
//! It downloads the image's configuration from where the layers are, over that network; the layers themselves come from the
//! blob store that the registry keeps, and nothing is copied.

use super::Reach;
use crate::ports::{Images, Pull, Pulled, Session};
use crate::texts;
use async_trait::async_trait;
use blob::Digest;
use ecr::query::{self, PullError, PullableImage, Reference};
use ecr::{Ecr, LayerAddress};
use gateway::Origin;
use iam::query::{RoleDenied, role_may};
use runtime::ImageSnapshot;
use types::Scope;

/// Images of our own registry.
pub struct RealImages {
    registry: Ecr,
    reach: Reach,
}

impl RealImages {
    /// The port on this registry.
    pub fn new(registry: Ecr, reach: Reach) -> Self {
        Self { registry, reach }
    }

    /// Whether the session may do it by the way that it came.
    fn may(&self, session: &Session, origin: &Origin, action: &str, resources: &[&str]) -> Result<(), RoleDenied> {
        let view = self.reach.view();
        let now = self.reach.clock().now();
        role_may(&view, &session.role_arn, &session.name, action, resources, (now, Some(origin)))
    }

    /// What the reference means. The agent asks again where it may have come too early, as often as it then says.
    async fn find(&self, reference: &Reference, image: &str) -> Result<PullableImage, String> {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let mut retries = 0;
        loop {
            let (view, blobs) = (self.reach.view(), self.registry.blobs().clone());
            let (wanted, text) = (reference.clone(), image.to_owned());
            // Small files, but files.
            let found = tokio::task::spawn_blocking(move || query::image(&view, &blobs, &wanted, &text, architecture));
            let found = found.await.map_err(|_| texts::pull_failed(image, "the agent failed"))?;
            let (most, reason) = match found {
                Ok(found) => return Ok(found),
                Err(PullError::NoImage(_) | PullError::NoRepository { .. }) => (1, texts::image_not_found(image)),
                Err(PullError::NoPlatform(_)) => (7, texts::no_platform(architecture)),
                Err(error) => return Err(texts::pull_failed(image, &error.to_string())),
            };
            if retries == most {
                return Err(reason);
            }
            retries += 1;
            self.reach.pause().await;
        }
    }

    /// Downloads the configuration, where the registry sends its clients for it. The layers lie in the same bucket, so what
    /// holds for the one holds for the others.
    async fn download(
        &self,
        scope: &Scope,
        netns: &str,
        address: &LayerAddress,
        image: &PullableImage,
    ) -> Result<(), String> {
        let limit = usize::try_from(query::MAX_CONFIG).unwrap_or(usize::MAX);
        let fetched = self.reach.fetch(scope, netns, (&address.host, &address.target), limit).await;
        let fetched = fetched.map_err(|why| texts::layer_out_of_reach(address, &why))?;
        if !fetched.status.is_success() {
            return Err(texts::layer_refused(address, &fetched.status.to_string()));
        }
        if *fetched.body != *image.config {
            let found = Digest::of(&fetched.body);
            return Err(texts::layer_corrupt(image.config_digest.as_str(), found.as_str()));
        }
        Ok(())
    }
}

#[async_trait]
impl Images for RealImages {
    async fn pull(&self, scope: &Scope, pull: Pull<'_>) -> Result<Pulled, String> {
        let reference = match query::parse(pull.image, scope, &self.registry.config().host) {
            Ok(reference) => reference,
            Err(PullError::OtherRegistry(host)) => return Err(texts::other_registry(&host, pull.image)),
            Err(error) => return Err(texts::pull_failed(pull.image, &error.to_string())),
        };
        let Some(session) = pull.session else { return Err(texts::no_basic_auth(pull.image)) };
        let region = scope.region.as_str();
        let api = self.reach.connect(scope, pull.netns, &format!("api.ecr.{region}.amazonaws.com")).await;
        let api = api.map_err(|dial| texts::registry_auth_out_of_reach(region, &dial))?;
        self.may(session, &api, "ecr:GetAuthorizationToken", &[])
            .map_err(|denied| texts::registry_auth_denied(&denied.to_string()))?;
        let Scope { account, region } = &reference.scope;
        let registry = format!("{account}.dkr.ecr.{region}.amazonaws.com");
        let registry = self.reach.connect(scope, pull.netns, &registry).await;
        let registry = registry.map_err(|dial| texts::registry_out_of_reach(pull.image, &reference, &dial))?;
        let arn = reference.repository_arn();
        for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
            let may = self.may(session, &registry, action, &[&arn]);
            may.map_err(|_| texts::pull_forbidden(pull.image, &reference))?;
        }
        let found = self.find(&reference, pull.image).await?;
        let (home, repository) = (&reference.scope, &reference.repository);
        let address = self.registry.layer_address(home, repository, &found.config_digest, self.reach.clock().now());
        self.download(scope, pull.netns, &address, &found).await?;
        let snapshot = ImageSnapshot::from_manifest(&found.manifest, &found.config)
            .map_err(|error| texts::pull_failed(pull.image, &error.to_string()))?;
        Ok(Pulled { digest: found.digest.to_string(), snapshot })
    }
}
