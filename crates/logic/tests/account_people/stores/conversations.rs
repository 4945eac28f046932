use async_trait::async_trait;
use skein_domain::conversation::{ConversationView, Member, RoomInfo, SettingsChange, Snapshot};
use skein_domain::id::{ConversationId, Millis, Revision, Shard, Uid};
use skein_domain::port::{ConversationStore, CreateConversation, Mark};
use skein_domain::push::UserEvent;
use skein_domain::{Code, Error, Result};

/// A world in which nobody has met yet: reads find nothing, changes are refused.
pub struct NoConversations;

fn refused<T>() -> Result<T> {
    Err(Error::new(Code::NotFound, "no conversations here"))
}

#[async_trait]
impl ConversationStore for NoConversations {
    async fn snapshot(&self, _: ConversationId) -> Result<Option<Snapshot>> {
        Ok(None)
    }
    async fn member(&self, _: ConversationId, _: Uid) -> Result<Option<Member>> {
        Ok(None)
    }
    async fn view(&self, _: ConversationId, _: Uid) -> Result<Option<ConversationView>> {
        Ok(None)
    }
    async fn open_direct(&self, _: Uid, _: Uid, _: Millis) -> Result<ConversationId> {
        refused()
    }
    async fn create_group(&self, _: CreateConversation) -> Result<ConversationId> {
        refused()
    }
    async fn create_room(&self, _: CreateConversation) -> Result<(ConversationId, bool)> {
        refused()
    }
    async fn created_since(&self, _: Uid, _: Millis) -> Result<u32> {
        Ok(0)
    }
    async fn join_room(&self, _: ConversationId, _: Uid, _: Millis) -> Result<Member> {
        refused()
    }
    async fn leave_room(&self, _: ConversationId, _: Uid) -> Result<Member> {
        refused()
    }
    async fn rooms_of(&self, _: Uid) -> Result<Vec<ConversationId>> {
        Ok(Vec::new())
    }
    async fn rooms(&self, _: Option<ConversationId>, _: u32) -> Result<Vec<RoomInfo>> {
        Ok(Vec::new())
    }
    async fn members(&self, _: ConversationId, _: Uid, _: u32) -> Result<Vec<(Member, String)>> {
        Ok(Vec::new())
    }
    async fn mark(&self, _: ConversationId, _: Uid, _: Mark) -> Result<Member> {
        refused()
    }
    async fn change_settings(&self, _: ConversationId, _: Uid, _: SettingsChange) -> Result<Member> {
        refused()
    }
    async fn changed(&self, _: Uid, _: Shard, _: Revision, _: ConversationId, _: u32) -> Result<Vec<ConversationView>> {
        Ok(Vec::new())
    }
    async fn user_log(&self, _: Uid, _: Revision, _: u32) -> Result<Vec<(Revision, UserEvent)>> {
        Ok(Vec::new())
    }
    fn shard_of(&self, _: Uid) -> Shard {
        Shard(0)
    }
}
