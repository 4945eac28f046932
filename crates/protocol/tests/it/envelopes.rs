//! The table, the two codecs and the text envelope: forms of input, equivalence, answers to what is not understood.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skein_protocol::envelope;
use skein_protocol::frame::Frame;
use skein_protocol::table::{PUSHES, REQUESTS};
use skein_protocol::{Codec, DecodeError, EncodeError, Envelope, ErrorCode, Incoming, Op, Push, Reply, Request, v1};

use crate::strategies::send;

fn request(text: &str) -> Result<Request, DecodeError> {
    Envelope::parse(text.as_bytes())?.request()
}

fn code_of(text: &str) -> ErrorCode {
    request(text).expect_err(text).code()
}

#[test]
fn only_the_type_is_needed() {
    let heartbeat = Request::Heartbeat(v1::Heartbeat {});
    for text in [
        r#"{"type":"heartbeat"}"#,
        r#" { "type" : "heartbeat" , "payload" : {} } "#,
        r#"{"payload":null,"type":"heartbeat"}"#,
        r#"{"type":"heartbeat","extra":[1,{"a":"b"}],"payload":{"unknown":{"deep":[]}}}"#,
        r#"{"type":"heart\u0062eat","seq":0}"#,
    ] {
        let envelope = Envelope::parse(text.as_bytes()).expect(text);
        assert_eq!((envelope.seq, envelope.request().expect(text)), (0, heartbeat.clone()), "{text}");
    }
}

