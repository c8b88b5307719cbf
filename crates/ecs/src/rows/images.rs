//! Which image a tag stood for when a deployment began: all of its tasks run that one, whatever the tag means by then.
//!
//! Source: developer guide, "Container image resolution". Not so for containers whose `versionConsistency` is `disabled`.

use super::ServiceRow;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;

/// The resolved images of a service's deployments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImagesRow {
    /// `cluster/service`.
    pub service: String,
    /// By deployment and container: the digest.
    pub digests: BTreeMap<String, BTreeMap<String, String>>,
}

impl ImagesRow {
    /// The digest that tasks of the deployment run.
    pub fn digest(&self, deployment: &str, container: &str) -> Option<&str> {
        self.digests.get(deployment)?.get(container).map(String::as_str)
    }

    /// Notes the digest, unless there is one already; gives the one that holds.
    pub fn settle(&mut self, deployment: &str, container: &str, digest: &str) -> &str {
        let containers = self.digests.entry(deployment.to_owned()).or_default();
        containers.entry(container.to_owned()).or_insert_with(|| digest.to_owned())
    }

    /// Forgets the deployments that the service no longer has.
    pub fn prune(&mut self, service: &ServiceRow) {
        self.digests.retain(|id, _| service.deployments.iter().any(|deployment| deployment.state.id == *id));
    }
}

impl Row for ImagesRow {
    const TABLE: &'static str = "ecs-resolved-images";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.service)
    }
}

/// `image` with this digest in place of its tag.
pub fn pinned(image: &str, digest: &str) -> String {
    if image.contains('@') {
        return image.to_owned();
    }
    let name = image.rfind('/').map_or(0, |slash| slash + 1);
    let base = image[name..].find(':').map_or(image, |colon| &image[..name + colon]);
    format!("{base}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digest_of_a_deployment_holds() {
        let mut row = ImagesRow::default();
        assert_eq!(row.settle("ecs-svc/1", "web", "sha256:a"), "sha256:a");
        assert_eq!(row.settle("ecs-svc/1", "web", "sha256:b"), "sha256:a");
        assert_eq!(row.settle("ecs-svc/2", "web", "sha256:b"), "sha256:b");
        assert_eq!(row.digest("ecs-svc/1", "web"), Some("sha256:a"));
        assert_eq!(row.digest("ecs-svc/1", "other"), None);
    }

    #[test]
    fn a_digest_stands_where_the_tag_stood() {
        assert_eq!(pinned("localhost:4566/web:v1", "sha256:a"), "localhost:4566/web@sha256:a");
        assert_eq!(pinned("localhost:4566/web", "sha256:a"), "localhost:4566/web@sha256:a");
        assert_eq!(pinned("web:latest", "sha256:a"), "web@sha256:a");
        assert_eq!(pinned("web@sha256:b", "sha256:a"), "web@sha256:b");
    }
}
