//! An image of this machine's busybox, packed by the story and pushed with skopeo.

use super::clients::{client, succeed};
use super::server::Server;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::Path;

/// The applets that stories use.
const APPLETS: [&str; 10] = ["sh", "httpd", "nc", "nslookup", "grep", "sleep", "cat", "mkdir", "hostname", "id"];

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What goes into a layer.
pub(crate) type Layer = tar::Builder<Vec<u8>>;

/// Adds an entry whose name is taken as it stands, however odd.
pub(crate) fn entry(layer: &mut Layer, name: &str, kind: tar::EntryType, mode: u32, link: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    // Not `set_path`, which refuses what a hostile image would have.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    if kind == tar::EntryType::Char {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    layer.append(&header, content).unwrap();
}

/// A layer with busybox.
pub(crate) fn busybox() -> Layer {
    use tar::EntryType::{Directory, Regular, Symlink};
    let mut layer = Layer::new(Vec::new());
    for (dir, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777)] {
        entry(&mut layer, dir, Directory, mode, "", b"");
    }
    entry(&mut layer, "bin/busybox", Regular, 0o755, "", &fs::read("/bin/busybox").unwrap());
    for applet in APPLETS {
        entry(&mut layer, &format!("bin/{applet}"), Symlink, 0o777, "busybox", b"");
    }
    entry(&mut layer, "etc/passwd", Regular, 0o644, "", b"root:x:0:0:root:/:/bin/sh\n");
    layer
}

/// Writes an image of `layer` as an OCI layout with the tag `v1`.
fn layout(dir: &Path, layer: Layer, more: Value) {
    let put = |bytes: &[u8]| {
        let digest = digest(bytes);
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("blobs/sha256").join(&digest["sha256:".len()..]), bytes).unwrap();
        digest
    };
    let raw = layer.into_inner().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&raw).unwrap();
    let packed = gzip.finish().unwrap();
    let describe = |kind: &str, bytes: &[u8]| -> Value {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
    };
    let mut settings = json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] });
    if let (Value::Object(settings), Value::Object(more)) = (&mut settings, more) {
        settings.extend(more);
    }
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": settings,
        "rootfs": { "type": "layers", "diff_ids": [digest(&raw)] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("config.v1+json", config.as_bytes()),
        "layers": [describe("layer.v1.tar+gzip", &packed)],
    })
    .to_string();
    let mut listed = describe("manifest.v1+json", manifest.as_bytes());
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
    for bytes in [&packed[..], config.as_bytes(), manifest.as_bytes()] {
        put(bytes);
    }
    let index = json!({ "schemaVersion": 2, "manifests": [listed] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Makes a repository and pushes an image of `layer` with skopeo, logged in as ECR says. Gives the image's name.
pub(crate) fn push(server: &Server, repository: &str, layer: Layer) -> String {
    push_with(server, repository, layer, json!({}))
}

/// The same of an image with these settings.
pub(crate) fn push_with(server: &Server, repository: &str, layer: Layer, settings: Value) -> String {
    let made = server.api().json("ecr", "CreateRepository", json!({ "repositoryName": repository }));
    let image = format!("{}:v1", made["repository"]["repositoryUri"].as_str().unwrap());
    upload(server, &image, layer, settings);
    image
}

/// Pushes another image under the same name.
pub(crate) fn push_again(server: &Server, image: &str, layer: Layer) {
    upload(server, image, layer, json!({}));
}

fn upload(server: &Server, image: &str, layer: Layer, settings: Value) {
    let api = server.api();
    let dir = tempfile::tempdir_in(server.scratch()).unwrap();
    layout(dir.path(), layer, settings);
    let token = api.json("ecr", "GetAuthorizationToken", json!({}));
    let token = token["authorizationData"][0]["authorizationToken"].as_str().unwrap().to_owned();
    let login = String::from_utf8(decode(&token)).unwrap();
    let source = format!("oci:{}:v1", dir.path().display());
    let target = format!("docker://{image}");
    let copy = ["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", &login, &source, &target];
    succeed(client("skopeo").args(copy));
}

/// Base64, which a test needs once.
fn decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for value in text.bytes().filter_map(|byte| alphabet.iter().position(|known| *known == byte)) {
        bits = (bits << 6 | value as u32) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
