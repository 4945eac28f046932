//! What a [`CodeStore`] must keep. A maker hands over a fresh one; the caller's time is an argument.

use super::world::{NOW, code};
use skein_domain::account::CodePurpose::{self, Register, Reset};
use skein_domain::id::Millis;
use skein_domain::port::{CodeLimits, CodeStore};
use skein_domain::{Code, Result};
use std::sync::Arc;

pub type Maker = fn() -> Arc<dyn CodeStore>;

const LIMITS: CodeLimits = CodeLimits { ttl_ms: 300_000, codes_per_hour: 5, checks_per_hour: 10 };
const HOUR_MS: i64 = 3_600_000;
const ANN: &str = "ann@example.org";

struct Codes(Arc<dyn CodeStore>);

impl Codes {
    async fn put(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis) -> Result<()> {
        self.0.put(email, purpose, code, at, LIMITS).await
    }

    async fn check(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis) -> Result<()> {
        self.0.check(email, purpose, code, at, LIMITS).await
    }
}

pub async fn a_right_code_works_once(make: &Maker) {
    let codes = Codes(make());
    codes.put(ANN, Register, "123456", NOW).await.expect("put");
    assert_eq!(code(codes.check(ANN, Register, "654321", NOW).await), Code::CodeWrong);
    codes.check(ANN, Register, "123456", NOW).await.expect("right code");
    assert_eq!(code(codes.check(ANN, Register, "123456", NOW).await), Code::CodeExpired);
}

pub async fn a_new_code_voids_the_old(make: &Maker) {
    let codes = Codes(make());
    codes.put(ANN, Reset, "111111", NOW).await.expect("put");
    codes.put(ANN, Reset, "222222", NOW).await.expect("put");
    assert_eq!(code(codes.check(ANN, Reset, "111111", NOW).await), Code::CodeWrong);
    codes.check(ANN, Reset, "222222", NOW).await.expect("the newer code");
}

pub async fn a_code_is_bound_to_its_purpose_and_time(make: &Maker) {
    let codes = Codes(make());
    codes.put(ANN, Register, "123456", NOW).await.expect("put");
    assert_eq!(code(codes.check(ANN, Reset, "123456", NOW).await), Code::CodeExpired);
    assert_eq!(code(codes.check("bob@example.org", Register, "123456", NOW).await), Code::CodeExpired);
    assert_eq!(code(codes.check(ANN, Register, "123456", NOW.plus(LIMITS.ttl_ms)).await), Code::CodeExpired);
    codes.check(ANN, Register, "123456", NOW.plus(LIMITS.ttl_ms - 1)).await.expect("in time");
}

pub async fn checks_are_counted_across_codes(make: &Maker) {
    let codes = Codes(make());
    for n in 0..10 {
        if n % 5 == 0 {
            codes.put(ANN, Register, "123456", NOW).await.expect("put");
        }
        assert_eq!(code(codes.check(ANN, Register, "000000", NOW).await), Code::CodeWrong);
    }
    assert_eq!(code(codes.check(ANN, Register, "123456", NOW).await), Code::CodeExhausted, "even the right one");
    codes.put(ANN, Register, "123456", NOW.plus(1)).await.expect("put");
    assert_eq!(code(codes.check(ANN, Register, "123456", NOW.plus(1)).await), Code::CodeExhausted, "a new code does not help");
    codes.put(ANN, Register, "777777", NOW.plus(HOUR_MS)).await.expect("put");
    codes.check(ANN, Register, "777777", NOW.plus(HOUR_MS)).await.expect("an hour later");
}

pub async fn codes_per_hour_are_limited_across_purposes(make: &Maker) {
    let codes = Codes(make());
    for n in 0..5 {
        codes.put(ANN, if n % 2 == 0 { Register } else { Reset }, "123456", NOW).await.expect("put");
    }
    let refused = codes.put(ANN, Register, "123456", NOW.plus(60_000)).await.expect_err("too many");
    assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimited, Some(HOUR_MS - 60_000)));
    codes.put("bob@example.org", Register, "123456", NOW).await.expect("another address");
    codes.put(ANN, Register, "123456", NOW.plus(HOUR_MS)).await.expect("an hour later");
}
