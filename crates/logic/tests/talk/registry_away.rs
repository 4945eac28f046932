//! With the registry away: what must not wait for it.

use crate::comets::RecordingComets;
use async_trait::async_trait;
use skein_domain::account::{DeviceClass, Ended, Session};
use skein_domain::delivery::Control;
use skein_domain::id::{ConnectionRef, Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::port::{Registered, Renewed, Route, SessionRegistry};
use skein_domain::{Code, Error, Result};
use skein_logic::job::Fanout;
use std::sync::Arc;

struct Away;

fn away<T>() -> Result<T> {
    Err(Error::new(Code::Unavailable, "away"))
}

#[async_trait]
impl SessionRegistry for Away {
    async fn register(&self, _: Route, _: i64) -> Result<Registered> {
        away()
    }

    async fn renew(&self, _: &NodeId, _: &[ConnectionRef], _: i64) -> Result<Renewed> {
        away()
    }

    async fn remove(&self, _: ConnectionRef) -> Result<bool> {
        away()
    }

    async fn routes(&self, _: &[Uid]) -> Result<Vec<Route>> {
        away()
    }

    async fn of_sessions(&self, _: &[SessionId]) -> Result<Vec<Route>> {
        away()
    }

    async fn users_of(&self, _: &NodeId, _: u32) -> Result<Vec<Uid>> {
        away()
    }

    async fn count(&self, _: &NodeId) -> Result<u32> {
        away()
    }
}

#[tokio::test]
async fn an_ended_session_is_closed_at_every_node_when_nobody_knows_where_it_is() {
    let comets = Arc::new(RecordingComets::default());
    let nodes = [comets.add("one"), comets.add("two")];
    let fanout = Fanout::new(Arc::new(Away), comets, &NodeId("logic".into()));
    let (id, at) = (SessionId(7), Millis(0));
    let session = Session { id, uid: Uid(1), class: DeviceClass::Web, client: String::new(), created_at: at, seen_at: at, expires_at: at };
    fanout.end_sessions(&[session], Ended::LoggedOut).await;
    for node in nodes {
        let told: Vec<Control> = node.batches().into_iter().flat_map(|batch| batch.controls).collect();
        assert_eq!(told, [Control::Close { session: id, up_to: Generation(i64::MAX), reason: Ended::LoggedOut }]);
    }
}
