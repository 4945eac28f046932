//! Secrets made here: tokens and tickets of 256 random bits, and e-mail codes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use skein_domain::account::SecretHash;
use skein_domain::{Error, Result};

const SECRET_BYTES: usize = 32;

/// A secret to tell its owner once, and what is kept of it.
pub(crate) fn new_secret() -> Result<(String, SecretHash)> {
    let secret: [u8; SECRET_BYTES] = random()?;
    Ok((URL_SAFE_NO_PAD.encode(secret), SecretHash(Sha256::digest(secret).into())))
}

/// What is kept of this secret; `None` if it cannot be one of ours.
pub(crate) fn hash_of(text: &str) -> Option<SecretHash> {
    let mut secret = [0; SECRET_BYTES];
    let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut secret).ok()?;
    (decoded == SECRET_BYTES).then(|| SecretHash(Sha256::digest(secret).into()))
}

/// Six digits, each code as likely as any other.
pub(super) fn new_code() -> Result<String> {
    loop {
        if let Some(code) = code_of(u32::from_le_bytes(random()?)) {
            return Ok(code);
        }
    }
}

const CODE_DIGITS: usize = 6;
const CODES: u32 = 1_000_000;

/// `None` for draws beyond the last full range, which would favour small codes.
fn code_of(draw: u32) -> Option<String> {
    (draw < u32::MAX / CODES * CODES).then(|| format!("{:06}", draw % CODES))
}

pub(super) fn is_code(text: &str) -> bool {
    text.len() == CODE_DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no randomness from the operating system");
        Error::internal()
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_hash_and_only_whole() {
        let (secret, hash) = new_secret().unwrap();
        assert_eq!(secret.len(), 43);
        assert_eq!(hash_of(&secret), Some(hash));
        assert_ne!(new_secret().unwrap().1, hash);
        for bad in ["", "short", &secret[1..], &format!("{secret}A"), &format!("{secret}="), &"A".repeat(100_000)] {
            assert!(hash_of(bad).is_none());
        }
    }

    #[test]
    fn codes_are_six_digits_and_uniform() {
        assert_eq!(code_of(7).as_deref(), Some("000007"));
        assert_eq!(code_of(4_293_999_999).as_deref(), Some("999999"));
        assert_eq!(code_of(4_294_000_000), None);
        assert!(is_code(&new_code().unwrap()));
        assert!(!is_code("12345") && !is_code("12345a") && !is_code("1234567"));
    }
}
