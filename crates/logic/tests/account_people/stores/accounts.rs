use super::{People, State};
use async_trait::async_trait;
use skein_domain::account::{DeviceClass, Profile, ProfileChange, SecretHash, Session, User, UserRole};
use skein_domain::id::{Millis, SessionId, Uid};
use skein_domain::port::{AccountStore, Audit, NewSession, NewUser, WhichSessions, fold_nickname};
use skein_domain::{Code, Error, Result};

#[async_trait]
impl AccountStore for People {
    async fn create_user(&self, new: NewUser) -> Result<Uid> {
        let mut state = self.0.lock().unwrap();
        if state.users.values().any(|user| user.email == new.email) {
            return Err(Error::new(Code::UserExists, "taken"));
        }
        let uid = Uid(state.users.len() as i64 + 1);
        let NewUser { email, nickname, password_hash, at } = new;
        let user = User {
            uid,
            email,
            nickname,
            signature: String::new(),
            findable_by_email: true,
            password_hash,
            role: UserRole::User,
            disabled: false,
            created_at: at,
        };
        state.users.insert(uid, user);
        Ok(uid)
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        Ok(self.0.lock().unwrap().users.values().find(|user| user.email == email).cloned())
    }

    async fn user(&self, uid: Uid) -> Result<Option<User>> {
        Ok(self.0.lock().unwrap().users.get(&uid).cloned())
    }

    async fn profiles(&self, uids: &[Uid]) -> Result<Vec<Profile>> {
        let state = self.0.lock().unwrap();
        Ok(uids.iter().filter_map(|uid| state.users.get(uid)).filter(|user| !user.disabled).map(profile).collect())
    }

    async fn profiles_by_nickname(&self, prefix: &str, after: Option<(String, Uid)>, limit: u32) -> Result<Vec<Profile>> {
        let state = self.0.lock().unwrap();
        let mut found: Vec<_> =
            state.users.values().filter(|user| !user.disabled).map(|user| (fold_nickname(&user.nickname), user)).collect();
        found.retain(|(folded, user)| {
            folded.starts_with(prefix) && after.as_ref().is_none_or(|after| (folded, user.uid) > (&after.0, after.1))
        });
        found.sort_by(|a, b| (&a.0, a.1.uid).cmp(&(&b.0, b.1.uid)));
        Ok(found.into_iter().take(limit as usize).map(|(_, user)| profile(user)).collect())
    }

    async fn change_profile(&self, uid: Uid, change: ProfileChange) -> Result<Profile> {
        let mut state = self.0.lock().unwrap();
        let user = state.users.get_mut(&uid).ok_or_else(not_found)?;
        let ProfileChange { nickname, signature, findable_by_email } = change;
        nickname.into_iter().for_each(|nickname| user.nickname = nickname);
        signature.into_iter().for_each(|signature| user.signature = signature);
        findable_by_email.into_iter().for_each(|findable| user.findable_by_email = findable);
        Ok(profile(user))
    }

    async fn set_password(&self, uid: Uid, password_hash: String, keep: Option<SessionId>, _at: Millis) -> Result<Vec<Session>> {
        let mut state = self.0.lock().unwrap();
        state.users.get_mut(&uid).ok_or_else(not_found)?.password_hash = password_hash;
        Ok(state.end(|session| session.uid == uid && Some(session.id) != keep))
    }

    async fn rehash(&self, uid: Uid, old: &str, new: String) -> Result<bool> {
        let mut state = self.0.lock().unwrap();
        let user = state.users.get_mut(&uid).ok_or_else(not_found)?;
        let unchanged = user.password_hash == old;
        if unchanged {
            user.password_hash = new;
        }
        Ok(unchanged)
    }

    async fn open_session(&self, new: NewSession) -> Result<(Session, Vec<Session>)> {
        let mut state = self.0.lock().unwrap();
        state.opened += 1;
        let NewSession { uid, class, secret, client, at, expires_at } = new;
        let session = Session { id: SessionId(state.opened), uid, class, client, created_at: at, seen_at: at, expires_at };
        let displaced = state.displaced(uid, class);
        let ended = state.end(|session| displaced.contains(&session.id));
        state.sessions.push((secret, session.clone()));
        Ok((session, ended))
    }

