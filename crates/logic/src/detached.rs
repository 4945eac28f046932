//! Work that its caller may leave, but not stop: a deadline or a lost connection drops the future of a call wherever it is.

use skein_domain::{Error, Result};
use tracing::Instrument;

/// Runs to its end even if the caller is dropped.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|_| Err(Error::internal()))
}
