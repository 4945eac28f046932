//! The texts of mails.

use skein_domain::account::CodePurpose;
use skein_domain::port::Mail;

pub(super) fn code(to: String, purpose: CodePurpose, code: &str, good_for_ms: i64) -> Mail {
    let (subject, wish) = match purpose {
        CodePurpose::Register => ("Your registration code", "register this address"),
        CodePurpose::Reset => ("Your password reset code", "set a new password"),
    };
    let minutes = (good_for_ms / 60_000).max(1);
    let text = format!(
        "Your code to {wish}: {code}\n\nIt is good for {minutes} minutes and can be used once. \
         If you did not ask for it, ignore this mail; nothing has changed.\n"
    );
    Mail { to, subject: subject.into(), text }
}

/// Instead of a code, to an address that is registered: only its owner learns that it is.
pub(super) fn account_exists(to: String) -> Mail {
    let text = "Somebody, probably you, asked to register this address. It has an account already: log in with it, \
                or ask for a password reset if you forgot the password.\n\nIf it was not you, ignore this mail; nothing has changed.\n";
    Mail { to, subject: "You already have an account".into(), text: text.into() }
}
