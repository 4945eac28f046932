//! Profiles: one's own, with the e-mail address, and those of others, without.

use super::Accounts;
use super::session::unauthorized;
use skein_domain::account::{Profile, ProfileChange};
use skein_domain::door::Caller;
use skein_domain::id::Uid;
use skein_domain::{Code, Error, Result, policy};

const PROFILES_MAX: usize = 200;

impl Accounts {
    /// Unknown and disabled users are left out. At most 200 at a time.
    pub async fn get_profiles(&self, caller: &Caller, uids: &[Uid]) -> Result<Vec<Profile>> {
        if uids.len() > PROFILES_MAX {
            return Err(Error::new(Code::BadRequest, "at most 200 profiles at a time"));
        }
        let mut profiles = self.store.profiles(uids).await?;
        for profile in &mut profiles {
            if profile.uid == caller.uid {
                let me = self.store.user(caller.uid).await?.ok_or_else(unauthorized)?;
                profile.email = Some(me.email);
                profile.findable_by_email = me.findable_by_email;
            } else {
                hide_private(profile);
            }
        }
        Ok(profiles)
    }

    /// One's own profile as it is afterwards. `bad_nickname`, `bad_request` for the signature.
    pub async fn change_profile(&self, caller: &Caller, mut change: ProfileChange) -> Result<Profile> {
        change.nickname = change.nickname.as_deref().map(policy::checked_nickname).transpose()?;
        change.signature = change.signature.as_deref().map(policy::checked_signature).transpose()?;
        let mut profile = self.store.change_profile(caller.uid, change).await?;
        let me = self.store.user(caller.uid).await?.ok_or_else(unauthorized)?;
        profile.email = Some(me.email);
        Ok(profile)
    }
}

/// What only its owner sees.
pub(crate) fn hide_private(profile: &mut Profile) {
    profile.email = None;
    profile.findable_by_email = false;
}
