//! What keys do. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use skein_sdk::Item;

use super::app::{App, Focus, ITEMS_MAX, Notice, Panel, TYPING_TOLD_MS};
use super::command;
use super::intent::Intent;

/// Lines one page key scrolls.
const PAGE_LINES: usize = 10;
/// Lines that are fetched at a time.
const OLDER_COUNT: usize = 50;

/// Of [`super::input::TEXT_BYTES_MAX`].
const TOO_LONG: (&str, &str) = (
    "太长了：一条最多 16 KiB，没有插入；已写的还在，请分几条发送",
    "too long, nothing was inserted: a message holds 16 KiB, send it in parts",
);

impl App {
    pub fn key(&mut self, key: KeyEvent) -> Vec<Intent> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.quit(),
            KeyCode::F(1) => self.toggle_help(),
            KeyCode::Char('?') if self.input.is_empty() => self.toggle_help(),
            KeyCode::F(2) => vec![Intent::ShowFriends],
            KeyCode::F(3) => vec![Intent::ShowRequests],
            KeyCode::F(4) => vec![Intent::ShowRooms],
            KeyCode::F(5) => self.open.iter().map(|open| Intent::ShowMembers(open.id)).collect(),
            KeyCode::Esc => self.back(),
            KeyCode::PageUp => self.scroll_up(PAGE_LINES),
            KeyCode::PageDown => self.scroll_down(PAGE_LINES),
            KeyCode::Up if control || alt => self.step(-1),
            KeyCode::Down if control || alt => self.step(1),
            KeyCode::Up if shift => self.select(-1),
            KeyCode::Down if shift => self.select(1),
            KeyCode::Char('p') if control => self.select(-1),
            KeyCode::Char('n') if control => self.select(1),
            _ if self.focus == Focus::List => self.list_key(key.code),
            KeyCode::Up if self.input.is_empty() && self.panel.is_some() => self.move_row(-1),
            KeyCode::Down if self.input.is_empty() && self.panel.is_some() => self.move_row(1),
            KeyCode::Enter if alt || shift => self.insert("\n"),
            KeyCode::Char('j') if control => self.insert("\n"),
            KeyCode::Enter => self.submit(),
            KeyCode::Tab => self.tab(),
            KeyCode::Delete if self.input.is_empty() => self.refuse(),
            KeyCode::Char(character) if !control && !alt => self.insert(character.encode_utf8(&mut [0; 4])),
            code => self.edit(code, control),
        }
    }

    /// Pasted text is only text, whatever it holds.
    pub fn paste(&mut self, text: &str) -> Vec<Intent> {
        self.insert(text)
    }

    fn insert(&mut self, text: &str) -> Vec<Intent> {
        self.focus = Focus::Input;
        self.choices.clear();
        if !self.input.insert(text) {
            self.notice = Some(Notice::Error(self.lang.pick(TOO_LONG.0, TOO_LONG.1).to_owned()));
            return Vec::new();
        }
        if self.input.text().starts_with('/') || self.now_ms - self.typing_told_ms < TYPING_TOLD_MS {
            return Vec::new();
        }
        self.typing_told_ms = self.now_ms;
        self.open.iter().map(|open| Intent::Typing(open.id)).collect()
    }

    fn edit(&mut self, code: KeyCode, control: bool) -> Vec<Intent> {
        match code {
            KeyCode::Backspace if control => self.input.delete_word(),
            KeyCode::Char('w') if control => self.input.delete_word(),
            KeyCode::Char('u') if control => self.input.clear(),
            KeyCode::Char('a') if control => self.input.home(),
            KeyCode::Char('e') if control => self.input.end(),
            KeyCode::Backspace => self.input.backspace(),
            KeyCode::Delete => self.input.delete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Home => self.input.home(),
            KeyCode::End => self.input.end(),
            KeyCode::Up => self.input.up(),
            KeyCode::Down => self.input.down(),
            _ => {}
        }
        Vec::new()
    }

    fn quit(&mut self) -> Vec<Intent> {
        let mut intents = self.put_draft_away();
        intents.push(Intent::Quit);
        intents
    }

    fn toggle_help(&mut self) -> Vec<Intent> {
        self.panel = if matches!(self.panel, Some(Panel::Help)) { None } else { Some(Panel::Help) };
        self.row = 0;
        Vec::new()
    }

    /// One thing at a time, from the front.
    fn back(&mut self) -> Vec<Intent> {
        if !self.choices.is_empty() || self.notice.is_some() {
            self.choices.clear();
            self.notice = None;
        } else if self.panel.take().is_some() {
        } else if self.focus == Focus::List {
            self.focus = Focus::Input;
        } else if let Some(open) = self.open.as_mut() {
            (open.selected, open.scroll) = (None, 0);
            return self.mark_read();
        }
        Vec::new()
    }

    fn tab(&mut self) -> Vec<Intent> {
        if self.input.is_empty() {
            self.panel = None;
            self.focus = Focus::List;
            return Vec::new();
        }
        if self.input.text().starts_with('/') {
            let mut names: Vec<String> = self.people.values().map(|person| person.name().to_owned()).collect();
            names.extend(self.conversations.iter().filter(|known| !known.title.is_empty()).map(|known| known.title.clone()));
            names.extend(self.rooms.iter().map(|room| room.title.clone()));
            names.sort();
            names.dedup();
            let (line, choices) = command::complete(self.input.text(), &names);
            self.input.set(line);
            self.choices = choices;
        }
        Vec::new()
    }

    fn list_key(&mut self, code: KeyCode) -> Vec<Intent> {
        let last = self.conversations.len().saturating_sub(1);
        match code {
            KeyCode::Up => self.list_row = self.list_row.saturating_sub(1),
            KeyCode::Down => self.list_row = (self.list_row + 1).min(last),
            KeyCode::Home => self.list_row = 0,
            KeyCode::End => self.list_row = last,
            KeyCode::Tab => self.focus = Focus::Input,
            KeyCode::Enter => {
                self.focus = Focus::Input;
                return self.conversations.get(self.list_row).map(|chosen| chosen.id).map(|id| self.open(id)).unwrap_or_default();
            }
            KeyCode::Char(character) => return self.insert(character.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Vec::new()
    }

    /// The conversation above or below in the list.
    fn step(&mut self, by: isize) -> Vec<Intent> {
        let at = self.open.as_ref().and_then(|open| self.conversations.iter().position(|known| known.id == open.id));
        let next = at.map_or(Some(0), |at| at.checked_add_signed(by));
        self.panel = None;
        next.and_then(|next| self.conversations.get(next)).map(|next| next.id).map(|id| self.open(id)).unwrap_or_default()
    }

    fn move_row(&mut self, by: isize) -> Vec<Intent> {
        self.row = self.row.saturating_add_signed(by).min(self.rows().saturating_sub(1));
        Vec::new()
    }

    fn scroll_up(&mut self, lines: usize) -> Vec<Intent> {
        if self.panel.is_some() {
            return self.move_row(-(lines as isize));
        }
        let Some(open) = self.open.as_mut() else {
            return Vec::new();
        };
        // The view knows how many lines there are, and holds this to it.
        open.scroll += lines;
        self.load_older()
    }

    fn load_older(&mut self) -> Vec<Intent> {
        let Some(open) = self.open.as_mut().filter(|open| open.has_more && !open.is_loading && open.items.len() < ITEMS_MAX) else {
            return Vec::new();
        };
        open.is_loading = true;
        vec![Intent::LoadOlder { conversation: open.id, count: open.items.len() + OLDER_COUNT }]
    }

    fn scroll_down(&mut self, lines: usize) -> Vec<Intent> {
        if self.panel.is_some() {
            return self.move_row(lines as isize);
        }
        if let Some(open) = self.open.as_mut() {
            open.scroll = open.scroll.saturating_sub(lines);
        }
        self.mark_read()
    }

    /// The message above or below; below the last there is none.
    fn select(&mut self, by: isize) -> Vec<Intent> {
        let Some(open) = self.open.as_mut() else {
            return Vec::new();
        };
        let messages = open.items.iter().filter_map(|item| match item {
            Item::Message(message) => Some(message.seq),
            Item::Event(_) | Item::Pending(_) => None,
        });
        let seqs: Vec<i64> = messages.collect();
        let at = open.selected.and_then(|seq| seqs.iter().position(|known| *known == seq));
        let next = match at {
            None if by < 0 => seqs.len().checked_sub(1),
            None => None,
            Some(0) if by < 0 => {
                open.selected = Some(seqs[0]);
                return self.load_older();
            }
            Some(at) => at.checked_add_signed(by),
        };
        open.selected = next.and_then(|next| seqs.get(next).copied());
        if open.selected.is_none() {
            open.scroll = 0;
        }
        Vec::new()
    }
}
