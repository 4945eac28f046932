//! The line one writes in: several lines, a cursor between graphemes, and what was written before.
//!
//! Bounds: [`TEXT_BYTES_MAX`] bytes, what exceeds them is not taken; [`HISTORY_MAX`] earlier inputs, the oldest go.

use super::cells::{graphemes, harmless_line, width};

pub const TEXT_BYTES_MAX: usize = 16 * 1024;
pub const HISTORY_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct Input {
    text: String,
    /// A byte offset at the edge of a grapheme.
    cursor: usize,
    history: Vec<String>,
    /// Which earlier input is shown, and what stood here before it.
    recalled: Option<(usize, String)>,
}

impl Input {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn cursor(&self) -> usize {
        self.cursor
    }

    pub fn set(&mut self, text: impl AsRef<str>) {
        self.text.clear();
        self.cursor = 0;
        self.recalled = None;
        self.insert(text.as_ref());
    }

    /// Empties the line and remembers what it held.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.recalled = None;
        if self.history.last() != Some(&text) && !text.trim().is_empty() {
            self.history.push(text.clone());
            if self.history.len() > HISTORY_MAX {
                self.history.remove(0);
            }
        }
        text
    }

    /// Control characters but the line end are not taken: also what is pasted is text. Returns whether there was room;
    /// if not, everything stays as it was.
    pub fn insert(&mut self, text: &str) -> bool {
        let text: String = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let text: String = text.chars().filter(|character| *character == '\n' || !character.is_control()).collect();
        let fits = self.text.len() + text.len() <= TEXT_BYTES_MAX;
        if fits {
            self.text.insert_str(self.cursor, &text);
            self.cursor += text.len();
        }
        fits
    }

    pub fn left(&mut self) {
        self.cursor -= before(&self.text[..self.cursor]);
    }

    pub fn right(&mut self) {
        self.cursor += after(&self.text[self.cursor..]);
    }

    pub fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
    }

    pub fn delete(&mut self) {
        let end = self.cursor + after(&self.text[self.cursor..]);
        self.text.replace_range(self.cursor..end, "");
    }

    /// The word before the cursor, with the spaces behind it.
    pub fn delete_word(&mut self) {
        let head = self.text[..self.cursor].trim_end();
        let start = head.rfind(char::is_whitespace).map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    pub fn clear(&mut self) {
        self.set("");
    }

    pub fn home(&mut self) {
        self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
    }

    pub fn end(&mut self) {
        self.cursor = self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at);
    }

    /// The line above, or from the first line the input before.
    pub fn up(&mut self) {
        if let Some(line_end) = self.text[..self.cursor].rfind('\n') {
            let column = width(&self.text[line_end + 1..self.cursor]);
            let start = self.text[..line_end].rfind('\n').map_or(0, |at| at + 1);
            self.cursor = start + offset_of_column(&self.text[start..line_end], column);
            return;
        }
        let at = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        if at > 0 {
            let own = self.recalled.take().map_or_else(|| self.text.clone(), |(_, own)| own);
            let earlier = self.history[at - 1].clone();
            self.set(earlier);
            self.recalled = Some((at - 1, own));
        }
    }

    pub fn down(&mut self) {
        if let Some(line_end) = self.text[self.cursor..].find('\n') {
            let start_of_line = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
            let column = width(&self.text[start_of_line..self.cursor]);
            let start = self.cursor + line_end + 1;
            let end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
            self.cursor = start + offset_of_column(&self.text[start..end], column);
            return;
        }
        let Some((at, own)) = self.recalled.take() else {
            return;
        };
        match self.history.get(at + 1).cloned() {
            Some(later) => {
                self.set(later);
                self.recalled = Some((at + 1, own));
            }
            None => self.set(own),
        }
    }

    /// The lines as shown in so many columns, and where the cursor is: (column, line).
    pub fn shown(&self, columns: usize) -> (Vec<String>, (usize, usize)) {
        let columns = columns.max(2);
        let mut lines = vec![String::new()];
        let mut used = 0;
        let mut cursor = (0, 0);
        let mut at = 0;
        for (number, part) in self.text.split('\n').enumerate() {
            if number > 0 {
                lines.push(String::new());
                used = 0;
                at += 1;
            }
            for grapheme in graphemes(part) {
                // A cursor at the end of a full line stands where the next character will.
                let glyph = harmless_line(grapheme);
                if used + width(&glyph) > columns {
                    lines.push(String::new());
                    used = 0;
                }
                if at == self.cursor {
                    cursor = (used, lines.len() - 1);
                }
                used += width(&glyph);
                at += grapheme.len();
                if let Some(line) = lines.last_mut() {
                    line.push_str(&glyph);
                }
            }
            if at == self.cursor {
                if used >= columns {
                    lines.push(String::new());
                    used = 0;
                }
                cursor = (used, lines.len() - 1);
            }
        }
        (lines, cursor)
    }
}

