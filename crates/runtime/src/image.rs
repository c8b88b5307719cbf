//! An image as the runtime needs it: layers in order and the configuration, read from OCI's or Docker's documents.

use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// Where layers' blobs come from.
pub trait LayerSource: Send + Sync + 'static {
    /// The blob of this digest (`sha256:…`) from its beginning; [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>>;
}

impl<F> LayerSource for F
where
    F: Fn(&str) -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
{
    fn open(&self, digest: &str) -> io::Result<Box<dyn Read + Send>> {
        self(digest)
    }
}

/// An image, resolved to one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSnapshot {
    /// The digest of its configuration.
    pub digest: String,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerRef>,
    /// What its author set.
    pub config: ImageConfig,
}

impl ImageSnapshot {
    /// The image that a manifest (not an index) and its configuration describe.
    pub fn from_manifest(manifest: &[u8], config: &[u8]) -> Result<Self, ImageError> {
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(ImageError::Manifest)?;
        let config: ConfigFile = serde_json::from_slice(config).map_err(ImageError::Config)?;
        let (layers, diff_ids) = (manifest.layers, config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            return Err(ImageError::LayerCount { manifest: layers.len(), config: diff_ids.len() });
        }
        let layers =
            layers.into_iter().zip(diff_ids).map(|(layer, diff_id)| LayerRef { digest: layer.digest, diff_id });
        let layers: Vec<_> = layers.collect();
        if let Some(bad) = layers.iter().flat_map(|l| [&l.digest, &l.diff_id]).find(|d| !is_sha256(d)) {
            return Err(ImageError::Digest(bad.clone()));
        }
        Ok(Self { digest: manifest.config.digest, layers, config: config.config.unwrap_or_default().into() })
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerRef {
    /// The digest of the blob, compressed as it was pushed.
    pub digest: String,
    /// The digest of the archive inside; layers are unpacked once for each.
    pub diff_id: String,
}

/// What an image's author set for its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program and its arguments.
    pub cmd: Vec<String>,
    /// `KEY=value` lines.
    pub env: Vec<String>,
    /// Empty: root.
    pub user: String,
    /// Empty: `/`.
    pub working_dir: String,
    /// `SIGTERM`, `15` …; SIGTERM if unset.
    pub stop_signal: Option<String>,
    /// Paths declared as volumes.
    pub volumes: Vec<String>,
}

/// An image's documents make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The manifest is not one.
    #[error("failed to parse image manifest: {0}")]
    Manifest(serde_json::Error),
    /// The configuration is not one.
    #[error("failed to parse image config: {0}")]
    Config(serde_json::Error),
    /// They are not of the same image.
    #[error("mismatched image rootfs and manifest layers: {config} diff_ids, {manifest} layers")]
    LayerCount {
        /// Layers in the manifest.
        manifest: usize,
        /// Layers in the configuration.
        config: usize,
    },
    /// A digest that is not SHA-256's.
    #[error("unsupported digest {0:?}")]
    Digest(String),
}

/// Whether `text` is `sha256:` and 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Deserialize)]
struct ConfigFile {
    config: Option<RawConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// The documents write `null` for what is empty.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RawConfig {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    volumes: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

impl From<RawConfig> for ImageConfig {
    fn from(raw: RawConfig) -> Self {
        Self {
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            env: raw.env.unwrap_or_default(),
            user: raw.user.unwrap_or_default(),
            working_dir: raw.working_dir.unwrap_or_default(),
            stop_signal: raw.stop_signal.filter(|s| !s.is_empty()),
            volumes: raw.volumes.unwrap_or_default().into_keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", c.to_string().repeat(64))
    }

    #[test]
    fn dockers_nulls_are_empty() {
        let manifest =
            format!(r#"{{"config":{{"digest":"{}"}},"layers":[{{"digest":"{}"}}]}}"#, digest('a'), digest('b'));
        let config = format!(
            r#"{{"config":{{"Entrypoint":null,"Cmd":["sh"],"Env":null,"Volumes":{{"/data":{{}}}}}},"rootfs":{{"diff_ids":["{}"]}}}}"#,
            digest('c')
        );
        let image = ImageSnapshot::from_manifest(manifest.as_bytes(), config.as_bytes()).unwrap();
        assert_eq!(image.layers, [LayerRef { digest: digest('b'), diff_id: digest('c') }]);
        assert_eq!((image.config.cmd, image.config.volumes), (vec!["sh".to_owned()], vec!["/data".to_owned()]));
    }

    #[test]
    fn a_digest_cannot_be_a_path() {
        let manifest =
            format!(r#"{{"config":{{"digest":"{}"}},"layers":[{{"digest":"sha256:../../x"}}]}}"#, digest('a'));
        let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, digest('c'));
        let error = ImageSnapshot::from_manifest(manifest.as_bytes(), config.as_bytes());
        assert!(matches!(error, Err(ImageError::Digest(_))), "a path was taken for a digest: {error:?}");
    }
}
