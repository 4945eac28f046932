//! The terminal while the chat runs in it.
//!
//! **Invariant:** whatever way the program ends short of SIGKILL, the terminal is as it was before: [`Screen`] restores
//! it when dropped, the panic hook before a panic is told, and SIGTERM and SIGHUP end the loop that owns it.
//!
//! Bound: [`KEYS_MAX`] keys wait; then the reading thread does.

use std::io::{Stdout, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;

const KEYS_MAX: usize = 256;
/// How often the reading thread looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(100);

pub struct Screen {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
    is_over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal, and gives what is typed.
    pub fn enter() -> Result<(Self, mpsc::Receiver<Event>)> {
        enable_raw_mode().context("take the terminal")?;
        let is_over = Arc::new(AtomicBool::new(false));
        restore_on_panic();
        // From here on dropping it restores.
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).inspect_err(|_| restore())?;
        let screen = Self { terminal, is_over: Arc::clone(&is_over) };
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste).context("take the terminal")?;
        let (typed, keys) = mpsc::channel(KEYS_MAX);
        std::thread::Builder::new().name("skein-keys".to_owned()).spawn(move || read_keys(&typed, &is_over)).context("read keys")?;
        Ok((screen, keys))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        restore();
    }
}

fn read_keys(typed: &mpsc::Sender<Event>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let event = match crossterm::event::poll(POLL) {
            Ok(false) => continue,
            Ok(true) => crossterm::event::read(),
            Err(error) => Err(error),
        };
        // A terminal that is gone ends the chat: the channel closes with this thread.
        let Ok(event) = event else { return };
        if typed.blocking_send(event).is_err() {
            return;
        }
    }
}

fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            tell(panic);
        }));
    });
}

/// A terminal that is gone needs no restoring, so failures mean nothing.
fn restore() {
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}
