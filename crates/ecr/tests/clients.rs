//! Real clients against the real gateway: skopeo, podman and the aws command line. Skipped where they are not installed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // starts clients; a test may panic

mod world;

use blob::Digest;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use world::{OCI_MANIFEST, World, root};

/// Whether `program` is here; says so if it is not.
fn has(program: &str) -> bool {
    let here = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !here {
        println!("SKIPPED: {program} is not installed");
    }
    here
}

/// Runs a client off the server's threads.
async fn run(mut command: Command) -> Output {
    command.env("NO_PROXY", "localhost,127.0.0.1").env("no_proxy", "localhost,127.0.0.1");
    let shown = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    println!("{shown}\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

async fn succeed(command: Command) -> String {
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn fail(command: Command) -> String {
    let output = run(command).await;
    assert!(!output.status.success(), "it should have failed");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn layer(seed: u8, length: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 253) as u8 ^ seed).collect();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, format!("file-{seed}"), &bytes[..]).unwrap();
    builder.into_inner().unwrap()
}

/// Writes an image of `layers` as an OCI layout, and returns its manifest's digest.
fn layout(dir: &Path, layers: &[Vec<u8>]) -> Digest {
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        std::fs::write(dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest
    };
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| put(layer)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/file"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": put(config.as_bytes()), "size": config.len()},
        "layers": layers.iter().zip(&diff_ids).map(|(layer, digest)| json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len(),
        })).collect::<Vec<_>>(),
    })
    .to_string();
    let digest = put(manifest.as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": digest, "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    digest
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pushes_pulls_lists_mounts_and_deletes() {
    if !has("skopeo") {
        return;
    }
    let world = World::start().await;
    world.create("team/app").await;
    world.create("other").await;
    let dir = tempfile::tempdir().unwrap();
    let digest = layout(&dir.path().join("in"), &[layer(1, 5 << 20), layer(2, 1000)]);
    let host = &world.ecr.config().host;
    let login = world.login(root()).await;
    let source = format!("oci:{}:v1", dir.path().join("in").display());
    let image = format!("docker://{host}/team/app:v1");

    let push = [
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        "--dest-tls-verify=false",
        "--dest-creds",
        &login,
        &source,
        &image,
    ];
    succeed(command("skopeo", &push)).await;
    let inspect = ["inspect", "--tls-verify=false", "--creds", &login, &image];
    let shown: Value = serde_json::from_str(&succeed(command("skopeo", &inspect)).await).unwrap();
    assert_eq!((&shown["Digest"], &shown["RepoTags"]), (&json!(digest), &json!(["v1"])));

    let back = format!("oci:{}:v1", dir.path().join("out").display());
    let pull = [
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        "--src-tls-verify=false",
        "--src-creds",
        &login,
        &image,
        &back,
    ];
    succeed(command("skopeo", &pull)).await;
    let index: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], json!(digest), "the image came back changed");

    let other = format!("docker://{host}/other:v1");
    let copy = [
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        &login,
        "--dest-creds",
        &login,
        &image,
        &other,
    ];
    succeed(command("skopeo", &copy)).await;

    let delete = ["delete", "--tls-verify=false", "--creds", &login, &image];
    succeed(command("skopeo", &delete)).await;
    assert!(fail(command("skopeo", &inspect)).await.contains("Requested image not found"));
    assert_eq!(world.send("GET", "/v2/other/manifests/v1", &[], "").await.status, 200);

    let nowhere = format!("docker://{host}/nowhere:v1");
    let error = fail(command(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            "--dest-creds",
            &login,
            &source,
            &nowhere,
        ],
    ))
    .await;
    let text = "The repository with name 'nowhere' does not exist in the registry with id '123456789012'";
    assert!(error.contains(text), "{error}");
    let error = fail(command(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            "--dest-no-creds",
            &source,
            &image,
        ],
    ))
    .await;
    assert!(error.contains("unauthorized") || error.contains("401"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pushes_and_pulls() {
    if !has("podman") {
        return;
    }
    let world = World::start().await;
    world.create("app").await;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("layer.tar"), layer(3, 100_000)).unwrap();
    std::fs::write(at("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let image = format!("{}/app:pod", world.ecr.config().host);
    let login = world.login(root()).await;
    let podman = |arguments: &[&str]| {
        let mut podman =
            command("podman", &["--root", &at("root"), "--runroot", &at("run"), "--storage-driver", "vfs"]);
        podman.args(["--tmpdir", &at("tmp"), "--cgroup-manager", "cgroupfs"]).args(arguments);
        podman
    };
    succeed(podman(&["import", &at("layer.tar"), &image])).await;
    succeed(podman(&["push", "--tls-verify=false", "--creds", &login, &image])).await;
    succeed(podman(&["rmi", &image])).await;
    succeed(podman(&[
        "pull",
        "--tls-verify=false",
        "--signature-policy",
        &at("policy.json"),
        "--creds",
        &login,
        &image,
    ]))
    .await;
    let shown: Value = serde_json::from_str(&succeed(podman(&["inspect", &image])).await).unwrap();
    let reply = world.send("HEAD", "/v2/app/manifests/pod", &[], "").await;
    assert_eq!(shown[0]["Digest"], json!(reply.header("docker-content-digest")));
    succeed(podman(&["rmi", "--all", "--force"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_command_line_sees_what_was_pushed() {
    if !has("aws") {
        return;
    }
    let world = World::start().await;
    let endpoint = world.ecr.config().endpoint.clone();
    let aws = |arguments: &[&str]| {
        let mut aws =
            command("aws", &["--endpoint-url", &endpoint, "--region", "us-east-1", "--output", "json", "ecr"]);
        aws.args(arguments).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        aws.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_MAX_ATTEMPTS", "1");
        aws
    };
    let answer = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let created = answer(
        succeed(aws(&[
            "create-repository",
            "--repository-name",
            "app",
            "--image-scanning-configuration",
            "scanOnPush=true",
        ]))
        .await,
    );
    assert_eq!(created["repository"]["repositoryUri"], json!(format!("{}/app", world.ecr.config().host)));
    assert_eq!(created["repository"]["repositoryArn"], json!("arn:aws:ecr:us-east-1:123456789012:repository/app"));
    let error = fail(aws(&["create-repository", "--repository-name", "app"])).await;
    assert!(
        error.contains("RepositoryAlreadyExistsException")
            && error.contains("already exists in the registry with id '123456789012'"),
        "{error}"
    );
    let error = fail(aws(&["create-repository", "--repository-name", "Bad_UPPER"])).await;
    assert!(error.contains("InvalidParameterException") && error.contains("repositoryName"), "{error}");
    assert!(succeed(aws(&["get-login-password"])).await.trim().len() >= 20);

    let (_, digest) = world.push_image("app", "v1", &layer(4, 100)).await;
    world.idle().await;
    let images = answer(succeed(aws(&["describe-images", "--repository-name", "app"])).await);
    let image = &images["imageDetails"][0];
    assert_eq!((&image["imageTags"], &image["imageDigest"]), (&json!(["v1"]), &json!(digest)));
    assert!(image["imageSizeInBytes"].as_u64().unwrap() > 0 && !image["imagePushedAt"].is_null());
    let scan = answer(
        succeed(aws(&["describe-image-scan-findings", "--repository-name", "app", "--image-id", "imageTag=v1"])).await,
    );
    assert_eq!(scan["imageScanStatus"]["status"], json!("COMPLETE"), "{scan}");
    let got =
        answer(succeed(aws(&["batch-get-image", "--repository-name", "app", "--image-ids", "imageTag=v1"])).await);
    let manifest: Value = serde_json::from_str(got["images"][0]["imageManifest"].as_str().unwrap()).unwrap();
    assert_eq!(manifest["schemaVersion"], json!(2));
    let error = fail(aws(&["describe-images", "--repository-name", "app", "--image-ids", "imageTag=nope"])).await;
    assert!(
        error.contains("ImageNotFoundException") && error.contains("does not exist within the repository"),
        "{error}"
    );
    let error = fail(aws(&["delete-repository", "--repository-name", "app"])).await;
    assert!(
        error.contains("RepositoryNotEmptyException")
            && error.contains("cannot be deleted because it still contains images"),
        "{error}"
    );
    let deleted =
        answer(succeed(aws(&["batch-delete-image", "--repository-name", "app", "--image-ids", "imageTag=v1"])).await);
    assert_eq!(deleted["imageIds"][0]["imageTag"], json!("v1"));
    let images = answer(succeed(aws(&["describe-images", "--repository-name", "app"])).await);
    assert_eq!(images["imageDetails"], json!([]));
    succeed(aws(&["delete-repository", "--repository-name", "app"])).await;
    let error = fail(aws(&["describe-images", "--repository-name", "app"])).await;
    assert!(
        error.contains("RepositoryNotFoundException")
            && error.contains("does not exist in the registry with id '123456789012'"),
        "{error}"
    );
}
