//! `docs/protocol.md`: its tables are those of the code, and its examples are understood.

use std::fmt::Write as _;

use skein_protocol::table::{PUSHES, REQUESTS};
use skein_protocol::{CloseCode, Envelope, ErrorCode, Op};

use crate::{here, read, updating};

const PATH: &str = "../../docs/protocol.md";

#[test]
fn the_tables_are_those_of_the_code() {
    let found = read(PATH);
    let mut expected = found.clone();
    for (name, table) in [("requests", requests()), ("pushes", pushes()), ("errors", errors()), ("closes", closes())] {
        expected = with_block(&expected, name, &table);
    }
    if updating() {
        std::fs::write(here(PATH), &expected).expect("write the document");
        return;
    }
    assert!(found == expected, "docs/protocol.md is out of date: run the tests of skein-protocol with UPDATE=1");
}

/// Lines of examples that begin with `> ` or `< ` are text messages, as wscat shows them.
#[test]
fn the_examples_are_understood() {
    let (mut sent, mut received) = (0, 0);
    for line in read(PATH).lines() {
        let (text, from_client) = match (line.strip_prefix("> {"), line.strip_prefix("< {")) {
            (Some(_), _) => (&line[2..], true),
            (_, Some(_)) => (&line[2..], false),
            _ => continue,
        };
        let envelope = Envelope::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
        if from_client {
            envelope.request().unwrap_or_else(|error| panic!("{line}: {error}"));
            sent += 1;
        } else {
            envelope.incoming().unwrap_or_else(|error| panic!("{line}: {error}"));
            received += 1;
        }
    }
    assert!(sent >= 4 && received >= 4, "the examples are gone: {sent} sent, {received} received");
}

fn with_block(document: &str, name: &str, table: &str) -> String {
    let open = format!("<!-- generated: {name} -->\n");
    let close = format!("<!-- end: {name} -->");
    let (before, rest) = document.split_once(&open).unwrap_or_else(|| panic!("no {open}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("no {close}"));
    format!("{before}{open}{table}{close}{after}")
}

fn requests() -> String {
    let mut table =
        "| op | type | payload | reply op | reply type | reply payload | what it is for |\n|---|---|---|---|---|---|---|\n".to_owned();
    for row in REQUESTS {
        let (op, reply_op) = (row.op.0, row.reply_op.0);
        let _ = writeln!(
            table,
            "| {op} | `{}` | {} | {reply_op} | `{}` | {} | {} |",
            row.name, row.message, row.reply_name, row.reply_message, row.meaning
        );
    }
    let _ = writeln!(table, "| any | any | | {} | `error` | Error | The request failed. |", Op::ERROR.0);
    table
}

fn pushes() -> String {
    let mut table = "| op | type | payload | what it is for |\n|---|---|---|---|\n".to_owned();
    for row in PUSHES {
        let _ = writeln!(table, "| {} | `{}` | {} | {} |", row.op.0, row.name, row.message, row.meaning);
    }
    table
}

fn errors() -> String {
    let mut table = "| code | retry | meaning |\n|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        let _ = writeln!(table, "| `{code}` | {} | {} |", code.retry().as_str(), code.meaning());
    }
    table
}

fn closes() -> String {
    let mut table = "| number | name | client | meaning |\n|---|---|---|---|\n".to_owned();
    for code in CloseCode::ALL {
        let _ = writeln!(table, "| {} | `{}` | {} | {} |", code.number(), code.name(), code.advice().as_str(), code.meaning());
    }
    table
}
