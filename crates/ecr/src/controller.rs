//! What goes on behind the API: images are scanned, and what nothing names any more is collected.

use crate::rows::{Image, Layer, Scan, ScanStatus};
use crate::scan;
use crate::service::Ecr;
use async_trait::async_trait;
use blob::{BlobError, Collected, Digest};
use controller::{Controller, Failure, Key, Next};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Row, View};
use tokio::task::spawn_blocking;
use types::Scope;

/// How long a blob that no image names stays: a client pushes layers first, and their manifest after.
const GRACE: Duration = Duration::from_hours(1);
/// How long an upload may rest before it is thrown away.
const UPLOAD_GRACE: Duration = Duration::from_hours(24);

/// The service's controllers.
pub fn controllers(ecr: &Ecr) -> Vec<Arc<dyn Controller>> {
    vec![Arc::new(Scanner(ecr.clone())), Arc::new(Collector(ecr.clone()))]
}

/// Does the scans that were asked for.
struct Scanner(Ecr);

#[async_trait]
impl Controller for Scanner {
    fn name(&self) -> &'static str {
        "ecr-scanner"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[Image::TABLE]
    }

    fn keys(&self, view: &View, change: &Change) -> Vec<Key> {
        let image = view.get::<Image>(&change.scope, &change.id);
        image
            .filter(|image| wanted(image).is_some())
            .map(|_| Key::new(&change.scope, &*change.id))
            .into_iter()
            .collect()
    }

    fn all_keys(&self, view: &View) -> Vec<Key> {
        let images = view.scan_all::<Image>().filter(|(_, image)| wanted(image).is_some());
        images.map(|(scope, image)| Key::new(scope, image.id())).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, Failure> {
        let ecr = self.0.clone();
        let Some(image) = ecr.store().view().get::<Image>(&key.scope, &key.id) else { return Ok(Next::Done) };
        let Some(requested_at) = wanted(&image).map(|scan| scan.requested_at) else { return Ok(Next::Done) };
        let now = ecr.clock().now();
        let scanning = {
            let (ecr, manifest) = (ecr.clone(), image.manifest.clone());
            let vulnerabilities = ecr.config().data.join("vulnerabilities");
            spawn_blocking(move || scan::scan(ecr.blobs(), &manifest, &vulnerabilities, requested_at, now))
        };
        let scan = scanning.await?;
        let ticket = {
            let mut tx = ecr.store().begin();
            // It may have been deleted, or another scan asked for, meanwhile.
            let Some(image) = tx.get::<Image>(&key.scope, &key.id) else { return Ok(Next::Done) };
            if wanted(&image).is_none_or(|scan| scan.requested_at != requested_at) {
                return Ok(Next::Done);
            }
            let image = tx.put(&key.scope, Image { scan: Some(scan), ..Image::clone(&image) });
            crate::notices::scanned(&mut tx, &key.scope, &image, now);
            tx.commit()
        };
        ticket.wait().await?;
        Ok(Next::Done)
    }
}

/// The scan that waits to be done.
fn wanted(image: &Image) -> Option<&Scan> {
    image.scan.as_ref().filter(|scan| scan.status == ScanStatus::InProgress)
}

/// Removes what no image is made of, once an hour.
struct Collector(Ecr);

#[async_trait]
impl Controller for Collector {
    fn name(&self) -> &'static str {
        "ecr-collector"
    }

    fn tables(&self) -> &'static [&'static str] {
        &[]
    }

    fn keys(&self, _: &View, _: &Change) -> Vec<Key> {
        Vec::new()
    }

    fn all_keys(&self, _: &View) -> Vec<Key> {
        vec![Key::new(&Scope::default(), "blobs")]
    }

    async fn reconcile(&self, _: &Key) -> Result<Next, Failure> {
        let collected = collect(&self.0).await?;
        if collected.blobs > 0 {
            tracing::info!(blobs = collected.blobs, bytes = collected.bytes, "removed blobs that no image names");
        }
        Ok(Next::After(GRACE))
    }
}

/// Takes out of repositories the blobs that none of their images is made of, and deletes the blobs that no repository
/// holds. Whatever was pushed, or vouched for to a client, within the last hour stays.
pub async fn collect(ecr: &Ecr) -> Result<Collected, Failure> {
    let now = ecr.clock().now();
    let before = types::Timestamp(now.0.saturating_sub(i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX)));
    let uploads_before =
        types::Timestamp(now.0.saturating_sub(i64::try_from(UPLOAD_GRACE.as_millis()).unwrap_or(i64::MAX)));
    let unused: Vec<(Scope, String, Digest)> = {
        let view = ecr.store().view();
        let unused = view.scan_all::<Layer>().filter(|(scope, layer)| is_unused(&view, scope, layer));
        unused.map(|(scope, layer)| (scope.clone(), layer.id().into_owned(), layer.digest.clone())).collect()
    };
    let blobs = ecr.blobs().clone();
    let old = spawn_blocking(move || -> Result<Vec<_>, BlobError> {
        let mut old = Vec::new();
        for (scope, id, digest) in unused {
            if blobs.is_older(&digest, before)? {
                old.push((scope, id));
            }
        }
        Ok(old)
    })
    .await??;
    let ticket = {
        let mut tx = ecr.store().begin();
        for (scope, id) in old {
            // An image that is made of it may have been put since.
            if tx.get::<Layer>(&scope, &id).is_some_and(|layer| is_unused(&tx, &scope, &layer)) {
                tx.delete::<Layer>(&scope, &id);
            }
        }
        tx.commit()
    };
    ticket.wait().await?;
    let view = ecr.store().view();
    let layers = view.scan_all::<Layer>().map(|(_, layer)| layer.digest.clone());
    let live: HashSet<Digest> = layers.chain(view.scan_all::<Image>().map(|(_, image)| image.digest.clone())).collect();
    let blobs = ecr.blobs().clone();
    let collected = spawn_blocking(move || {
        blobs.expire_uploads(uploads_before)?;
        blobs.collect(&live, before)
    });
    Ok(collected.await??)
}

fn is_unused(view: &View, scope: &Scope, layer: &Layer) -> bool {
    view.by_index(&Image::BY_BLOB, scope, &layer.id()).next().is_none()
}
