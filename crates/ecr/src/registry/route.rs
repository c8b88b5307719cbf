//! Paths and queries of the distribution protocol. Pure.

use super::errors::RegistryError;
use crate::manifest::{is_repository_name, is_tag};
use blob::Digest;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What a path names. Every part was checked, so none can lead out of its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: String },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload { name: String, id: String },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: String, digest: Digest },
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest { name: String, reference: Reference },
    /// `/v2/<name>/tags/list`
    Tags { name: String },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: String, digest: Digest },
}

/// What names an image within its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Route {
    pub(super) fn parse(path: &str) -> Result<Self, RegistryError> {
        let decoded = percent_decode_str(path).decode_utf8().map_err(|_| not_found())?;
        let rest = decoded.strip_prefix("/v2").ok_or_else(not_found)?;
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Base);
        }
        let rest = rest.strip_prefix('/').ok_or_else(not_found)?;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags { name: checked_name(name)? });
        }
        // The words of the protocol may occur in names as well: the last occurrence counts, of the longest word there.
        let words = ["/blobs/uploads", "/blobs/", "/manifests/", "/referrers/"];
        let found = words.iter().filter_map(|word| Some((rest.rfind(word)?, word.len())));
        let (at, length) = found.max().ok_or_else(not_found)?;
        let (name, word, after) = (checked_name(&rest[..at])?, &rest[at..at + length], &rest[at + length..]);
        match word {
            "/blobs/" => Ok(Self::Blob { name, digest: checked_digest(after)? }),
            "/manifests/" => Ok(Self::Manifest { name, reference: Reference::parse(after)? }),
            "/referrers/" => Ok(Self::Referrers { name, digest: checked_digest(after)? }),
            _ => match after.strip_prefix('/') {
                None if after.is_empty() => Ok(Self::Uploads { name }),
                Some("") => Ok(Self::Uploads { name }),
                Some(id) if !id.contains('/') => Ok(Self::Upload { name, id: id.to_owned() }),
                _ => Err(not_found()),
            },
        }
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self, RegistryError> {
        if text.contains(':') {
            return Ok(Self::Digest(checked_digest(text)?));
        }
        if is_tag(text) {
            return Ok(Self::Tag(text.to_owned()));
        }
        Err(RegistryError::new(StatusCode::BAD_REQUEST, "TAG_INVALID", "manifest tag did not match its grammar"))
    }
}

fn checked_name(name: &str) -> Result<String, RegistryError> {
    if is_repository_name(name) {
        return Ok(name.to_owned());
    }
    Err(RegistryError::new(StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name"))
}

fn checked_digest(text: &str) -> Result<Digest, RegistryError> {
    text.parse().map_err(|_| RegistryError::digest_invalid("provided digest did not match its grammar"))
}

fn not_found() -> RegistryError {
    RegistryError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such path")
}

/// A request's query string.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).unwrap_or_default()
        };
        let pairs = text.split('&').take(32).filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The digest in the parameter `name`, if it is given.
    pub(super) fn digest(&self, name: &str) -> Result<Option<Digest>, RegistryError> {
        self.get(name).map(checked_digest).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = Digest::of(b"");
        let name = "a1/blobs/uploads/x2".to_owned();
        assert_eq!(Route::parse("/v2/").unwrap(), Route::Base);
        assert_eq!(Route::parse(&format!("/v2/{name}/tags/list")).unwrap(), Route::Tags { name: name.clone() });
        for path in ["/v2/app/blobs/uploads", "/v2/app/blobs/uploads/"] {
            assert_eq!(Route::parse(path).unwrap(), Route::Uploads { name: "app".into() });
        }
        let encoded = format!("/v2/team/app/blobs/sha256%3A{}", digest.hex());
        assert_eq!(Route::parse(&encoded).unwrap(), Route::Blob { name: "team/app".into(), digest: digest.clone() });
        assert_eq!(
            Route::parse("/v2/app/manifests/v1").unwrap(),
            Route::Manifest { name: "app".into(), reference: Reference::Tag("v1".into()) }
        );
        assert_eq!(
            Route::parse(&format!("/v2/app/referrers/{digest}")).unwrap(),
            Route::Referrers { name: "app".into(), digest }
        );
    }

    #[test]
    fn nothing_leads_out_of_its_place() {
        for path in [
            "/v2/../../etc/passwd",
            "/v2/../tags/list",
            "/v2/app/blobs/sha256:..%2f..%2fx",
            "/v2/%2e%2e/%2e%2e/manifests/x",
            "/v2/app/manifests/..",
            "/v2/app/manifests/a%00b",
            "/v2/App/tags/list",
            "/v2/app/blobs/uploads/a/b",
            "/v2/%ff/tags/list",
            "/v3/",
        ] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
