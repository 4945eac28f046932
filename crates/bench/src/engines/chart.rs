//! A run as a picture: for each speed of the disk acked messages per second and the time of an ack, both on scales where
//! each line is ten times the one below.

use super::stack::Stack;
use super::{Report, Row, Section};
use crate::report::{count, figure};
use std::fmt::Write;

const WIDTH: f64 = 980.0;
const HEAD: f64 = 64.0;
const SECTION: f64 = 250.0;
const PLOT_WIDTH: f64 = 410.0;
const PLOT_HEIGHT: f64 = 170.0;
const LEFT: [f64; 2] = [60.0, 550.0];

pub fn svg(report: &Report) -> String {
    let height = HEAD + SECTION * report.sections.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    legend(&mut svg);
    for (nth, section) in report.sections.iter().enumerate() {
        draw(&mut svg, section, report.sync_ms, HEAD + SECTION * nth as f64);
    }
    svg + "</svg>\n"
}

fn colour(stack: Stack) -> &'static str {
    match stack {
        Stack::Sqlite => "#2f6fde",
        Stack::Mariadb => "#d9822b",
        Stack::Servers => "#3a9a5b",
    }
}

fn legend(svg: &mut String) {
    for (stack, x) in Stack::ALL.into_iter().zip([60.0, 150.0, 250.0]) {
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{}\"/>", colour(stack));
        text(svg, x + 18.0, 24.0, "start", stack.name());
    }
    let _ = writeln!(svg, "<path d=\"M430 20h16\" stroke=\"#111\" stroke-width=\"2\"/>");
    text(svg, 452.0, 24.0, "start", "bare inserts of the same database, as many rows a commit");
    text(svg, 452.0, 40.0, "start", "times of an ack: from the median (p50) to p99");
}

fn draw(svg: &mut String, section: &Section, sync_ms: f64, top: f64) {
    let title = match section.delay_ms {
        None => format!("The disk's own sync, {sync_ms:.2} ms"),
        Some(delay) => format!("A sync of {delay} ms"),
    };
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" font-size=\"13\" font-weight=\"600\">{title}</text>", LEFT[0], top + 12.0);
    let rates = Plot { x: LEFT[0], top: top + 34.0, decades: (1, 5), title: "acked messages per second" };
    let times = Plot { x: LEFT[1], top: top + 34.0, decades: (-1, 4), title: "time of an ack, ms" };
    rates.frame(svg);
    times.frame(svg);
    let mut groups: Vec<usize> = section.rows.iter().map(|row| row.senders).collect();
    groups.sort_unstable();
    groups.dedup();
    for (nth, &senders) in groups.iter().enumerate() {
        let place = Place { group: nth, groups: groups.len() };
        for plot in [&rates, &times] {
            let middle = plot.x + place.width() * (nth as f64 + 0.5);
            let name = if senders == 1 { "1 sender".to_owned() } else { format!("{} senders", count(senders as f64)) };
            text(svg, middle, plot.bottom() + 15.0, "middle", &name);
        }
        for (column, row) in section.rows.iter().filter(|row| row.senders == senders).enumerate() {
            bars(svg, &rates, &times, row, &place, column);
        }
    }
}

fn bars(svg: &mut String, rates: &Plot, times: &Plot, row: &Row, place: &Place, column: usize) {
    let fill = colour(row.stack);
    let high = rates.bar(svg, place, column, fill, (0.0, row.acked_per_second));
    rates.mark(svg, place, column, row.acked_per_second / row.of_bare_inserts);
    // In the bar, because above it the mark may be.
    svg.push_str("<g fill=\"#fff\">");
    text(svg, rates.middle(place, column), high + 14.0, "middle", &count(row.acked_per_second));
    svg.push_str("</g>");
    let high = times.bar(svg, place, column, fill, (row.p50_ms, row.p99_ms));
    text(svg, times.middle(place, column), high - 3.0, "middle", &figure(row.p99_ms));
}

/// Of a group of bars among all groups.
struct Place {
    group: usize,
    groups: usize,
}

impl Place {
    fn width(&self) -> f64 {
        PLOT_WIDTH / self.groups as f64
    }

    /// Left edge and width of a bar, from the left of the plot.
    fn bar(&self, column: usize) -> (f64, f64) {
        let width = self.width() * 0.8 / Stack::ALL.len() as f64;
        (self.width() * (self.group as f64 + 0.1) + width * column as f64, width)
    }
}

struct Plot {
    x: f64,
    top: f64,
    /// Powers of ten at the bottom and at the top.
    decades: (i32, i32),
    title: &'static str,
}

impl Plot {
    fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let share = (value.max(f64::MIN_POSITIVE).log10() - low) / (high - low);
        self.bottom() - PLOT_HEIGHT * share.clamp(0.0, 1.0)
    }

    fn frame(&self, svg: &mut String) {
        text(svg, self.x, self.top - 6.0, "start", self.title);
        for power in self.decades.0..=self.decades.1 {
            let (value, y) = (10_f64.powi(power), self.y(10_f64.powi(power)));
            let _ = writeln!(svg, "<path d=\"M{} {y:.1}h{PLOT_WIDTH}\" stroke=\"#ddd\"/>", self.x);
            let label = if value < 1.0 { format!("{value}") } else { count(value) };
            text(svg, self.x - 6.0, y + 4.0, "end", &label);
        }
    }

    /// Answers how high it ends.
    fn bar(&self, svg: &mut String, place: &Place, column: usize, fill: &str, (from, to): (f64, f64)) -> f64 {
        let (left, width) = place.bar(column);
        let (x, high) = (self.x + left, self.y(to));
        let height = (self.y(from) - high).max(2.0);
        let _ = writeln!(svg, "<rect x=\"{x:.1}\" y=\"{high:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>", width - 3.0);
        high
    }

    fn middle(&self, place: &Place, column: usize) -> f64 {
        let (left, width) = place.bar(column);
        self.x + left + (width - 3.0) / 2.0
    }

    fn mark(&self, svg: &mut String, place: &Place, column: usize, value: f64) {
        let (left, width) = place.bar(column);
        let _ =
            writeln!(svg, "<path d=\"M{:.1} {:.1}h{width:.1}\" stroke=\"#111\" stroke-width=\"2\"/>", self.x + left - 1.5, self.y(value));
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>");
}

#[cfg(test)]
mod tests {
    use super::{PLOT_HEIGHT, Plot};

    #[test]
    fn a_decade_is_as_high_as_every_other_and_nothing_leaves_the_plot() {
        let plot = Plot { x: 0.0, top: 0.0, decades: (1, 5), title: "" };
        assert_eq!([10.0, 1_000.0, 100_000.0].map(|value| plot.y(value).round()), [PLOT_HEIGHT, PLOT_HEIGHT / 2.0, 0.0]);
        assert_eq!([0.0, 1e9].map(|value| plot.y(value)), [PLOT_HEIGHT, 0.0]);
    }
}
