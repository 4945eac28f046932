//! What an emoji is, without a table of all of them.

pub const EMOJI_BYTES_MAX: usize = 32;

/// One picture, as far as its characters tell without a table of all emoji: a keycap, a flag, or pictures joined to one,
/// each with its marks (skin tone, variation selector, tags).
pub(super) fn is_emoji(text: &str) -> bool {
    if text.len() > EMOJI_BYTES_MAX {
        return false;
    }
    if let Some(key) = text.strip_suffix('\u{20e3}') {
        let key = key.strip_suffix('\u{fe0f}').unwrap_or(key);
        return key.len() == 1 && key.chars().all(|c| matches!(c, '#' | '*' | '0'..='9'));
    }
    if text.chars().any(is_regional) {
        return text.chars().count() == 2 && text.chars().all(is_regional);
    }
    text.split('\u{200d}').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(is_picture) && chars.all(is_mark)
    })
}

fn is_regional(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// The blocks that emoji are taken from; they hold symbols, and no letters of any script but enclosed ones.
pub(super) fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}'
        | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}'
        | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}
