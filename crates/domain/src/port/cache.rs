use crate::Result;
use crate::account::CodePurpose;
use crate::id::Millis;
use async_trait::async_trait;

/// E-mail codes, and counters of attempts. Nothing here is the truth about anything but codes; losing it costs a user a
/// new code.
#[async_trait]
pub trait CodeStore: Send + Sync + 'static {
    /// A new code voids the old of the same address and purpose. `rate_limited` beyond `per_hour` codes of an address
    /// (all purposes counted together).
    async fn put(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()>;
    /// Right: the code is used up. Wrong: `code_wrong`; none or too old: `code_expired`; beyond `checks_per_hour` of an
    /// address, counted across codes: `code_exhausted`.
    async fn check(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()>;
}

#[derive(Debug, Clone, Copy)]
pub struct CodeLimits {
    pub ttl_ms: i64,
    pub codes_per_hour: u32,
    pub checks_per_hour: u32,
}
