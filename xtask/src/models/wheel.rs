//! Reading a member of a Python wheel, which is a zip archive.

use super::Outcome;
use flate2::read::{DeflateDecoder, GzDecoder};
use std::fs;
use std::io::Read;
use std::path::Path;

/// An open wheel.
pub(super) struct Wheel {
    bytes: Vec<u8>,
    /// Path, compression method, offset of the local header, packed size.
    entries: Vec<(String, u16, usize, usize)>,
}

impl Wheel {
    /// Opens the wheel at `path`, which must be botocore's of `version`.
    pub(super) fn open(path: &Path, version: &str) -> Outcome<Self> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let entries = directory(&bytes).ok_or_else(|| format!("{} is not a zip archive", path.display()))?;
        let wheel = Self { bytes, entries };
        let mark = format!("botocore-{version}.dist-info/METADATA");
        if wheel.entries.iter().any(|(name, ..)| *name == mark) {
            Ok(wheel)
        } else {
            Err(format!("{} is not botocore {version}, which models/services.list pins", path.display()))
        }
    }

    /// The newest model of `service`, unpacked.
    pub(super) fn model(&self, service: &str) -> Outcome<String> {
        let folder = format!("botocore/data/{service}/");
        let newest = self
            .entries
            .iter()
            .filter(|(name, ..)| name.starts_with(&folder) && name.ends_with("/service-2.json.gz"))
            .max()
            .ok_or_else(|| format!("the wheel has no model of {service}"))?;
        let fail = || format!("{} is damaged", newest.0);
        let packed = self.content(newest).ok_or_else(fail)?;
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).map_err(|error| format!("{}: {error}", newest.0))?;
        Ok(text)
    }

    fn content(&self, (_, method, offset, size): &(String, u16, usize, usize)) -> Option<Vec<u8>> {
        let header = self.bytes.get(*offset..)?;
        let start = 30 + usize::from(short(header, 26)?) + usize::from(short(header, 28)?);
        let packed = header.get(start..start + size)?;
        let mut content = Vec::new();
        match method {
            0 => content.extend_from_slice(packed),
            8 => drop(DeflateDecoder::new(packed).read_to_end(&mut content).ok()?),
            _ => return None,
        }
        Some(content)
    }
}

/// The central directory.
fn directory(bytes: &[u8]) -> Option<Vec<(String, u16, usize, usize)>> {
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = short(bytes, end + 10)?;
    let mut at = long(bytes, end + 16)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let length = usize::from(short(bytes, at + 28)?);
        let name = String::from_utf8(bytes.get(at + 46..at + 46 + length)?.to_vec()).ok()?;
        entries.push((name, short(bytes, at + 10)?, long(bytes, at + 42)?, long(bytes, at + 20)?));
        at += 46 + length + usize::from(short(bytes, at + 30)?) + usize::from(short(bytes, at + 32)?);
    }
    Some(entries)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}
