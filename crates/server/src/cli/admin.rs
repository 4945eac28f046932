//! `skein admin`: asks the running server and shows the answer as a table.

use super::push::when;
use super::{AdminArgs, runtime};
use crate::admin::client;
use anyhow::Result;
use serde_json::Value;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

pub fn run(args: AdminArgs) -> Result<ExitCode> {
    let answer = runtime()?.block_on(client::ask(&args.data.data, &args.verb))?;
    if args.json {
        println!("{answer}");
    } else {
        print!("{}", shown(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// What says whose row it is stands first.
const FIRST: [&str; 6] = ["node", "id", "uid", "email", "nickname", "name"];
/// Ends the name of a time, in milliseconds.
const TIME: &str = "_at_ms";

/// A list of objects is a table, an object is a list of lines.
fn shown(answer: &Value) -> String {
    match answer {
        Value::Array(rows) if rows.is_empty() => "nothing\n".into(),
        Value::Array(rows) => table(rows),
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{:<24} {}\n", heading(name), text(name, value))).collect(),
        other => format!("{}\n", text("", other)),
    }
}

fn table(rows: &[Value]) -> String {
    let mut columns: Vec<&String> = rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    columns.sort_unstable_by_key(|column| (FIRST.iter().position(|first| first == column).unwrap_or(FIRST.len()), *column));
    columns.dedup();
    let cell = |row: &Value, column: &String| row.get(column.as_str()).map(|value| text(column, value)).unwrap_or_default();
    let width = |column: &String| rows.iter().map(|row| cell(row, column).width()).chain([heading(column).width()]).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(|column| width(column)).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(columns.iter().map(|column| heading(column)).collect());
    let body = rows.iter().map(|row| line(columns.iter().map(|column| cell(row, column)).collect()));
    std::iter::once(head).chain(body).collect()
}

/// Times are shown as dates.
fn heading(column: &str) -> String {
    column.strip_suffix(TIME).map_or_else(|| column.to_owned(), |what| format!("{what}_at"))
}

fn text(column: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(number) => number.as_i64().filter(|_| column.ends_with(TIME)).map_or_else(|| number.to_string(), when::shown),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_straight_with_wide_characters() {
        let rows = serde_json::json!([{"uid": "1", "nickname": "王小明"}, {"uid": "12", "nickname": "ann"}]);
        assert_eq!(shown(&rows), "uid  nickname\n1    王小明\n12   ann\n");
    }

    #[test]
    fn rows_may_differ_and_times_and_no_other_numbers_are_dates() {
        let rows = serde_json::json!([
            {"node": "a", "made_at_ms": 1_700_000_000_000_i64, "n": 1_882_500_000_000_000_000_i64},
            {"error": "away", "node": "b", "n": null}
        ]);
        let table = "node  error  made_at               n\na            2023-11-14T22:13:20Z  1882500000000000000\nb     away\n";
        assert_eq!(shown(&rows), table);
    }
}
