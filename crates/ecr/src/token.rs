//! What clients prove themselves with: the password of `docker login`, and signed download addresses.
//!
//! Both are stateless: a payload and its HMAC-SHA256 under a key that lies beside the data, so they outlive a restart
//! and need no row each. A purpose is part of what is signed; one cannot be used as the other.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway::{Principal, PrincipalKind};
use hmac::{Hmac, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use types::{Scope, Timestamp};

/// How long a password holds, as on AWS.
pub const LIFETIME: Duration = Duration::from_hours(12);
/// How long a download address holds.
const DOWNLOAD_LIFETIME: Duration = Duration::from_hours(1);
/// The longest token looked at; ours are a quarter of it.
const MAX_LENGTH: usize = 8192;

/// The key that signs.
pub struct TokenKey([u8; 32]);

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is not ours, or was changed.
    Invalid,
    /// It was ours once.
    Expired,
}

/// Whom a password stands for, and which registry it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The registry.
    pub scope: Scope,
    /// Who asked for the password.
    pub principal: Principal,
}

#[derive(Serialize, Deserialize)]
struct LoginPayload {
    scope: Scope,
    kind: PrincipalKind,
    account: types::AccountId,
    arn: String,
    user_id: String,
    access_key: String,
    expiration: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct DownloadPayload {
    scope: Scope,
    layer: String,
    expiration: Timestamp,
}

impl TokenKey {
    /// The key in the file at `path`, which is made with fresh random bytes if it is not there, for its owner's eyes only.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => {
                let key = bytes.try_into().map_err(|_| io::Error::other(format!("{} is damaged", path.display())))?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(error),
        }
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        // Half a key is never seen: written aside, then renamed.
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        Ok(Self(key))
    }

    /// A password for `principal` in the registry `scope`, and when it ends.
    pub fn password(&self, scope: &Scope, principal: &Principal, now: Timestamp) -> (String, Timestamp) {
        let expiration = now.plus(LIFETIME);
        let payload = LoginPayload {
            scope: scope.clone(),
            kind: principal.kind,
            account: principal.account.clone(),
            arn: principal.arn.clone(),
            user_id: principal.user_id.clone(),
            access_key: principal.access_key.clone(),
            expiration,
        };
        (self.sign("login", &payload), expiration)
    }

    /// Whom the password stands for.
    pub fn login(&self, password: &str, now: Timestamp) -> Result<Login, TokenError> {
        let payload: LoginPayload = self.verify("login", password)?;
        if now >= payload.expiration {
            return Err(TokenError::Expired);
        }
        let LoginPayload { scope, kind, account, arn, user_id, access_key, .. } = payload;
        Ok(Login { scope, principal: Principal { kind, account, arn, user_id, access_key } })
    }

    /// The login in the value of an `Authorization` header; `None` unless it is basic authentication of user `AWS`.
    pub fn basic(&self, header: &str, now: Timestamp) -> Option<Result<Login, TokenError>> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_LENGTH * 2 {
            return None;
        }
        let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let password = pair.strip_prefix("AWS:")?;
        Some(self.login(password, now))
    }

    /// A token that lets its bearer download one layer (`<repository>@<digest>`) of the registry `scope`.
    pub fn download(&self, scope: &Scope, layer: &str, now: Timestamp) -> String {
        let expiration = now.plus(DOWNLOAD_LIFETIME);
        self.sign("download", &DownloadPayload { scope: scope.clone(), layer: layer.to_owned(), expiration })
    }

    /// The registry that `token` opens for `layer`.
    pub fn check_download(&self, token: &str, layer: &str, now: Timestamp) -> Result<Scope, TokenError> {
        let payload: DownloadPayload = self.verify("download", token)?;
        if payload.layer != layer {
            return Err(TokenError::Invalid);
        }
        if now >= payload.expiration { Err(TokenError::Expired) } else { Ok(payload.scope) }
    }

    fn sign(&self, purpose: &str, payload: &impl Serialize) -> String {
        let json = serde_json::to_vec(payload).expect("a payload of strings and numbers serialises");
        let tag = self.mac(purpose, &json).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(json), URL_SAFE_NO_PAD.encode(tag))
    }

    fn verify<T: DeserializeOwned>(&self, purpose: &str, token: &str) -> Result<T, TokenError> {
        if token.len() > MAX_LENGTH {
            return Err(TokenError::Invalid);
        }
        let (json, tag) = token.split_once('.').ok_or(TokenError::Invalid)?;
        let json = URL_SAFE_NO_PAD.decode(json).map_err(|_| TokenError::Invalid)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| TokenError::Invalid)?;
        // Compares in constant time.
        self.mac(purpose, &json).verify_slice(&tag).map_err(|_| TokenError::Invalid)?;
        serde_json::from_slice(&json).map_err(|_| TokenError::Invalid)
    }

    fn mac(&self, purpose: &str, json: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(json);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal() -> Principal {
        Principal::root(&types::AccountId::default(), "test")
    }

    #[test]
    fn a_password_holds_twelve_hours_and_no_changed_byte() {
        let key = TokenKey([7; 32]);
        let (password, end) = key.password(&Scope::default(), &principal(), Timestamp(0));
        assert_eq!(end, Timestamp(12 * 3600 * 1000));
        assert_eq!(key.login(&password, Timestamp(end.0 - 1)).unwrap().principal, principal());
        assert_eq!(key.login(&password, end), Err(TokenError::Expired));
        assert_eq!(TokenKey([8; 32]).login(&password, Timestamp(0)), Err(TokenError::Invalid));
        for at in 0..password.len() {
            let mut bytes = password.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last characters of base64 have bits that carry nothing; our decoder refuses those set.
            assert!(key.login(&changed, Timestamp(0)).is_err(), "byte {at} may be changed");
        }
        let header = format!("Basic {}", STANDARD.encode(format!("AWS:{password}")));
        assert!(matches!(key.basic(&header, Timestamp(0)), Some(Ok(_))));
        assert!(key.basic("Bearer x", Timestamp(0)).is_none());
        assert!(key.basic(&format!("Basic {}", STANDARD.encode("root:x")), Timestamp(0)).is_none());
    }

    #[test]
    fn a_download_token_opens_one_layer_and_is_no_password() {
        let key = TokenKey([7; 32]);
        let token = key.download(&Scope::default(), "app@sha256:1", Timestamp(0));
        assert_eq!(key.check_download(&token, "app@sha256:1", Timestamp(1)), Ok(Scope::default()));
        assert_eq!(key.check_download(&token, "app@sha256:2", Timestamp(1)), Err(TokenError::Invalid));
        assert_eq!(key.login(&token, Timestamp(1)), Err(TokenError::Invalid));
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/ecr");
        let first = TokenKey::open(&path).unwrap().0;
        assert_eq!(TokenKey::open(&path).unwrap().0, first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
