//! Who calls the push API: judged from the headers of a call, before any of its message is read.
//!
//! **Invariant:** a call that reaches the service within has its [`Asker`] among its extensions, and the key was proved
//! behind the door.
//!
//! **Bound:** [`CALL_MAX`] for a call from its headers to its answer, however slowly its message comes.

use crate::peer::deadline;
use crate::status::failure;
use skein_domain::door::{Logic, Origin};
use skein_domain::live::{PushCommand, Pusher};
use skein_domain::{Code, Error, Result};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Request, Status};

const KEY_BYTES_MAX: usize = 256;
/// As over HTTP; the door's deadline lies within.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Who asks, and from where.
#[derive(Clone)]
pub(crate) struct Asker {
    pub pusher: Pusher,
    pub from: Origin,
}

/// The service `within`, for those with a key.
#[derive(Clone)]
pub struct Keyed<S> {
    within: S,
    logic: Arc<dyn Logic>,
}

impl<S> Keyed<S> {
    pub fn new(within: S, logic: Arc<dyn Logic>) -> Self {
        Self { within, logic }
    }
}

impl<S: NamedService> NamedService for Keyed<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Keyed<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.within.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        // The one that is ready; the clone is for the next call.
        let clone = self.within.clone();
        let (mut within, logic) = (std::mem::replace(&mut self.within, clone), self.logic.clone());
        let shown = shown(&request);
        let answered = async move {
            match proved(&*logic, shown).await {
                Ok(asker) => {
                    request.extensions_mut().insert(asker);
                    within.call(request).await
                }
                Err(error) => Ok(failure(error).into_http()),
            }
        };
        let late = || failure(Error::new(Code::Timeout, "the call took too long")).into_http();
        Box::pin(async move { tokio::time::timeout(CALL_MAX, answered).await.unwrap_or_else(|_| Ok(late())) })
    }
}

/// Of a call that came through [`Keyed`].
pub(crate) fn asker<T>(request: &Request<T>) -> Result<Asker, Status> {
    request.extensions().get().cloned().ok_or_else(|| failure(Error::internal()))
}

async fn proved(logic: &dyn Logic, shown: Result<Asker>) -> Result<Asker> {
    let asker = shown?;
    let late = || Error::new(Code::Timeout, "the answer took too long");
    let proving = logic.push(asker.pusher.clone(), asker.from.clone(), PushCommand::Prove);
    tokio::time::timeout(deadline(), proving).await.unwrap_or_else(|_| Err(late()))?;
    Ok(asker)
}

/// The key as it came; whether it is one is judged behind the door.
fn shown<B>(request: &http::Request<B>) -> Result<Asker> {
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).and_then(|text| text.split_once(' '));
    let key = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
    let key = key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| Error::new(Code::Unauthorized, "this needs an API key: authorization: Bearer <key>"))?;
    Ok(Asker { pusher: Pusher::ApiKey(key.to_owned()), from: Origin { address: address_of(request) } })
}

fn address_of<B>(request: &http::Request<B>) -> String {
    let known = Request::from_parts(MetadataMap::new(), request.extensions().clone(), ());
    known.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default()
}
