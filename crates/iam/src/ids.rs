//! IAM's unique ids and secrets, in AWS's forms. Source: IAM User Guide, "IAM identifiers", "Unique identifiers".

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect()
}

/// `AROA`, `AIDA` or `ANPA` and 17 letters and digits.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}{}", letters(&random::<17>()))
}

/// `AKIA` or `ASIA` and 16 letters and digits.
pub(crate) fn access_key(prefix: &str) -> String {
    format!("{prefix}{}", letters(&random::<16>()))
}

/// Forty characters.
pub(crate) fn secret() -> String {
    STANDARD_NO_PAD.encode(random::<30>())
}

/// A session token.
pub(crate) fn token() -> String {
    format!("IQoJb3JpZ2luX2Vj{}", STANDARD_NO_PAD.encode(random::<192>()))
}

/// An id that is always the same for the same text.
pub(crate) fn stable(prefix: &str, of: &str) -> String {
    format!("{prefix}{}", letters(&Sha256::digest(of)[..17]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_have_awss_lengths() {
        assert_eq!(super::unique("AROA").len(), 21);
        assert_eq!(super::access_key("AKIA").len(), 20);
        assert_eq!(super::secret().len(), 40);
        assert_eq!(super::stable("ANPA", "x"), super::stable("ANPA", "x"));
    }
}
