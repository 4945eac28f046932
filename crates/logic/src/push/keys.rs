//! Who may push what: API keys, their scopes and their rates.
//!
//! **Invariant:** a key is known by its hash only. A revoked one stops working at once where it was revoked, and within
//! [`KEY_KEPT`] on other nodes.
//!
//! Bounds: [`KEYS_MAX`] keys with their rates in memory; a network address that shows wrong keys is slowed down before
//! the store is asked again.

use crate::account::rate::{Rate, RateLimit, network};
use crate::account::secret;
use governor::clock::{Clock as GovernorClock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use skein_domain::account::SecretHash;
use skein_domain::door::Origin;
use skein_domain::id::Uid;
use skein_domain::live::{PushRoute, Pusher, RoomName, Scope};
use skein_domain::port::{ApiKey, Clock, PushStore};
use skein_domain::{Code, Error, Result};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const KEYS_MAX: u64 = 10_000;
const KEY_KEPT: Duration = Duration::from_secs(5);
const RATE_KEPT: Duration = Duration::from_secs(600);
const WRONG_KEYS: Rate = Rate { burst: 20, every_ms: 1_000 };
/// Owns what the operator or nobody in particular pushes.
pub(super) const NO_APP: Uid = Uid(0);

type Limiter = Arc<DefaultDirectRateLimiter>;

#[derive(Clone)]
pub(crate) struct Keys {
    store: Arc<dyn PushStore>,
    known: Cache<[u8; 32], Arc<ApiKey>>,
    /// Kept longer than the keys, or else looking one up again would refill its rate.
    limiters: Cache<(i64, u32), Limiter>,
    wrong: Arc<RateLimit>,
    open_push: bool,
}

/// Somebody who may push something.
pub(super) struct PushCaller {
    pub app: Uid,
    /// `None`: everything, as often as they like.
    key: Option<(Scope, Limiter)>,
}

impl Keys {
    pub(crate) fn new(store: Arc<dyn PushStore>, clock: Arc<dyn Clock>, open_push: bool) -> Self {
        Self {
            store,
            known: Cache::builder().max_capacity(KEYS_MAX).time_to_live(KEY_KEPT).build(),
            limiters: Cache::builder().max_capacity(KEYS_MAX).time_to_idle(RATE_KEPT).build(),
            wrong: Arc::new(RateLimit::new("wrong_api_keys", WRONG_KEYS, clock)),
            open_push,
        }
    }

    pub(super) async fn caller(&self, pusher: &Pusher, from: &Origin) -> Result<PushCaller> {
        match pusher {
            Pusher::Operator => Ok(PushCaller { app: NO_APP, key: None }),
            Pusher::Open if self.open_push => Ok(PushCaller { app: NO_APP, key: None }),
            Pusher::Open => Err(unauthorized()),
            Pusher::ApiKey(secret) => {
                let key = self.find(secret, from).await?;
                let limiter = self.limiters.get_with((key.id, key.per_second), || Arc::new(RateLimiter::direct(quota(key.per_second))));
                Ok(PushCaller { app: key.app, key: Some((key.scope.clone(), limiter)) })
            }
        }
    }

    async fn find(&self, secret: &str, from: &Origin) -> Result<Arc<ApiKey>> {
        let Some(SecretHash(hash)) = secret::hash_of(secret) else {
            return Err(self.refused(from));
        };
        if let Some(key) = self.known.get(&hash) {
            return Ok(key);
        }
        let found = self.store.key_by_hash(hash).await?.filter(|key| key.revoked_at.is_none());
        let key = Arc::new(found.ok_or_else(|| self.refused(from))?);
        self.known.insert(hash, key.clone());
        Ok(key)
    }

    fn refused(&self, from: &Origin) -> Error {
        match self.wrong.check(network(&from.address)) {
            Ok(()) => unauthorized(),
            Err(slow_down) => slow_down,
        }
    }

    /// Keys were changed.
    pub(super) fn forget(&self) {
        self.known.invalidate_all();
    }
}

impl PushCaller {
    pub(super) fn may(&self, route: PushRoute) -> Result<()> {
        match &self.key {
            Some((scope, _)) if !scope.allows(route) => Err(forbidden(format!("this key may not use {}", route.as_str()))),
            _ => Ok(()),
        }
    }

    pub(super) fn may_in(&self, room: &RoomName) -> Result<()> {
        if self.knows(room) { Ok(()) } else { Err(forbidden("this key may not use this room")) }
    }

    /// Whether the room is one of those this key is for.
    pub(super) fn knows(&self, room: &RoomName) -> bool {
        self.key.as_ref().is_none_or(|(scope, _)| scope.allows_room(room))
    }

    /// Counts one request.
    pub(super) fn count(&self) -> Result<()> {
        let Some((_, limiter)) = &self.key else { return Ok(()) };
        limiter.check().map_err(|until| {
            metrics::counter!("skein_rate_limited_total", "what" => "pushes").increment(1);
            let wait_ms = until.wait_time_from(DefaultClock::default().now()).as_millis() as i64;
            Error::new(Code::RateLimited, "too often for this key; wait a moment").retry_after(wait_ms.max(1))
        })
    }
}

fn quota(per_second: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN))
}

fn unauthorized() -> Error {
    Error::new(Code::Unauthorized, "this needs an API key that is valid")
}

fn forbidden(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::Forbidden, message)
}
