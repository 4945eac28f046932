//! The table of ops: who answers what, with which op, and whose bytes.

use super::client::*;
use super::script::Script;
use super::world::*;

#[tokio::test]
async fn every_op_is_answered_as_goim_answers_it() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        for (op, body, reply_op, reply_body) in [
            (2, &b"ignored"[..], 3, &[0, 0, 0, 1][..]),
            (3, b"", 3, &[0, 0, 0, 1]),
            (4, b"hello", 4, b""),
            (5, b"", 5, b""),
            (0, b"x", 0, b""),
            (10, b"x", 10, b""),
            (11, b"x", 11, b""),
            (14, b"1000,1001", 15, b"1000,1001"),
            (16, b"1000", 17, b"1000"),
            (14, b"", 15, b""),
            (1000, b"x", 1000, b""),
            (-5, b"x", -5, b""),
            (12, b"live://2", 13, b"live://2"),
            (12, b"", 13, b""),
        ] {
            client.say(&frame(op, 77, body)).await;
            client.hears(&frame(reply_op, 77, reply_body)).await;
        }
        client.beats(0).await;
    }
}

#[tokio::test]
async fn every_reply_echoes_version_and_seq_whatever_they_are() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, "{}").await;
        for (ver, seq) in [(0, 1), (1, -1), (7, i32::MIN), (-1, i32::MAX), (0x0101, 0)] {
            client.say(&header(16, 16, ver, 4, seq)).await;
            client.hears(&header(16, 16, ver, 4, seq)).await;
        }
    }
}

/// Its body alone would be written, and there is none.
#[tokio::test]
async fn op_9_is_answered_on_websocket_and_has_no_bytes_on_tcp() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, "{}").await;
        client.say(&frame(9, 5, b"x")).await;
        if via == Via::WebSocket {
            client.hears(&frame(9, 5, b"")).await;
        }
        client.beats(0).await;
        eventually("logic hears of it", || world.logic.messages() == [(9, b"x".to_vec())]).await;
    }
}

#[tokio::test]
async fn every_list_with_a_bad_item_changes_nothing_and_is_answered() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"key":"k","accepts":[5]}"#).await;
        for list in ["1000,x", "1000, 1001", "1000,", "99999999999"] {
            client.say(&frame(14, 1, list.as_bytes())).await;
            client.hears(&frame(15, 1, list.as_bytes())).await;
        }
        client.say(&frame(16, 1, b"5,x")).await;
        client.hears(&frame(17, 1, b"5,x")).await;
        assert_eq!(world.push(keys(&["k"]), &[(1000, b"x")]).await.found, 0);
        assert_eq!(world.push(keys(&["k"]), &[(5, b"x")]).await.found, 1);
    }
}

#[tokio::test]
async fn every_operation_is_heard_from_its_subscription_to_its_end() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"key":"k"}"#).await;
        assert_eq!(world.push(keys(&["k"]), &[(1000, b"before")]).await.found, 0);
        client.say(&frame(14, 1, b"1000,1001")).await;
        client.hears(&frame(15, 1, b"1000,1001")).await;
        world.push(keys(&["k"]), &[(1000, b"now")]).await;
        client.hears_push(&[(1000, b"now")]).await;
        client.say(&frame(16, 2, b"1000")).await;
        client.hears(&frame(17, 2, b"1000")).await;
        world.push(keys(&["k"]), &[(1000, b"after"), (1001, b"still")]).await;
        client.hears_push(&[(1001, b"still")]).await;
    }
}

/// goim closes at the ninth unanswered one: "ring buffer full". And it answers a message after its Logic did, or gave up.
#[tokio::test]
async fn every_ninth_pipelined_request_is_answered_though_logic_hangs() {
    for via in Via::BOTH {
        let world = World::plain().await;
        Script::shut(&world.logic.desk);
        let mut client = world.guest(via, "{}").await;
        let say = |seq| if via == Via::Tcp { frame(4, seq, b"m") } else { fragment(true, 2, true, &frame(4, seq, b"m")) };
        client.raw(&(1..=60).flat_map(say).collect::<Vec<_>>()).await;
        for seq in 1..=60 {
            client.hears(&frame(4, seq, b"")).await;
        }
        client.beats(0).await;
        Script::reopen(&world.logic.desk);
        eventually("logic hears of all", || world.logic.messages().len() == 60).await;
    }
}

/// The bound is that of accounts: 64 that logic has not heard. Then reading pauses, and goes on.
#[tokio::test]
async fn every_flood_of_requests_waits_and_is_answered_in_order() {
    for via in Via::BOTH {
        let world = World::plain().await;
        Script::shut(&world.logic.desk);
        let mut client = world.guest(via, "{}").await;
        let body = |seq: i32| seq.to_be_bytes();
        let say = |seq| if via == Via::Tcp { frame(4, seq, &body(seq)) } else { fragment(true, 2, true, &frame(4, seq, &body(seq))) };
        client.raw(&(1..=500).flat_map(say).collect::<Vec<_>>()).await;
        let answered = client.drained().await.len() / if via == Via::Tcp { 16 } else { 18 };
        assert!((64..=66).contains(&answered), "{answered} answered while logic hangs");
        Script::reopen(&world.logic.desk);
        for seq in answered as i32 + 1..=500 {
            client.hears(&frame(4, seq, b"")).await;
        }
        eventually("logic hears of all", || world.logic.messages().len() == 500).await;
        let wanted: Vec<_> = (1..=500).map(|seq| (4, body(seq).to_vec())).collect();
        assert_eq!(world.logic.messages(), wanted, "in their order");
    }
}

#[tokio::test]
async fn every_message_is_answered_though_logic_fails() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, "{}").await;
        world.logic.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
        client.say(&frame(4, 1, b"x")).await;
        client.hears(&frame(4, 1, b"")).await;
        client.beats(0).await;
    }
}
