//! The registry's manifests, and names and tags of repositories.
//!
//! The first line of the data is the media type that the request names, if any. What follows is the document.

use ecr::manifest::{Manifest, is_repository_name, is_tag};
use runtime::ImageSnapshot;

/// Any bytes are a manifest or refused; a manifest is of one kind to every reader, and its row reads back as itself.
pub fn manifest(data: &[u8]) {
    let (line, body) = crate::first_line(data);
    let Ok(line) = std::str::from_utf8(line) else { return };
    // What passes ends up in paths and in answers' headers.
    if is_repository_name(line) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        assert!(line.bytes().all(plain) && !line.contains("..") && !line.contains("//"), "{line:?} is a name");
    }
    if is_tag(line) {
        assert!(!line.contains(['/', ':', '@', ' ']) && !line.starts_with('.'), "{line:?} is a tag");
    }
    // The runtime reads the same documents with a parser of its own.
    let _ = ImageSnapshot::from_manifest(body, body);
    let header = (!line.is_empty()).then_some(line);
    let Ok(manifest) = Manifest::parse(body, header) else { return };
    assert!(header.is_none_or(|header| header == manifest.media_type), "{manifest:?} is not what was named");
    if manifest.is_index() {
        assert!(manifest.config.is_none() && manifest.layers.is_empty(), "an index and an image: {manifest:?}");
    } else {
        assert!(manifest.config.is_some() && manifest.children.is_empty(), "an image and an index: {manifest:?}");
    }
    for blob in manifest.blobs() {
        assert!(blob.size <= manifest.size(), "a part larger than the whole: {manifest:?}");
        assert_eq!(blob.digest.hex().len(), 64, "{manifest:?}");
    }
    manifest.artifact_media_type();
    let row = serde_json::to_vec(&manifest).expect("a row is written");
    assert_eq!(serde_json::from_slice::<Manifest>(&row).ok().as_ref(), Some(&manifest), "a row reads differently");
}
