//! The bytes of a blob on their way out: whole, or the one range that was asked for.

use super::body::FileBody;
use crate::service::Ecr;
use blob::{BlobError, Digest};
use gateway::server::Body;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::response::Builder;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;

/// Why a blob cannot be handed out.
pub(super) enum DownloadError {
    /// The range that was asked for lies outside; the blob's size.
    OutOfRange(u64),
    /// The blob is not there, or cannot be read.
    Blob(BlobError),
    /// Anything else.
    Other(std::io::Error),
}

impl From<BlobError> for DownloadError {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

/// The bytes of a blob, or of the range that `headers` ask for.
pub(super) fn download(
    ecr: &Ecr,
    digest: &Digest,
    headers: &HeaderMap,
    response: Builder,
) -> Result<Response<Body>, DownloadError> {
    let blob = ecr.blobs().read(digest)?;
    let size = blob.size;
    let wanted = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let mut response = response.header(CONTENT_TYPE, "application/octet-stream").header(ACCEPT_RANGES, "bytes");
    response = response.header(ETAG, format!("\"{digest}\""));
    let (start, length) = match wanted.map_or(Wanted::Whole, |text| wanted_range(text, size)) {
        Wanted::Whole => (0, size),
        Wanted::Part(first, last) => {
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
            (first, last - first + 1)
        }
        Wanted::Nothing => return Err(DownloadError::OutOfRange(size)),
    };
    let part = blob.range(start, length).map_err(DownloadError::Other)?;
    let body = FileBody::new(part, length).boxed();
    response
        .header(CONTENT_LENGTH, length)
        .body(body)
        .map_err(|error| DownloadError::Other(std::io::Error::other(error)))
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
