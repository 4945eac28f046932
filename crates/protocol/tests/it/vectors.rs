//! Golden vectors, both directions. `vectors/*.json` is shared with clients in other languages.
//!
//! To add an op: append its entry to `ops.json` with kind, op, type, seq and payload, leave the encodings empty, and run
//! with `UPDATE=1`. An encoding that exists never changes.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_protocol::envelope;
use skein_protocol::frame::{Frame, FrameDecoder, Limits, Strictness};
use skein_protocol::table::{PUSHES, REQUESTS};
use skein_protocol::{Codec, Envelope, Incoming, Op, Push, Reply, Request, v1};

use crate::{here, hex, read, updating};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Request,
    Reply,
    Push,
}

#[derive(Serialize, Deserialize)]
struct Vector {
    kind: Kind,
    /// Op of the request that a reply answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<i32>,
    op: i32,
    #[serde(rename = "type")]
    name: String,
    seq: i32,
    payload: Value,
    /// The whole frame with a Protobuf body, hexadecimal.
    protobuf: String,
    /// The whole frame with a JSON body, hexadecimal.
    json: String,
    /// The WebSocket text message.
    text: String,
}

/// Any message of the table, for comparison.
#[derive(Debug, PartialEq)]
enum Any {
    Request(Request),
    Reply(Reply),
    Push(Push),
}

impl From<Incoming> for Any {
    fn from(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Reply(reply) => Any::Reply(reply),
            Incoming::Push(push) => Any::Push(push),
        }
    }
}

impl Vector {
    fn decode_payload(&self) -> Any {
        let payload = self.payload.to_string();
        match self.kind {
            Kind::Request => Any::Request(Request::from_json_type(&self.name, payload.as_bytes()).expect("payload")),
            Kind::Reply => Any::Reply(Reply::from_json_type(&self.name, payload.as_bytes()).expect("payload")),
            Kind::Push => Any::Push(Push::from_json_type(&self.name, payload.as_bytes()).expect("payload")),
        }
    }

    fn decode_frame(&self, frame: &Frame, codec: Codec) -> Any {
        match self.kind {
            Kind::Request => Any::Request(Request::decode(frame.op, codec, &frame.body).expect("body")),
            Kind::Reply | Kind::Push => Incoming::decode(frame.op, frame.seq, codec, &frame.body).expect("body").into(),
        }
    }

    fn decode_text(&self) -> Any {
        let envelope = Envelope::parse(self.text.as_bytes()).expect("envelope");
        assert_eq!((envelope.seq, envelope.name.as_ref()), (self.seq, self.name.as_str()));
        match self.kind {
            Kind::Request => Any::Request(envelope.request().expect("payload")),
            Kind::Reply | Kind::Push => envelope.incoming().expect("payload").into(),
        }
    }

    fn frame(&self, any: &Any, codec: Codec) -> Frame {
        match any {
            Any::Request(request) => Frame::request(request, self.seq, codec),
            Any::Reply(reply) => Frame::reply(reply, self.answered(), self.seq, codec),
            Any::Push(push) => Frame::push(push, codec),
        }
        .expect("encodes")
    }

    fn text(&self, any: &Any) -> Bytes {
        match any {
            Any::Request(request) => envelope::request(request, self.seq),
            Any::Reply(reply) => envelope::reply(reply, self.answered(), self.seq),
            Any::Push(push) => envelope::push(push),
        }
        .expect("encodes")
    }

    fn answered(&self) -> Op {
        Op(self.request.expect("a reply names its request"))
    }

    /// Writes the encodings of an entry that has none yet.
    fn fill(&mut self) {
        let any = self.decode_payload();
        for (codec, place) in [(Codec::Protobuf, &self.protobuf), (Codec::Json, &self.json)] {
            assert!(place.is_empty() || *place == hex::encode(&self.frame(&any, codec).encode()), "a vector must not change");
        }
        self.protobuf = hex::encode(&self.frame(&any, Codec::Protobuf).encode());
        self.json = hex::encode(&self.frame(&any, Codec::Json).encode());
        self.text = String::from_utf8(self.text(&any).to_vec()).expect("json is utf-8");
    }
}

