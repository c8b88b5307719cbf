//! A stream cut into payloads, none of which splits a character.

/// The most of a payload. Source: the agent's `StreamDataPayloadSize`.
pub(crate) const MOST: usize = 1024;

/// What was written and is not yet in a payload: the beginning of a character at most.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    held: Vec<u8>,
}

impl Pieces {
    /// The payloads that are complete with `bytes`.
    pub(crate) fn cut(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        let mut rest = &self.held[..];
        while rest.len() > MOST {
            let (piece, after) = rest.split_at(MOST - begun(&rest[..MOST]));
            pieces.push(piece.to_vec());
            rest = after;
        }
        let (piece, after) = rest.split_at(rest.len() - begun(rest));
        if !piece.is_empty() {
            pieces.push(piece.to_vec());
        }
        self.held = after.to_vec();
        pieces
    }

    /// What is left when nothing more comes.
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.held)).filter(|held| !held.is_empty())
    }
}

/// The length of a character of UTF-8 that has begun at the end of `bytes` and is not complete. Bytes that are no text stay as they are.
fn begun(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (back, byte) in tail.iter().rev().enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if back + 1 < length { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_waits_for_its_end() {
        let mut pieces = Pieces::default();
        let euro = "€".as_bytes();
        assert_eq!(pieces.cut(&[b"a", &euro[..2]].concat()), [b"a".to_vec()]);
        assert_eq!(pieces.cut(&euro[2..]), [euro.to_vec()]);
        assert_eq!(pieces.cut(&euro[..1]), [] as [Vec<u8>; 0]);
        assert_eq!(pieces.rest(), Some(euro[..1].to_vec()));
        assert_eq!(pieces.cut(&[0xff, 0x80, 0x80, 0x80]), [vec![0xff, 0x80, 0x80, 0x80]], "no text is not held");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_text_stays_text(text in "\\PC{0,1500}", at in 0usize..3000) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut pieces = Pieces::default();
            let mut all = pieces.cut(one);
            all.extend(pieces.cut(two));
            prop_assert_eq!(pieces.rest(), None);
            prop_assert!(all.iter().all(|piece| piece.len() <= MOST && std::str::from_utf8(piece).is_ok()));
            prop_assert_eq!(all.concat(), bytes);
        }

        #[test]
        fn any_bytes_come_through(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut pieces = Pieces::default();
            let mut all = pieces.cut(&bytes).concat();
            all.extend(pieces.rest().unwrap_or_default());
            prop_assert_eq!(all, bytes);
        }
    }
}