/// Bytes of the last grapheme, a line end included.
fn before(text: &str) -> usize {
    if text.ends_with('\n') {
        return 1;
    }
    graphemes(text).last().map_or(0, |grapheme| grapheme.len())
}

fn after(text: &str) -> usize {
    if text.starts_with('\n') {
        return 1;
    }
    graphemes(text).first().map_or(0, |grapheme| grapheme.len())
}

fn offset_of_column(line: &str, column: usize) -> usize {
    let mut used = 0;
    let mut offset = 0;
    for grapheme in graphemes(line) {
        used += width(grapheme);
        if used > column {
            break;
        }
        offset += grapheme.len();
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn the_cursor_moves_by_what_a_reader_takes_for_a_character() {
        let mut input = input("a你👨‍👩‍👧e\u{301}");
        let mut seen = vec![];
        while input.cursor() > 0 {
            input.left();
            seen.push(input.text()[input.cursor()..].to_owned());
        }
        assert_eq!(seen, ["e\u{301}", "👨‍👩‍👧e\u{301}", "你👨‍👩‍👧e\u{301}", "a你👨‍👩‍👧e\u{301}"]);
        input.right();
        input.delete();
        assert_eq!(input.text(), "a👨‍👩‍👧e\u{301}");
        input.right();
        input.backspace();
        assert_eq!(input.text(), "ae\u{301}");
    }

    #[test]
    fn the_cursor_stands_behind_wide_characters() {
        let mut input = input("你好ab");
        assert_eq!(input.shown(10), (vec!["你好ab".into()], (6, 0)));
        assert_eq!(input.shown(3), (vec!["你".into(), "好a".into(), "b".into()], (1, 2)));
        assert_eq!(input.shown(6).1, (0, 1), "at the end of a full line it waits in the next");
        input.home();
        input.right();
        assert_eq!(input.shown(10).1, (2, 0));
    }

    #[test]
    fn up_and_down_go_through_lines_then_through_history() {
        let mut input = input("first");
        input.take();
        input.insert("second\nline");
        input.take();
        input.insert("draft");
        input.up();
        assert_eq!(input.text(), "second\nline");
        input.up();
        assert_eq!((input.text(), input.cursor()), ("second\nline", 4), "up within the lines first");
        input.up();
        assert_eq!(input.text(), "first");
        input.up();
        assert_eq!(input.text(), "first");
        input.down();
        input.down();
        assert_eq!(input.text(), "draft");
    }

    #[test]
    fn pasted_control_characters_are_not_text() {
        assert_eq!(input("a\x1b[31mb\r\nc\t\x07").text(), "a[31mb\nc    ");
        let mut full = input(&"x".repeat(TEXT_BYTES_MAX));
        assert!(!full.insert("y"));
        assert_eq!(full.text().len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn words_are_deleted_backwards() {
        let mut input = input("one 二　三 ");
        input.delete_word();
        assert_eq!(input.text(), "one 二　");
        input.delete_word();
        assert_eq!(input.text(), "one ");
        input.delete_word();
        assert_eq!(input.text(), "");
    }
}
