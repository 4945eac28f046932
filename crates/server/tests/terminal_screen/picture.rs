//! The picture of the user guide, drawn from the cells of the screen.

use std::fmt::Write as _;
use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use skein_server::terminal::cells::width;
use skein_server::terminal::lang::Lang;

use crate::world;

const COLUMNS: u16 = 96;
const LINES: u16 = 26;
const CELL: (f32, f32) = (8.4, 18.0);
const BACKGROUND: &str = "#0d1117";
const FOREGROUND: &str = "#e6edf3";

#[test]
fn the_picture_in_the_guide_is_what_is_drawn() {
    let mut app = world::app(Lang::En);
    app.input.insert("on my way, 等我！");
    let drawn = svg(&world::screen(&mut app, COLUMNS, LINES));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/chat.svg");
    if std::env::var_os("SKEIN_DRAW").is_some() {
        std::fs::write(&file, &drawn).expect("write the picture");
    }
    let kept = std::fs::read_to_string(&file).expect("read the picture");
    assert!(
        kept == drawn,
        "docs/images/chat.svg is out of date: run `SKEIN_DRAW=1 cargo test -p skein-server --test terminal_screen picture`"
    );
}

/// One text element per run of cells that look alike; wide characters keep their two columns.
fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (buffer.area.width, buffer.area.height);
    let (wide, high) = (f32::from(columns) * CELL.0 + 24.0, f32::from(lines) * CELL.1 + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.0} {high:.0}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', monospace\" font-size=\"14\">\n\
         <rect width=\"{wide:.0}\" height=\"{high:.0}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n<g transform=\"translate(12 12)\">\n"
    );
    for y in 0..lines {
        let mut x = 0;
        while x < columns {
            x = run(buffer, x, y, &mut out);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn run(buffer: &Buffer, start: u16, y: u16, out: &mut String) -> u16 {
    let first = &buffer[(start, y)];
    let (style, is_wide) = (first.style(), width(first.symbol()) > 1);
    let mut text = String::new();
    let mut x = start;
    while x < buffer.area.width {
        let cell = &buffer[(x, y)];
        let columns = width(cell.symbol()).max(1) as u16;
        if cell.style() != style || (columns > 1) != is_wide {
            break;
        }
        text.push_str(cell.symbol());
        x += columns;
    }
    let (left, top) = (f32::from(start) * CELL.0, f32::from(y) * CELL.1);
    let length = f32::from(x - start) * CELL.0;
    let is_reversed = style.add_modifier.contains(Modifier::REVERSED);
    let colour = colour(style.fg.unwrap_or(Color::Reset));
    if is_reversed {
        writeln!(out, "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>", CELL.1)
            .expect("write to memory");
    }
    if !text.trim().is_empty() || style.add_modifier.contains(Modifier::UNDERLINED) {
        let bold = if style.add_modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        let line = if style.add_modifier.contains(Modifier::UNDERLINED) { " text-decoration=\"underline\"" } else { "" };
        let fill = if is_reversed { BACKGROUND } else { colour };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}");
        let base = top + 13.5;
        writeln!(out, "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{length:.1}\" fill=\"{fill}\"{bold}{line}>{text}</text>")
            .expect("write to memory");
    }
    x
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::DarkGray => "#7d8590",
        Color::Cyan => "#39c5cf",
        Color::Green => "#3fb950",
        Color::Yellow => "#d29922",
        Color::Red => "#ff7b72",
        Color::Blue | Color::LightBlue => "#58a6ff",
        Color::Magenta | Color::LightMagenta => "#bc8cff",
        Color::LightRed => "#ffa198",
        _ => FOREGROUND,
    }
}
