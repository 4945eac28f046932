//! People: finding them, friend requests, friends, profiles.

use skein_protocol::{Request, v1};

use super::Client;
use crate::error::Error;
use crate::store::Person;

impl Client {
    /// What is known here of a user. Needs no network.
    pub async fn person(&self, uid: i64) -> Result<Option<Person>, Error> {
        self.inner.store.person(uid).await
    }

    /// By exact uid, exact e-mail address, or nickname prefix of two characters and more: set one.
    pub async fn search(&self, search: v1::Search) -> Result<v1::Profiles, Error> {
        let profiles = self.ask_again(Request::Search(search)).await?;
        self.keep_profiles(profiles).await
    }

    pub async fn profiles(&self, uids: &[i64]) -> Result<v1::Profiles, Error> {
        let profiles = self.ask_again(Request::GetProfiles(v1::GetProfiles { uids: uids.to_vec() })).await?;
        self.keep_profiles(profiles).await
    }

    /// What is not set stays.
    pub async fn change_profile(&self, change: v1::ChangeProfile) -> Result<v1::Profiles, Error> {
        let profiles = self.ask_again(Request::ChangeProfile(change)).await?;
        self.keep_profiles(profiles).await
    }

    /// Asks a user for friendship.
    pub async fn apply(&self, uid: i64, greeting: &str) -> Result<v1::FriendRequest, Error> {
        let reply = self.ask(Request::Apply(v1::Apply { uid, greeting: greeting.to_owned() })).await?;
        request_of(reply)
    }

    /// A page of requests, both directions.
    pub async fn requests(&self, cursor: &str) -> Result<v1::FriendRequests, Error> {
        self.ask_again(Request::ListRequests(v1::ListRequests { cursor: cursor.to_owned() })).await
    }

    pub async fn accept(&self, request: i64) -> Result<v1::FriendRequest, Error> {
        request_of(self.ask(Request::Answer(v1::Answer { request, accept: true })).await?)
    }

    pub async fn decline(&self, request: i64) -> Result<v1::FriendRequest, Error> {
        request_of(self.ask(Request::Answer(v1::Answer { request, accept: false })).await?)
    }

    /// A page of friends.
    pub async fn friends(&self, cursor: &str) -> Result<v1::Friends, Error> {
        let list = v1::ListFriends { cursor: cursor.to_owned(), count: 0 };
        self.keep_friends(self.ask_again(Request::ListFriends(list)).await?).await
    }

    /// A page of blocked users.
    pub async fn blocked(&self, cursor: &str) -> Result<v1::Friends, Error> {
        let list = v1::ListFriends { cursor: cursor.to_owned(), count: 0 };
        self.keep_friends(self.ask_again(Request::ListBlocked(list)).await?).await
    }

    /// One's own name for a friend; empty takes it away.
    pub async fn remark(&self, uid: i64, remark: &str) -> Result<v1::Friend, Error> {
        self.keep_friend(self.ask_again(Request::ChangeRemark(v1::ChangeRemark { uid, remark: remark.to_owned() })).await?).await
    }

    pub async fn delete_friend(&self, uid: i64) -> Result<(), Error> {
        self.ask::<v1::Done>(Request::DeleteFriend(v1::DeleteFriend { uid })).await.map(drop)
    }

    pub async fn block(&self, uid: i64) -> Result<v1::Friend, Error> {
        self.keep_friend(self.ask_again(Request::Block(v1::Block { uid, on: true })).await?).await
    }

    pub async fn unblock(&self, uid: i64) -> Result<v1::Friend, Error> {
        self.keep_friend(self.ask_again(Request::Block(v1::Block { uid, on: false })).await?).await
    }

    async fn keep_profiles(&self, profiles: v1::Profiles) -> Result<v1::Profiles, Error> {
        self.inner.store.learn_people(profiles.profiles.iter().map(Person::from).collect()).await?;
        Ok(profiles)
    }

    async fn keep_friends(&self, friends: v1::Friends) -> Result<v1::Friends, Error> {
        self.inner.store.learn_people(friends.friends.iter().map(Person::from).collect()).await?;
        Ok(friends)
    }

    async fn keep_friend(&self, reply: v1::FriendReply) -> Result<v1::Friend, Error> {
        let friend = reply.friend.ok_or_else(|| Error::Protocol("reply without its friend".to_owned()))?;
        self.inner.store.learn_people(vec![Person::from(&friend)]).await?;
        Ok(friend)
    }
}

fn request_of(reply: v1::RequestReply) -> Result<v1::FriendRequest, Error> {
    reply.request.ok_or_else(|| Error::Protocol("reply without its request".to_owned()))
}
