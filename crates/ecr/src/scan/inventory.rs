//! Which packages an image has installed, by the books of its package manager.

use crate::manifest::Manifest;
use blob::BlobStore;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

/// The most bytes of an unpacked layer that are read, and of one book.
const MAX_LAYER: u64 = 16 << 30;
const MAX_BOOK: u64 = 64 << 20;
/// Where the books are. The directory of `status.d` is that of images without a package manager ("distroless").
const BOOKS: &[&str] = &[
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
];
const BOOK_DIR: &str = "var/lib/dpkg/status.d/";

/// Why an image cannot be scanned.
#[derive(Debug)]
pub(super) enum ScanError {
    /// It is nothing that has packages.
    Unsupported(String),
    /// It has, but they cannot be read.
    Failed(String),
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// What it was built from; vulnerabilities are filed under that name.
    pub(super) source: String,
    /// The version of the source.
    pub(super) source_version: String,
}

/// How versions compare and vulnerabilities are filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Dpkg,
    Apk,
}

/// What an image has.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// `Debian:12`, `Ubuntu:24.04`, `Alpine:v3.20`; empty if the image has no operating system.
    pub(super) ecosystem: String,
    pub(super) format: Option<Format>,
    pub(super) packages: Vec<Package>,
}

impl Inventory {
    pub(super) fn of(blobs: &BlobStore, manifest: &Manifest) -> Result<Self, ScanError> {
        let mut books = BTreeMap::new();
        for layer in &manifest.layers {
            let failed = |error: &dyn std::fmt::Display| ScanError::Failed(format!("layer {}: {error}", layer.digest));
            let blob = blobs.read(&layer.digest).map_err(|error| failed(&error))?;
            let reader = BufReader::with_capacity(1 << 18, blob.file);
            let unpacked: Box<dyn Read> = match layer.media_type.rsplit(['+', '.']).next() {
                Some("gzip") => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
                Some("zstd") => Box::new(zstd::stream::read::Decoder::with_buffer(reader).map_err(|e| failed(&e))?),
                Some("tar") => Box::new(reader),
                _ => {
                    return Err(ScanError::Unsupported(format!(
                        "layers of type {} are not supported",
                        layer.media_type
                    )));
                }
            };
            read_layer(unpacked.take(MAX_LAYER), &mut books).map_err(|error| failed(&error))?;
        }
        Ok(Self::from_books(&books))
    }

    fn from_books(books: &BTreeMap<String, String>) -> Self {
        let mut inventory = Self::default();
        let release = books.get("etc/os-release").or(books.get("usr/lib/os-release")).map_or("", String::as_str);
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or("").trim_matches(['"', '\'', ' ']).to_owned()
        };
        let version = field("VERSION_ID");
        inventory.ecosystem = match field("ID").as_str() {
            "debian" => format!("Debian:{version}"),
            "ubuntu" => format!("Ubuntu:{version}"),
            "alpine" => format!("Alpine:v{}", version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")),
            _ => String::new(),
        };
        for (path, text) in books {
            if path.starts_with("var/lib/dpkg/") {
                inventory.format = Some(Format::Dpkg);
                inventory.packages.extend(text.split("\n\n").filter_map(dpkg));
            } else if path.ends_with("apk/db/installed") {
                inventory.format = Some(Format::Apk);
                inventory.packages.extend(text.split("\n\n").filter_map(apk));
            }
        }
        inventory
    }
}

/// Takes over what one layer says of the books: their new text, or that they are gone.
///
/// Raw entries, because `tar` would read an extension header of any size into memory. They hold what a header has no room
/// for, and the books' names are short.
fn read_layer(unpacked: impl Read, books: &mut BTreeMap<String, String>) -> io::Result<()> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_start_matches('/').to_owned();
        let (dir, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(dir, name)| (dir, name));
        if name == ".wh..wh..opq" {
            books.retain(|book, _| !is_below(book, dir));
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            let gone = if dir.is_empty() { gone.to_owned() } else { format!("{dir}/{gone}") };
            books.retain(|book, _| *book != gone && !is_below(book, &gone));
        } else if entry.header().entry_type().is_file() && is_book(&path) {
            let mut bytes = Vec::new();
            entry.by_ref().take(MAX_BOOK).read_to_end(&mut bytes)?;
            books.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(())
}

