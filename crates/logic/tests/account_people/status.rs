//! Status: the Comet one is sent to, tickets, and who is online where.

use crate::world::{Closed, PASSWORD, World, config};
use skein_domain::Code;
use skein_domain::account::Ended;
use skein_domain::command::{AccountCommand, AccountReply};
use skein_domain::door::{Connect, Credential};
use skein_domain::id::{ConnectionRef, Generation, NodeId};
use skein_domain::port::{Clock, SessionRegistry, WhichSessions};
use skein_logic::account::{CometChoice, Config};
use std::collections::HashMap;
use std::time::Duration;

#[tokio::test]
async fn a_thousand_log_ins_split_evenly_over_two_nodes() {
    for comet_choice in [CometChoice::LeastConnections, CometChoice::RoundRobin] {
        let world = World::with(Config { comet_choice, ..config() }).await;
        world.node("a", 0).await;
        world.node("b", 0).await;
        world.user("ann").await;
        let sent = sent_to(&world, 1_000).await;
        for node in ["a", "b"] {
            assert!((475..=525).contains(&sent[node]), "{comet_choice:?} {sent:?}");
        }
    }
}

#[tokio::test]
async fn a_loaded_node_gets_none_until_level() {
    let world = World::new().await;
    world.node("a", 500).await;
    world.node("b", 0).await;
    world.user("ann").await;
    assert_eq!(sent_to(&world, 500).await, HashMap::from([("b".to_owned(), 500)]));
    assert_eq!(sent_to(&world, 100).await, HashMap::from([("a".to_owned(), 50), ("b".to_owned(), 50)]));
}

async fn sent_to(world: &World, log_ins: usize) -> HashMap<String, usize> {
    let mut sent = HashMap::new();
    for _ in 0..log_ins {
        let comet = world.log_in("ann@example.org", PASSWORD).await.unwrap().comet.unwrap();
        *sent.entry(comet.node).or_default() += 1;
    }
    sent
}

#[tokio::test]
async fn draining_and_withdrawn_nodes_are_never_handed_out() {
    let world = World::new().await;
    world.user("ann").await;
    assert!(world.log_in("ann@example.org", PASSWORD).await.unwrap().comet.is_none());
    world.node("a", 0).await;
    world.node("b", 100).await;
    world.draining("a").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    assert_eq!(ann.comet.as_ref().unwrap().node, "b");
    let ticket_to = |node: &str| AccountCommand::Ticket { secret: ann.token.clone(), node: Some(NodeId(node.into())) };
    assert_eq!(world.account(ticket_to("a")).await.err().unwrap().code, Code::NoServer);
    world.nodes.withdraw(&NodeId("b".into())).await.unwrap();
    let ticket = AccountCommand::Ticket { secret: ann.token.clone(), node: None };
    assert_eq!(world.account(ticket).await.err().unwrap().code, Code::NoServer);
}

#[tokio::test]
async fn a_ticket_takes_its_session_once_to_its_comet() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.node("b", 9).await;
    world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let ticket = || async {
        let command = AccountCommand::Ticket { secret: ann.token.clone(), node: Some(NodeId("b".into())) };
        match world.account(command).await {
            Ok(AccountReply::Ticket { ticket, comet }) => (ticket, comet.unwrap().node),
            _ => panic!("no ticket"),
        }
    };
    let (first, node) = ticket().await;
    assert_eq!(node, "b");
    let to = |node: &str, ticket: &str, generation| Connect {
        credential: Credential::Ticket(ticket.into()),
        node: NodeId(node.into()),
        generation: Generation(generation),
        client: String::new(),
        address: String::new(),
    };
    assert_eq!(world.status.connect(to("a", &first, 1)).await.unwrap_err().code, Code::Unauthorized, "another comet");
    let (second, _) = ticket().await;
    let connected = world.status.connect(to("b", &second, 2)).await.unwrap();
    assert_eq!(connected.session.id, ann.session.id);
    assert_eq!(world.status.connect(to("b", &second, 3)).await.unwrap_err().code, Code::Unauthorized, "used");
    assert_eq!(world.status.connect(to("b", &ann.token, 4)).await.unwrap_err().code, Code::Unauthorized, "a token is no ticket");
    assert_eq!(world.connect(&second, "b", 5).await.unwrap_err().code, Code::Unauthorized, "a ticket is no token");

    let (third, _) = ticket().await;
    world.accounts.log_out(&world.caller(&ann), None).await.unwrap();
    assert_eq!(world.status.connect(to("b", &third, 6)).await.unwrap_err().code, Code::Unauthorized, "its session ended");
}

