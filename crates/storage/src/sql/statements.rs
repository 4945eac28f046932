//! The statements whose plans the engines' tests look at: those that run often, or over many rows.

use super::engine::Statement;
use super::{accounts, contact_views, contacts, conversations, items, messages, outbox, push, states, views};

pub fn that_must_use_an_index() -> Vec<(&'static str, Statement)> {
    vec![
        ("changed", views::CHANGED.into()),
        ("user log", items::USER_LOG.into()),
        ("rooms", conversations::ROOMS.into()),
        ("rooms of", conversations::ROOMS_OF.into()),
        ("members", conversations::MEMBERS.into()),
        ("created since", conversations::CREATED_SINCE.into()),
        ("entries", messages::ENTRIES.into()),
        ("newest", messages::NEWEST.into()),
        ("states back", states::STATES_BACK.into()),
        ("states on", states::STATES_ON.into()),
        ("shown back", states::SHOWN_BACK),
        ("shown on", states::SHOWN_ON),
        ("reactions", states::REACTIONS.into()),
        ("entry records", outbox::ENTRY_RECORDS.into()),
        ("user records", outbox::USER_RECORDS.into()),
        ("friends", contact_views::FRIENDS.into()),
        ("blocked", contact_views::BLOCKED.into()),
        ("friend count", contacts::FRIEND_COUNT.into()),
        ("friend uids", contacts::FRIEND_UIDS.into()),
        ("requests sent", contact_views::REQUESTS_SENT.into()),
        ("requests received", contact_views::REQUESTS_RECEIVED.into()),
        ("by nickname", accounts::BY_NICKNAME.into()),
        ("key by hash", push::KEY_BY_HASH.into()),
        ("due", push::DUE.into()),
        ("old keys", push::OLD_KEYS.into()),
    ]
}
