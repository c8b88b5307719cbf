//! From the bytes that were pushed to the bytes of the archive: decompression, a hash of what comes out, and a limit on it.

use super::{UnpackError, broken};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read};

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of the archive without its compression, as an image's configuration lists it.
    pub diff_id: String,
    /// The archive's bytes.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
}

/// The archive's bytes, hashed and counted as they are read.
pub(super) struct Stream<'a> {
    inner: Box<dyn Read + 'a>,
    hash: Sha256,
    bytes: u64,
    limit: u64,
}

/// Finds out how `reader` is compressed by its first bytes, as the media types that clients send are not reliable.
pub(super) fn open<'a>(reader: impl Read + 'a, limit: u64) -> Result<Stream<'a>, UnpackError> {
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let mut magic = [0u8; 4];
    let mut have = 0;
    while have < magic.len() {
        match reader.read(&mut magic[have..])? {
            0 => break,
            n => have += n,
        }
    }
    let whole = io::Cursor::new(magic).take(have as u64).chain(reader);
    let inner: Box<dyn Read + 'a> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            // A frame may ask for a window of gigabytes; 128 MiB is what zstd's own tool allows by default.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        _ => Box::new(whole),
    };
    Ok(Stream { inner, hash: Sha256::new(), bytes: 0, limit })
}

impl Stream<'_> {
    /// Reads what follows the archive's end, which belongs to the hash too.
    pub(super) fn finish(mut self, entries: u64) -> Result<Unpacked, UnpackError> {
        io::copy(&mut self, &mut io::sink()).map_err(broken)?;
        let diff_id = format!("sha256:{}", hex::encode(self.hash.finalize()));
        Ok(Unpacked { diff_id, bytes: self.bytes, entries })
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bytes += n as u64;
        if self.bytes > self.limit {
            let text = format!("the layer is larger than {} bytes", self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.hash.update(&buf[..n]);
        Ok(n)
    }
}
