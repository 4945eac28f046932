//! How a failure looks over HTTP: `application/problem+json` (RFC 9457) with the protocol's stable codes.
//!
//! **Invariant:** [`status`] is the only place where a code becomes an HTTP status.

use super::int64::Int64;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use skein_domain::{Code, Error};
use skein_protocol::{ErrorCode, JsonError};
use std::borrow::Cow;
use utoipa::ToSchema;

/// A failure on its way out. [`super::guard`] renders it, because only there the trace is known.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub code: ErrorCode,
    pub detail: Cow<'static, str>,
    pub retry_after_ms: Option<i64>,
    title: &'static str,
    status: StatusCode,
}

/// What a client reads when a request failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in general.
    pub title: &'static str,
    pub status: u16,
    /// Stable code; what programs decide by.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// What happened this time, for people.
    pub detail: String,
    /// When to try again, if that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<Int64>,
    /// Finds this request in the server's log.
    pub trace: String,
}

impl Problem {
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after_ms: None, title: code.meaning(), status: status(code) }
    }

    pub fn retry_after(mut self, ms: i64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Where the code's own meaning speaks of something else, as of sessions.
    pub fn titled(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    pub fn unauthorized() -> Self {
        Self::new(ErrorCode::Unauthorized, "log in first: a bearer token or the session cookie is missing, unknown or expired")
    }

    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }

    /// A failure that left its layer as a bare status: of the router, or of what wraps the body.
    pub fn from_status(status: StatusCode) -> Self {
        let problem = match status {
            StatusCode::NOT_FOUND => Self::new(ErrorCode::NotFound, "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(ErrorCode::Unsupported, "this path does not know this method"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(ErrorCode::TooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(ErrorCode::Unsupported, "this kind of body is not spoken here"),
            status if status.is_client_error() => Self::bad_request("the request is malformed"),
            _ => Self::from(Error::internal()),
        };
        Self { status, ..problem }
    }

    /// Logic answered something that does not belong to the command.
    pub fn unexpected_reply() -> Self {
        tracing::error!("unexpected reply from logic");
        Self::from(Error::internal())
    }

    pub fn body(&self, trace: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("/api/docs#{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail.to_string(),
            retry_after_ms: self.retry_after_ms.map(Int64),
            trace: trace.to_owned(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error.code {
            // Storage's advice to logic. A gate that meets it may ask again.
            Code::PolicyMoved => ErrorCode::Busy,
            code => code.as_str().parse().unwrap_or(ErrorCode::Internal),
        };
        Self { retry_after_ms: error.retry_after_ms, ..Self::new(code, error.message) }
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        if let Some(ms) = self.retry_after_ms {
            let seconds = ms.max(0).saturating_add(999) / 1_000;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED && self.code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

pub(super) fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode::*;
    match code {
        BadRequest | BadJson | BadCursor | UnsupportedVersion => StatusCode::BAD_REQUEST,
        Unauthorized | BadCredentials => StatusCode::UNAUTHORIZED,
        Forbidden | Disabled | NotMember | NotAccepted | Silenced => StatusCode::FORBIDDEN,
        NotFound => StatusCode::NOT_FOUND,
        UserExists | AlreadyMember | GroupFull | FriendsFull | RoomsFull | Recalled | RecallWindow | IdempotencyConflict | OutOfOrder => {
            StatusCode::CONFLICT
        }
        TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BadBody | BadEmail | BadNickname | WeakPassword | CodeWrong | CodeExpired | NotSelf => StatusCode::UNPROCESSABLE_ENTITY,
        RateLimited | QuotaExceeded | CodeExhausted => StatusCode::TOO_MANY_REQUESTS,
        Internal => StatusCode::INTERNAL_SERVER_ERROR,
        MailFailed => StatusCode::BAD_GATEWAY,
        MailNotConfigured | Busy | Unavailable | NoServer | Draining => StatusCode::SERVICE_UNAVAILABLE,
        Timeout | RetrySameKey => StatusCode::GATEWAY_TIMEOUT,
        StorageFull => StatusCode::INSUFFICIENT_STORAGE,
    }
}
