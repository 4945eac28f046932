//! `skein admin`: asks the running server and shows the answer as a table.

use super::push::when;
use super::{AdminArgs, runtime};
use crate::admin::client;
use crate::terminal::lang::Lang;
use anyhow::Result;
use serde_json::Value;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

pub fn run(args: AdminArgs) -> Result<ExitCode> {
    let answer = runtime()?.block_on(client::ask(&args.data.data, &args.verb))?;
    if args.json {
        println!("{answer}");
    } else {
        print!("{}", shown(Lang::from_environment(), &answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// What says whose row it is stands first.
const FIRST: [&str; 6] = ["node", "id", "uid", "email", "nickname", "name"];
/// Ends the name of a time, in milliseconds.
const TIME: &str = "_at_ms";
/// What the fields of answers are called in Chinese.
const CHINESE: &[(&str, &str)] = &[
    ("act", "操作"),
    ("actor", "操作者"),
    ("address", "地址"),
    ("app", "应用"),
    ("at", "时间"),
    ("bytes", "字节"),
    ("class", "设备类型"),
    ("closing", "正在关闭"),
    ("connection", "连接编号"),
    ("connections", "连接数"),
    ("conversation", "会话"),
    ("created_at", "创建时间"),
    ("detail", "详情"),
    ("disabled", "已停用"),
    ("email", "邮箱"),
    ("error", "错误"),
    ("form", "格式"),
    ("from", "来自"),
    ("heard_ms_ago", "多少毫秒前有消息"),
    ("id", "编号"),
    ("in_flight", "处理中"),
    ("live_rooms", "直播房间"),
    ("nickname", "昵称"),
    ("node", "节点"),
    ("nodes", "节点数"),
    ("of", "属于"),
    ("offset", "偏移"),
    ("partition", "分区"),
    ("password", "密码"),
    ("per_second", "每秒次数"),
    ("pid", "进程号"),
    ("queue_bytes", "待发字节"),
    ("reason", "原因"),
    ("replayed", "已重放"),
    ("resident_kib", "常驻内存 KiB"),
    ("resyncing", "待同步"),
    ("revoked", "已作废"),
    ("revoked_at", "作废时间"),
    ("role", "角色"),
    ("room", "房间"),
    ("rooms", "房间"),
    ("routes", "用途"),
    ("secret", "密钥"),
    ("sent", "已发送"),
    ("session", "会话令牌编号"),
    ("stalled_ms", "停滞毫秒"),
    ("subject", "对象"),
    ("tags", "标签"),
    ("transport", "传输"),
    ("uid", "用户编号"),
    ("unread_bytes", "未成帧字节"),
    ("unreadable", "读不懂"),
    ("uptime_s", "已运行秒数"),
    ("version", "版本"),
    ("watches_rooms", "看着房间目录"),
];
const NAME_WIDTH: usize = 24;

/// A list of objects is a table, an object is a list of lines.
fn shown(lang: Lang, answer: &Value) -> String {
    match answer {
        Value::Array(rows) if rows.is_empty() => format!("{}\n", lang.pick("没有", "nothing")),
        Value::Array(rows) => table(lang, rows),
        Value::Object(fields) => fields.iter().map(|(name, value)| line(&heading(lang, name), &text(lang, name, value))).collect(),
        other => format!("{}\n", text(lang, "", other)),
    }
}

fn line(name: &str, value: &str) -> String {
    format!("{name}{} {value}\n", " ".repeat(NAME_WIDTH.saturating_sub(name.width())))
}

fn table(lang: Lang, rows: &[Value]) -> String {
    let mut columns: Vec<&String> = rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    columns.sort_unstable_by_key(|column| (FIRST.iter().position(|first| first == column).unwrap_or(FIRST.len()), *column));
    columns.dedup();
    let cell = |row: &Value, column: &String| row.get(column.as_str()).map(|value| text(lang, column, value)).unwrap_or_default();
    let width =
        |column: &String| rows.iter().map(|row| cell(row, column).width()).chain([heading(lang, column).width()]).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(|column| width(column)).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(columns.iter().map(|column| heading(lang, column)).collect());
    let body = rows.iter().map(|row| line(columns.iter().map(|column| cell(row, column)).collect()));
    std::iter::once(head).chain(body).collect()
}

/// Times are shown as dates.
fn heading(lang: Lang, column: &str) -> String {
    let name = column.strip_suffix(TIME).map_or_else(|| column.to_owned(), |what| format!("{what}_at"));
    let chinese = CHINESE.iter().find(|(english, _)| *english == name).filter(|_| lang == Lang::Zh);
    chinese.map_or(name, |(_, chinese)| (*chinese).to_owned())
}

fn is_time(column: &str) -> bool {
    column == "at" || column.ends_with(TIME)
}

fn text(lang: Lang, column: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(number) => number.as_i64().filter(|_| is_time(column)).map_or_else(|| number.to_string(), when::shown),
        Value::Bool(true) => lang.pick("是", "true").to_owned(),
        Value::Bool(false) => lang.pick("否", "false").to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_straight_with_wide_characters() {
        let rows = serde_json::json!([{"uid": "1", "nickname": "王小明"}, {"uid": "12", "nickname": "ann"}]);
        assert_eq!(shown(Lang::En, &rows), "uid  nickname\n1    王小明\n12   ann\n");
        assert_eq!(shown(Lang::Zh, &rows), "用户编号  昵称\n1         王小明\n12        ann\n");
    }

    #[test]
    fn rows_may_differ_and_times_and_no_other_numbers_are_dates() {
        let rows = serde_json::json!([
            {"node": "a", "made_at_ms": 1_700_000_000_000_i64, "n": 1_882_500_000_000_000_000_i64},
            {"error": "away", "node": "b", "n": null}
        ]);
        let table = "node  error  made_at               n\na            2023-11-14T22:13:20Z  1882500000000000000\nb     away\n";
        assert_eq!(shown(Lang::En, &rows), table);
        let audit = serde_json::json!([{"at": 1_700_000_000_000_i64, "act": "disable"}]);
        assert_eq!(shown(Lang::En, &audit), "act      at\ndisable  2023-11-14T22:13:20Z\n");
    }

    #[test]
    fn one_thing_is_told_in_the_language_that_is_asked_for() {
        let told = serde_json::json!({"disabled": true, "uid": "7"});
        assert_eq!(shown(Lang::En, &told), "disabled                 true\nuid                      7\n");
        assert_eq!(shown(Lang::Zh, &told), "已停用                   是\n用户编号                 7\n");
        assert_eq!(
            (shown(Lang::En, &serde_json::json!([])), shown(Lang::Zh, &serde_json::json!([]))),
            ("nothing\n".into(), "没有\n".into())
        );
    }
}
