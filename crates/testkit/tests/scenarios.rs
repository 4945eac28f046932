//! What people see, told once and run with all roles in one process and with comet apart, on SQLite, on MariaDB, and on
//! MariaDB, Redis and Kafka.

use skein_testkit::cluster::{Part, Topology};
use skein_testkit::database::Engine;
use skein_testkit::device::deed::Act;
use skein_testkit::scenario::{Stage, World};
use skein_testkit::wire::Buffers;
use skein_testkit::wire::Transport::{Tcp, WebSocket, WebSocketText};

macro_rules! everywhere {
    ($($scenario:ident),+ $(,)?) => { $(
        mod $scenario {
            use super::{Engine, Stage, Topology};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn all_in_one() {
                super::$scenario(Topology::AllInOne.into()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn split() {
                super::$scenario(Topology::Split.into()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn split_on_mariadb() {
                super::$scenario(Stage { topology: Topology::Split, engine: Engine::Mariadb }).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn split_on_mariadb_redis_and_kafka() {
                super::$scenario(Stage { topology: Topology::Split, engine: Engine::Servers }).await;
            }
        }
    )+ };
}

everywhere! {
    friends_chat_live,
    messages_wait_for_whoever_is_away,
    tcp_and_websocket_users_share_a_room,
    a_slow_reader_ends_complete,
    a_restart_in_the_middle_of_traffic_loses_nothing,
    a_drained_server_sends_its_clients_back,
    reading_on_one_device_shows_on_the_other,
    whoever_is_removed_hears_no_more,
}

async fn friends_chat_live(stage: Stage) {
    let world = World::new(stage).user("ann", Tcp).user("bob", WebSocketText).direct("chat", "ann", "bob").start().await.unwrap();
    world.user("ann").send("chat", "hello").await;
    world.user("bob").expects("chat", ["hello"]).await;
    world.user("bob").send("chat", "hi ann").await;
    for name in ["ann", "bob"] {
        world.user(name).expects("chat", ["hello", "hi ann"]).await;
    }
}

async fn messages_wait_for_whoever_is_away(stage: Stage) {
    let world = World::new(stage).user("ann", Tcp).user("bob", WebSocket).direct("chat", "ann", "bob").start().await.unwrap();
    world.user("bob").goes_offline().await;
    let said: Vec<String> = (0..150).map(|n| format!("message {n}")).collect();
    for text in &said {
        world.user("ann").says("chat", text).await;
    }
    world.user("ann").expects("chat", &said).await;
    world.user("bob").comes_back().await;
    world.user("bob").expects("chat", &said).await;
    world.user("bob").expects_unread("chat", 150).await;
}

async fn tcp_and_websocket_users_share_a_room(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket).user("cat", WebSocketText).user("dan", Tcp);
    let world = draft.room("room", "ann", &["bob", "cat"]).start().await.unwrap();
    world.user("ann").send("room", "from tcp").await;
    world.user("bob").send("room", "from frames in websocket").await;
    world.user("cat").send("room", "from text").await;
    let all = ["from tcp", "from frames in websocket", "from text"];
    for name in ["ann", "bob", "cat"] {
        world.user(name).expects("room", all).await;
    }
    world.user("dan").does("room", Act::JoinRoom).await;
    world.user("dan").expects("room", all).await;
    world.user("ann").send("room", "welcome").await;
    world.user("dan").expects("room", all.into_iter().chain(["welcome"])).await;
}

/// Takes nothing while far more arrives than the server keeps for it; no further message follows.
async fn a_slow_reader_ends_complete(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).device("bob", Tcp, Buffers::Small);
    let world = draft.direct("chat", "ann", "bob").start().await.unwrap();
    world.user("bob").stops_reading().await;
    let said: Vec<String> = (0..60).map(|n| format!("{n} {}", "~".repeat(10_000))).collect();
    for text in &said {
        world.user("ann").says("chat", text).await;
    }
    world.user("ann").expects("chat", &said).await;
    world.user("bob").reads_on().await;
    world.user("bob").expects("chat", &said).await;
    assert!(world.user("bob").resyncs() > 0, "the reader was never too slow");
    assert_eq!(world.user("bob").connections(), 1, "a slow reader keeps its connection");
}

async fn a_restart_in_the_middle_of_traffic_loses_nothing(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket).user("cat", WebSocketText);
    let mut world = draft.group("crew", "ann", &["bob", "cat"]).start().await.unwrap();
    let mut keys = Vec::new();
    for n in 0..60 {
        keys.push(world.user("ann").says("crew", &format!("before and after {n}")).await);
        if n == 20 {
            world.user("ann").acked(&keys[10]).await;
            world.kill(Part::Core).await;
            world.restart().await;
        }
        if n == 40 {
            world.user("ann").acked(&keys[30]).await;
            world.kill(Part::Comet).await;
            world.restart().await;
        }
    }
    for key in &keys {
        world.user("ann").acked(key).await;
    }
    let said: Vec<String> = (0..60).map(|n| format!("before and after {n}")).collect();
    for name in ["ann", "bob", "cat"] {
        world.user(name).expects("crew", &said).await;
    }
}

async fn a_drained_server_sends_its_clients_back(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket).direct("chat", "ann", "bob");
    let mut world = draft.start().await.unwrap();
    world.user("ann").send("chat", "one").await;
    assert!(world.terminate(Part::Comet).await, "a drain ends well");
    world.restart().await;
    world.user("bob").send("chat", "two").await;
    for name in ["ann", "bob"] {
        world.user(name).expects("chat", ["one", "two"]).await;
    }
}

async fn reading_on_one_device_shows_on_the_other(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket).user("bob/mobile", Tcp);
    let world = draft.direct("chat", "ann", "bob").start().await.unwrap();
    world.user("ann").send("chat", "one").await;
    world.user("ann").send("chat", "two").await;
    for device in ["bob", "bob/mobile"] {
        world.user(device).expects_unread("chat", 2).await;
    }
    world.user("bob").does("chat", Act::MarkRead).await;
    for device in ["bob", "bob/mobile"] {
        world.user(device).expects_unread("chat", 0).await;
    }
}

async fn whoever_is_removed_hears_no_more(stage: Stage) {
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket).user("cat", Tcp);
    let world = draft.group("crew", "ann", &["bob", "cat"]).start().await.unwrap();
    world.user("ann").send("crew", "all of us").await;
    let removal = world.user("ann").does("crew", Act::Remove { uid: world.uid("cat") }).await;
    world.user("ann").acked(&removal).await;
    world.user("bob").send("crew", "without cat").await;
    world.user("ann").expects("crew", ["all of us", "without cat"]).await;
    world.user("cat").goes_offline().await;
    world.user("cat").comes_back().await;
    world.user("cat").expects("crew", ["all of us"]).await;
    let refused = world.user("cat").says("crew", "let me in").await;
    let outcome = world.user("cat").outcome(&refused).await;
    assert_eq!(format!("{outcome:?}"), "Refused(\"not_member\")");
    world.user("cat").expects("crew", ["all of us"]).await;
}
