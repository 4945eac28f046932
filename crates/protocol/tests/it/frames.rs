//! Frames on TCP and in WebSocket messages: golden bytes, cut streams, limits, goim's tolerance, hostile bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde::Deserialize;
use skein_protocol::frame::{
    DEFLATED, Frame, FrameDecoder, FrameError, FrameHeader, GOIM_BODY_BYTES_MAX, Limits, SKEIN_BODY_BYTES_MAX, Strictness, VERSION,
};
use skein_protocol::v1::live_message::Content;
use skein_protocol::{CloseCode, Codec, ErrorCode, Op, Request, goim, v1};

use crate::strategies::{cuts, frame, frames, pieces};
use crate::{hex, read};

#[derive(Deserialize)]
struct Golden {
    name: String,
    hex: String,
    /// Deflate has many encodings of one body: such a vector is for reading only, and in a Skein session only.
    #[serde(default)]
    deflated: bool,
    frames: Vec<GoldenFrame>,
}

#[derive(Deserialize)]
struct GoldenFrame {
    ver: u16,
    op: i32,
    seq: i32,
    body: String,
}

impl GoldenFrame {
    fn frame(&self) -> Frame {
        Frame { ver: self.ver, op: Op(self.op), seq: self.seq, body: hex::decode(&self.body).into() }
    }
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(&read("vectors/frames.json")).expect("frames.json")
}

fn one(bytes: &[u8], limits: Limits, strictness: Strictness) -> Result<Option<Frame>, FrameError> {
    FrameDecoder::new(limits, strictness).decode(&mut BytesMut::from(bytes))
}

fn header(pack_len: i32, ver: u16) -> [u8; 16] {
    FrameHeader { pack_len, header_len: 16, ver, op: Op(2), seq: 9 }.encode()
}

#[test]
fn golden_bytes_hold_in_both_directions() {
    for vector in golden() {
        let bytes = hex::decode(&vector.hex);
        let expected: Vec<Frame> = vector.frames.iter().map(GoldenFrame::frame).collect();
        assert_eq!(frames(&[&bytes], Limits::SKEIN, Strictness::Skein), (expected.clone(), None), "{}", vector.name);
        if vector.deflated {
            continue;
        }
        assert_eq!(frames(&[&bytes], Limits::GOIM, Strictness::Goim), (expected.clone(), None), "{}", vector.name);
        let encoded: Vec<u8> = expected.iter().flat_map(Frame::encode).collect();
        assert_eq!(hex::encode(&encoded), vector.hex, "{}", vector.name);
    }
}

#[test]
fn container_for_goim_websocket_clients_holds_the_frames_of_the_tcp_stream() {
    let golden = golden();
    let tcp = golden.iter().find(|v| v.name == "two goim pushes on tcp").expect("vector");
    let websocket = golden.iter().find(|v| v.name.starts_with("two goim pushes in the container")).expect("vector");
    let inner: Vec<Frame> = tcp.frames.iter().map(GoldenFrame::frame).collect();
    let message = |frame: &Frame| v1::LiveMessage { operation: frame.op.0, content: Some(Content::Body(frame.body.to_vec())) };
    let push = v1::LivePush { messages: inner.iter().map(message).collect(), ..Default::default() };
    let containers: Vec<Frame> = goim::push_containers(&push).collect();
    assert_eq!(containers.len(), 1);
    assert_eq!(hex::encode(&containers[0].encode()), websocket.hex);
    assert_eq!(hex::encode(&goim::push_frames(&push)), tcp.hex);
    assert_eq!(frames(&[&containers[0].body], Limits::GOIM, Strictness::Goim), (inner, None));
}

#[test]
fn a_stream_cut_at_every_byte_decodes_as_in_bulk() {
    let stream: Vec<u8> = golden().iter().flat_map(|vector| hex::decode(&vector.hex)).collect();
    let whole = frames(&[&stream], Limits::SKEIN, Strictness::Skein);
    assert_eq!(whole.0.len(), golden().iter().map(|vector| vector.frames.len()).sum::<usize>());
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let cut = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(frames(&cut, Limits::SKEIN, Strictness::Skein), whole, "cut at {first} and {second}");
        }
    }
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(frames(&bytewise, Limits::SKEIN, Strictness::Skein), whole);
}

