use super::{People, State};
use async_trait::async_trait;
use skein_domain::contact::{Friend, FriendRequest, RequestState};
use skein_domain::conversation::Standing;
use skein_domain::id::{Millis, RequestId, Uid};
use skein_domain::port::ContactStore;
use skein_domain::{Code, Error, Result};

#[async_trait]
impl ContactStore for People {
    async fn apply(&self, from: Uid, to: Uid, greeting: String, at: Millis, _friends_max: u32) -> Result<FriendRequest> {
        let mut state = self.0.lock().unwrap();
        if state.are_friends(from, to) {
            return Err(Error::new(Code::AlreadyMember, "friends already"));
        }
        let pending = state.requests.iter_mut().find(|r| (r.from, r.to, r.state) == (from, to, RequestState::Pending));
        if let Some(request) = pending {
            request.greeting = greeting;
            return Ok(request.clone());
        }
        let id = RequestId(state.requests.len() as i64 + 1);
        let request = FriendRequest { id, from, to, greeting, state: RequestState::Pending, at, nickname: String::new() };
        state.requests.push(request.clone());
        Ok(request)
    }

    async fn answer(&self, uid: Uid, request: RequestId, accept: bool, at: Millis, _friends_max: u32) -> Result<FriendRequest> {
        let mut state = self.0.lock().unwrap();
        let asked = state.requests.iter_mut().find(|r| r.id == request && r.to == uid);
        let asked = asked.ok_or_else(|| Error::new(Code::NotFound, "no such request"))?;
        asked.state = if accept { RequestState::Accepted } else { RequestState::Declined };
        let answered = asked.clone();
        for (one, other) in [(answered.from, answered.to), (answered.to, answered.from)] {
            let friend = state.friend(one, other);
            (friend.friend, friend.since) = (accept, at);
        }
        Ok(answered)
    }

    async fn change_remark(&self, uid: Uid, peer: Uid, remark: String) -> Result<Friend> {
        let mut state = self.0.lock().unwrap();
        let friend = state.friends.get_mut(&(uid, peer)).ok_or_else(|| Error::new(Code::NotFound, "no such friend"))?;
        friend.remark = remark;
        Ok(friend.clone())
    }

    async fn delete_friend(&self, uid: Uid, peer: Uid) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.friend(uid, peer).friend = false;
        state.friend(peer, uid).friend = false;
        Ok(())
    }

    async fn block(&self, uid: Uid, peer: Uid, on: bool, _at: Millis) -> Result<Friend> {
        let mut state = self.0.lock().unwrap();
        let friend = state.friend(uid, peer);
        friend.blocked = on;
        Ok(friend.clone())
    }

    async fn standing(&self, a: Uid, b: Uid) -> Result<Standing> {
        let state = self.0.lock().unwrap();
        let blocks = |one, other| state.friends.get(&(one, other)).is_some_and(|friend| friend.blocked);
        Ok(Standing { friends: state.are_friends(a, b), blocked: blocks(a, b) || blocks(b, a) })
    }

    async fn friends(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>> {
        Ok(self.0.lock().unwrap().of(uid, after, limit, |friend| friend.friend))
    }

    async fn blocked(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>> {
        Ok(self.0.lock().unwrap().of(uid, after, limit, |friend| friend.blocked))
    }

    async fn requests(&self, uid: Uid, before: Option<RequestId>, limit: u32) -> Result<Vec<FriendRequest>> {
        let state = self.0.lock().unwrap();
        let mine = state.requests.iter().rev().filter(|r| (r.from == uid || r.to == uid) && before.is_none_or(|before| r.id < before));
        Ok(mine.take(limit as usize).cloned().collect())
    }
}

impl State {
    fn are_friends(&self, a: Uid, b: Uid) -> bool {
        self.friends.get(&(a, b)).is_some_and(|friend| friend.friend)
    }

    fn friend(&mut self, uid: Uid, peer: Uid) -> &mut Friend {
        let fresh = || Friend {
            uid: peer,
            nickname: String::new(),
            remark: String::new(),
            friend: false,
            blocked: false,
            since: Millis(0),
            conversation: None,
        };
        self.friends.entry((uid, peer)).or_insert_with(fresh)
    }

    fn of(&self, uid: Uid, after: Uid, limit: u32, which: impl Fn(&Friend) -> bool) -> Vec<Friend> {
        let mine = self.friends.iter().filter(|((owner, peer), friend)| *owner == uid && *peer > after && which(friend));
        mine.take(limit as usize).map(|(_, friend)| friend.clone()).collect()
    }
}
