//! An image is scanned when it is pushed, against the vulnerability files that the user supplies.
#![allow(clippy::unwrap_used)]

mod world;

use blob::Digest;
use flate2::{Compression, write::GzEncoder};
use model::ecr::{
    CreateRepositoryRequest, DescribeImageScanFindingsRequest, ImageIdentifier, ImageScanningConfiguration,
    StartImageScanRequest,
};
use serde_json::json;
use std::io::Write;
use world::{OCI_MANIFEST, World};

fn alpine_layer() -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in [
        ("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\n"),
        ("lib/apk/db/installed", "P:libssl3\nV:3.3.1-r0\no:openssl\n\nP:musl\nV:1.2.5-r0\no:musl\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let mut gzip = builder.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn findings_are_those_of_the_installed_packages() {
    let world = World::start().await;
    let input = CreateRepositoryRequest {
        repository_name: "app".into(),
        image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: Some(true) }),
        ..Default::default()
    };
    world.call(ecr::handlers().create_repository, input).await.unwrap();
    let mut manifest = world.manifest_of("app", &alpine_layer()).await;
    manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    let text = manifest.to_string();
    let digest = Digest::of(text.as_bytes());
    world.send("PUT", "/v2/app/manifests/v1", &[("content-type", OCI_MANIFEST)], text).await;

    let id = ImageIdentifier { image_tag: Some("v1".into()), image_digest: None };
    let describe = || DescribeImageScanFindingsRequest {
        repository_name: "app".into(),
        image_id: id.clone(),
        ..Default::default()
    };
    let scanned = async || {
        world.idle().await;
        world.call(ecr::handlers().describe_image_scan_findings, describe()).await.unwrap()
    };
    let output = scanned().await;
    let status = output.image_scan_status.unwrap();
    assert_eq!(status.status.as_deref(), Some("COMPLETE"));
    let told = status.description.unwrap();
    assert!(told.contains("2 packages are installed; no vulnerability source is"), "{told}");
    assert_eq!(output.image_scan_findings.unwrap().findings.unwrap().len(), 0);

    let dir = world.dir.path().join("vulnerabilities");
    std::fs::create_dir_all(&dir).unwrap();
    let entry = json!({
        "id": "ALPINE-CVE-2024-1", "upstream": ["CVE-2024-1"], "summary": "bad", "database_specific": {"severity": "CRITICAL"},
        "affected": [{"package": {"ecosystem": "Alpine:v3.20", "name": "openssl"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.3.2-r0"}]}]}],
    });
    std::fs::write(dir.join("alpine.json"), entry.to_string()).unwrap();
    let start = StartImageScanRequest { repository_name: "app".into(), image_id: id.clone(), ..Default::default() };
    let started = world.call(ecr::handlers().start_image_scan, start).await.unwrap();
    assert_eq!(started.image_scan_status.unwrap().status.as_deref(), Some("IN_PROGRESS"));
    let output = scanned().await;
    assert_eq!(output.image_id.unwrap().image_digest.as_deref(), Some(digest.as_str()));
    let found = output.image_scan_findings.unwrap();
    assert_eq!(found.finding_severity_counts.unwrap().get("CRITICAL"), Some(&1));
    assert_eq!(found.findings.unwrap()[0].name.as_deref(), Some("CVE-2024-1"));
}