#[tokio::test]
async fn connecting_tells_who_one_is_and_registers_it() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    assert!(world.status.online(uid).await.unwrap().is_empty());
    let connected = world.connect(&ann.token, "a", 1).await.unwrap();
    assert_eq!((connected.session.uid, connected.nickname.as_str()), (uid, "ann"));
    assert_eq!(connected.server_time_ms, world.clock.now().0);
    assert_eq!(world.status.online(uid).await.unwrap(), [NodeId("a".into())]);
    let connection = ConnectionRef { session: ann.session.id, generation: Generation(1) };
    world.status.disconnect(&NodeId("a".into()), connection).await.unwrap();
    world.status.disconnect(&NodeId("a".into()), connection).await.unwrap();
    assert!(world.status.online(uid).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_connecting_again_replaces_its_older_connection_and_nothing_late_undoes_it() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.node("b", 0).await;
    let uid = world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let session = ann.session.id;
    world.connect(&ann.token, "a", 1).await.unwrap();
    world.connect(&ann.token, "b", 2).await.unwrap();
    let close = Closed { node: "a".into(), session, up_to: Generation(1), reason: Ended::Replaced };
    assert_eq!(world.comets.take_closed(), [close]);

    let older = ConnectionRef { session, generation: Generation(1) };
    world.status.disconnect(&NodeId("a".into()), older).await.unwrap();
    assert_eq!(world.status.online(uid).await.unwrap(), [NodeId("b".into())], "the older one's end changes nothing");
    assert_eq!(world.renew("a", &[older]).await, [older], "its comet is told, if the close got lost");
    assert_eq!(world.connect(&ann.token, "a", 1).await.unwrap_err().code, Code::Unavailable, "overtaken by the newer one");
    assert_eq!(world.status.online(uid).await.unwrap(), [NodeId("b".into())]);
}

#[tokio::test]
async fn renewing_returns_the_connections_of_ended_sessions() {
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    world.user("bob").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let bob = world.log_in("bob@example.org", PASSWORD).await.unwrap();
    world.connect(&ann.token, "a", 1).await.unwrap();
    world.connect(&bob.token, "a", 2).await.unwrap();
    world.accounts.log_out(&world.caller(&ann), None).await.unwrap();
    let gone = ConnectionRef { session: ann.session.id, generation: Generation(1) };
    let live = ConnectionRef { session: bob.session.id, generation: Generation(2) };
    assert_eq!(world.renew("a", &[gone, live]).await, [gone]);
}

#[tokio::test]
async fn a_session_that_ends_while_it_connects_stays_out() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let (store, session) = (world.store.clone(), ann.session.id);
    let end = async move { store.end_sessions(uid, WhichSessions::One(session)).await.map(drop) };
    world.registry.before_next_register(end);
    assert_eq!(world.connect(&ann.token, "a", 1).await.unwrap_err().code, Code::Unauthorized);
    assert!(world.registered("a").await.is_empty());
}

#[tokio::test]
async fn a_password_reset_during_a_log_in_leaves_no_session() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    let older = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    world.connect(&older.token, "a", 1).await.unwrap();
    // The log-in has judged the password and opened its session when it comes to closing the older one.
    world.comets.hang();
    let log_in = tokio::spawn(world.log_in_later("ann@example.org", PASSWORD));
    world.comets.called().await;
    world.accounts.set_password(uid, "another password".into(), "test").await.unwrap();
    assert_eq!(log_in.await.unwrap().err().unwrap().code, Code::BadCredentials);
    assert!(world.store.sessions(uid, world.clock.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn connections_of_before_a_restart_are_taken_back_and_told_to_resync() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    world.user("bob").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let bob = world.log_in("bob@example.org", PASSWORD).await.unwrap();
    // What a registry knows that has lost its memory: nothing of these two.
    let started = world.clock.now().0 << Generation::COUNTER_BITS;
    let older = ConnectionRef { session: ann.session.id, generation: Generation(started - 1) };
    let ended = ConnectionRef { session: bob.session.id, generation: Generation(started - 1) };
    world.accounts.log_out(&world.caller(&bob), None).await.unwrap();

    assert_eq!(world.renew("a", &[older, ended]).await, [ended]);
    assert_eq!(world.status.online(uid).await.unwrap(), [NodeId("a".into())]);
    assert_eq!(world.comets.resynced(), [older]);
    assert!(world.renew("a", &[older]).await.is_empty());
    assert_eq!(world.comets.resynced(), [older], "once");

    let newer = ConnectionRef { generation: Generation(started + 1), ..older };
    world.status.disconnect(&NodeId("a".into()), older).await.unwrap();
    assert_eq!(world.renew("a", &[newer]).await, [newer], "what began after the restart is unknown for a reason");
}

#[tokio::test]
async fn connections_are_taken_back_side_by_side() {
    let world = World::new().await;
    world.node("a", 0).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let started = world.clock.now().0 << Generation::COUNTER_BITS;
    let mut older = Vec::new();
    for name in ["ann", "bob"] {
        let session = world.log_in(&format!("{name}@example.org"), PASSWORD).await.unwrap().session.id;
        older.push(ConnectionRef { session, generation: Generation(started - 1) });
    }
    // Whichever comes first waits for the other.
    let registry = world.registry.clone();
    world.registry.before_next_register(async move {
        while registry.routes(&[ann, bob]).await?.is_empty() {
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let renewed = tokio::time::timeout(Duration::from_secs(10), world.renew("a", &older)).await;
    assert!(renewed.expect("one does not wait for the other").is_empty());
    for uid in [ann, bob] {
        assert_eq!(world.status.online(uid).await.unwrap(), [NodeId("a".into())]);
    }
}

#[tokio::test]
async fn a_connection_taken_back_hears_of_the_rooms_joined_meanwhile() {
    let world = World::new().await;
    world.node("a", 0).await;
    let uid = world.user("ann").await;
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let started = world.clock.now().0 << Generation::COUNTER_BITS;
    let older = ConnectionRef { session: ann.session.id, generation: Generation(started - 1) };
    let room = world.room_of(uid).await;
    assert!(world.renew("a", &[older]).await.is_empty());
    assert_eq!(world.comets.subscribed(), [(ann.session.id, room)]);
}
