//! Rules about single source files: what every crate opens with, and what no file contains.

use super::rust_text::code_only;
use super::{File, Violation, Workspace};

/// A file longer than this has more than one idea in it.
const LINES_MAX: usize = 800;

/// The only folder with `unsafe`: code that is loaded into another process, never part of the product.
const UNSAFE_FOLDER: &str = "crates/powercut/";

/// Words that mark unfinished work.
const FORBIDDEN: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave the whole feature out of this change"),
    ("unimplemented!", "finish it, or leave the whole feature out of this change"),
    ("#[ignore", "make the test pass, or give a test over a minute its full form in `cargo xtask soak` and a short one here"),
    ("dead_code", "delete what nobody uses; the history keeps it"),
];

/// Paths and types of the outside world, none of which a contract needs.
const OUTSIDE_WORLD: &[&str] = &[
    "std::fs",
    "std::process",
    "tokio::fs",
    "tokio::io",
    "tokio::net",
    "tokio::process",
    "tokio::signal",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
];

pub fn check_crate_heads(workspace: &Workspace) -> Vec<Violation> {
    let roots = workspace.rust_files().filter(|file| is_crate_root(&file.path));
    let headless = roots.filter(|file| {
        let first_line = file.text.lines().find(|line| !line.trim().is_empty());
        !first_line.is_some_and(|line| line.starts_with("//!"))
    });
    headless
        .map(|file| Violation {
            place: file.path.clone(),
            problem: "the crate does not open with a `//!` head".to_owned(),
            rule: "a reader learns from the first lines what a crate is for",
            advice: "say in 3 to 15 lines what it owns, its **Invariant:**, and what it leaves to others",
        })
        .collect()
}

/// The files cargo compiles as libraries and binaries of a member.
fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let in_member = match parts[..] {
        ["crates", _, ref rest @ ..] | ["xtask", ref rest @ ..] => rest,
        _ => return false,
    };
    match in_member {
        ["src", "lib.rs" | "main.rs"] | ["src", "bin", _, "main.rs"] => true,
        ["src", "bin", file] => file.ends_with(".rs"),
        _ => false,
    }
}

pub fn check_forbidden_words(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, number, line) in lines_of_code(workspace) {
        for (word, advice) in FORBIDDEN.iter().filter(|(word, _)| has_word(&line, word)) {
            violations.push(Violation {
                place: format!("{}:{number}", file.path),
                problem: format!("`{word}` in the code"),
                rule: "what is merged is finished, tested and used",
                advice,
            });
        }
    }
    violations
}

pub fn check_unsafe(workspace: &Workspace) -> Vec<Violation> {
    lines_of_code(workspace)
        .filter(|(file, _, line)| has_word(line, "unsafe") && !file.path.starts_with(UNSAFE_FOLDER))
        .map(|(file, number, _)| Violation {
            place: format!("{}:{number}", file.path),
            problem: "`unsafe` outside crates/powercut".to_owned(),
            rule: "the product is safe Rust; what must be proven by hand stays in one small place",
            advice: "use a safe wrapper from a library already in the tree, or bring the case as an ADR",
        })
        .collect()
}

pub fn check_file_length(workspace: &Workspace) -> Vec<Violation> {
    let too_long = workspace.rust_files().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX && !is_generated(file)).then_some((file, lines))
    });
    too_long
        .map(|(file, lines)| Violation {
            place: file.path.clone(),
            problem: format!("{lines} lines, more than {LINES_MAX}"),
            rule: "a file is one idea that can be read in one go (aim below 400 lines)",
            advice: "look for the second idea in it and give that a module with a name from the glossary",
        })
        .collect()
}

/// Generators write this marker into the first lines.
fn is_generated(file: &File) -> bool {
    file.text.lines().take(5).any(|line| line.contains("@generated"))
}

pub fn check_contracts_do_no_io(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in workspace.rust_files().filter(|file| is_contract(&file.path)) {
        // Tests of a contract may read their vectors from files.
        let code = code_only(&file.text);
        let product_code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for (index, line) in product_code.lines().enumerate() {
            for path in OUTSIDE_WORLD.iter().filter(|path| uses_path(line, path)) {
                violations.push(Violation {
                    place: format!("{}:{}", file.path, index + 1),
                    problem: format!("`{path}` in a contract"),
                    rule: "domain and protocol do no IO, so that everything can be tested against them",
                    advice: "put the IO behind a port of skein-domain and implement it in edge, storage, rpc or server",
                });
            }
        }
    }
    violations
}

