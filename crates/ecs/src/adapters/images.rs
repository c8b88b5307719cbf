//! The images port on the `ecr` crate: what the Fargate agent does, as the execution role, from the task's own network.
//!
//! The layers themselves come from the blob store that the registry keeps; nothing is copied.

use super::Reach;
use crate::ports::{Images, Pull, Pulled, Session};
use crate::texts;
use async_trait::async_trait;
use blob::BlobStore;
use ecr::query::{self, PullError, Reference};
use runtime::ImageSnapshot;
use std::sync::Arc;
use types::Scope;

/// Images of our own registry.
pub struct RealImages {
    blobs: Arc<BlobStore>,
    host: String,
    reach: Reach,
}

impl RealImages {
    /// The port on the registry whose images lie in `blobs` and whose public host is `host`.
    pub fn new(blobs: Arc<BlobStore>, host: String, reach: Reach) -> Self {
        Self { blobs, host, reach }
    }

    /// Whether the session may pull; the answer is the stopped reason.
    fn authorise(&self, reference: &Reference, pull: &Pull, session: &Session) -> Result<(), String> {
        let view = self.reach.view();
        let now = self.reach.clock().now();
        let may = |action: &str, resources: &[&str]| {
            iam::query::role_may(&view, &session.role_arn, &session.name, action, resources, now)
        };
        may("ecr:GetAuthorizationToken", &[]).map_err(|denied| texts::registry_auth_denied(&denied.to_string()))?;
        let arn = reference.repository_arn();
        for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
            if may(action, &[&arn]).is_err() {
                return Err(texts::pull_forbidden(pull.image, reference));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Images for RealImages {
    async fn pull(&self, scope: &Scope, pull: Pull<'_>) -> Result<Pulled, String> {
        let reference = match query::parse(pull.image, scope, &self.host) {
            Ok(reference) => reference,
            Err(PullError::OtherRegistry(host)) => return Err(texts::other_registry(&host, pull.image)),
            Err(error) => return Err(texts::pull_failed(pull.image, &error.to_string())),
        };
        let Some(session) = pull.session else { return Err(texts::no_basic_auth(pull.image)) };
        let region = scope.region.as_str();
        if let Err(dial) = self.reach.connect(scope, pull.netns, &format!("api.ecr.{region}.amazonaws.com")).await {
            return Err(texts::registry_auth_out_of_reach(region, &dial));
        }
        self.authorise(&reference, &pull, session)?;
        let Scope { account, region } = &reference.scope;
        let registry = format!("{account}.dkr.ecr.{region}.amazonaws.com");
        if let Err(dial) = self.reach.connect(scope, pull.netns, &registry).await {
            return Err(texts::registry_out_of_reach(pull.image, &reference, &dial));
        }
        let (view, blobs, text) = (self.reach.view(), self.blobs.clone(), pull.image.to_owned());
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        // Small files, but files.
        let found = tokio::task::spawn_blocking(move || query::image(&view, &blobs, &reference, &text, architecture));
        let found = found.await.map_err(|_| texts::pull_failed(pull.image, "the agent failed"))?;
        let found = found.map_err(|error| match error {
            PullError::NoImage(_) | PullError::NoRepository { .. } => texts::image_not_found(pull.image),
            PullError::NoPlatform(_) => texts::no_platform(architecture),
            error => texts::pull_failed(pull.image, &error.to_string()),
        })?;
        let snapshot = ImageSnapshot::from_manifest(&found.manifest, &found.config)
            .map_err(|error| texts::pull_failed(pull.image, &error.to_string()))?;
        Ok(Pulled { digest: found.digest.to_string(), snapshot })
    }
}
