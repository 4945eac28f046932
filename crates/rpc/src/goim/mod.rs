//! goim's gRPC services and its log record, so that goim's own processes can call ours.
//!
//! - [`comet`]: what goim's job calls, onto the [`Delivery`](skein_domain::door::Delivery) door.
//! - [`logic`]: what goim's comet calls, onto [`Logic::guest`](skein_domain::door::Logic::guest).
//! - [`record`]: the value and key of goim's Kafka topic.
//!
//! goim's services know no credential: they are bound only where the operator trusts everybody who reaches them.
//!
//! **Invariant:** names and field numbers are goim's (`proto/goim`); `tests/goim/bytes.rs` holds them.
//!
//! **Bound:** 16 MiB a message, as goim's clients allow; a call has the door's deadline. Pings are answered however often
//! they come: goim's job pings an idle link every 10 s.

pub mod comet;
pub mod logic;
pub mod record;
mod roster;

pub(crate) mod proto {
    #![allow(clippy::all)]
    pub mod protocol {
        tonic::include_proto!("goim.protocol");
    }
    pub mod comet {
        tonic::include_proto!("goim.comet");
    }
    pub mod logic {
        tonic::include_proto!("goim.logic");
    }
}

use crate::peer::deadline;
use skein_domain::{Code, Error, Result};
use tonic::Status;

/// goim's clients allow as much in both directions.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// goim's servers answer plain Go errors, which gRPC calls `Unknown`.
fn failure(error: Error) -> Status {
    match error.code {
        Code::Timeout => Status::deadline_exceeded(error.message),
        Code::Busy | Code::Unavailable => Status::unavailable(error.message),
        Code::Forbidden | Code::Unauthorized => Status::permission_denied(error.message),
        _ => Status::unknown(error.message),
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T, Status> {
    let late = || Error::new(Code::Timeout, "the answer took too long");
    tokio::time::timeout(deadline(), call).await.unwrap_or_else(|_| Err(late())).map_err(failure)
}
