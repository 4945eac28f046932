//! What people write on one line for others to read: names, titles, remarks, greetings.
//!
//! **Invariant:** what passes is shown as what it is. White space around it is taken away; refused is whatever turns,
//! hides or breaks the text: control characters, marks of direction, invisible fillers, tags outside a flag, a joiner
//! that joins nothing, a variation selector without a character before it. What needs joiners keeps them: emoji of several
//! pictures, and letters of Arabic, Indic and South-East Asian scripts. A line is empty or has something to see.
//!
//! **Bound:** each kind of line has its number of characters.

use super::emoji::{is_mark, is_picture};
use crate::{Code, Error, Result};

pub const NICKNAME_CHARS_MAX: usize = 32;
const TITLE_CHARS_MAX: usize = 64;
const REMARK_CHARS_MAX: usize = 64;
const SIGNATURE_CHARS_MAX: usize = 200;
const GREETING_CHARS_MAX: usize = 200;
/// A flag of a region: five tags or six, and the one that ends them.
const FLAG_TAGS_MAX: usize = 7;
const BLACK_FLAG: char = '\u{1f3f4}';
const LAST_TAG: char = '\u{e007f}';

pub fn checked_nickname(text: &str) -> Result<String> {
    let rule = "a nickname has 1 to 32 characters on one line, none of them invisible";
    name(text, NICKNAME_CHARS_MAX).ok_or_else(|| Error::new(Code::BadNickname, rule))
}

/// Of a group or room.
pub fn checked_title(text: &str) -> Result<String> {
    let rule = "a title has 1 to 64 characters on one line, none of them invisible";
    name(text, TITLE_CHARS_MAX).ok_or_else(|| Error::new(Code::BadRequest, rule))
}

/// Empty takes it away.
pub fn checked_remark(text: &str) -> Result<String> {
    let rule = "a remark has at most 64 characters on one line, none of them invisible";
    line(text, REMARK_CHARS_MAX).ok_or_else(|| Error::new(Code::BadRequest, rule))
}

pub fn checked_signature(text: &str) -> Result<String> {
    let rule = "a signature has at most 200 characters on one line, none of them invisible";
    line(text, SIGNATURE_CHARS_MAX).ok_or_else(|| Error::new(Code::BadRequest, rule))
}

pub fn checked_greeting(text: &str) -> Result<String> {
    let rule = "a greeting has at most 200 characters on one line, none of them invisible";
    line(text, GREETING_CHARS_MAX).ok_or_else(|| Error::new(Code::BadRequest, rule))
}

fn name(text: &str, chars_max: usize) -> Option<String> {
    line(text, chars_max).filter(|line| !line.is_empty())
}

fn line(text: &str, chars_max: usize) -> Option<String> {
    let text = text.trim();
    let chars: Vec<char> = text.chars().take(chars_max + 1).collect();
    let fits = chars.len() <= chars_max && (0..chars.len()).all(|at| !deceives(&chars, at));
    (fits && (chars.is_empty() || chars.iter().copied().any(is_seen))).then(|| text.to_owned())
}

fn deceives(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| chars[at]);
    let after = chars.get(at + 1).copied();
    match chars[at] {
        joiner if is_joiner(joiner) => !before.zip(after).is_some_and(|(before, after)| joins(joiner, before, after)),
        selector if is_selector(selector) => !before.is_some_and(is_seen),
        tag if is_tag(tag) => !is_in_flag(chars, at),
        c => c.is_control() || is_invisible(c),
    }
}

fn joins(joiner: char, before: char, after: char) -> bool {
    let pictures = joiner == '\u{200d}' && (is_picture(before) || is_mark(before)) && is_picture(after);
    pictures || (is_joining_script(before) && is_joining_script(after))
}

fn is_in_flag(chars: &[char], at: usize) -> bool {
    let begin = chars[..at].iter().rposition(|c| !is_tag(*c));
    let tags = chars[at..].iter().take_while(|c| is_tag(**c)).count();
    let is_last = |c: &char| *c == LAST_TAG;
    begin.is_some_and(|begin| {
        let run = &chars[begin + 1..at + tags];
        chars[begin] == BLACK_FLAG && run.len() <= FLAG_TAGS_MAX && run.iter().position(is_last) == Some(run.len() - 1)
    })
}

