//! Scans: which packages an image has, and which known vulnerabilities those have.
//!
//! [`inventory`] reads the image's layers for the files in which Debian's and Alpine's package managers keep their books;
//! [`feed`] reads the vulnerabilities that the user put into `<data>/vulnerabilities/*.json`, in the format of osv.dev;
//! [`versions`] compares versions as those systems do. No vulnerability ships with the product: without a file a scan
//! still lists the packages, finds nothing and says why in its description.

mod feed;
mod inventory;
mod versions;

use crate::manifest::Manifest;
use crate::rows::{Finding, Scan, ScanStatus};
use blob::BlobStore;
use feed::Feed;
use inventory::{Inventory, ScanError};
use std::path::Path;
use types::Timestamp;

/// Scans an image whose blobs are in `blobs` for what the files in `vulnerabilities` know. Blocks for as long as it takes to
/// read the image's layers.
pub fn scan(
    blobs: &BlobStore,
    manifest: &Manifest,
    vulnerabilities: &Path,
    requested_at: Timestamp,
    now: Timestamp,
) -> Scan {
    let ended = |status, description: String| Scan {
        status,
        description,
        requested_at,
        completed_at: Some(now),
        source_updated_at: None,
        findings: Vec::new(),
    };
    let inventory = match Inventory::of(blobs, manifest) {
        Ok(inventory) => inventory,
        Err(ScanError::Unsupported(why)) => {
            return ended(ScanStatus::UnsupportedImage, format!("UnsupportedImageError: {why}"));
        }
        Err(ScanError::Failed(why)) => return ended(ScanStatus::Failed, why),
    };
    let feed = match Feed::read(vulnerabilities) {
        Ok(feed) => feed,
        Err(why) => return ended(ScanStatus::Failed, why),
    };
    let packages = inventory.packages.len();
    let description = if feed.is_empty() {
        format!(
            "The scan was completed successfully. {packages} packages are installed; no vulnerability source is, so none was judged."
        )
    } else {
        "The scan was completed successfully.".to_owned()
    };
    let mut findings: Vec<Finding> = feed.findings(&inventory);
    findings.sort_by(|a, b| (rank(&a.severity), &a.name, &a.package).cmp(&(rank(&b.severity), &b.name, &b.package)));
    Scan { source_updated_at: feed.updated_at, findings, ..ended(ScanStatus::Complete, description) }
}

/// The worst first.
fn rank(severity: &str) -> usize {
    ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"].iter().position(|name| *name == severity).unwrap_or(5)
}
