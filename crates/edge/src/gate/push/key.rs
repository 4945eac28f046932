//! The idempotency key of a push.

use skein_domain::Result;
use skein_domain::id::IdempotencyKey;

/// The caller's key, or one made here for a push that needs one: then a repetition is another push.
pub fn idempotency_key(named: Option<&str>, is_needed: bool) -> Result<Option<IdempotencyKey>> {
    match named {
        Some(text) => IdempotencyKey::parse(text).map(Some),
        None if is_needed => IdempotencyKey::parse(&uuid::Uuid::now_v7().simple().to_string()).map(Some),
        None => Ok(None),
    }
}