proptest! {
    #[test]
    fn any_frames_survive_any_cuts(sent in proptest::collection::vec(frame(), 0..8), cuts in cuts()) {
        let stream: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        for (limits, strictness) in [(Limits::GOIM, Strictness::Goim), (Limits::SKEIN, Strictness::Skein)] {
            prop_assert_eq!(frames(&pieces(&stream, &cuts), limits, strictness), (sent.clone(), None));
        }
    }

    #[test]
    fn rubbish_ends_alike_however_it_is_cut(rubbish in proptest::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        let whole = frames(&[&rubbish], Limits::SKEIN, Strictness::Skein);
        prop_assert_eq!(frames(&pieces(&rubbish, &cuts), Limits::SKEIN, Strictness::Skein), whole);
    }
}

#[test]
fn hostile_bytes_end_with_the_documented_code() {
    for hostile in crate::websockets::hostile("tcp") {
        let (_, error) = frames(&[&hostile.bytes()], Limits::SKEIN, Strictness::Skein);
        let error = error.unwrap_or_else(|| panic!("{} was not refused", hostile.name));
        assert_eq!(error.close_code().number(), hostile.close, "{}", hostile.name);
    }
}

#[test]
fn the_limit_itself_passes_and_one_more_is_refused_from_the_header() {
    for (limits, strictness, max) in
        [(Limits::GOIM, Strictness::Goim, GOIM_BODY_BYTES_MAX), (Limits::SKEIN, Strictness::Skein, SKEIN_BODY_BYTES_MAX)]
    {
        let frame = Frame::new(Op(2), 1, vec![0; max].into());
        assert_eq!(one(&frame.encode(), limits, strictness), Ok(Some(frame)));
        let over = header(16 + max as i32 + 1, 1);
        let error = FrameError::TooLarge { len: max + 1, max };
        assert_eq!(one(&over, limits, strictness), Err(error));
        assert_eq!((error.code(), error.close_code()), (ErrorCode::TooLarge, CloseCode::TooBig));
    }
}

#[test]
fn nothing_is_reserved_for_a_body_that_has_not_arrived() {
    let mut buf = BytesMut::with_capacity(64);
    buf.extend_from_slice(&header(65_536, 1));
    let before = buf.capacity();
    assert_eq!(FrameDecoder::new(Limits::SKEIN, Strictness::Skein).decode(&mut buf), Ok(None));
    assert_eq!(buf.capacity(), before);
}

#[test]
fn a_small_body_does_not_keep_the_read_buffer_alive() {
    for (len, shared) in [(1023, false), (1024, true)] {
        let mut buf = BytesMut::with_capacity(16 * 1024);
        buf.extend_from_slice(&Frame::new(Op(4), 1, vec![1; len].into()).encode());
        let read = buf.as_ptr() as usize..buf.as_ptr() as usize + 16 * 1024;
        let frame = FrameDecoder::new(Limits::SKEIN, Strictness::Skein).decode(&mut buf).expect("frame").expect("whole");
        assert_eq!(read.contains(&(frame.body.as_ptr() as usize)), shared, "{len} bytes");
    }
}

#[test]
fn a_frame_length_below_16_is_an_empty_body_for_goim_and_an_error_for_skein() {
    for pack_len in [i32::MIN, -1, 0, 1, 15] {
        let bytes = header(pack_len, 1);
        let empty = Frame { ver: 1, op: Op(2), seq: 9, body: Bytes::new() };
        assert_eq!(one(&bytes, Limits::GOIM, Strictness::Goim), Ok(Some(empty)));
        assert_eq!(one(&bytes, Limits::SKEIN, Strictness::Skein), Err(FrameError::PackLen(pack_len)));
    }
}

#[test]
fn an_unknown_version_is_refused_in_a_skein_session_only() {
    for ver in [2, 0x0100, 0x0102, u16::MAX] {
        let bytes = header(16, ver);
        let frame = one(&bytes, Limits::GOIM, Strictness::Goim).expect("goim never looks").expect("whole");
        assert_eq!(frame.ver, ver, "it is echoed in replies");
        let error = one(&bytes, Limits::SKEIN, Strictness::Skein).expect_err("version");
        assert_eq!((error, error.code()), (FrameError::Version(ver), ErrorCode::UnsupportedVersion));
        assert_eq!(error.close_code(), CloseCode::UnsupportedVersion);
    }
}

#[test]
fn the_versions_that_goims_clients_send_are_taken() {
    for ver in [0, 1] {
        let frame = one(&header(16, ver), Limits::SKEIN, Strictness::Skein).expect("spoken").expect("whole");
        assert_eq!(frame.ver, ver);
    }
}

