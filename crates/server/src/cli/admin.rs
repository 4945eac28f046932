//! `skein admin`: asks the running server and shows the answer as a table.

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

/// A list of objects is a table, an object is a list of lines.
fn shown(answer: &Value) -> String {
    match answer {
        Value::Array(rows) if rows.is_empty() => "nothing\n".into(),
        Value::Array(rows) => table(rows),
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{name:<24} {}\n", text(value))).collect(),
        other => format!("{}\n", text(other)),
    }
}

fn table(rows: &[Value]) -> String {
    let columns: Vec<&String> = rows[0].as_object().into_iter().flat_map(|row| row.keys()).collect();
    let cell = |row: &Value, column: &String| row.get(column.as_str()).map(text).unwrap_or_default();
    let width = |column: &String| rows.iter().map(|row| cell(row, column).width()).chain([column.width()]).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(|column| width(column)).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(columns.iter().map(|column| (*column).clone()).collect());
    let body = rows.iter().map(|row| line(columns.iter().map(|column| cell(row, column)).collect()));
    std::iter::once(head).chain(body).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_straight_with_wide_characters() {
        let rows = serde_json::json!([{"uid": "1", "nickname": "王小明"}, {"uid": "12", "nickname": "ann"}]);
        assert_eq!(shown(&rows), "nickname  uid\n王小明    1\nann       12\n");
    }
}
