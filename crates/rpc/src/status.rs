//! How a failure of the push API reads over gRPC.

use skein_domain::{Code, Error};
use tonic::Status;

/// The nearest status, and the code itself in the metadata.
pub fn failure(error: Error) -> Status {
    let Error { code, message, retry_after_ms } = error;
    let grpc = match code {
        Code::Unauthorized => tonic::Code::Unauthenticated,
        Code::Forbidden | Code::Disabled => tonic::Code::PermissionDenied,
        Code::NotFound => tonic::Code::NotFound,
        Code::BadRequest | Code::TooLarge | Code::BadBody => tonic::Code::InvalidArgument,
        Code::IdempotencyConflict => tonic::Code::AlreadyExists,
        Code::RateLimited | Code::QuotaExceeded | Code::StorageFull => tonic::Code::ResourceExhausted,
        Code::Busy | Code::Unavailable | Code::Draining => tonic::Code::Unavailable,
        Code::Timeout | Code::RetrySameKey => tonic::Code::DeadlineExceeded,
        Code::Unsupported => tonic::Code::Unimplemented,
        _ => tonic::Code::Internal,
    };
    let mut status = Status::new(grpc, message);
    status.metadata_mut().insert("skein-code", tonic::metadata::MetadataValue::from_static(code.as_str()));
    if let Some(ms) = retry_after_ms {
        status.metadata_mut().insert("retry-after-ms", ms.into());
    }
    status
}
