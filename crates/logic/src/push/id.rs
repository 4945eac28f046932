//! Ids of pushes: 48 bits of time and 80 random ones in Crockford's base 32, as a ULID is written. Sortable by time; who
//! does not know one does not guess it.

use crate::account::secret::random;
use skein_domain::Result;
use skein_domain::id::Millis;
use skein_domain::live::PushId;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARS: u32 = 26;

pub(super) fn new(at: Millis) -> Result<PushId> {
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&random::<10>()?);
    bytes[..6].copy_from_slice(&at.0.max(0).to_be_bytes()[2..]);
    Ok(text(u128::from_be_bytes(bytes)))
}

fn text(number: u128) -> String {
    (0..CHARS).rev().map(|place| char::from(ALPHABET[(number >> (5 * place)) as usize & 31])).collect()
}

pub(super) fn is_one(text: &str) -> bool {
    text.len() == CHARS as usize && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sortable_by_time_and_differ() {
        let (early, late) = (new(Millis(1_800_000_000_000)).unwrap(), new(Millis(1_800_000_000_001)).unwrap());
        assert!(early < late && is_one(&early) && is_one(&late), "{early} {late}");
        assert_ne!(early, new(Millis(1_800_000_000_000)).unwrap());
        assert_eq!(text(u128::MAX), format!("7{}", "Z".repeat(25)));
        for bad in ["", "7ZZZZ", &"z".repeat(26), &"I".repeat(26), &"Z".repeat(27)] {
            assert!(!is_one(bad), "{bad}");
        }
    }
}
