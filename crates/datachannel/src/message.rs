//! A frame: a header of fixed length and a payload.
//!
//! ```text
//! 0 header length · 4 type (32) · 36 schema version · 40 created · 48 sequence · 56 flags
//! 64 id (16) · 80 payload's SHA-256 (32) · 112 payload type · 116 payload length · 120 payload
//! ```
//!
//! Numbers are big-endian. The header's length does not count the payload's. Source: `src/message/messageparser.go` of the plugin.

use crate::Millis;
use sha2::{Digest, Sha256};

/// The header's length, as frames tell it: without the four bytes of the payload's length.
const HEADER: usize = 116;
const LENGTH: usize = 4;
const TYPE: std::ops::Range<usize> = 4..36;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something for the agent: input, a size, an answer in the handshake.
    Input,
    /// Something from the agent.
    Output,
    /// A frame has arrived.
    Acknowledge,
    /// The session is over.
    Closed,
    /// The other end listens again.
    Start,
    /// The other end does not listen for now.
    Pause,
    /// What is not known here and is passed over.
    Other,
}

impl Kind {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::Input, "input_stream_data"),
        (Self::Output, "output_stream_data"),
        (Self::Acknowledge, "acknowledge"),
        (Self::Closed, "channel_closed"),
        (Self::Start, "start_publication"),
        (Self::Pause, "pause_publication"),
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Self {
        Self::NAMES.iter().find(|(_, known)| *known == name).map_or(Self::Other, |(kind, _)| *kind)
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What for.
    pub kind: Kind,
    /// When it was made.
    pub created: Millis,
    /// Its number among the frames of its stream.
    pub sequence: i64,
    /// 1: the first of a stream; 2: the last.
    pub flags: u64,
    /// Its id, a UUID.
    pub id: [u8; 16],
    /// What the payload is ([`crate::payload`]).
    pub payload_type: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before its header does.
    Short,
    /// A length in it is not that of what is there.
    Length,
    /// The type is no text.
    Type,
    /// It does not say when it was made.
    Created,
    /// The payload is not the one that was sent.
    Digest,
    /// The payload is not what its type says.
    Payload,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Short => "a frame is too short",
            Self::Length => "a length in a frame is wrong",
            Self::Type => "a frame's type is unreadable",
            Self::Created => "a frame has no date",
            Self::Digest => "a frame's payload is damaged",
            Self::Payload => "a frame's payload is unreadable",
        })
    }
}

impl std::error::Error for Malformed {}

impl Message {
    /// The frame in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = u32::from_be_bytes(field(bytes, 0)?) as usize;
        let name = bytes.get(TYPE).ok_or(Malformed::Short)?;
        let name = std::str::from_utf8(name).map_err(|_| Malformed::Type)?;
        let kind = Kind::parse(name.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace()));
        let least: [u8; 8] = field(bytes, 64)?;
        let most: [u8; 8] = field(bytes, 72)?;
        let digest: [u8; 32] = field(bytes, 80)?;
        let payload_type = u32::from_be_bytes(field(bytes, 112)?);
        let length = u32::from_be_bytes(field(bytes, HEADER)?) as usize;
        if header < HEADER {
            return Err(Malformed::Length);
        }
        let payload = header.checked_add(LENGTH).and_then(|at| bytes.get(at..)).ok_or(Malformed::Length)?;
        if payload.len() != length {
            return Err(Malformed::Length);
        }
        let created = u64::from_be_bytes(field(bytes, 40)?);
        // These two come from the service itself, with nothing in them.
        if !matches!(kind, Kind::Start | Kind::Pause) {
            if created == 0 {
                return Err(Malformed::Created);
            }
            if !payload.is_empty() && Sha256::digest(payload)[..] != digest {
                return Err(Malformed::Digest);
            }
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&most);
        id[8..].copy_from_slice(&least);
        Ok(Self {
            kind,
            created,
            sequence: i64::from_be_bytes(field(bytes, 48)?),
            flags: u64::from_be_bytes(field(bytes, 56)?),
            id,
            payload_type,
            payload: payload.to_vec(),
        })
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + LENGTH + self.payload.len());
        bytes.extend_from_slice(&(HEADER as u32).to_be_bytes());
        let mut name = [b' '; 32];
        let known = self.kind.name().as_bytes();
        name[..known.len()].copy_from_slice(known);
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&1u32.to_be_bytes());
        bytes.extend_from_slice(&self.created.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        // The lower half of a UUID goes first.
        bytes.extend_from_slice(&self.id[8..]);
        bytes.extend_from_slice(&self.id[..8]);
        bytes.extend_from_slice(&Sha256::digest(&self.payload));
        bytes.extend_from_slice(&self.payload_type.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// The id, as text has it.
    pub fn uuid(&self) -> String {
        let hex = hex::encode(self.id);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// The bytes of a field, which are there or the frame is too short.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    bytes.get(at..at + N).and_then(|found| found.try_into().ok()).ok_or(Malformed::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            kind: Kind::Input,
            created: 1_700_000_000_000,
            sequence: 5,
            flags: 1,
            id: *b"0123456789abcdef",
            payload_type: 3,
            payload: b"payload".to_vec(),
        }
    }

    #[test]
    fn a_frame_stands_as_the_plugin_writes_it() {
        let bytes = message().encode();
        assert_eq!(bytes.len(), 127);
        assert_eq!(bytes[..4], [0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"input_stream_data               ");
        assert_eq!(bytes[36..40], [0, 0, 0, 1]);
        assert_eq!(bytes[48..56], [0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(&bytes[64..80], b"89abcdef01234567", "the lower half of the id is first");
        assert_eq!(bytes[112..120], [0, 0, 0, 3, 0, 0, 0, 7]);
        assert_eq!(&bytes[120..], b"payload");
        assert_eq!(Message::decode(&bytes), Ok(message()));
        assert_eq!(message().uuid(), "30313233-3435-3637-3839-616263646566");
    }

    #[test]
    fn what_is_no_frame_is_told_apart() {
        let bytes = message().encode();
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "{length} bytes of it are a frame");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            Message::decode(&bytes)
        };
        assert_eq!(changed(0, 0xff), Err(Malformed::Length));
        assert_eq!(changed(3, 115), Err(Malformed::Length));
        assert_eq!(changed(119, 8), Err(Malformed::Length));
        assert_eq!(changed(120, b'P'), Err(Malformed::Digest));
        assert_eq!(changed(4, 0xff), Err(Malformed::Type));
        assert_eq!(changed(4, b'x').unwrap().kind, Kind::Other);
    }

    #[test]
    fn a_longer_header_is_skipped() {
        let mut bytes = message().encode();
        bytes[3] = 118;
        bytes.splice(120..120, [0, 0]);
        assert_eq!(Message::decode(&bytes), Ok(message()));
    }
}
