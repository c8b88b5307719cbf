//! What EventBridge is told of images. Source: ECR user guide, "Amazon ECR events and EventBridge".

use crate::rows::{Image, ScanStatus};
use events::Event;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::Tx;
use types::arn::Arn;
use types::{Scope, Timestamp};

fn event(detail_type: &str, resources: Vec<String>, at: Timestamp, detail: Value) -> Event {
    let (source, detail_type) = ("aws.ecr".to_owned(), detail_type.to_owned());
    Event { source, detail_type, resources, at, detail }
}

/// An image was pushed or deleted, under a tag or without one.
pub(crate) fn action(tx: &mut Tx, scope: &Scope, what: &str, image: &Image, tag: Option<&str>, now: Timestamp) {
    let mut detail = json!({
        "result": "SUCCESS",
        "action-type": what,
        "repository-name": image.repository,
        "image-digest": image.digest.as_str(),
        "manifest-media-type": image.manifest.media_type,
    });
    if let Some(tag) = tag {
        detail["image-tag"] = tag.into();
    }
    if let Some(kind) = &image.manifest.artifact_type {
        detail["artifact-media-type"] = kind.as_str().into();
    }
    events::publish(tx, scope, &event("ECR Image Action", vec![], now, detail), now);
}

/// An image's scan is over.
pub(crate) fn scanned(tx: &mut Tx, scope: &Scope, image: &Image, now: Timestamp) {
    let Some(scan) = &image.scan else { return };
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for finding in &scan.findings {
        *counts.entry(&finding.severity).or_default() += 1;
    }
    let status = if scan.status == ScanStatus::Complete { "COMPLETE" } else { "FAILED" };
    let repository = Arn::new("ecr", scope, format!("repository/{}", image.repository)).to_string();
    let detail = json!({
        "scan-status": status,
        "repository-name": image.repository,
        "finding-severity-counts": counts,
        "image-digest": image.digest.as_str(),
        "image-tags": image.tags,
    });
    events::publish(tx, scope, &event("ECR Image Scan", vec![repository], now, detail), now);
}
