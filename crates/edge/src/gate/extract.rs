//! What handlers take from a request, each with a problem for an answer when it is not there.

use super::Shared;
use super::int64::Int64;
use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_protocol::{ErrorCode, from_parameters, from_strict_json_object};
use std::sync::Arc;

/// A JSON body. **Bound:** `body_bytes_max`.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Shared>) -> Result<Self, Problem> {
        let JsonText(text) = JsonText::from_request(request, state).await?;
        Ok(Json(from_strict_json_object(&text)?))
    }
}

/// The text of a JSON body, not looked at. **Bound:** `body_bytes_max`.
pub(super) struct JsonText(pub Bytes);

impl FromRequest<Arc<Shared>> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Shared>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ErrorCode::Unsupported, "send the body as application/json"));
        }
        read(request, state.config.body_bytes_max as usize).await.map(JsonText)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(ErrorCode::TooLarge, format!("a body holds at most {bytes_max} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let body = http_body_util::Limited::new(request.into_body(), bytes_max);
    match http_body_util::BodyExt::collect(body).await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_broken) => Err(Problem::bad_request("the body did not arrive whole")),
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Parameters behind the `?`.
pub(super) struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        let Ok(Query(parameters)) = Query::from_request_parts(parts, state).await else {
            return Err(Problem::bad_request("what is behind the ? is not name=value&name=value"));
        };
        Ok(Parameters(from_parameters(parameters)?))
    }
}

/// The one id in the path.
pub(super) struct PathId<T>(pub T);

impl<T: From<Int64>> FromRequestParts<Arc<Shared>> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        let id = Path::<Int64>::from_request_parts(parts, state).await;
        id.map(|Path(id)| PathId(T::from(id))).map_err(|_| Problem::bad_request("the id in the path is a whole number"))
    }
}
