//! From written text to a message body: mentions of people that are known, links. Pure.

use skein_sdk::v1::{self, segment::Part};

/// `names`: who can be mentioned. Whatever is no mention and no link stays text, byte for byte.
pub fn body(text: &str, names: &[(String, i64)]) -> v1::Body {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = text;
    let mut plain = String::new();
    let mut at_word_start = true;
    while let Some(next) = rest.chars().next() {
        let found = at_word_start.then(|| mention(rest, names).or_else(|| link(rest))).flatten();
        match found {
            Some((part, bytes)) => {
                parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                parts.push(part);
                rest = &rest[bytes..];
                at_word_start = false;
            }
            None => {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
                // Chinese has no spaces to wait for.
                at_word_start = !next.is_ascii_alphanumeric();
            }
        }
    }
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    let segments = parts.into_iter().map(|part| v1::Segment { part: Some(part) }).collect();
    v1::Body { segments, ..skein_sdk::text("") }
}

/// The longest name that fits, so that "@Ann Lee" is not Ann.
fn mention(text: &str, names: &[(String, i64)]) -> Option<(Part, usize)> {
    let named = text.strip_prefix('@')?;
    let all = [("所有人", 0), ("all", 0)];
    let known = names.iter().map(|(name, uid)| (name.as_str(), *uid)).chain(all);
    let fits = |name: &str| {
        let next = named.strip_prefix(name).map(|rest| rest.chars().next());
        next.is_some_and(|next| !(name.is_ascii() && next.is_some_and(|next| next.is_ascii_alphanumeric())))
    };
    let (name, uid) = known.filter(|(name, _)| !name.is_empty() && fits(name)).max_by_key(|(name, _)| name.len())?;
    Some((Part::Mention(v1::Mention { uid }), 1 + name.len()))
}

fn link(text: &str) -> Option<(Part, usize)> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let end = text.find(|next: char| !next.is_ascii_graphic() || matches!(next, '"' | '<' | '>')).unwrap_or(text.len());
    let link = text[..end].trim_end_matches(['.', ',', ')', ';', '!', '?']);
    let has_host = host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
    has_host.then(|| (Part::Link(link.to_owned()), link.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        let names = [("Ann".to_owned(), 1), ("Ann Lee".to_owned(), 2), ("小明".to_owned(), 3)];
        let parts = body(text, &names).segments.into_iter().filter_map(|segment| segment.part);
        parts
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Mention(mention) => format!("<@{}>", mention.uid),
                Part::Link(link) => format!("<{link}>"),
            })
            .collect()
    }

    #[test]
    fn mentions_and_links_are_found_in_text() {
        assert_eq!(parts("hi @Ann!"), ["hi ", "<@1>", "!"]);
        assert_eq!(parts("@Ann Lee come"), ["<@2>", " come"]);
        assert_eq!(parts("你好@小明明天见"), ["你好", "<@3>", "明天见"]);
        assert_eq!(parts("@all @所有人"), ["<@0>", " ", "<@0>"]);
        assert_eq!(parts("@Anna ann@Ann.org @nobody"), ["@Anna ann@Ann.org @nobody"]);
        assert_eq!(parts("see https://example.org/a?b=c. ok"), ["see ", "<https://example.org/a?b=c>", ". ok"]);
        assert_eq!(parts("看https://example.org吧"), ["看", "<https://example.org>", "吧"]);
        assert_eq!(parts("http:// x"), ["http:// x"]);
        assert_eq!(parts("两行\n文字"), ["两行\n文字"]);
    }
}