/// Something that leaves ink.
fn is_seen(c: char) -> bool {
    let is_blank = c.is_whitespace() || c == '\u{2800}';
    !is_blank && !is_joiner(c) && !is_selector(c) && !is_tag(c) && !c.is_control() && !is_invisible(c)
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Arabic and its kin, the scripts of India, Myanmar and Khmer: there a joiner changes the shape of letters.
fn is_joining_script(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17d3}')
}

/// Direction, fillers, breaks of line and what else has no width: format characters and blanks that pass for letters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
        | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e001f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLAND: &str = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";

    #[test]
    fn what_is_seen_passes_without_the_space_around_it() {
        let table = [
            ("  安 Ann ", "安 Ann"),
            ("\u{3000}全角\u{a0}", "全角"),
            ("Zoë 👩‍👩‍👧 ❤️ 🏳️‍🌈 👍🏽", "Zoë 👩‍👩‍👧 ❤️ 🏳️‍🌈 👍🏽"),
            (ENGLAND, ENGLAND),
            ("葛\u{e0100}", "葛\u{e0100}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("ශ්\u{200d}රී", "ශ්\u{200d}රී"),
            ("שלום", "שלום"),
            ("a\u{2800}b", "a\u{2800}b"),
        ];
        for (text, wanted) in table {
            assert_eq!(name(text, 32).as_deref(), Some(wanted), "{text:?}");
            assert_eq!(line(text, 32).as_deref(), Some(wanted), "{text:?}");
        }
    }

    #[test]
    fn what_turns_hides_or_breaks_the_text_is_refused() {
        let alone = [
            '\0',
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
        ];
        for c in alone {
            assert_eq!(line(&format!("a{c}b"), 32), None, "{c:?} between letters");
            assert!(name(&c.to_string(), 32).is_none(), "{c:?} alone");
        }
        let cut = "🏴\u{e0067}\u{e0062}";
        let long = format!("🏴{}\u{e007f}", "\u{e0061}".repeat(7));
        let twice = format!("{ENGLAND}\u{e007f}");
        let rest =
            ["\u{fe0f}", "a \u{fe0f}", "a\u{fe0f}\u{fe0f}", "👩\u{200d}", "\u{200d}👩", "👩\u{200d}a", "م\u{200c}", cut, &long, &twice];
        for text in rest {
            assert_eq!(line(text, 32), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_not_blank_and_a_line_is_empty_or_seen() {
        for blank in ["", " ", "\u{3000}\u{a0}"] {
            assert_eq!((line(blank, 9).as_deref(), name(blank, 9)), (Some(""), None), "{blank:?}");
        }
        for braille in ["\u{2800}", "\u{2800} \u{2800}"] {
            assert_eq!(line(braille, 9), None, "{braille:?}");
        }
    }

    #[test]
    fn every_line_has_its_length_and_its_code() {
        type Check = fn(&str) -> Result<String>;
        let table: [(Check, usize, bool, Code); 5] = [
            (checked_nickname, 32, false, Code::BadNickname),
            (checked_title, 64, false, Code::BadRequest),
            (checked_remark, 64, true, Code::BadRequest),
            (checked_signature, 200, true, Code::BadRequest),
            (checked_greeting, 200, true, Code::BadRequest),
        ];
        for (check, chars_max, may_be_empty, code) in table {
            let longest = "标".repeat(chars_max);
            assert_eq!(check(&format!(" {longest} ")).unwrap(), longest);
            assert_eq!(check(&"x".repeat(chars_max + 1)).unwrap_err().code, code);
            assert_eq!(check("a\u{202e}b").unwrap_err().code, code);
            assert_eq!(check("\u{2800}").unwrap_err().code, code);
            assert_eq!(check(" ").is_ok(), may_be_empty);
        }
    }
}