/// A chat message of 4 KiB, in both codecs.
#[test]
fn the_deflated_flag_shortens_a_long_text_and_is_gone_after_decoding() {
    let words = "Push is a hint, sync is the truth. Nobody else slows down, and an ack means on disk. ";
    let text = words.repeat(4096 / words.len() + 1)[..4096].to_owned();
    let segments = vec![v1::Segment { part: Some(v1::segment::Part::Text(text)) }];
    let body = v1::Body { kind: "text".to_owned(), segments, ..v1::Body::default() };
    let send = Request::Send(v1::Send { conversation: 12, body: Some(body), ..v1::Send::default() });
    for codec in [Codec::Protobuf, Codec::Json] {
        let frame = Frame::request(&send, 1, codec).expect("encodes");
        let deflated = frame.encode_deflated();
        assert!(deflated.len() * 4 < frame.encoded_len(), "{} bytes became {}", frame.encoded_len(), deflated.len());
        assert_eq!(FrameHeader::peek(&deflated).expect("header").ver, VERSION | DEFLATED);
        assert_eq!(one(&deflated, Limits::SKEIN, Strictness::Skein), Ok(Some(frame.clone())));
        assert_eq!(Frame::from_message(&deflated, Limits::SKEIN, Strictness::Skein), Ok(frame.clone()));
        let small = Limits { body_bytes_max: 4000 };
        let too_large = Err(FrameError::TooLarge { len: 4001, max: 4000 });
        assert_eq!(one(&deflated, small, Strictness::Skein), too_large, "the limit is that of the whole body");
    }
}

#[test]
fn a_short_body_stays_as_it_is_and_goim_knows_no_flag() {
    let frame = Frame::new(Op(4), 1, Bytes::from_static(b"hello"));
    assert_eq!(frame.encode_deflated(), frame.encode());
    let long = Frame::new(Op(4), 1, vec![7; 2000].into()).encode_deflated();
    let read = one(&long, Limits::GOIM, Strictness::Goim).expect("goim never looks").expect("whole");
    assert_eq!((read.ver, &read.body[..]), (VERSION | DEFLATED, &long[16..]));
}

#[test]
fn a_damaged_deflated_body_is_refused_again_and_again() {
    let damaged = Frame { ver: VERSION | DEFLATED, ..Frame::new(Op(4), 1, vec![0xff; 40].into()) }.encode();
    let decoder = FrameDecoder::new(Limits::SKEIN, Strictness::Skein);
    let mut buf = BytesMut::from(&damaged[..]);
    for _ in 0..2 {
        assert_eq!(decoder.decode(&mut buf), Err(FrameError::Deflate));
    }
    assert_eq!(FrameError::Deflate.close_code(), CloseCode::ProtocolError);
}

#[test]
fn a_message_holds_one_frame_and_a_lying_length_reads_nothing_else() {
    let whole = Frame::new(Op(4), 3, Bytes::from_static(b"hello")).encode();
    for (limits, strictness) in [(Limits::GOIM, Strictness::Goim), (Limits::SKEIN, Strictness::Skein)] {
        let frame = Frame::from_message(&whole, limits, strictness).expect("frame");
        assert_eq!(frame.body, &b"hello"[..]);
        for len in 0..whole.len() {
            let needed = if len < 16 { 16 } else { whole.len() };
            let cut = Frame::from_message(&whole.slice(..len), limits, strictness);
            assert_eq!(cut, Err(FrameError::Incomplete { needed, got: len }));
        }
        let negative = Bytes::copy_from_slice(&header(-1, 1));
        assert_eq!(Frame::from_message(&negative, limits, strictness), Err(FrameError::PackLen(-1)));
    }
}

#[test]
fn bytes_behind_the_frame_of_a_message_are_ignored_for_goim_and_refused_for_skein() {
    let message = Bytes::from([&Frame::new(Op(4), 3, Bytes::from_static(b"a")).encode()[..], b"tail"].concat());
    let frame = Frame::from_message(&message, Limits::GOIM, Strictness::Goim).expect("goim frame");
    assert_eq!(frame.body, &b"a"[..]);
    let refused = Frame::from_message(&message, Limits::SKEIN, Strictness::Skein);
    assert_eq!(refused, Err(FrameError::Trailing(4)));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let auth = v1::Auth { token: "hush".to_owned(), ticket: "whisper".to_owned(), ..v1::Auth::default() };
    let request = Request::Auth(auth);
    let frame = Frame::request(&request, 1, Codec::Json).expect("encodes");
    let shown = format!("{request:?} {frame:?}");
    assert!(!shown.contains("hush") && !shown.contains("whisper"), "{shown}");
    assert!(shown.contains("present"), "{shown}");
}
