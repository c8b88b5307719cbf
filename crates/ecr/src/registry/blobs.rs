//! Blobs: looked up, downloaded whole or in part, deleted.

use super::body::FileBody;
use super::errors::RegistryError;
use super::uploads::CONTENT_DIGEST;
use super::{Answer, Visit};
use crate::rows::{Image, Layer, key};
use blob::Digest;
use bytes::Bytes;
use gateway::server::full;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;

impl Visit<'_> {
    pub(super) fn get_blob(&self, name: &str, digest: &Digest) -> Answer {
        let looking = self.method == Method::HEAD;
        self.enter(if looking { "BatchCheckLayerAvailability" } else { "GetDownloadUrlForLayer" }, name)?;
        if !self.ecr.store().view().contains::<Layer>(&self.scope, &key(name, digest)) {
            return Err(RegistryError::blob_unknown());
        }
        // A client that is told that the blob is here will not send it again: it must stay for a while.
        let size = if looking { self.ecr.blobs().vouch(digest)? } else { None };
        let mut response = Response::builder()
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_DIGEST, digest.as_str())
            .header(ETAG, format!("\"{digest}\""))
            .header(ACCEPT_RANGES, "bytes");
        let body = if looking {
            let size = size.ok_or_else(RegistryError::blob_unknown)?;
            response = response.header(CONTENT_LENGTH, size);
            full(Bytes::new())
        } else {
            let blob = self.ecr.blobs().read(digest)?;
            let size = blob.size;
            let wanted = self.headers.get(RANGE).and_then(|value| value.to_str().ok());
            let (start, length) = match wanted.map_or(Wanted::Whole, |text| wanted_range(text, size)) {
                Wanted::Whole => (0, size),
                Wanted::Part(first, last) => {
                    response = response
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
                    (first, last - first + 1)
                }
                Wanted::Nothing => {
                    let status = StatusCode::RANGE_NOT_SATISFIABLE;
                    return Err(RegistryError::new(status, "RANGE_INVALID", "the range lies outside the blob")
                        .with_header(CONTENT_RANGE, &format!("bytes */{size}")));
                }
            };
            response = response.header(CONTENT_LENGTH, length);
            let part = blob.range(start, length).map_err(|error| RegistryError::internal(&error))?;
            FileBody::new(part, length).boxed()
        };
        response.body(body).map_err(|error| RegistryError::internal(&error))
    }

    /// Takes the blob out of the repository. The bytes go when no repository holds them any more.
    pub(super) async fn delete_blob(&self, name: &str, digest: &Digest) -> Answer {
        self.enter("BatchDeleteImage", name)?;
        let id = key(name, digest);
        let ticket = {
            let mut tx = self.ecr.store().begin();
            if tx.by_index(&Image::BY_BLOB, &self.scope, &id).next().is_some() {
                return Err(RegistryError::unsupported());
            }
            tx.delete::<Layer>(&self.scope, &id).ok_or_else(RegistryError::blob_unknown)?;
            tx.commit()
        };
        ticket.wait().await?;
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

/// What a `Range` header asks of a blob.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// First and last position.
    Part(u64, u64),
    /// Nothing that there is.
    Nothing,
}

/// One range of bytes is honoured. Several at once, and other units, give the whole, as HTTP allows.
fn wanted_range(text: &str, size: u64) -> Wanted {
    let Some((start, end)) =
        text.strip_prefix("bytes=").filter(|set| !set.contains(',')).and_then(|r| r.split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (start.trim().parse::<u64>(), end.trim().parse::<u64>()) {
        (Ok(start), _) if start >= size => Wanted::Nothing,
        (Ok(start), Ok(end)) if end >= start => Wanted::Part(start, end.min(size - 1)),
        (Ok(start), Err(_)) if end.trim().is_empty() => Wanted::Part(start, size - 1),
        (Err(_), Ok(0)) if start.trim().is_empty() => Wanted::Nothing,
        (Err(_), Ok(_)) if start.trim().is_empty() && size == 0 => Wanted::Nothing,
        (Err(_), Ok(last)) if start.trim().is_empty() => Wanted::Part(size.saturating_sub(last), size - 1),
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        for (text, expected) in [
            ("bytes=0-3", Wanted::Part(0, 3)),
            ("bytes=3-", Wanted::Part(3, 9)),
            ("bytes=-4", Wanted::Part(6, 9)),
            ("bytes=-99", Wanted::Part(0, 9)),
            ("bytes=5-999", Wanted::Part(5, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
        ] {
            assert_eq!(wanted_range(text, 10), expected, "{text}");
        }
        assert_eq!(wanted_range("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted_range("bytes=-1", 0), Wanted::Nothing);
    }
}
