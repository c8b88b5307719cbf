//! An OCI image made of one executable and the shared libraries that it has mapped, without any container tool.
//!
//! One gzip layer holds the files at the paths at which the dynamic linker looks for them, `/etc/passwd`, and `/tmp`.
//! Source: OCI image specification v1.1 (manifest, config, layer).

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A piece of content and its address.
#[derive(Debug, Clone)]
pub struct Content {
    /// `sha256:…`
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), bytes }
    }
}

/// The layer that all images of one executable share.
#[derive(Debug, Clone)]
pub struct Layer {
    content: Content,
    diff_id: String,
}

/// An image: what a registry holds of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The layer, compressed.
    pub layer: Content,
    /// The config.
    pub config: Content,
    /// The manifest.
    pub manifest: Content,
}

/// The media type of [`Image::manifest`].
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Where the executable lies in the image.
pub const EXECUTABLE: &str = "/usr/local/bin/service";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Layer {
    /// A layer with the running executable and the libraries that it has mapped.
    pub fn of_this_executable() -> io::Result<Self> {
        Self::new(&std::env::current_exe()?, &mapped_libraries()?)
    }

    /// A layer with `executable` at [`EXECUTABLE`] and `libraries` at their own paths.
    pub fn new(executable: &Path, libraries: &BTreeSet<PathBuf>) -> io::Result<Self> {
        let mut layer =
            tar::Builder::new(Both { gzip: GzEncoder::new(Vec::new(), Compression::fast()), raw: Sha256::new() });
        layer.mode(tar::HeaderMode::Deterministic);
        let mut directories = BTreeSet::new();
        for (dir, mode) in [("tmp", 0o1777), ("etc", 0o755), ("usr/local/bin", 0o755)] {
            directory(&mut layer, &mut directories, Path::new(dir), mode)?;
        }
        file(
            &mut layer,
            Path::new("etc/passwd"),
            0o644,
            b"root:x:0:0:root:/:/sbin/nologin\napp:x:1000:1000::/:/sbin/nologin\n",
        )?;
        file(&mut layer, Path::new(EXECUTABLE.trim_start_matches('/')), 0o755, &std::fs::read(executable)?)?;
        for library in libraries {
            let inside = library.strip_prefix("/").unwrap_or(library);
            if let Some(parent) = inside.parent() {
                directory(&mut layer, &mut directories, parent, 0o755)?;
            }
            file(&mut layer, inside, 0o755, &std::fs::read(library)?)?;
        }
        let Both { gzip, raw } = layer.into_inner()?;
        Ok(Self { content: Content::new(gzip.finish()?), diff_id: format!("sha256:{}", hex::encode(raw.finalize())) })
    }

    /// Its size and digest in a few words.
    pub fn summary(&self) -> String {
        format!("{:.1} MB, {}", self.content.bytes.len() as f64 / 1e6, &self.content.digest[..19])
    }

    /// An image of this layer that runs [`EXECUTABLE`] with `arguments` as an unprivileged user.
    pub fn image(&self, arguments: &[&str], environment: &[(&str, &str)], port: u16) -> Image {
        let mut entrypoint = vec![EXECUTABLE];
        entrypoint.extend(arguments);
        let environment: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let config = Content::new(bytes(&json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Entrypoint": entrypoint,
                "Env": environment,
                "ExposedPorts": { format!("{port}/tcp"): {} },
                "User": "1000:1000",
                "WorkingDir": "/",
            },
            "rootfs": { "type": "layers", "diff_ids": [self.diff_id] },
        })));
        let manifest = Content::new(bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &config),
            "layers": [descriptor(LAYER_TYPE, &self.content)],
        })));
        Image { layer: self.content.clone(), config, manifest }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn descriptor(media_type: &str, content: &Content) -> Value {
    json!({ "mediaType": media_type, "digest": content.digest, "size": content.bytes.len() })
}

/// The files with executable mappings in this process, apart from the executable itself, and the dynamic linker under the
/// name that executables ask for.
fn mapped_libraries() -> io::Result<BTreeSet<PathBuf>> {
    let this = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut found: BTreeSet<PathBuf> = maps
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let executable = fields.nth(1)?.contains('x');
            let path = Path::new(fields.nth(3)?);
            (executable && path.is_absolute() && path != this).then(|| path.to_owned())
        })
        .collect();
    for linker in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"] {
        if Path::new(linker).exists() {
            found.insert(linker.into());
        }
    }
    Ok(found)
}

type Archive = tar::Builder<Both>;

fn directory(layer: &mut Archive, made: &mut BTreeSet<PathBuf>, path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || made.contains(path) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        directory(layer, made, parent, 0o755)?;
    }
    made.insert(path.to_owned());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(mode);
    header.set_size(0);
    layer.append_data(&mut header, path, io::empty())
}

fn file(layer: &mut Archive, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    layer.append_data(&mut header, path, content)
}

/// Compresses, and hashes what goes in: a layer has one digest for each form.
struct Both {
    gzip: GzEncoder<Vec<u8>>,
    raw: Sha256,
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gzip.write_all(bytes)?;
        self.raw.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_describes_its_own_content() {
        let layer = Layer::new(Path::new("/etc/hostname"), &BTreeSet::from([PathBuf::from("/etc/hosts")])).unwrap();
        let image = layer.image(&["run"], &[("A", "b")], 3000);
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["config"]["digest"], json!(image.config.digest));
        assert_eq!(manifest["layers"][0]["size"], json!(image.layer.bytes.len()));
        let mut raw = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&image.layer.bytes[..]), &mut raw).unwrap();
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], json!(digest(&raw)));
        let mut archive = tar::Archive::new(&raw[..]);
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(
            names.contains(&"etc/hosts".to_owned()) && names.contains(&"usr/local/bin/service".to_owned()),
            "{names:?}"
        );
    }

    #[test]
    fn the_libraries_of_a_dynamic_executable_are_found() {
        let found = mapped_libraries().unwrap();
        assert!(found.iter().any(|path| path.to_string_lossy().contains("libc")), "no C library among {found:?}");
    }
}
