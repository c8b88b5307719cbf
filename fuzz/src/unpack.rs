//! The unpacker of layers, into a directory with neighbours that must not change.
//!
//! The first byte of the data chooses what the rest is: `0` a stream as it is, `1` an archive whose headers get the right
//! checksums, `2` a list of entries. The second chooses the compression of the latter two: `0` none, `1` gzip, `2` zstd.

use arbitrary::{Arbitrary, Unstructured};
use runtime::unpack::{UnpackError, UnpackLimits, unpack_layer};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::fs::{self, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

const LIMITS: UnpackLimits = UnpackLimits { bytes: 192 << 10, entries: 256 };

/// Any stream is unpacked or refused as the archive's fault; what is made lies inside and within the limits.
pub fn unpack(data: &[u8]) {
    let [form, packing, rest @ ..] = data else { return };
    let place = Place::new();
    let archive = match form % 3 {
        0 => return place.unpack(rest, None),
        1 => with_checksums(rest),
        _ => {
            let items = Vec::<Item>::arbitrary_take_rest(Unstructured::new(rest)).unwrap_or_default();
            let mut archive = Vec::new();
            items.iter().for_each(|item| item.append(&mut archive, &place.outside()));
            archive.resize(archive.len() + 1024, 0);
            archive
        }
    };
    let failed = "compression in memory";
    let packed = match packing % 3 {
        0 => archive.clone(),
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&archive).expect(failed);
            gzip.finish().expect(failed)
        }
        _ => zstd::encode_all(&archive[..], 1).expect(failed),
    };
    place.unpack(&packed, Some(&archive));
}

/// `layer/`, which is unpacked into, beside `outside/`, which is not.
struct Place {
    base: tempfile::TempDir,
    before: Vec<(PathBuf, Facts)>,
}

/// What shows any change of a file: the last is the time of the change itself.
type Facts = (u64, u32, u64, u32, u32, u64, (i64, i64));

fn facts(path: &Path) -> Option<Facts> {
    let found = fs::symlink_metadata(path).ok()?;
    let changed = (found.ctime(), found.ctime_nsec());
    Some((found.ino(), found.mode(), found.nlink(), found.uid(), found.gid(), found.size(), changed))
}

impl Place {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let base = tempfile::Builder::new().prefix("fuzz-unpack-").tempdir_in(parent).expect("a temporary directory");
        let at = |name: &str| base.path().join(name);
        let (layer, outside, file) = (at("layer"), at("outside"), at("outside/file"));
        fs::create_dir(layer).and_then(|()| fs::create_dir(&outside)).expect("directories");
        fs::write(&file, "untouched").expect("a file");
        let watched = [base.path().to_owned(), outside, file];
        let before = watched.into_iter().map(|path| (path.clone(), facts(&path).expect("just made"))).collect();
        Self { base, before }
    }

    fn outside(&self) -> PathBuf {
        self.base.path().join("outside")
    }

    /// Unpacks `stream`; `archive` is what it holds, where that is known.
    fn unpack(&self, stream: &[u8], archive: Option<&[u8]>) {
        let layer = self.base.path().join("layer");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&layer, flags, Mode::empty()).expect("the directory opens");
        let outcome = unpack_layer(stream, &directory, LIMITS);
        for (path, before) in &self.before {
            assert_eq!(facts(path), Some(*before), "{} has changed", path.display());
        }
        let (entries, bytes) = count(&layer);
        assert!(entries <= LIMITS.entries, "{entries} files, directories and links");
        assert!(bytes <= LIMITS.bytes, "{bytes} bytes");
        match outcome {
            Ok(unpacked) => {
                assert!(unpacked.bytes <= LIMITS.bytes && unpacked.entries <= LIMITS.entries, "{unpacked:?}");
                if let Some(archive) = archive {
                    let digest = format!("sha256:{}", hex::encode(Sha256::digest(archive)));
                    assert_eq!((unpacked.diff_id, unpacked.bytes), (digest, archive.len() as u64), "another archive");
                }
            }
            Err(UnpackError::Archive(_)) => {}
            // Owners and whiteouts are not for everybody to set.
            Err(UnpackError::Io(_)) if !rustix::process::geteuid().is_root() => {}
            Err(error) => panic!("the host is blamed for the archive: {error}"),
        }
    }
}

/// How many things lie below `layer`, and the bytes in them; none may be a device, unless it is a whiteout.
fn count(layer: &Path) -> (u64, u64) {
    let (mut entries, mut bytes, mut seen) = (0, 0, std::collections::HashSet::new());
    let mut directories = vec![layer.to_owned()];
    while let Some(directory) = directories.pop() {
        // A path that is too long to be opened by name is left out.
        let Ok(found) = fs::read_dir(&directory) else { continue };
        for entry in found.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            entries += 1;
            allowed(&entry.path(), &metadata);
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() && seen.insert(metadata.ino()) {
                bytes += metadata.len();
            }
        }
    }
    (entries, bytes)
}

fn allowed(path: &Path, metadata: &Metadata) {
    let kind = metadata.file_type();
    let device = kind.is_block_device() || kind.is_socket() || kind.is_char_device() && metadata.rdev() != 0;
    assert!(!device, "{} is a device", path.display());
}

