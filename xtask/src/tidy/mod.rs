//! Rules of the house that no compiler checks. Each failure says which rule, where, and what to do instead.
//!
//! Owns: reading the workspace once ([`Workspace`]) and the list of rules ([`RULES`]). A rule is a pure function from the
//! files to its violations, so its own tests feed it made-up files. `xtask/tests/tidy.rs` runs the rules on the real ones.
//!
//! **Invariant:** files are found by walking the tree, not by asking git: a file that is not committed yet is judged, too.

mod arrows;
mod layers;
mod links;
mod requirements;
mod rust_text;
mod sources;
mod uses;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::workspace_root;

pub struct Rule {
    pub name: &'static str,
    pub check: fn(&Workspace) -> Vec<Violation>,
}

pub const RULES: &[Rule] = &[
    Rule { name: "arrows", check: arrows::check },
    Rule { name: "layers", check: layers::check },
    Rule { name: "crate heads", check: sources::check_crate_heads },
    Rule { name: "forbidden words", check: sources::check_forbidden_words },
    Rule { name: "file length", check: sources::check_file_length },
    Rule { name: "no unsafe", check: sources::check_unsafe },
    Rule { name: "no IO in contracts", check: sources::check_contracts_do_no_io },
    Rule { name: "links", check: links::check },
    Rule { name: "requirements", check: requirements::check },
];

#[derive(Debug)]
pub struct Violation {
    /// A path from the workspace root, with a line where there is one.
    pub place: String,
    pub problem: String,
    /// Why the rule exists, in one clause.
    pub rule: &'static str,
    pub advice: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, problem, rule, advice } = self;
        write!(f, "{place}: {problem}\n    rule: {rule}\n    do:   {advice}")
    }
}

/// The verb: all rules on the real workspace.
pub fn tidy() -> Result<()> {
    let workspace = Workspace::load(workspace_root())?;
    let violations: Vec<Violation> = RULES.iter().flat_map(|rule| (rule.check)(&workspace)).collect();
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("the tidy rules are broken in {} places, each with what to do above", violations.len());
    }
    eprintln!("{} rules hold in {} files", RULES.len(), workspace.files.len());
    Ok(())
}

/// The files rules look at: Rust, Markdown and cargo manifests.
pub struct Workspace {
    root: PathBuf,
    files: Vec<File>,
}

pub struct File {
    /// From the workspace root, with `/` between the parts.
    pub path: String,
    pub text: String,
}

impl Workspace {
    pub fn load(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(root, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { root: root.to_owned(), files })
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn markdown_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".md"))
    }

    /// Manifests of the workspace's members: `crates/<name>/Cargo.toml` and `xtask/Cargo.toml`.
    fn member_manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            let parts: Vec<&str> = file.path.split('/').collect();
            matches!(parts[..], ["crates", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
        })
    }

    fn root_manifest(&self) -> Option<&File> {
        self.files.iter().find(|file| file.path == "Cargo.toml")
    }

    /// Whether anything is there, judged or not.
    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

fn collect(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = std::fs::read_dir(root.join(folder)).with_context(|| format!("list {folder}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {folder}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().with_context(|| format!("look at {path}"))?;
        if kind.is_dir() && !holds_no_sources(&path, &name) {
            collect(root, &path, files)?;
        } else if kind.is_file() && is_judged(&name) {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("read {path}"))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

/// Folders of tools and of running servers.
fn holds_no_sources(path: &str, name: &str) -> bool {
    name.starts_with('.') || name == "target" || name == "node_modules" || path == "data"
}

fn is_judged(name: &str) -> bool {
    name == "Cargo.toml" || name.ends_with(".rs") || name.ends_with(".md")
}

#[cfg(test)]
impl Workspace {
    /// A workspace that exists in the test alone.
    fn made_up(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        Self { root: PathBuf::from("/nowhere"), files }
    }
}