fn is_contract(path: &str) -> bool {
    let in_contract = path.starts_with("crates/domain/src/") || path.starts_with("crates/protocol/src/");
    in_contract && !path.ends_with("/tests.rs")
}

/// Whether a line names `tokio::net`, also as `tokio::{net, …}`.
fn uses_path(line: &str, path: &str) -> bool {
    if has_word(line, path) {
        return true;
    }
    let Some((krate, module)) = path.split_once("::") else {
        return false;
    };
    let group_start = format!("{krate}::{{");
    line.split_once(&group_start).is_some_and(|(_, group)| has_word(group, module))
}

/// Every line of Rust in the workspace, numbered from 1, without comments and literals.
fn lines_of_code(workspace: &Workspace) -> impl Iterator<Item = (&File, usize, String)> {
    workspace.rust_files().flat_map(|file| {
        let code = code_only(&file.text);
        let lines: Vec<String> = code.lines().map(str::to_owned).collect();
        lines.into_iter().enumerate().map(move |(index, line)| (file, index + 1, line))
    })
}

/// Whether `word` is in `line` and not part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let begins = !(word.starts_with(is_name) && before.is_some_and(is_name));
        let ends = !(word.ends_with(is_name) && after.is_some_and(is_name));
        begins && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(check: fn(&Workspace) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
        let workspace = Workspace::made_up(&[(path, text)]);
        check(&workspace).into_iter().map(|violation| violation.place).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn every_crate_root_opens_with_a_head() {
        for root in ["crates/edge/src/lib.rs", "crates/server/src/main.rs", "crates/testkit/src/bin/check.rs", "xtask/src/main.rs"] {
            assert_eq!(places(check_crate_heads, root, "pub mod a;\n"), [root]);
            assert_eq!(places(check_crate_heads, root, "\n//! What it owns.\n"), NONE);
        }
        assert_eq!(places(check_crate_heads, "crates/edge/src/comet/hub.rs", "pub struct Hub;\n"), NONE);
    }

    #[test]
    fn unfinished_work_is_caught_in_code_and_not_in_prose() {
        let path = "crates/edge/src/hub.rs";
        for code in ["todo!()", "unimplemented!(\"later\")", "#[ignore = \"slow\"]", "#[allow(dead_code)]"] {
            assert_eq!(places(check_forbidden_words, path, &format!("fn f() {{\n{code}\n}}")), ["crates/edge/src/hub.rs:2"], "{code}");
        }
        assert_eq!(places(check_forbidden_words, path, "// no todo!() here\nlet x = \"unimplemented!\";\nmytodo!();\n"), NONE);
    }

    #[test]
    fn unsafe_is_caught_outside_its_folder() {
        let code = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(places(check_unsafe, "crates/edge/src/hub.rs", code), ["crates/edge/src/hub.rs:2"]);
        assert_eq!(places(check_unsafe, "crates/powercut/src/lib.rs", code), NONE);
        assert_eq!(places(check_unsafe, "crates/edge/src/hub.rs", "#![deny(unsafe_code)] // unsafe\n"), NONE);
    }

    #[test]
    fn long_files_are_caught_unless_generated() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert_eq!(places(check_file_length, "crates/edge/src/hub.rs", &long), ["crates/edge/src/hub.rs"]);
        assert_eq!(places(check_file_length, "crates/edge/src/hub.rs", &long[1..]), NONE);
        assert_eq!(places(check_file_length, "crates/edge/src/hub.rs", &format!("// @generated by a tool\n{long}")), NONE);
    }

    #[test]
    fn io_in_a_contract_is_caught_outside_its_tests() {
        let path = "crates/domain/src/ports.rs";
        for code in ["use tokio::net::TcpSocket;", "use tokio::{net, sync};", "let t = std::fs::read(p);", "x: TcpStream,"] {
            assert_eq!(places(check_contracts_do_no_io, path, &format!("\n{code}\n")), ["crates/domain/src/ports.rs:2"], "{code}");
        }
        assert_eq!(places(check_contracts_do_no_io, path, "use tokio::sync::mpsc;\nuse std::net::IpAddr;\n"), NONE);
        assert_eq!(places(check_contracts_do_no_io, path, "#[cfg(test)]\nmod tests { use std::fs; }\n"), NONE);
        assert_eq!(places(check_contracts_do_no_io, "crates/storage/src/a.rs", "use std::fs;\n"), NONE);
    }
}
