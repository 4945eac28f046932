//! Random protocol material for the property tests, and streams that arrive in pieces.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use skein_protocol::frame::Frame;
use skein_protocol::{Op, Request, v1};

/// What decoders make of pieces.
pub use skein_protocol::fuzzing::{frames_of as frames, messages_of as messages};

/// Bodies on both sides of the sizes at which something changes.
pub fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        2 => (1020usize..1030).prop_map(|len| vec![7; len]),
        1 => (4090usize..4097).prop_map(|len| vec![8; len]),
    ]
    .prop_map(Bytes::from)
}

pub fn frame() -> impl Strategy<Value = Frame> {
    (any::<i32>(), any::<i32>(), body()).prop_map(|(op, seq, body)| Frame::new(Op(op), seq, body))
}

/// Where a stream is cut: any number of pieces of any size.
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..3000, 0..40)
}

pub fn send() -> impl Strategy<Value = Request> {
    let part = prop_oneof![
        any::<String>().prop_map(v1::segment::Part::Text),
        any::<i64>().prop_map(|uid| v1::segment::Part::Mention(v1::Mention { uid })),
        any::<String>().prop_map(v1::segment::Part::Link),
    ];
    let segments = vec(proptest::option::of(part).prop_map(|part| v1::Segment { part }), 0..4);
    let body = (any::<String>(), segments, any::<String>()).prop_map(|(kind, segments, fallback)| v1::Body {
        kind,
        segments,
        fallback,
        payload: String::new(),
    });
    (any::<i64>(), any::<String>(), proptest::option::of(body), any::<i64>())
        .prop_map(|(conversation, key, body, reply_to)| Request::Send(v1::Send { conversation, key, body, reply_to, after: String::new() }))
}

/// `stream` in pieces of the given lengths, the rest as the last piece.
pub fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
