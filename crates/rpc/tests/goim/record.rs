//! goim's Kafka record by bytes.

use super::world::{tohex, unhex};
use skein_domain::id::{ConnectionRef, Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::live::{Audience, GuestKey, LiveAddress, LiveMessage, LiveRecord, Priority, RoomName};
use skein_rpc::{RecordError, decode_record, encode_record, record_key};

fn record(address: LiveAddress) -> LiveRecord {
    let message = LiveMessage { operation: 1000, body: b"hi".to_vec() };
    LiveRecord { push: String::new(), app: Uid(0), address, message, expires: None, priority: Priority::Normal }
}

fn guests(keys: &[&str]) -> LiveAddress {
    LiveAddress::Guests { node: NodeId("c1".into()), keys: keys.iter().map(|key| GuestKey::parse(key).unwrap()).collect() }
}

fn all(speed: Option<u32>) -> LiveAddress {
    LiveAddress::All(Audience { speed, ..Audience::default() })
}

/// Type 1, operation 2, speed 3, server 4, room 5, keys 6, msg 7; zero and empty are left out.
#[test]
fn records_are_goims_bytes_and_keys() {
    let room = LiveAddress::Room(RoomName::parse("live://1").unwrap());
    let vectors = [
        (guests(&["k1", "k2"]), "10e807 22026331 32026b31 32026b32 3a026869", "k1"),
        (room, "0801 10e807 2a086c6976653a2f2f31 3a026869", "live://1"),
        (all(Some(50)), "0802 10e807 1832 3a026869", "1000"),
        (all(None), "0802 10e807 3a026869", "1000"),
    ];
    for (address, value, key) in vectors {
        let record = record(address);
        assert_eq!(tohex(&encode_record(&record)), value.replace(' ', ""));
        assert_eq!(record_key(&record), key.as_bytes());
        assert_eq!(decode_record(&unhex(value)).unwrap(), record);
    }
}

#[test]
fn what_goim_does_not_know_travels_in_fields_it_skips() {
    let connections = vec![ConnectionRef { session: SessionId(7), generation: Generation(8) }];
    let sessions = LiveAddress::Sessions { node: NodeId("c1".into()), connections };
    let audience = LiveAddress::All(Audience { platforms: vec!["web".into()], tags: vec!["vip".into()], speed: Some(5) });
    for address in [sessions, audience, guests(&["k"])] {
        let record = LiveRecord { push: "id".into(), app: Uid(9), expires: Some(Millis(5)), priority: Priority::Urgent, ..record(address) };
        let value = encode_record(&record);
        assert_eq!(decode_record(&value).unwrap(), record);
        // push_id is field 100: tag a2 06.
        assert!(tohex(&value).contains("a206026964"), "{}", tohex(&value));
    }
}

#[test]
fn what_is_no_record_is_a_typed_error() {
    let error = |hex: &str| decode_record(&unhex(hex)).unwrap_err();
    assert_eq!(error("0803 10e807 32016b"), RecordError::UnknownType(3));
    assert_eq!(error("08ffffffffffffffffff01 32016b"), RecordError::UnknownType(-1));
    assert_eq!(error("10e807 3a026869"), RecordError::NoReceivers);
    assert_eq!(error("0801 3a026869"), RecordError::BadRoom(String::new()));
    assert_eq!(error("3200"), RecordError::BadKey(String::new()));
    for hex in ["ff", "0a7f61", "3a05 6869", "32 02 fffe"] {
        assert!(matches!(error(hex), RecordError::Undecodable(_)), "{hex}");
    }
}
