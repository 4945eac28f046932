//! What a push must be like: pure judgements of one request.

use super::config::Config;
use sha2::{Digest, Sha256};
use skein_domain::id::Millis;
use skein_domain::live::{PushRequest, PushRoute, PushTarget};
use skein_domain::{Code, Error, Limits, Result};

const YEAR_MS: i64 = 366 * 24 * 60 * 60 * 1_000;

/// When a request is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// `None`: now.
    pub due: Option<Millis>,
    pub expires: Option<Millis>,
}

pub(super) fn route(target: &PushTarget) -> PushRoute {
    match target {
        PushTarget::Keys(_) | PushTarget::Mids(_) | PushTarget::Uids(_) => PushRoute::Unicast,
        PushTarget::Room(_) => PushRoute::Room,
        PushTarget::All(_) => PushRoute::All,
    }
}

pub(super) fn check(request: &PushRequest, config: &Config, limits: &Limits, now: Millis) -> Result<Times> {
    let bytes_max = if request.durable { config.body_bytes.min(limits.text_bytes) } else { config.body_bytes };
    if request.message.body.len() > bytes_max as usize {
        return Err(Error::new(Code::TooLarge, format!("the body of such a push has at most {bytes_max} bytes")));
    }
    request.target.check()?;
    if request.durable && !matches!(request.target, PushTarget::Uids(_) | PushTarget::Room(_)) {
        return Err(bad("only pushes to uids and to bound rooms are durable: others have nowhere to be stored"));
    }
    times(request, now)
}

fn times(request: &PushRequest, now: Millis) -> Result<Times> {
    let due = request.not_before.filter(|due| *due > now);
    if due.is_some_and(|due| due.0 - now.0 > YEAR_MS) {
        return Err(bad("a push waits for a year at most"));
    }
    if request.ttl_ms.is_some_and(|ttl| !(1..=YEAR_MS).contains(&ttl)) {
        return Err(bad("a time to live has 1 millisecond to one year"));
    }
    Ok(Times { due, expires: request.ttl_ms.map(|ttl| due.unwrap_or(now).plus(ttl)) })
}

/// Of what is asked for, whatever it is called.
pub(super) fn digest(request: &PushRequest) -> Result<[u8; 32]> {
    let asked = PushRequest { key: None, ..request.clone() };
    let json = serde_json::to_vec(&asked).map_err(|_| Error::internal())?;
    Ok(Sha256::digest(json).into())
}

fn bad(message: &'static str) -> Error {
    Error::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::id::{IdempotencyKey, Uid};
    use skein_domain::live::{Audience, LiveMessage, Mid, Priority, RECEIVERS_MAX, RoomName};

    const NOW: Millis = Millis(1_000_000);

    fn to(target: PushTarget) -> PushRequest {
        let message = LiveMessage { operation: 1000, body: b"hi".to_vec() };
        PushRequest {
            target,
            message,
            durable: false,
            key: None,
            not_before: None,
            ttl_ms: None,
            priority: Priority::Normal,
            dry_run: false,
        }
    }

    fn room() -> PushRequest {
        to(PushTarget::Room(RoomName::parse("live://1").unwrap()))
    }

    fn code(request: PushRequest) -> Code {
        check(&request, &Config::default(), &Limits::default(), NOW).unwrap_err().code
    }

    fn with_body(bytes: usize, request: PushRequest) -> PushRequest {
        PushRequest { message: LiveMessage { operation: 1, body: vec![b'x'; bytes] }, ..request }
    }

    #[test]
    fn bad_requests_are_refused_with_their_code() {
        let durable = |target| PushRequest { durable: true, ..to(target) };
        assert_eq!(code(with_body(64 * 1024 + 1, room())), Code::TooLarge);
        assert_eq!(code(with_body(16 * 1024 + 1, PushRequest { durable: true, ..room() })), Code::TooLarge);
        assert_eq!(code(to(PushTarget::Uids(vec![]))), Code::BadRequest);
        assert_eq!(code(to(PushTarget::Mids(vec![Mid(1); RECEIVERS_MAX + 1]))), Code::TooLarge);
        assert_eq!(code(durable(PushTarget::Mids(vec![Mid(1)]))), Code::BadRequest);
        assert_eq!(code(durable(PushTarget::All(Audience::default()))), Code::BadRequest);
        assert_eq!(code(to(PushTarget::All(Audience { speed: Some(0), ..Audience::default() }))), Code::BadRequest);
        let wordy = Audience { tags: vec!["x".repeat(65)], ..Audience::default() };
        assert_eq!(code(to(PushTarget::All(wordy))), Code::BadRequest);
        for ttl in [0, -1, i64::MAX] {
            assert_eq!(code(PushRequest { ttl_ms: Some(ttl), ..room() }), Code::BadRequest);
        }
        assert_eq!(code(PushRequest { not_before: Some(Millis(i64::MAX)), ..room() }), Code::BadRequest);
        assert!(check(&with_body(64 * 1024, room()), &Config::default(), &Limits::default(), NOW).is_ok());
    }

    #[test]
    fn a_time_to_live_begins_when_the_push_is_due() {
        let times =
            |not_before, ttl_ms| check(&PushRequest { not_before, ttl_ms, ..room() }, &Config::default(), &Limits::default(), NOW).unwrap();
        assert_eq!(times(None, Some(5)), Times { due: None, expires: Some(NOW.plus(5)) });
        assert_eq!(times(Some(NOW.plus(100)), Some(5)), Times { due: Some(NOW.plus(100)), expires: Some(NOW.plus(105)) });
        assert_eq!(times(Some(NOW), None), Times { due: None, expires: None }, "what is past is now");
    }

    #[test]
    fn a_digest_is_of_the_content_and_not_of_the_key() {
        let keyed = PushRequest { key: Some(IdempotencyKey::parse("k").unwrap()), ..room() };
        assert_eq!(digest(&keyed).unwrap(), digest(&room()).unwrap());
        assert_ne!(digest(&to(PushTarget::Uids(vec![Uid(1)]))).unwrap(), digest(&room()).unwrap());
    }
}
