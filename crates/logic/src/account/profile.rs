//! Profiles: one's own, with the e-mail address, and those of others, without.

use super::Accounts;
use super::session::unauthorized;
use skein_domain::account::{Profile, ProfileChange};
use skein_domain::door::Caller;
use skein_domain::id::Uid;
use skein_domain::{Code, Error, Result};

pub(crate) const NICKNAME_CHARS_MAX: usize = 32;
const SIGNATURE_CHARS_MAX: usize = 200;
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
        change.nickname = change.nickname.as_deref().map(checked_nickname).transpose()?;
        change.signature = change.signature.as_deref().map(checked_signature).transpose()?;
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

/// Trimmed; 1 to 32 characters that show as what they are.
pub(super) fn checked_nickname(nickname: &str) -> Result<String> {
    let nickname = nickname.trim();
    let fits = (1..=NICKNAME_CHARS_MAX).contains(&nickname.chars().count());
    if !fits || nickname.contains(is_deceptive) || !nickname.contains(|c: char| !c.is_whitespace()) {
        return Err(Error::new(Code::BadNickname, "a nickname has 1 to 32 visible characters"));
    }
    Ok(nickname.to_owned())
}

fn checked_signature(signature: &str) -> Result<String> {
    let signature = signature.trim();
    if signature.chars().count() > SIGNATURE_CHARS_MAX || signature.contains(is_deceptive) {
        return Err(Error::new(Code::BadRequest, "a signature has at most 200 characters, in one line"));
    }
    Ok(signature.to_owned())
}

/// Control characters, and those that turn or hide the text around them.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_are_visible_and_short() {
        assert_eq!(checked_nickname("  安 Ann ").unwrap(), "安 Ann");
        assert!(checked_nickname(&"安".repeat(32)).is_ok());
        for bad in ["", "   ", "a\nb", "a\u{202e}b", "\u{200b}", &"x".repeat(33)] {
            assert_eq!(checked_nickname(bad).unwrap_err().code, Code::BadNickname, "{bad:?}");
        }
    }

    #[test]
    fn signatures_are_one_line() {
        assert_eq!(checked_signature(" ").unwrap(), "");
        assert_eq!(checked_signature("a\nb").unwrap_err().code, Code::BadRequest);
        assert_eq!(checked_signature(&"x".repeat(201)).unwrap_err().code, Code::BadRequest);
    }
}
