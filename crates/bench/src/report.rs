//! What a run prints: tables in Markdown, so that they can go into the docs as they are, and numbers for whoever compares.

use hdrhistogram::Histogram;

/// Columns are as wide as their widest cell; all but the first stand to the right.
pub fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let line = |cells: [&str; N]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<width$}", width = width(column)),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule: [String; N] = std::array::from_fn(|column| match column {
        0 => "-".repeat(width(column)),
        _ => format!("{}:", "-".repeat(width(column) - 1)),
    });
    let head = line(titles) + &line(rule.each_ref().map(String::as_str));
    rows.iter().fold(head, |table, row| table + &line(row.each_ref().map(String::as_str)))
}

/// Whole, with its thousands apart: `12,337`.
pub fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut apart = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// To about three digits: `0.58`, `7.03`, `40.8`, `1,106`.
pub fn figure(number: f64) -> String {
    match number {
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 100.0 => format!("{n:.1}"),
        n => count(n),
    }
}

/// Of a histogram of microseconds.
pub fn ms(of_us: &Histogram<u64>, quantile: f64) -> f64 {
    of_us.value_at_quantile(quantile) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::{count, figure, table};

    #[test]
    fn numbers_have_three_digits_and_their_thousands_apart() {
        assert_eq!([0.0, 999.4, 1_000.0, 12_337.0, 1_234_567.0].map(count), ["0", "999", "1,000", "12,337", "1,234,567"]);
        assert_eq!([0.584, 7.03, 40.83, 114.4, 1_106.0].map(figure), ["0.58", "7.03", "40.8", "114", "1,106"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "1,000".to_owned()], ["消息".to_owned(), "2".to_owned()]];
        assert_eq!(table(["what", "n"], &rows), "| what |     n |\n| ---- | ----: |\n| a    | 1,000 |\n| 消息   |     2 |\n");
    }
}
