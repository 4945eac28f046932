//! The tidy rules on the real workspace: each failure lists where, which rule, and what to do.
//! That the rules catch what they should is tested beside them, in `xtask/src/tidy`.

use std::path::Path;

use xtask::tidy::{RULES, Violation, Workspace};

fn load() -> Workspace {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace root");
    Workspace::load(root).expect("read the workspace's files")
}

fn holds(rule_name: &str) {
    let rule = RULES.iter().find(|rule| rule.name == rule_name).expect("a rule of this name");
    let violations = (rule.check)(&load());
    let told: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(told.is_empty(), "\n\n{}\n\n", told.join("\n\n"));
}

/// One test per rule, so that a failure is named by its rule; all rules are listed, so that none is forgotten.
macro_rules! rules {
    ($($test:ident: $rule:literal,)*) => {
        $(#[test] fn $test() { holds($rule); })*

        #[test]
        fn every_rule_is_tested() {
            let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
            assert_eq!(names, [$($rule),*]);
        }
    };
}

rules! {
    crates_depend_only_along_the_arrows: "arrows",
    modules_are_layers: "layers",
    crates_open_with_a_head: "crate heads",
    nothing_unfinished_is_left: "forbidden words",
    files_hold_one_idea: "file length",
    the_product_is_safe_rust: "no unsafe",
    contracts_do_no_io: "no IO in contracts",
    links_lead_somewhere: "links",
    requirements_have_their_checks: "requirements",
}

#[test]
fn the_workspace_that_is_judged_is_not_empty() {
    let workspace = load();
    for path in ["Cargo.toml", "xtask/src/lib.rs", "crates/server/Cargo.toml", "docs/adr/000-template.md"] {
        assert!(workspace.has_file(path), "{path} was not read, so no rule sees files like it");
    }
}