fn is_book(path: &str) -> bool {
    BOOKS.contains(&path)
        || path.strip_prefix(BOOK_DIR).is_some_and(|name| !name.contains('/') && !name.contains(".md5sums"))
}

fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// A paragraph of dpkg's status file.
fn dpkg(paragraph: &str) -> Option<Package> {
    let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("Status:").is_some_and(|status| !status.ends_with(" installed")) {
        return None;
    }
    let (name, version) = (field("Package:")?.to_owned(), field("Version:")?.to_owned());
    // `Source: gcc-12 (12.2.0-14)` where the version differs.
    let source = field("Source:").unwrap_or(&name);
    let (source, source_version) = match source.split_once(" (") {
        Some((source, version)) => (source.to_owned(), version.trim_end_matches(')').to_owned()),
        None => (source.to_owned(), version.clone()),
    };
    Some(Package { name, version, source, source_version })
}

/// A paragraph of apk's book.
fn apk(paragraph: &str) -> Option<Package> {
    let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let (name, version) = (field("P:")?, field("V:")?);
    let source = field("o:").unwrap_or_else(|| name.clone());
    Some(Package { source_version: version.clone(), name, version, source })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn layer(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn the_topmost_book_counts() {
        let mut books = BTreeMap::new();
        let lower = layer(&[
            ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
            ("./var/lib/dpkg/status", "Package: old\nVersion: 1\n"),
            ("lib/apk/db/installed", "P:gone\nV:1-r0\n"),
        ]);
        let status = "Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u4\n\n\
                      Package: removed\nStatus: deinstall ok config-files\nVersion: 1\n";
        let upper = layer(&[("var/lib/dpkg/status", status), ("lib/apk/.wh.db", "")]);
        read_layer(&lower[..], &mut books).unwrap();
        read_layer(&upper[..], &mut books).unwrap();
        let inventory = Inventory::from_books(&books);
        assert_eq!((inventory.ecosystem.as_str(), inventory.format), ("Debian:12", Some(Format::Dpkg)));
        let [package] = &inventory.packages[..] else { panic!("{:?}", inventory.packages) };
        assert_eq!((package.source.as_str(), package.source_version.as_str()), ("glibc", "2.36-9"));
    }

    #[test]
    fn an_extension_header_is_passed_over_unread() {
        // It claims, and is, larger than what may be held; the reader counts how much of it is asked for at once.
        struct Zeros(u64, usize);
        impl Read for Zeros {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.1 = self.1.max(buf.len());
                let count = buf.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
                buf[..count].fill(0);
                self.0 -= count as u64;
                Ok(count)
            }
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(64 << 20);
        header.set_cksum();
        let mut zeros = Zeros(64 << 20, 0);
        let book = layer(&[("etc/os-release", "ID=alpine\n")]);
        let mut books = BTreeMap::new();
        read_layer(header.as_bytes().chain(&mut zeros).chain(&book[..]), &mut books).unwrap();
        assert!(books.contains_key("etc/os-release"), "what follows is not read");
        assert!(zeros.1 <= 1 << 20, "{} bytes are read at once", zeros.1);
    }

    #[test]
    fn alpine_is_known_by_its_branch() {
        let mut books = BTreeMap::new();
        books.insert("etc/os-release".to_owned(), "ID=alpine\nVERSION_ID=3.20.3\n".to_owned());
        books.insert("lib/apk/db/installed".to_owned(), "P:libssl3\nV:3.3.1-r0\no:openssl\n".to_owned());
        let inventory = Inventory::from_books(&books);
        assert_eq!(inventory.ecosystem, "Alpine:v3.20");
        assert_eq!(inventory.packages[0].source, "openssl");
    }
}
