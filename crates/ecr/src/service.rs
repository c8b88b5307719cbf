//! What both doors of the service hold: the store, the blobs, the clock, who may do what, and the signing key.

use crate::token::TokenKey;
use blob::BlobStore;
use gateway::Identity;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use types::arn::Arn;
use types::{Clock, Scope};

/// Where the service lives and how clients reach it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory. The signing key is `keys/ecr` in it, vulnerability files are in `vulnerabilities/`.
    pub data: PathBuf,
    /// The host (and port) that repository URIs begin with.
    pub host: String,
    /// The URL of the same, for download addresses and the proxy endpoint.
    pub endpoint: String,
}

impl Config {
    /// The default names of the registry, for the data directory `data`. Docker takes `localhost` as it is, without TLS
    /// and without configuration.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), host: "localhost:4566".to_owned(), endpoint: "http://localhost:4566".to_owned() }
    }
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Ecr(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    blobs: Arc<BlobStore>,
    clock: Arc<dyn Clock>,
    identity: Arc<dyn Identity>,
    key: TokenKey,
}

impl Ecr {
    /// The service on `store` (opened with [`crate::tables`]) and `blobs`. Reads or makes the signing key.
    pub fn open(
        config: Config,
        store: Store,
        blobs: Arc<BlobStore>,
        clock: Arc<dyn Clock>,
        identity: Arc<dyn Identity>,
    ) -> io::Result<Self> {
        let key = TokenKey::open(&config.data.join("keys/ecr"))?;
        Ok(Self(Arc::new(Inner { config, store, blobs, clock, identity, key })))
    }

    /// Where it lives.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The blobs.
    pub fn blobs(&self) -> &Arc<BlobStore> {
        &self.0.blobs
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn identity(&self) -> &dyn Identity {
        &*self.0.identity
    }

    pub(crate) fn key(&self) -> &TokenKey {
        &self.0.key
    }

    /// `repositoryUri`.
    pub fn repository_uri(&self, name: &str) -> String {
        format!("{}/{name}", self.0.config.host)
    }
}

/// `arn:aws:ecr:…:repository/<name>`
pub(crate) fn repository_arn(scope: &Scope, name: &str) -> String {
    Arn::new("ecr", scope, format!("repository/{name}")).to_string()
}