/// The archive with each header's checksum put right, so that the fuzzer need not find it.
fn with_checksums(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        if block.iter().any(|byte| *byte != 0) {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let size = header.entry_size().unwrap_or(0).min(archive.len() as u64);
        at += 512 + (size as usize).next_multiple_of(512);
    }
    archive
}

/// An entry of an archive, honest or not.
#[derive(Debug, Arbitrary)]
struct Item {
    kind: Kind,
    path: Vec<Step>,
    link: Link,
    mode: u16,
    owner: Owner,
    size: u16,
    extension: Extension,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Directory,
    File,
    Symlink,
    HardLink,
    Fifo,
    Other(u8),
}

/// Few names, so that entries meet.
#[derive(Debug, Arbitrary)]
enum Step {
    Name(u8),
    Whiteout(u8),
    Opaque,
    Here,
    Up,
    /// At the beginning it makes the path absolute.
    Nothing,
    Deep(u8),
    Long(u8),
}

#[derive(Debug, Arbitrary)]
enum Link {
    Path(Vec<Step>),
    Outside,
    OutsideFile,
    Above,
}

#[derive(Debug, Arbitrary)]
enum Owner {
    Root,
    Small(u16),
    Any(u64),
}

/// Where names are written that do not fit into a header, and more.
#[derive(Debug, Arbitrary)]
enum Extension {
    None,
    Gnu,
    Pax { capability: bool, xattr: Option<u32>, mtime: Option<i64>, size: Option<u16>, owner: Option<Owner> },
}

impl Item {
    fn append(&self, archive: &mut Vec<u8>, outside: &Path) {
        let path = joined(&self.path);
        let link = match &self.link {
            Link::Path(steps) => joined(steps),
            Link::Outside => outside.as_os_str().as_bytes().to_vec(),
            Link::OutsideFile => outside.join("file").as_os_str().as_bytes().to_vec(),
            Link::Above => b"../outside/file".to_vec(),
        };
        let kind = match self.kind {
            Kind::Directory => EntryType::Directory,
            Kind::File => EntryType::Regular,
            Kind::Symlink => EntryType::Symlink,
            Kind::HardLink => EntryType::Link,
            Kind::Fifo => EntryType::Fifo,
            Kind::Other(byte) => EntryType::new(byte),
        };
        match &self.extension {
            Extension::None => {}
            Extension::Gnu => {
                append(archive, header(EntryType::GNULongName, b"././@LongLink"), &path);
                append(archive, header(EntryType::GNULongLink, b"././@LongLink"), &link);
            }
            Extension::Pax { capability, xattr, mtime, size, owner } => {
                let mut records = Vec::new();
                record(&mut records, "path", &path);
                record(&mut records, "linkpath", &link);
                if *capability {
                    // CAP_NET_BIND_SERVICE, permitted and effective
                    let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    record(&mut records, "SCHILY.xattr.security.capability", &value);
                }
                if let Some(length) = xattr {
                    record(&mut records, "SCHILY.xattr.user.x", &vec![b'x'; *length as usize % 100_000]);
                    record(&mut records, "SCHILY.xattr.trusted.overlay.redirect", b"/etc");
                }
                let mut number = |name, value: Option<String>| {
                    value.into_iter().for_each(|value| record(&mut records, name, value.as_bytes()));
                };
                number("mtime", mtime.map(|mtime| format!("{}.{}", mtime / 1000, mtime.unsigned_abs() % 1000)));
                number("size", size.map(|size| size.to_string()));
                number("uid", owner.as_ref().map(|owner| owner.id().to_string()));
                append(archive, header(EntryType::XHeader, b"pax"), &records);
            }
        }
        let mut header = header(kind, &path);
        header.set_mode(self.mode.into());
        header.set_uid(self.owner.id());
        let length = link.len().min(100);
        header.as_old_mut().linkname[..length].copy_from_slice(&link[..length]);
        append(archive, header, &vec![0; usize::from(self.size) % 9000]);
    }
}

impl Owner {
    fn id(&self) -> u64 {
        match self {
            Self::Root => 0,
            Self::Small(id) => (*id).into(),
            Self::Any(id) => *id,
        }
    }
}

fn joined(steps: &[Step]) -> Vec<u8> {
    let name = |index: u8| ["a", "b", "c", "etc"][usize::from(index % 4)];
    let steps = steps.iter().map(|step| match step {
        Step::Name(index) => name(*index).to_owned(),
        Step::Whiteout(index) => format!(".wh.{}", name(*index)),
        Step::Opaque => ".wh..wh..opq".to_owned(),
        Step::Here => ".".to_owned(),
        Step::Up => "..".to_owned(),
        Step::Nothing => String::new(),
        Step::Deep(depth) => vec!["d"; usize::from(*depth)].join("/"),
        Step::Long(length) => "n".repeat(usize::from(*length) + 1),
    });
    steps.collect::<Vec<_>>().join("/").into_bytes()
}

fn header(kind: EntryType, path: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    let length = path.len().min(100);
    // As it is: the crate's own setter refuses the names that matter here.
    header.as_old_mut().name[..length].copy_from_slice(&path[..length]);
    header
}

fn append(archive: &mut Vec<u8>, mut header: Header, content: &[u8]) {
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// `<length of the whole record> <name>=<value>\n`
fn record(records: &mut Vec<u8>, name: &str, value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    records.extend_from_slice(format!("{length} {name}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}