    async fn session_by_secret(&self, secret: SecretHash, now: Millis) -> Result<Option<Session>> {
        let state = self.0.lock().unwrap();
        let live = state.sessions.iter().find(|(hash, session)| *hash == secret && session.expires_at > now);
        Ok(live.map(|(_, session)| session.clone()))
    }

    async fn session(&self, id: SessionId, now: Millis) -> Result<Option<Session>> {
        let state = self.0.lock().unwrap();
        let live = state.sessions.iter().find(|(_, session)| session.id == id && session.expires_at > now);
        Ok(live.map(|(_, session)| session.clone()))
    }

    async fn sessions(&self, uid: Uid, now: Millis) -> Result<Vec<Session>> {
        let state = self.0.lock().unwrap();
        let live = state.sessions.iter().filter(|(_, session)| session.uid == uid && session.expires_at > now);
        Ok(live.map(|(_, session)| session.clone()).collect())
    }

    async fn renew_session(&self, id: SessionId, seen_at: Millis, expires_at: Millis) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        for (_, session) in state.sessions.iter_mut().filter(|(_, session)| session.id == id) {
            (session.seen_at, session.expires_at) = (seen_at, expires_at);
        }
        Ok(())
    }

    async fn end_sessions(&self, uid: Uid, which: WhichSessions) -> Result<Vec<Session>> {
        Ok(self.0.lock().unwrap().end(|session| {
            session.uid == uid
                && match which {
                    WhichSessions::One(id) => session.id == id,
                    WhichSessions::All => true,
                    WhichSessions::AllBut(id) => session.id != id,
                }
        }))
    }

    async fn purge_sessions(&self, before: Millis) -> Result<u64> {
        Ok(self.0.lock().unwrap().end(|session| session.expires_at < before).len() as u64)
    }

    async fn users(&self, after: Uid, limit: u32) -> Result<Vec<User>> {
        Ok(self.0.lock().unwrap().users.values().filter(|user| user.uid > after).take(limit as usize).cloned().collect())
    }

    async fn set_disabled(&self, uid: Uid, disabled: bool, audit: Audit) -> Result<Vec<Session>> {
        let mut state = self.0.lock().unwrap();
        state.users.get_mut(&uid).ok_or_else(not_found)?.disabled = disabled;
        state.audits.push(audit);
        Ok(state.end(|session| disabled && session.uid == uid))
    }

    async fn set_role(&self, uid: Uid, role: UserRole, audit: Audit) -> Result<()> {
        let mut state = self.0.lock().unwrap();
        state.users.get_mut(&uid).ok_or_else(not_found)?.role = role;
        state.audits.push(audit);
        Ok(())
    }

    async fn audit(&self, audit: Audit) -> Result<()> {
        self.0.lock().unwrap().audits.push(audit);
        Ok(())
    }

    async fn audits(&self, limit: u32) -> Result<Vec<Audit>> {
        Ok(self.0.lock().unwrap().audits.iter().rev().take(limit as usize).cloned().collect())
    }
}

impl State {
    fn end(&mut self, which: impl Fn(&Session) -> bool) -> Vec<Session> {
        let (ended, live) = std::mem::take(&mut self.sessions).into_iter().partition(|(_, session)| which(session));
        self.sessions = live;
        let ended: Vec<(SecretHash, Session)> = ended;
        ended.into_iter().map(|(_, session)| session).collect()
    }

    /// The oldest of the class that leave no room for one more.
    fn displaced(&self, uid: Uid, class: DeviceClass) -> Vec<SessionId> {
        let of_class: Vec<_> = self.sessions.iter().filter(|(_, s)| s.uid == uid && s.class == class).map(|(_, s)| s.id).collect();
        let too_many = (of_class.len() + 1).saturating_sub(class.sessions_max());
        of_class.into_iter().take(too_many).collect()
    }
}

fn profile(user: &User) -> Profile {
    let User { uid, nickname, signature, findable_by_email, .. } = user.clone();
    Profile { uid, nickname, signature, email: None, findable_by_email }
}

fn not_found() -> Error {
    Error::new(Code::NotFound, "no such user")
}
