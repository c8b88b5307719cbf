//! Session tokens of IMDSv2. A token says itself until when it holds and for whom, under a key that this process alone has:
//! nothing is kept, however many are asked for, and all end with the process, after which clients fetch new ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use types::Timestamp;
use types::id::random_hex;

/// How much of the signature a token has.
const PROOF: usize = 24;

pub(super) struct Tokens {
    key: String,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { key: random_hex(64) }
    }

    /// A token for the instance, which holds until `until`.
    pub(super) fn make(&self, instance: &str, until: Timestamp) -> String {
        let mut token = until.millis().to_be_bytes().to_vec();
        token.extend(random_hex(8).as_bytes());
        let proof = self.prove(instance, &token).finalize().into_bytes();
        token.extend(&proof[..PROOF]);
        URL_SAFE.encode(token)
    }

    /// Whether the token was made for the instance and still holds.
    pub(super) fn holds(&self, token: &str, instance: &str, now: Timestamp) -> bool {
        let Ok(bytes) = URL_SAFE.decode(token.trim()) else { return false };
        let Some((said, proof)) = bytes.split_at_checked(16).filter(|(_, proof)| proof.len() == PROOF) else {
            return false;
        };
        let until = said.first_chunk().map(|bytes| Timestamp(i64::from_be_bytes(*bytes)));
        until.is_some_and(|until| now < until) && self.prove(instance, said).verify_truncated_left(proof).is_ok()
    }

    fn prove(&self, instance: &str, said: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("a key of any length will do");
        mac.update(said);
        mac.update(instance.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_its_instances_until_its_end() {
        let tokens = Tokens::new();
        let token = tokens.make("i-1", Timestamp(1000));
        assert_eq!(token.len(), 56, "AWS's tokens have 56 characters");
        assert!(tokens.holds(&token, "i-1", Timestamp(999)));
        assert!(!tokens.holds(&token, "i-1", Timestamp(1000)));
        assert!(!tokens.holds(&token, "i-2", Timestamp(0)));
        assert!(!Tokens::new().holds(&token, "i-1", Timestamp(0)));
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in any::<String>()) {
            prop_assert!(!Tokens::new().holds(&text, "i-1", Timestamp(0)));
        }
    }
}
