//! The table of requirements names checks that exist.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_text::code_only;
use super::{File, Violation, Workspace};

const TABLE: &str = "docs/requirements.md";
const VERBS: &str = "xtask/src/main.rs";

const RULE: &str = "whoever asks how a requirement is checked is sent to a test that is there";
const ADVICE: &str = "write `path/from/the/root.rs::name_of_the_test` (further ones of that file: `::name`), or `cargo xtask verb`";

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let Some(table) = workspace.files.iter().find(|file| file.path == TABLE) else {
        return Vec::new();
    };
    let mut found = Found { workspace, code: BTreeMap::new() };
    let mut seen = BTreeSet::new();
    let mut violations = Vec::new();
    for row in rows(table) {
        let mut problems: Vec<String> = found.problems_of(row.checks);
        if !seen.insert(row.id) {
            problems.push("it has a row already".to_owned());
        }
        violations.extend(problems.into_iter().map(|problem| Violation {
            place: format!("{TABLE}:{}", row.line),
            problem: format!("{}: {problem}", row.id),
            rule: RULE,
            advice: ADVICE,
        }));
    }
    violations
}

struct Row<'a> {
    line: usize,
    id: &'a str,
    checks: &'a str,
}

/// Lines such as `| A-GEN-1 | what we do | checks | what is missing |`.
fn rows(table: &File) -> impl Iterator<Item = Row<'_>> {
    table.text.lines().enumerate().filter_map(|(index, line)| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (id, _what, checks) = (cells.next()?, cells.next()?, cells.next()?);
        let is_id = id.starts_with(|c: char| c.is_ascii_uppercase()) && id.ends_with(|c: char| c.is_ascii_digit());
        is_id.then_some(Row { line: index + 1, id, checks })
    })
}

/// What was looked up, so that each file is read once.
struct Found<'a> {
    workspace: &'a Workspace,
    code: BTreeMap<String, String>,
}

impl Found<'_> {
    fn problems_of(&mut self, checks: &str) -> Vec<String> {
        let named: Vec<&str> = checks.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            return vec!["no check is named".to_owned()];
        }
        let mut path = "";
        let mut problems = Vec::new();
        for check in named {
            let (before, name) = check.split_once("::").map_or((check, None), |(path, name)| (path, Some(name)));
            if !before.is_empty() {
                path = before;
            }
            problems.extend(self.problem(path, name));
        }
        problems
    }

    fn problem(&mut self, path: &str, name: Option<&str>) -> Option<String> {
        if let Some(verb) = path.strip_prefix("cargo xtask ") {
            let verb = verb.split(' ').next().unwrap_or_default();
            return (!self.text(VERBS).contains(&format!("\"{verb}\" =>"))).then(|| format!("xtask has no verb {verb}"));
        }
        if !self.workspace.has_file(path) && !self.workspace.exists(path) {
            return Some(format!("there is no {path}"));
        }
        let name = name?;
        let is_there = self.code(path).contains(&format!("fn {name}("));
        (!is_there).then(|| format!("{path} has no function {name}"))
    }

    fn text(&self, path: &str) -> &str {
        self.workspace.files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
    }

    fn code(&mut self, path: &str) -> &str {
        if !self.code.contains_key(path) {
            let code = code_only(self.text(path));
            self.code.insert(path.to_owned(), code);
        }
        &self.code[path]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(row: &str) -> Vec<String> {
        let workspace = Workspace::made_up(&[
            (TABLE, row),
            (VERBS, "match verb { \"check\" => run() }"),
            ("crates/a/tests/b.rs", "fn one() {}\nasync fn two() {}\n// fn three() {}\n"),
        ]);
        check(&workspace).into_iter().map(|violation| format!("{} {}", violation.place, violation.problem)).collect()
    }

    #[test]
    fn rows_with_checks_that_exist_pass() {
        assert_eq!(problems("| id | what | check | missing |\n|---|---|---|---|\n"), Vec::<String>::new());
        let row = "| A-GEN-1 | all of it | `crates/a/tests/b.rs::one`, `::two`; `cargo xtask check --seeds 7`; `crates/a/tests/b.rs` | |";
        assert_eq!(problems(row), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_is_named_with_its_row() {
        let row = "| A-GEN-1 | x | `crates/a/tests/b.rs::one`, `::gone`, `crates/a/tests/c.rs::one`, `cargo xtask fly` | |";
        let expected = [
            "docs/requirements.md:1 A-GEN-1: crates/a/tests/b.rs has no function gone",
            "docs/requirements.md:1 A-GEN-1: there is no crates/a/tests/c.rs",
            "docs/requirements.md:1 A-GEN-1: xtask has no verb fly",
        ];
        assert_eq!(problems(row), expected);
    }

    #[test]
    fn a_function_in_a_comment_is_no_function() {
        assert_eq!(problems("| A-GEN-1 | x | `crates/a/tests/b.rs::three` | |").len(), 1);
    }

    #[test]
    fn every_row_has_a_check_and_every_id_one_row() {
        assert_eq!(problems("| B-WS-8 | pings | somewhere | |"), ["docs/requirements.md:1 B-WS-8: no check is named"]);
        let twice = "| B-WS-8 | pings | `crates/a/tests/b.rs` | |\n| B-WS-8 | again | `crates/a/tests/b.rs` | |";
        assert_eq!(problems(twice), ["docs/requirements.md:2 B-WS-8: it has a row already"]);
    }
}
