//! E-mail addresses as they are stored and compared: trimmed, lower case, ASCII.
//!
//! **Invariant:** a normalised address has no white space, control character or line break, so it can stand in a mail
//! header. Internationalised domains are given in their ASCII form.

use skein_domain::{Code, Error, Result};

const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

/// `bad_email` if it is none.
pub(crate) fn normalise(text: &str) -> Result<String> {
    let text = text.trim_matches([' ', '\t']);
    let bad = || Error::new(Code::BadEmail, "this is not an e-mail address");
    let (local, domain) = text.split_once('@').ok_or_else(bad)?;
    if text.len() > BYTES_MAX || !is_local_part(local) || !is_domain(domain) {
        return Err(bad());
    }
    Ok(text.to_ascii_lowercase())
}

fn is_local_part(local: &str) -> bool {
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atom_byte);
    local.len() <= LOCAL_BYTES_MAX && local.split('.').all(is_atom)
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        letters && (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_and_lower_case() {
        assert_eq!(normalise(" Ann.Lee+chat@Example.ORG ").unwrap(), "ann.lee+chat@example.org");
        assert_eq!(normalise("a@b").unwrap(), "a@b");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long = format!("a@{}", vec!["b".repeat(60); 5].join("."));
        let bad = [
            "",
            "ann",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@b.",
            "ann@exämple.org",
            "a@b\r\nBcc: c@d",
            "a\n@b",
            "a@b\n",
            "a\0@b",
            "<a@b>",
            "a,b@c",
            &long_local,
            &long,
        ];
        for text in bad {
            assert_eq!(normalise(text).unwrap_err().code, Code::BadEmail, "{text:?}");
        }
    }
}
