//! A session registry with something happening at the worst moment.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::Result;
use skein_domain::id::{ConnectionRef, NodeId, SessionId, Uid};
use skein_domain::port::{Registered, Renewed, Route, SessionRegistry};
use std::future::Future;
use std::sync::{Arc, Mutex};

pub struct HookedRegistry {
    inner: Arc<dyn SessionRegistry>,
    hook: Mutex<Option<BoxFuture<'static, Result<()>>>>,
}

impl HookedRegistry {
    pub fn new(inner: Arc<dyn SessionRegistry>) -> Self {
        Self { inner, hook: Mutex::default() }
    }

    pub fn before_next_register(&self, hook: impl Future<Output = Result<()>> + Send + 'static) {
        *self.hook.lock().unwrap() = Some(hook.boxed());
    }
}

#[async_trait]
impl SessionRegistry for HookedRegistry {
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered> {
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook.await?;
        }
        self.inner.register(route, lease_ms).await
    }

    async fn renew(&self, node: &NodeId, live: &[ConnectionRef], lease_ms: i64) -> Result<Renewed> {
        self.inner.renew(node, live, lease_ms).await
    }

    async fn remove(&self, connection: ConnectionRef) -> Result<bool> {
        self.inner.remove(connection).await
    }

    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        self.inner.routes(uids).await
    }

    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        self.inner.of_sessions(sessions).await
    }

    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>> {
        self.inner.users_of(node, limit).await
    }

    async fn count(&self, node: &NodeId) -> Result<u32> {
        self.inner.count(node).await
    }
}
