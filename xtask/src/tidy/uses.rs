//! What a Rust file defines, and what it names of other modules.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_text::code_only;

const ITEMS: [&str; 9] = ["struct", "enum", "fn", "trait", "type", "const", "static", "union", "macro_rules"];

/// What a module says of others.
#[derive(Default)]
pub struct Module {
    /// Paths as they are written.
    pub needs: Vec<Vec<String>>,
    /// Names it has from elsewhere; its children see them, too.
    pub imported: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names it has.
    pub globs: Vec<Vec<String>>,
    pub defined: BTreeSet<String>,
}

impl Module {
    pub fn read(text: &str) -> Self {
        let code = code_only(text);
        let tokens = without_tests(&tokens(&code));
        let mut module = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let is_path = tokens.get(at + 1) == Some(&"::") && (at == 0 || !matches!(tokens[at - 1], "::" | "$"));
            at = match tokens[at] {
                "use" if tokens.get(at + 1) != Some(&"<") => module.read_use(&tokens, at + 1),
                "crate" | "super" | "self" if is_path => module.read_path(&tokens, at),
                keyword if ITEMS.contains(&keyword) => {
                    let name = tokens[at + 1..].iter().find(|token| **token != "!");
                    module.defined.extend(name.map(|name| (*name).to_owned()));
                    at + 1
                }
                _ => at + 1,
            };
        }
        module
    }

    fn read_use(&mut self, tokens: &[&str], at: usize) -> usize {
        let mut found = Vec::new();
        let end = read_tree(tokens, at, &[], &mut found);
        for (mut path, name) in found {
            if name == "*" {
                path.pop();
                self.globs.push(path.clone());
            } else {
                self.imported.insert(name, path.clone());
            }
            self.needs.push(path);
        }
        end
    }

    fn read_path(&mut self, tokens: &[&str], mut at: usize) -> usize {
        let mut path = vec![tokens[at].to_owned()];
        while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_word(token)) {
            path.push(tokens[at + 2].to_owned());
            at += 2;
        }
        self.needs.push(path);
        at + 1
    }
}

/// Adds the paths of a `use` tree, each with the name it gives; answers where the tree ends.
fn read_tree(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = prefix.to_vec();
    let mut name = None;
    while let Some(token) = tokens.get(at) {
        match *token {
            "," | "}" | ";" => break,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| !matches!(*token, "}" | ";")) {
                    at = read_tree(tokens, at, &path, found) + usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            "as" => {
                name = tokens.get(at + 1).map(|name| (*name).to_owned());
                at += 1;
            }
            "::" => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(last) = path.last().cloned() {
        found.push((path, name.unwrap_or(last)));
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Without the items under `#[cfg(test)]`.
fn without_tests<'t>(tokens: &[&'t str]) -> Vec<&'t str> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_item = tokens.get(at + MARK.len()).is_some_and(|next| matches!(*next, "mod" | "impl" | "use" | "fn" | "pub" | "async"));
        if is_item && tokens[at..].starts_with(&MARK) {
            at = item_end(tokens, at + MARK.len());
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// After its `;`, or the brace that closes its first one.
fn item_end(tokens: &[&str], from: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match *token {
            ";" if depth == 0 => return at + 1,
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}
