//! One entry of an archive, with the extension headers before it taken into account and everything checked that can be checked without the file system.
//!
//! The `tar` crate would read extension headers of any size into memory, so they are read here, with a limit.

use super::{UnpackError, broken};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// No real extension header is near this.
const MAX_EXTENSION: u64 = 1 << 20;
/// Linux's longest path.
const MAX_PATH: usize = 4096;

/// Attributes by which overlayfs, mounted without root, would take its orders.
fn is_overlays(name: &str) -> bool {
    name.starts_with("user.overlay.")
}

/// What the headers before an entry say about it.
#[derive(Default)]
pub(super) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    size: Option<u64>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// An entry that is fit to be made.
pub(super) struct Entry {
    /// Relative, of normal components; empty for the layer's root.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

pub(super) enum Kind {
    Directory,
    File,
    Fifo,
    /// Holds the target, which may be anything: it is resolved in the container.
    Symlink(PathBuf),
    /// Holds the path of the file, in the layer.
    HardLink(PathBuf),
}

impl Extensions {
    /// Takes `raw` in if it is an extension header.
    pub(super) fn absorb<R: Read>(&mut self, raw: &mut tar::Entry<'_, R>) -> Result<bool, UnpackError> {
        let kind = raw.header().entry_type();
        if kind.is_pax_global_extensions() {
            read_extension(raw)?;
        } else if kind.is_gnu_longname() {
            self.path = Some(without_nul(read_extension(raw)?));
        } else if kind.is_gnu_longlink() {
            self.link = Some(without_nul(read_extension(raw)?));
        } else if kind.is_pax_local_extensions() {
            self.pax(&read_extension(raw)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn pax(&mut self, text: &[u8]) -> Result<(), UnpackError> {
        let bad = || UnpackError::archive("invalid pax header");
        for record in tar::PaxExtensions::new(text) {
            let record = record.map_err(broken)?;
            let (key, value) = (record.key().map_err(|_| bad())?, record.value_bytes());
            let number = || std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).ok_or_else(bad);
            match key {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.link = Some(value.to_vec()),
                "uid" => self.uid = Some(number()?),
                "gid" => self.gid = Some(number()?),
                "size" => self.size = Some(number()?),
                "mtime" => self.mtime = Some(seconds(value).ok_or_else(bad)?),
                _ if key.starts_with("GNU.sparse.") => {
                    return Err(UnpackError::archive("sparse files are not supported"));
                }
                _ => {
                    let name = key.strip_prefix("SCHILY.xattr.");
                    let kept = |n: &&str| *n == "security.capability" || (n.starts_with("user.") && !is_overlays(n));
                    if let Some(name) = name.filter(kept) {
                        self.xattrs.push((name.to_owned(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Entry {
    pub(super) fn read<R: Read>(raw: &tar::Entry<'_, R>, ext: Extensions) -> Result<Self, UnpackError> {
        let header = raw.header();
        let path_bytes = ext.path.unwrap_or_else(|| raw.path_bytes().into_owned());
        let path = relative(&path_bytes)?;
        let shown = path.display();
        let id = |ext: Option<u64>, own: std::io::Result<u64>| match ext.map_or(own, Ok) {
            // The largest is to `chown` what leaves the owner alone.
            Ok(id) => u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| UnpackError::archive(format!("owner {id} of {shown} is too large"))),
            Err(error) => Err(broken(error)),
        };
        if ext.size.is_some_and(|size| size != raw.size()) {
            return Err(UnpackError::archive(format!("two sizes of {shown}")));
        }
        let link = || {
            let bytes = ext.link.clone().or_else(|| raw.link_name_bytes().map(std::borrow::Cow::into_owned));
            let bytes = bytes.unwrap_or_default();
            if bytes.is_empty() || bytes.len() >= MAX_PATH || bytes.contains(&0) {
                return Err(UnpackError::archive(format!("invalid link target of {shown}")));
            }
            Ok(bytes)
        };
        let entry_type = header.entry_type();
        let trailing_slash = path_bytes.last() == Some(&b'/');
        let kind = match entry_type {
            t if t.is_dir() => Kind::Directory,
            // Archives before POSIX mark a directory by its name alone.
            t if t.is_file() && trailing_slash => Kind::Directory,
            t if t.is_file() || t.is_contiguous() => Kind::File,
            t if t.is_symlink() => Kind::Symlink(PathBuf::from(OsStr::from_bytes(&link()?))),
            t if t.is_hard_link() => Kind::HardLink(relative(&link()?)?),
            t if t.is_fifo() => Kind::Fifo,
            t if t.is_character_special() || t.is_block_special() => {
                return Err(UnpackError::archive(format!("device node {shown} is not allowed in a layer")));
            }
            t => return Err(UnpackError::archive(format!("{shown} is of the unsupported type {:?}", t.as_byte()))),
        };
        if path.as_os_str().is_empty() && !matches!(kind, Kind::Directory) {
            return Err(UnpackError::archive("the layer's root is not a directory"));
        }
        let mtime = ext.mtime.unwrap_or((i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0));
        Ok(Self {
            kind,
            mode: number(&header.as_old().mode, header.mode()).map_err(broken)? & 0o7777,
            uid: id(ext.uid, number(&header.as_old().uid, header.uid()))?,
            gid: id(ext.gid, number(&header.as_old().gid, header.gid()))?,
            mtime,
            xattrs: ext.xattrs,
            path,
        })
    }
}

/// A field's value; nothing written in it is zero, as other readers have it.
fn number<T: Default>(field: &[u8], parsed: std::io::Result<T>) -> std::io::Result<T> {
    if field.iter().all(|b| matches!(b, 0 | b' ')) { Ok(T::default()) } else { parsed }
}

/// The path in `bytes` without `.`; refused if it is absolute or goes up.
fn relative(bytes: &[u8]) -> Result<PathBuf, UnpackError> {
    let refuse = |why| UnpackError::archive(format!("invalid path {:?}: {why}", String::from_utf8_lossy(bytes)));
    if bytes.len() >= MAX_PATH {
        return Err(UnpackError::archive("a path is longer than 4095 bytes"));
    }
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(refuse("empty, or a NUL byte in it"));
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(name) if name.len() > 255 => return Err(refuse("a name is longer than 255 bytes")),
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(refuse("it is absolute")),
            Component::ParentDir => return Err(refuse("it leads out of the layer")),
        }
    }
    Ok(path)
}

fn read_extension<R: Read>(raw: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, UnpackError> {
    if raw.size() > MAX_EXTENSION {
        return Err(UnpackError::archive(format!("an extension header of {} bytes", raw.size())));
    }
    let mut text = Vec::new();
    raw.read_to_end(&mut text).map_err(broken)?;
    Ok(text)
}

fn without_nul(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&0) {
        text.pop();
    }
    text
}

/// A decimal fraction of seconds, rounded down.
fn seconds(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanos): (i64, u32) = (whole.parse().ok()?, digits.parse().ok()?);
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_layer() {
        for bad in ["/etc/passwd", "../x", "a/../../x", "a/..", "", "a\0b"] {
            assert!(relative(bad.as_bytes()).is_err(), "{bad:?} was taken");
        }
        assert_eq!(relative(b"./a//./b/").unwrap(), Path::new("a/b"));
        assert_eq!(relative(b"./").unwrap(), Path::new(""));
    }

    #[test]
    fn fractions_of_seconds_round_down() {
        assert_eq!(seconds(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(seconds(b"-12.25"), Some((-13, 750_000_000)));
        assert_eq!(seconds(b"7"), Some((7, 0)));
        assert_eq!(seconds(b"x"), None);
    }
}
