//! The statements whose plans the engines' tests look at: those that run often, or over many rows.

use super::engine::Statement;
use super::{accounts, contacts, conversations, messages, outbox, push, views};

pub fn that_must_use_an_index() -> Vec<(&'static str, Statement)> {
    vec![
        ("changed", views::CHANGED.into()),
        ("user log", conversations::USER_LOG.into()),
        ("rooms", conversations::ROOMS.into()),
        ("rooms of", conversations::ROOMS_OF.into()),
        ("members", conversations::MEMBERS.into()),
        ("created since", conversations::CREATED_SINCE.into()),
        ("entries", messages::ENTRIES.into()),
        ("newest", messages::NEWEST.into()),
        ("states back", messages::STATES_BACK.into()),
        ("states on", messages::STATES_ON.into()),
        ("shown back", messages::SHOWN_BACK),
        ("shown on", messages::SHOWN_ON),
        ("reactions", messages::REACTIONS.into()),
        ("entry records", outbox::ENTRY_RECORDS.into()),
        ("user records", outbox::USER_RECORDS.into()),
        ("friends", contacts::FRIENDS.into()),
        ("blocked", contacts::BLOCKED.into()),
        ("friend count", contacts::FRIEND_COUNT.into()),
        ("friend uids", contacts::FRIEND_UIDS.into()),
        ("requests sent", contacts::REQUESTS_SENT.into()),
        ("requests received", contacts::REQUESTS_RECEIVED.into()),
        ("by nickname", accounts::BY_NICKNAME.into()),
        ("key by hash", push::KEY_BY_HASH.into()),
        ("due", push::DUE.into()),
        ("old keys", push::OLD_KEYS.into()),
    ]
}
