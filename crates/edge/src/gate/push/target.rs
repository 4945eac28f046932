//! What callers name, checked where it turns into the domain's words.

use super::{MESSAGE_BYTES_MAX, RECEIVERS_MAX, WORD_BYTES_MAX, WORDS_MAX};
use skein_domain::id::IdempotencyKey;
use skein_domain::live::{Audience, LiveMessage, Operation};
use skein_domain::{Code, Error, Result};

/// goim's operations end here.
const CONTROL_OPERATION_MAX: Operation = 17;

pub fn message(operation: Operation, body: Vec<u8>) -> Result<LiveMessage> {
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(Error::new(Code::TooLarge, format!("a message holds at most {MESSAGE_BYTES_MAX} bytes")));
    }
    Ok(LiveMessage { operation, body })
}

/// goim's own clients take a message with one of goim's operations for a word of their protocol.
pub fn business_operation(operation: Operation) -> Result<()> {
    if operation <= CONTROL_OPERATION_MAX {
        let why = format!(
            "operations up to {CONTROL_OPERATION_MAX} are the words of goim's protocol (heartbeat, login, container): choose a larger \
             one, best 1000 and up"
        );
        return Err(Error::new(Code::BadRequest, why));
    }
    Ok(())
}

pub fn at_most_receivers(count: usize) -> Result<()> {
    if count > RECEIVERS_MAX {
        return Err(Error::new(Code::TooLarge, format!("one push names at most {RECEIVERS_MAX} receivers")));
    }
    Ok(())
}

pub fn audience(platforms: Vec<String>, tags: Vec<String>, speed: Option<u32>) -> Result<Audience> {
    for words in [&platforms, &tags] {
        if words.len() > WORDS_MAX || words.iter().any(|word| word.is_empty() || word.len() > WORD_BYTES_MAX) {
            let bound = format!("an audience has at most {WORDS_MAX} platforms and {WORDS_MAX} tags of 1 to {WORD_BYTES_MAX} bytes");
            return Err(Error::new(Code::BadRequest, bound));
        }
    }
    Ok(Audience { platforms, tags, speed: speed.filter(|speed| *speed > 0) })
}

/// The caller's key, or one made here for a push that needs one: then a repetition is another push.
pub fn idempotency_key(named: Option<&str>, is_needed: bool) -> Result<Option<IdempotencyKey>> {
    match named {
        Some(text) => IdempotencyKey::parse(text).map(Some),
        None if is_needed => IdempotencyKey::parse(&uuid::Uuid::now_v7().simple().to_string()).map(Some),
        None => Ok(None),
    }
}
