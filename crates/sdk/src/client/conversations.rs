//! Conversations: the list, direct ones, groups, rooms, their members and settings.

use skein_protocol::{Request, v1};

use super::{Client, new_key};
use crate::error::Error;
use crate::store::Person;

impl Client {
    /// All conversations with `me.unread` as of now: pinned ones first, then the newest. Needs no network.
    pub async fn conversations(&self) -> Result<Vec<v1::Conversation>, Error> {
        self.inner.store.conversations().await
    }

    /// As it is stored here. Needs no network.
    pub async fn conversation(&self, conversation: i64) -> Result<Option<v1::Conversation>, Error> {
        self.inner.store.conversation(conversation).await
    }

    /// The direct conversation with a user, created if there is none.
    pub async fn open_direct(&self, uid: i64) -> Result<v1::Conversation, Error> {
        let reply = self.ask_again(Request::OpenDirect(v1::OpenDirect { uid })).await?;
        self.keep_conversation(reply).await
    }

    /// With oneself as owner.
    pub async fn create_group(&self, title: &str, uids: &[i64]) -> Result<v1::Conversation, Error> {
        let create = v1::CreateGroup { key: new_key(), title: title.to_owned(), uids: uids.to_vec() };
        let reply = self.ask_again(Request::CreateGroup(create)).await?;
        self.keep_conversation(reply).await
    }

    pub async fn invite(&self, conversation: i64, uids: &[i64]) -> Result<(), Error> {
        self.change(Request::Invite(v1::Invite { conversation, key: new_key(), uids: uids.to_vec() })).await
    }

    pub async fn remove_member(&self, conversation: i64, uid: i64) -> Result<(), Error> {
        self.change(Request::RemoveMember(v1::RemoveMember { conversation, key: new_key(), uid })).await
    }

    /// Leaves a group or room.
    pub async fn leave(&self, conversation: i64) -> Result<(), Error> {
        self.change(Request::Leave(v1::Leave { conversation, key: new_key() })).await
    }

    /// Makes another member the owner.
    pub async fn transfer(&self, conversation: i64, uid: i64) -> Result<(), Error> {
        self.change(Request::Transfer(v1::Transfer { conversation, key: new_key(), uid })).await
    }

    /// Makes a member an admin, or an admin a member.
    pub async fn change_role(&self, conversation: i64, uid: i64, role: v1::Role) -> Result<(), Error> {
        self.change(Request::ChangeRole(v1::ChangeRole { conversation, key: new_key(), uid, role: role.into() })).await
    }

    /// Forbids a member to send until a time; 0 lifts it.
    pub async fn silence(&self, conversation: i64, uid: i64, until_ms: i64) -> Result<(), Error> {
        self.change(Request::Silence(v1::Silence { conversation, key: new_key(), uid, until_ms })).await
    }

    pub async fn rename(&self, conversation: i64, title: &str) -> Result<(), Error> {
        let change = v1::ChangeInfo { conversation, key: new_key(), title: Some(title.to_owned()), ..v1::ChangeInfo::default() };
        self.change(Request::ChangeInfo(change)).await
    }

    /// Title, announcement and the silence of all at once; what is not set stays. The key is made here.
    pub async fn change_info(&self, change: v1::ChangeInfo) -> Result<(), Error> {
        self.change(Request::ChangeInfo(v1::ChangeInfo { key: new_key(), ..change })).await
    }

    /// Pins, mutes, keeps a draft, on all one's devices; what is not set stays.
    pub async fn change_settings(&self, change: v1::ChangeSettings) -> Result<(), Error> {
        let reply = self.ask_again(Request::ChangeSettings(change)).await?;
        self.keep_membership(reply).await
    }

    /// A page, and where the next begins: an empty cursor is the beginning, and the end.
    pub async fn members(&self, conversation: i64, cursor: &str) -> Result<v1::Members, Error> {
        let list = v1::ListMembers { conversation, cursor: cursor.to_owned(), count: 0 };
        let members: v1::Members = self.ask_again(Request::ListMembers(list)).await?;
        self.inner.store.learn_people(members.members.iter().map(Person::from).collect()).await?;
        Ok(members)
    }

    // === rooms ===

    /// A page of the public rooms.
    pub async fn rooms(&self, cursor: &str) -> Result<v1::Rooms, Error> {
        self.list_rooms(cursor, false).await
    }

    /// As [`Client::rooms`], and from now on [`crate::Event::RoomsChanged`] tells of new ones, until the connection ends or
    /// [`Client::rooms`] is called.
    pub async fn watch_rooms(&self, cursor: &str) -> Result<v1::Rooms, Error> {
        self.list_rooms(cursor, true).await
    }

    async fn list_rooms(&self, cursor: &str, watch: bool) -> Result<v1::Rooms, Error> {
        self.ask_again(Request::ListRooms(v1::ListRooms { cursor: cursor.to_owned(), count: 0, watch })).await
    }

    /// Creates a public room and joins it.
    pub async fn create_room(&self, name: &str) -> Result<v1::Conversation, Error> {
        let reply = self
            .ask_again(Request::CreateRoom(v1::CreateRoom { key: new_key(), room_name: name.to_owned(), ..v1::CreateRoom::default() }))
            .await?;
        self.keep_conversation(reply).await
    }

    pub async fn join_room(&self, conversation: i64) -> Result<v1::Conversation, Error> {
        let reply = self.ask_again(Request::JoinRoom(v1::JoinRoom { conversation, key: new_key() })).await?;
        self.keep_conversation(reply).await
    }

    async fn change(&self, request: Request) -> Result<(), Error> {
        self.ask_again::<v1::Ack>(request).await.map(drop)
    }
}
