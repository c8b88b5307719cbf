//! Secrets at rest: values are sealed with AES-256-GCM under one key that lies beside the store, readable by its owner alone.
//!
//! What it protects against: a secret in a backup of the store without the key file, in a log, in an error, in a core of
//! a tool that prints rows. What it is not: KMS. Whoever may read the data directory may read the key.
//!
//! A [`Sealed`] is bound to a context (whose it is), so that one row's cannot be put in another's place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// The key's file in the data directory.
pub const KEY_FILE: &str = "vault.key";
const KEY_LEN: usize = 32;

/// Why a vault cannot be opened, or a value not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or written.
    #[error("cannot use the key file {0}: {1}")]
    KeyFile(String, std::io::Error),
    /// It is not ours.
    #[error("the key file {0} does not hold a key of 32 bytes")]
    BadKey(String),
    /// Others could read the key.
    #[error("the key file {0} can be read by others: chmod 600 it")]
    OpenToOthers(String),
    /// The value was sealed under another key or for another context, or was changed.
    #[error("a sealed value cannot be opened: it was changed, or sealed with another key")]
    Unreadable,
}

/// Seals and opens. Clones share the key.
#[derive(Clone)]
pub struct Vault(Arc<LessSafeKey>);

impl Vault {
    /// The vault of a data directory, which is given a key if it has none.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(KEY_FILE);
        let shown = path.display().to_string();
        let failed = |error| Error::KeyFile(shown.clone(), error);
        loop {
            match fs::metadata(&path) {
                Ok(data) if data.permissions().mode() & 0o077 != 0 => return Err(Error::OpenToOthers(shown)),
                Ok(_) => {
                    let key: [u8; KEY_LEN] =
                        fs::read(&path).map_err(failed)?.try_into().map_err(|_| Error::BadKey(shown.clone()))?;
                    return Ok(Self::with_key(&key));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => create(directory, &path).map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// A vault whose key is forgotten with it, for stores in memory.
    pub fn ephemeral() -> Self {
        Self::with_key(&random())
    }

    fn with_key(key: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// Seals `plain` for `context`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Sealed {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut sealed)
            .expect("values are far shorter than 64 GiB");
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        Sealed(BASE64.encode(whole))
    }

    /// The plain value that was sealed for `context`.
    pub fn unseal(&self, context: &str, sealed: &Sealed) -> Result<Plain, Error> {
        let mut whole = BASE64.decode(&sealed.0).map_err(|_| Error::Unreadable)?;
        let (nonce, rest) = whole.split_at_mut_checked(NONCE_LEN).ok_or(Error::Unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Unreadable)?;
        let plain = self.0.open_in_place(nonce, Aad::from(context.as_bytes()), rest).map_err(|_| Error::Unreadable)?;
        Ok(Plain(plain.to_vec()))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// Writes a fresh key beside its place and links it there, so that it is whole or absent and the first one wins.
fn create(directory: &Path, path: &Path) -> std::io::Result<()> {
    let fresh = directory.join(format!("{KEY_FILE}.{}", u64::from_ne_bytes(random())));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).and_then(|mut file| {
        file.write_all(&random::<KEY_LEN>())?;
        file.sync_all()?;
        match fs::hard_link(&fresh, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => fs::File::open(directory)?.sync_all(),
        }
    });
    let _ = fs::remove_file(&fresh);
    written
}

/// A value that only its vault can open. Safe to store and to print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// The sealed value as text, for tokens that clients carry.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a client brought back; it need not be genuine.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// An opened value. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Vec<u8>);

impl Plain {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_and_context_open_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::open(directory.path()).unwrap();
        let sealed = vault.seal("secret/a", b"hunter2");
        let again = Vault::open(directory.path()).expect("the key is kept");
        assert_eq!(again.unseal("secret/a", &sealed).unwrap().text(), Some("hunter2"));
        assert!(again.unseal("secret/b", &sealed).is_err(), "a value moved to another row was opened");
        assert!(Vault::ephemeral().unseal("secret/a", &sealed).is_err());
        for text in ["", "AAAA", "not base64!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(vault.unseal("secret/a", &Sealed::from_text(text)).is_err());
        }
        assert!(!serde_json::to_string(&sealed).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        Vault::open(directory.path()).unwrap();
        let path = directory.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing but the key is left");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Vault::open(directory.path()), Err(Error::OpenToOthers(_))));
    }
}
