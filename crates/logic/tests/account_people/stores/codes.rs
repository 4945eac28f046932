use async_trait::async_trait;
use skein_domain::command::CodePurpose;
use skein_domain::id::Millis;
use skein_domain::port::{CodeLimits, CodeStore};
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::Mutex;

const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
pub struct Codes(Mutex<State>);

#[derive(Default)]
struct State {
    codes: HashMap<(String, CodePurpose), (String, Millis)>,
    puts: HashMap<String, Vec<Millis>>,
    checks: HashMap<String, Vec<Millis>>,
}

#[async_trait]
impl CodeStore for Codes {
    async fn put(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        if !counted(state.puts.entry(email.into()).or_default(), at, limits.codes_per_hour) {
            return Err(Error::new(Code::RateLimited, "too many codes"));
        }
        state.codes.insert((email.into(), purpose), (code.into(), at.plus(limits.ttl_ms)));
        Ok(())
    }

    async fn check(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        if !counted(state.checks.entry(email.into()).or_default(), at, limits.checks_per_hour) {
            return Err(Error::new(Code::CodeExhausted, "too many checks"));
        }
        let key = (email.to_owned(), purpose);
        match state.codes.get(&key) {
            Some((_, until)) if *until < at => Err(Error::new(Code::CodeExpired, "too old")),
            Some((right, _)) if right != code => Err(Error::new(Code::CodeWrong, "wrong")),
            None => Err(Error::new(Code::CodeExpired, "none")),
            Some(_) => {
                state.codes.remove(&key);
                Ok(())
            }
        }
    }
}

fn counted(times: &mut Vec<Millis>, at: Millis, per_hour: u32) -> bool {
    times.retain(|time| at.0 - time.0 < HOUR_MS);
    let fits = times.len() < per_hour as usize;
    if fits {
        times.push(at);
    }
    fits
}
