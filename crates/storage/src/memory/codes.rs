//! E-mail codes and the counters of attempts, for one process: [`CodeStore`].
//!
//! **Invariant:** per address the store remembers at most one code per purpose, and the times of at most as many codes and
//! checks as an hour allows.

use super::full;
use async_trait::async_trait;
use skein_domain::account::CodePurpose;
use skein_domain::id::Millis;
use skein_domain::port::{CodeLimits, CodeStore};
use skein_domain::{Code, Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

const ADDRESSES_MAX: usize = 100_000;
const HOUR_MS: i64 = 3_600_000;

pub struct MemoryCodes {
    addresses_max: usize,
    addresses: Mutex<HashMap<String, Address>>,
}

#[derive(Default)]
struct Address {
    codes: HashMap<CodePurpose, Issued>,
    issued: Hour,
    checked: Hour,
}

struct Issued {
    code: String,
    at: Millis,
}

/// When something happened within the last hour.
#[derive(Default)]
struct Hour(VecDeque<Millis>);

impl Default for MemoryCodes {
    fn default() -> Self {
        Self::bounded(ADDRESSES_MAX)
    }
}

impl MemoryCodes {
    pub fn bounded(addresses_max: usize) -> Self {
        Self { addresses_max, addresses: Mutex::default() }
    }

    fn with<T>(&self, email: &str, at: Millis, limits: CodeLimits, act: impl FnOnce(&mut Address) -> Result<T>) -> Result<T> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= self.addresses_max && !addresses.contains_key(email) {
            addresses.retain(|_, address| address.is_of_use(at, limits));
            if addresses.len() >= self.addresses_max {
                return Err(full());
            }
        }
        let outcome = act(addresses.entry(email.to_owned()).or_default());
        metrics::gauge!("skein_code_addresses").set(addresses.len() as f64);
        outcome
    }
}

#[async_trait]
impl CodeStore for MemoryCodes {
    async fn put(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        self.with(email, at, limits, |address| {
            if let Err(wait_ms) = address.issued.count(at, limits.codes_per_hour) {
                return Err(Error::new(Code::RateLimited, "too many codes for this address").retry_after(wait_ms));
            }
            address.codes.insert(purpose, Issued { code: code.to_owned(), at });
            Ok(())
        })
    }

    async fn check(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        self.with(email, at, limits, |address| {
            if let Err(wait_ms) = address.checked.count(at, limits.checks_per_hour) {
                return Err(Error::new(Code::CodeExhausted, "too many attempts for this address").retry_after(wait_ms));
            }
            match address.codes.get(&purpose) {
                Some(issued) if issued.at.plus(limits.ttl_ms) <= at => Err(expired()),
                Some(issued) if issued.code != code => Err(Error::new(Code::CodeWrong, "the code is wrong")),
                Some(_) => {
                    address.codes.remove(&purpose);
                    Ok(())
                }
                None => Err(expired()),
            }
        })
    }
}

fn expired() -> Error {
    Error::new(Code::CodeExpired, "there is no such code any more; ask for a new one")
}

impl Address {
    fn is_of_use(&mut self, at: Millis, limits: CodeLimits) -> bool {
        self.issued.forget(at);
        self.checked.forget(at);
        let live_code = self.codes.values().any(|issued| issued.at.plus(limits.ttl_ms) > at);
        live_code || !self.issued.0.is_empty() || !self.checked.0.is_empty()
    }
}

impl Hour {
    /// Counts one more, or says how long to wait for room.
    fn count(&mut self, at: Millis, max: u32) -> Result<(), i64> {
        self.forget(at);
        if self.0.len() >= max as usize {
            let oldest = self.0.front().copied().unwrap_or(at);
            return Err(oldest.plus(HOUR_MS).0 - at.0);
        }
        self.0.push_back(at);
        Ok(())
    }

    fn forget(&mut self, at: Millis) {
        while self.0.front().is_some_and(|first| first.plus(HOUR_MS) <= at) {
            self.0.pop_front();
        }
    }
}