#[test]
fn an_array_is_not_taken_for_an_object() {
    for text in
        [r#"["heartbeat",1,{}]"#, r#" ["heartbeat"]"#, r#"{"type":"auth","payload":["token"]}"#, r#"{"type":"heartbeat","payload":[]}"#]
    {
        assert_eq!(code_of(text), ErrorCode::BadRequest, "{text}");
    }
}

#[test]
fn both_spellings_of_a_name_and_both_forms_of_a_number_are_read() {
    let expected = Request::RequestHistory(v1::RequestHistory {
        conversation: 12,
        first_message_id: 9_007_199_254_740_993,
        last_message_id: 3,
        count: 20,
    });
    for payload in [
        r#"{"conversation":"12","firstMessageId":"9007199254740993","lastMessageId":"3","count":20}"#,
        r#"{"conversation":12,"first_message_id":9007199254740993,"last_message_id":3,"count":"20"}"#,
    ] {
        let text = format!(r#"{{"type":"requestRoomHistory","payload":{payload}}}"#);
        assert_eq!(request(&text).expect("history"), expected, "{payload}");
    }
}

#[test]
fn sixty_four_bit_numbers_leave_as_strings() {
    let ack = Reply::Ack(v1::Ack { seq: i64::MAX, epoch: u64::MAX, ..v1::Ack::default() });
    let text = envelope::reply(&ack, Op::SEND, 1).expect("encodes");
    let expected = r#"{"type":"ack","seq":1,"payload":{"seq":"9223372036854775807","epoch":"18446744073709551615"}}"#;
    assert_eq!(text, expected);
}

#[test]
fn what_is_not_understood_has_its_code() {
    assert_eq!(code_of(r#"{"type":"fly"}"#), ErrorCode::Unsupported);
    assert_eq!(code_of(r#"{"type":"ack"}"#), ErrorCode::Unsupported, "a reply is no request");
    assert_eq!(code_of("{"), ErrorCode::BadJson);
    assert_eq!(code_of(""), ErrorCode::BadJson);
    assert_eq!(code_of(r#"{"type":"heartbeat"} x"#), ErrorCode::BadJson);
    assert_eq!(code_of(&"[".repeat(10_000)), ErrorCode::BadJson, "never closed");
    assert_eq!(code_of(r#"{"type":"pull","payload":{"from":{}}}"#), ErrorCode::BadRequest);
    assert_eq!(code_of(r#"{"type":"pull","payload":[]}"#), ErrorCode::BadRequest);
    assert_eq!(code_of(r#"{"type":"pull","payload":{"from":"x"}}"#), ErrorCode::BadRequest);
    assert_eq!(code_of(r#"{"type":"heartbeat","seq":2147483648}"#), ErrorCode::BadRequest);
    assert_eq!(code_of(r#"{"seq":1}"#), ErrorCode::BadRequest);
    let protobuf = Request::decode(Op::SEND, Codec::Protobuf, &[0xff]).expect_err("rubbish");
    assert_eq!(protobuf.code(), ErrorCode::BadRequest);
    let json = Request::decode(Op::SEND, Codec::Json, b"{\"a").expect_err("cut");
    assert_eq!(json.code(), ErrorCode::BadJson);
    let op = Request::decode(Op(6), Codec::Protobuf, b"").expect_err("goim's op");
    assert_eq!(op.code(), ErrorCode::Unsupported);
}

#[test]
fn the_seq_is_known_when_the_payload_is_wrong() {
    let envelope = Envelope::parse(br#"{"type":"pull","seq":41,"payload":{"from":true}}"#).expect("envelope");
    assert_eq!(envelope.seq, 41);
    assert!(envelope.request().is_err());
}

#[test]
fn the_seq_is_known_when_the_type_is_missing_or_wrong() {
    for text in
        [r#"{"seq":41}"#, r#"{"seq":41,"type":null}"#, r#"{"type":7,"seq":41}"#, r#"{"type":[],"seq":41}"#, r#"{"type":"","seq":41}"#]
    {
        let envelope = Envelope::parse(text.as_bytes()).expect(text);
        let error = envelope.request().expect_err(text);
        assert_eq!((envelope.seq, error.code()), (41, ErrorCode::BadRequest), "{text}");
        assert_eq!(error.to_string(), "type must be the name of a message");
    }
    for (text, wanted) in [
        (r#"{"type":"heartbeat","seq":"x"}"#, "seq must be a whole number of 32 bits"),
        (r#"{"type":"heartbeat","seq":2147483648}"#, "seq must be a whole number of 32 bits"),
        (r#"{"type":"a","type":"b"}"#, "the message has a field twice"),
        (r#"["heartbeat",1]"#, "the message must be a JSON object"),
    ] {
        assert_eq!(Envelope::parse(text.as_bytes()).expect_err(text).to_string(), wanted, "{text}");
    }
}

#[test]
fn an_error_text_quotes_a_bounded_part_of_the_input() {
    let error = request(&format!(r#"{{"type":"{}"}}"#, "x".repeat(10_000))).expect_err("unknown type");
    assert!(error.to_string().len() < 120, "{error}");
}

#[test]
fn deep_nesting_is_skipped_or_refused() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let skipped = format!(r#"{{"type":"heartbeat","extra":{deep},"payload":{{"unknown":{deep}}}}}"#);
    assert!(request(&skipped).is_ok());
    assert_eq!(code_of(&format!(r#"{{"type":"heartbeat","payload":{deep}}}"#)), ErrorCode::BadRequest);
    let groups = [0x7b; 30_000];
    assert!(Request::decode(Op::SYNC, Codec::Protobuf, &groups).is_err());
}

#[test]
fn an_empty_body_is_the_empty_message_in_both_codecs() {
    for codec in [Codec::Protobuf, Codec::Json] {
        let sync = Request::decode(Op::SYNC, codec, b"").expect("empty body");
        assert_eq!(sync, Request::Sync(v1::Sync::default()));
    }
}

#[test]
fn a_newer_peer_is_understood_as_far_as_possible() {
    let text = r#"{"type":"changeRole","payload":{"role":"EMPEROR","since":"tomorrow"}}"#;
    let Request::ChangeRole(change) = request(text).expect("unknown value and field") else { panic!() };
    assert_eq!(change.role(), v1::Role::Unspecified);
    // Field 100, a varint, and a role of 77.
    let Request::ChangeRole(change) =
        Request::decode(Op::CHANGE_ROLE, Codec::Protobuf, &[0xa0, 0x06, 1, 0x20, 77]).expect("unknown value and field")
    else {
        panic!()
    };
    assert_eq!(change.role(), v1::Role::Unspecified);
    let no_json = Request::ChangeRole(change).encode(Codec::Json).expect_err("77 has no name");
    assert_eq!(no_json.code(), ErrorCode::Internal);
}

#[test]
fn the_codec_of_a_log_in_shows_in_its_first_byte() {
    let auth = Request::Auth(v1::Auth { token: "t".to_owned(), major: 1, ..v1::Auth::default() });
    for codec in [Codec::Protobuf, Codec::Json] {
        let body = auth.encode(codec).expect("encodes");
        assert_eq!(Codec::of_auth_body(&body), codec);
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::of_auth_body(b"\n {}"), Codec::Json);
    assert_eq!(Codec::of_auth_body(b""), Codec::Protobuf);
    assert_eq!((Codec::from_name(""), Codec::from_name("xml")), (Some(Codec::Protobuf), None));
}

#[test]
fn a_reply_is_placed_by_its_request_and_a_wrong_one_is_refused() {
    let ack = Reply::from(v1::Ack::default());
    assert_eq!(ack.placed(Op::EDIT).expect("ack of an edit"), (Op::EDIT, "ack"));
    assert!(matches!(ack.placed(Op::SYNC), Err(EncodeError::WrongReply { request: Op::SYNC, reply: "Ack" })));
    let room = Reply::from(v1::ConversationReply::default());
    assert_eq!(room.placed(Op::CREATE_ROOM).expect("room"), (Op::CREATE_ROOM, "serverCreateRoom"));
    assert_eq!(room.placed(Op::OPEN_DIRECT).expect("direct"), (Op::OPEN_DIRECT, "conversation"));
    let error = Reply::from(v1::Error::new(ErrorCode::Busy, "later"));
    assert_eq!(error.placed(Op(12345)).expect("errors answer anything"), (Op::ERROR, "error"));
    assert_eq!(v1::Ack::try_from(ack.clone()), Ok(v1::Ack::default()));
    assert_eq!(v1::Done::try_from(ack.clone()), Err(ack));
}

#[test]
fn an_error_with_a_seq_is_a_reply_and_without_one_a_push() {
    let error = v1::Error::new(ErrorCode::Busy, "later");
    assert_eq!(error.known_code(), Some(ErrorCode::Busy));
    let reply = Incoming::Reply(Reply::Error(error.clone()));
    let push = Incoming::Push(Push::Error(error.clone()));
    for (seq, expected) in [(7, &reply), (0, &push)] {
        let frame = Frame::reply(&Reply::Error(error.clone()), Op::SEND, seq, Codec::Protobuf).expect("encodes");
        assert_eq!(&Incoming::decode(frame.op, seq, Codec::Protobuf, &frame.body).expect("error"), expected);
        let text = envelope::reply(&Reply::Error(error.clone()), Op::SEND, seq).expect("encodes");
        assert_eq!(&Envelope::parse(&text).expect("envelope").incoming().expect("error"), expected);
    }
}

#[test]
fn ops_and_types_are_used_once_and_reply_types_mean_one_message() {
    let mut ops = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut reply_messages = BTreeMap::new();
    for row in REQUESTS {
        assert!(ops.insert(row.op), "op {} twice", row.op);
        assert!(names.insert(row.name), "type {} twice", row.name);
        let first = reply_messages.insert(row.reply_name, row.reply_message);
        assert!(first.is_none_or(|message| message == row.reply_message), "{} means two messages", row.reply_name);
        let goim = matches!((row.op, row.reply_op), (Op::HEARTBEAT, Op(3)) | (Op::AUTH, Op(8)));
        assert!(goim || row.op == row.reply_op, "op {}", row.op);
    }
    let mut push_names = BTreeSet::new();
    for row in PUSHES {
        assert!(ops.insert(row.op), "op {} twice", row.op);
        assert!(push_names.insert(row.name), "type {} twice", row.name);
        let also_reply = reply_messages.contains_key(row.name);
        assert!(!also_reply || row.name == "hello", "{} is a reply too", row.name);
    }
}

#[test]
fn numbers_fixed_by_goim_and_the_room_protocol_stay() {
    let fixed = [
        (Op::HEARTBEAT, 2, "heartbeat"),
        (Op::SEND, 4, "clientMessages"),
        (Op::CREATE_ROOM, 5, "clientCreateRoom"),
        (Op::AUTH, 7, "auth"),
        (Op::HELLO, 101, "hello"),
        (Op::HISTORY, 103, "requestRoomHistory"),
        (Op::MESSAGES, 160, "serverMessages"),
    ];
    for (op, number, name) in fixed {
        assert_eq!((op.0, op.name()), (number, Some(name)));
    }
    assert_eq!(Op::GOIM_RAW.name(), None);
}

#[test]
fn error_codes_are_unique_and_read_back() {
    let mut seen = BTreeSet::new();
    for code in ErrorCode::ALL {
        assert!(seen.insert(code.as_str()), "{code} twice");
        assert_eq!(code.as_str().parse(), Ok(*code));
        assert!(code.meaning().ends_with('.'), "{code}");
    }
    assert!("no_such_code".parse::<ErrorCode>().is_err());
}

proptest! {
    #[test]
    fn text_and_both_kinds_of_frames_carry_the_same_request(sent in send(), seq in any::<i32>()) {
        for codec in [Codec::Protobuf, Codec::Json] {
            let frame = Frame::request(&sent, seq, codec).expect("encodes");
            prop_assert_eq!(&Request::decode(frame.op, codec, &frame.body).expect("decodes"), &sent);
        }
        let text = envelope::request(&sent, seq).expect("encodes");
        let envelope = Envelope::parse(&text).expect("envelope");
        prop_assert_eq!((envelope.seq, &envelope.request().expect("decodes")), (seq, &sent));
    }
}
