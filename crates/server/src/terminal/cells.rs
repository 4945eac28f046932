//! Text as a terminal shows it: made harmless, measured in columns, cut and wrapped by them.
//!
//! **Invariant:** what [`harmless`] gives out holds no control, escape, bidirectional or invisible character, and its
//! width is the same on every terminal: sequences that terminals disagree about are taken apart.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks that may stand over one another; writing systems need few.
const MARKS_MAX: usize = 4;
const TAB: &str = "    ";

/// Text of others, safe to print. Line ends stay; see [`harmless_line`].
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut after_emoji = false;
    for character in text.chars() {
        let width = character.width().unwrap_or(0);
        match character {
            '\n' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\r' => {}
            '\t' => out.push_str(TAB),
            '\0'..='\u{1f}' => out.extend(char::from_u32(0x2400 + character as u32)),
            '\u{7f}' => out.push('\u{2421}'),
            _ if is_deceiving(character) => out.push('\u{fffd}'),
            // Pictures that some terminals join and others do not stand side by side: columns come first.
            '\u{200d}' if after_emoji => continue,
            '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' if after_emoji => continue,
            '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => continue,
            _ if width == 0 => {
                marks += 1;
                if marks <= MARKS_MAX {
                    out.push(character);
                }
                continue;
            }
            _ => out.push(character),
        }
        marks = 0;
        after_emoji = is_emoji(character);
    }
    out
}

/// The same in one line.
pub fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// Second control set, and what turns the direction of text or hides in it.
fn is_deceiving(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}')
}

fn is_emoji(character: char) -> bool {
    matches!(character, '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{203c}' | '\u{2049}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '#' | '*' | '0'..='9' | '©' | '®' | '™')
}

/// What a reader takes for one character, as byte ranges of `text`.
pub fn graphemes(text: &str) -> Vec<&str> {
    let mut graphemes = Vec::new();
    let mut at = 0;
    for grapheme in Span::raw(text).styled_graphemes(Style::default()) {
        // Control characters are left out there.
        let start = text[at..].find(grapheme.symbol).map_or(at, |skipped| at + skipped);
        let end = start + grapheme.symbol.len();
        graphemes.push(&text[start..end]);
        at = end;
    }
    graphemes
}

pub fn width(text: &str) -> usize {
    text.width()
}

/// At most `columns` wide, with an ellipsis where something was cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for grapheme in graphemes(text) {
        used += width(grapheme);
        if used > columns {
            break;
        }
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// [`cut`], then filled with spaces to exactly `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let fill = columns.saturating_sub(width(&text));
    text + &" ".repeat(fill)
}

struct Cell<'a> {
    text: &'a str,
    style: Style,
    width: usize,
}

/// Breaks after spaces and around wide characters; a word wider than a line is broken anywhere. `texts` may hold line
/// ends. Never empty.
pub fn wrap(texts: &[(String, Style)], columns: usize) -> Vec<Line<'static>> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line: Vec<Cell> = Vec::new();
    let mut used = 0;
    for (text, style) in texts {
        for (at, part) in text.split('\n').enumerate() {
            if at > 0 {
                lines.push(joined(&line));
                line.clear();
                used = 0;
            }
            for grapheme in graphemes(part) {
                let width = width(grapheme);
                if used + width > columns {
                    let rest = line.split_off(break_at(&line, grapheme));
                    lines.push(joined(&line));
                    used = rest.iter().map(|cell| cell.width).sum();
                    line = rest;
                    if grapheme == " " && line.is_empty() {
                        continue;
                    }
                }
                used += width;
                line.push(Cell { text: grapheme, style: *style, width });
            }
        }
    }
    lines.push(joined(&line));
    lines
}

/// Where a full line ends, given what comes next: never 0, so that every line takes something.
fn break_at(line: &[Cell], next: &str) -> usize {
    let breaks_between = |before: &Cell, after: &str| before.text == " " || before.width > 1 || width(after) > 1;
    (1..=line.len()).rev().find(|at| breaks_between(&line[at - 1], line.get(*at).map_or(next, |cell| cell.text))).unwrap_or(line.len())
}

fn joined(cells: &[Cell]) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for cell in cells {
        match spans.last_mut().filter(|span| span.style == cell.style) {
            Some(span) => span.content.to_mut().push_str(cell.text),
            None => spans.push(Span::styled(cell.text.to_owned(), cell.style)),
        }
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: usize) -> Vec<String> {
        wrap(&[(text.to_owned(), Style::default())], columns).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        for (hostile, shown) in [
            ("\x1b]0;owned\x07", "␛]0;owned␇"),
            ("\x1b[2J\x1b[H", "␛[2J␛[H"),
            ("\u{9b}31mred", "\u{fffd}31mred"),
            ("abc\u{202e}gpj.exe", "abc\u{fffd}gpj.exe"),
            ("a\u{2066}b\u{2069}\u{200f}\u{61c}", "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}"),
            ("ad\u{200b}min\u{feff}\u{e0041}", "admin"),
            ("a\r\nb\tc\0\x7f", "a\nb    c␀␡"),
            ("e\u{301}", "e\u{301}"),
            ("z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}", "z\u{301}\u{302}\u{303}\u{304}"),
        ] {
            assert_eq!(harmless(hostile), shown, "{hostile:?}");
        }
    }

    #[test]
    fn every_character_comes_out_harmless() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = harmless(&format!("a{character}b"));
            assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || is_deceiving(c))), "{character:?}");
        }
    }

    #[test]
    fn emoji_sequences_have_the_width_of_their_parts() {
        for (sequence, shown, columns) in
            [("👨‍👩‍👧", "👨👩👧", 6), ("👍🏽", "👍", 2), ("❤️", "❤", 1), ("1️⃣", "1\u{20e3}", 1), ("你好", "你好", 4)]
        {
            let harmless = harmless(sequence);
            assert_eq!((harmless.as_str(), width(&harmless)), (shown, columns));
            assert_eq!(harmless.chars().filter_map(char::width).sum::<usize>(), columns, "terminals count characters");
        }
    }

    #[test]
    fn cuts_never_split_a_wide_character() {
        assert_eq!(cut("你好世界", 8), "你好世界");
        assert_eq!(cut("你好世界", 7), "你好世…");
        assert_eq!(cut("你好世界", 6), "你好…");
        assert_eq!(fit("你好世界", 6), "你好… ");
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn lines_wrap_by_columns() {
        assert_eq!(wrapped("the quick brown fox", 10), ["the quick ", "brown fox"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("我们明天见面", 5), ["我们", "明天", "见面"]);
        assert_eq!(wrapped("ok 我们明天见", 6), ["ok 我", "们明天", "见"]);
        assert_eq!(wrapped("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(wrapped("", 5), [""]);
        for columns in 2..30 {
            for line in wrapped("mixed 中文 and words 一二三四五 👍👍 endlessendlessendless", columns) {
                assert!(width(&line) <= columns, "{line:?} in {columns}");
            }
        }
    }

    #[test]
    fn styles_survive_wrapping() {
        let bold = Style::default().bold();
        let lines = wrap(&[("hello ".into(), Style::default()), ("world".into(), bold)], 6);
        assert_eq!(lines[1].spans[0].style, bold);
    }
}