fn ops() -> Vec<Vector> {
    serde_json::from_str(&read("vectors/ops.json")).expect("ops.json")
}

fn decode_one(bytes: &[u8]) -> Frame {
    let mut buf = BytesMut::from(bytes);
    let frame = FrameDecoder::new(Limits::SKEIN, Strictness::Skein).decode(&mut buf).expect("frame").expect("whole frame");
    assert!(buf.is_empty(), "one frame and nothing behind it");
    frame
}

#[test]
fn every_op_has_the_bytes_of_its_vector_in_both_directions() {
    let mut vectors = ops();
    if updating() {
        vectors.iter_mut().for_each(Vector::fill);
        let text = serde_json::to_string_pretty(&vectors).expect("json") + "\n";
        std::fs::write(here("vectors/ops.json"), text).expect("write ops.json");
    }
    for vector in &vectors {
        let what = format!("{:?} {} {}", vector.kind, vector.op, vector.name);
        let expected = vector.decode_payload();
        for (codec, golden) in [(Codec::Protobuf, &vector.protobuf), (Codec::Json, &vector.json)] {
            let frame = decode_one(&hex::decode(golden));
            assert_eq!((frame.op, frame.seq), (Op(vector.op), vector.seq), "{what}");
            assert_eq!(vector.decode_frame(&frame, codec), expected, "{what}");
            assert_eq!(hex::encode(&vector.frame(&expected, codec).encode()), *golden, "{what}");
        }
        assert_eq!(vector.decode_text(), expected, "{what}");
        assert_eq!(vector.text(&expected), vector.text, "{what}");
        let body = decode_one(&hex::decode(&vector.json)).body;
        let output: Value = serde_json::from_slice(&body).expect("json body");
        assert_eq!(output, vector.payload, "{what}: the payload is what comes out, in canonical form");
    }
}

#[test]
fn no_op_of_the_table_is_without_a_vector() {
    let have: BTreeSet<_> = ops().iter().map(|v| (v.kind, v.request.unwrap_or(0), v.op, v.name.clone())).collect();
    let mut want = BTreeSet::new();
    for row in REQUESTS {
        want.insert((Kind::Request, 0, row.op.0, row.name.to_owned()));
        want.insert((Kind::Reply, row.op.0, row.reply_op.0, row.reply_name.to_owned()));
    }
    for row in PUSHES {
        want.insert((Kind::Push, 0, row.op.0, row.name.to_owned()));
    }
    let missing: Vec<_> = want.difference(&have).collect();
    assert!(missing.is_empty(), "add entries to vectors/ops.json for {missing:?}");
}

/// Written from the schema by hand, so that the golden bytes do not rest on the code generator alone.
#[test]
fn protobuf_bytes_of_a_send_are_those_the_schema_says() {
    let golden = concat!(
        "00000025001000010000000400000007", // header: 37 bytes, op 4, seq 7
        "080c",                             // 1: conversation, varint
        "12036b2d31",                       // 2: key, "k-1"
        "1a0c",                             // 3: body, 12 bytes
        "0a0474657874",                     // 1: kind, "text"
        "12040a026869",                     // 2: segments, one of 4 bytes, 1: text "hi"
    );
    let send = v1::Send {
        conversation: 12,
        key: "k-1".to_owned(),
        body: Some(v1::Body {
            kind: "text".to_owned(),
            segments: vec![v1::Segment { part: Some(v1::segment::Part::Text("hi".to_owned())) }],
            ..v1::Body::default()
        }),
        ..v1::Send::default()
    };
    let request = Request::Send(send);
    assert_eq!(hex::encode(&Frame::request(&request, 7, Codec::Protobuf).expect("encodes").encode()), golden);
    let frame = decode_one(&hex::decode(golden));
    assert_eq!(Request::decode(frame.op, Codec::Protobuf, &frame.body).expect("a send"), request);
}
