//! Cut, short, long, negative and lying frames.

use super::client::*;
use super::world::*;

#[tokio::test]
async fn a_stream_may_be_cut_anywhere_and_hold_several_frames() {
    let world = World::plain().await;
    let mut client = world.client(Via::Tcp).await;
    for byte in frame(7, 1, b"{\"room_id\":\"live://1\"}") {
        client.raw(&[byte]).await;
    }
    client.hears(&frame(8, 1, b"")).await;
    client.raw(&[frame(2, 1, b""), frame(12, 2, b"live://2"), frame(4, 3, b"x")[..7].to_vec()].concat()).await;
    client.is(&[frame(3, 1, &[0, 0, 0, 1]), frame(13, 2, b"live://2")].concat()).await;
    client.raw(&frame(4, 3, b"x")[7..]).await;
    client.hears(&frame(4, 3, b"")).await;
}

#[tokio::test]
async fn every_body_of_4096_bytes_is_taken_and_one_more_closes() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, "{}").await;
        let list = vec![b'1'; 4096];
        client.say(&frame(14, 1, &list)).await;
        client.hears(&frame(15, 1, &list)).await;
        client.say(&frame(4, 2, &[b'x'; 4097])).await;
        client.closed().await;
        // Before the log-in, too, and from the header alone.
        let mut stranger = world.client(via).await;
        stranger.say(&if via == Via::Tcp { header(16 + 4097, 16, 1, 7, 1) } else { frame(7, 1, &[b' '; 4097]) }).await;
        stranger.closed().await;
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn every_header_of_another_length_closes() {
    for via in Via::BOTH {
        let world = World::plain().await;
        for header_len in [15, 17, 0, -1] {
            let mut stranger = world.client(via).await;
            stranger.say(&header(16, header_len, 1, 7, 1)).await;
            stranger.closed().await;
            let mut client = world.guest(via, "{}").await;
            client.say(&header(16, header_len, 1, 2, 1)).await;
            client.closed().await;
        }
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn a_length_below_the_header_is_an_empty_body_on_tcp() {
    let world = World::plain().await;
    let mut client = world.guest(Via::Tcp, r#"{"room_id":"live://1"}"#).await;
    for pack_len in [15, 1, 0, -1, i32::MIN] {
        client.raw(&[header(pack_len, 16, 1, 12, 5), frame(2, 6, b"")].concat()).await;
        client.is(&[frame(13, 5, b""), frame(3, 6, &[0, 0, 0, 0])].concat()).await;
    }
}

/// goim takes a body of the promised length out of a buffer that others used before: their bytes come back in the echo, or
/// the whole process ends, before any log-in.
#[tokio::test]
async fn a_lying_length_in_a_websocket_message_never_reads_foreign_bytes() {
    let world = World::plain().await;
    let mut secret = world.guest(Via::WebSocket, r#"{"key":"s"}"#).await;
    secret.say(&frame(14, 1, &[b'5'; 4000])).await;
    secret.hears(&frame(15, 1, &[b'5'; 4000])).await;
    for lying in [
        [header(16 + 4000, 16, 1, 12, 1), b"live://1".to_vec()].concat(),
        header(17, 16, 1, 12, 1),
        header(-1, 16, 1, 12, 1),
        header(i32::MIN, 16, 1, 12, 1),
        header(i32::MAX, 16, 1, 12, 1),
        header(16, 16, 1, 12, 1)[..15].to_vec(),
        Vec::new(),
    ] {
        let mut stranger = world.client(Via::WebSocket).await;
        stranger.say(&lying).await;
        stranger.closed().await;
        let mut client = world.guest(Via::WebSocket, "{}").await;
        client.say(&lying).await;
        client.closed().await;
    }
    secret.beats(0).await;
}

#[tokio::test]
async fn a_websocket_message_may_be_longer_than_its_frame() {
    let world = World::plain().await;
    let mut client = world.guest(Via::WebSocket, "{}").await;
    client.say(&[frame(14, 1, b"5"), b"and what is behind it".to_vec()].concat()).await;
    client.hears(&frame(15, 1, b"5")).await;
    client.say(&[header(3, 16, 1, 14, 2), b"5".to_vec()].concat()).await;
    client.hears(&frame(15, 2, b"")).await;
    client.say(&[frame(4, 3, b""), vec![0; 8192 - 16]].concat()).await;
    client.hears(&frame(4, 3, b"")).await;
    client.say(&[frame(4, 4, b""), vec![0; 8193 - 16]].concat()).await;
    client.closed().await;
}

#[tokio::test]
async fn every_stranger_of_another_protocol_is_closed_without_a_word() {
    let world = World::plain().await;
    for via in Via::BOTH {
        for rubbish in
            [&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], &[0xff; 64], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, \r\n\r\n"]
        {
            let mut client = Goim::connect(Via::Tcp, if via == Via::Tcp { world.tcp } else { world.websocket }).await;
            client.raw(rubbish).await;
            tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
            client.closed().await;
        }
    }
    world.is_empty_again().await;
}
