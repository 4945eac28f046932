//! Links in the documents point at files that exist.

use super::{File, Violation, Workspace};

const RULE: &str = "a link in a document leads somewhere, also after files move";
const ADVICE: &str = "correct the path (it is relative to the document), or remove the link";

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.markdown_files().flat_map(|document| check_document(document, |path| workspace.exists(path))).collect()
}

fn check_document(document: &File, exists: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line_number, target) in relative_links(&document.text) {
        let reaches_a_file = resolve(&document.path, target).is_some_and(|path| exists(&path));
        if !reaches_a_file {
            violations.push(Violation {
                place: format!("{}:{line_number}", document.path),
                problem: format!("no file for the link to {target}"),
                rule: RULE,
                advice: ADVICE,
            });
        }
    }
    violations
}

/// Line and target of every link to a file of the repository, without its `#anchor`. Code blocks hold no links.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_code_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
        }
        if in_code_block {
            continue;
        }
        let targets = inline_targets(line).chain(definition_target(line));
        let files = targets.filter_map(file_of_target).map(|file| (index + 1, file));
        links.extend(files);
    }
    links
}

/// The targets of `[text](target)`; a link inside `code` is an example.
fn inline_targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(move |(at, _)| {
        let is_in_code = line[..at].matches('`').count() % 2 == 1 && line[at..].contains('`');
        let target = line[at + 2..].split(')').next()?;
        (!is_in_code).then_some(target)
    })
}

/// The target of `[name]: target`.
fn definition_target(line: &str) -> Option<&str> {
    let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some(target)
}

/// The path in a target; none for web addresses and for anchors of the same document.
fn file_of_target(target: &str) -> Option<&str> {
    let address = target.split_whitespace().next()?.trim_matches(['<', '>']);
    let is_elsewhere = address.contains("://") || address.starts_with("mailto:");
    let path = address.split('#').next().unwrap_or_default();
    (!is_elsewhere && !path.is_empty()).then_some(path)
}

/// The target as a path from the root; none when it leaves the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_links(text: &str) -> Vec<String> {
        let document = File { path: "docs/guide/start.md".to_owned(), text: text.to_owned() };
        let exists = |path: &str| ["README.md", "docs/protocol.md", "docs/guide/next.md"].contains(&path);
        let violations = check_document(&document, exists);
        violations.into_iter().map(|violation| format!("{} {}", violation.place, violation.problem)).collect()
    }

    #[test]
    fn links_to_files_that_exist_are_fine() {
        let text = "[a](next.md) [b](../protocol.md#frames) [c](../../README.md \"title\") [d](#here)\n[e](https://example.org/x.md)\n[f]: ./next.md\n";
        assert_eq!(broken_links(text), Vec::<String>::new());
    }

    #[test]
    fn a_link_to_nothing_is_named_with_its_line() {
        let expected = ["docs/guide/start.md:2 no file for the link to gone.md"];
        assert_eq!(broken_links("fine\n[a](next.md), [b](gone.md#part)\n"), expected);
        assert_eq!(broken_links("\n[b]: gone.md\n"), expected);
    }

    #[test]
    fn a_link_out_of_the_repository_is_broken() {
        assert_eq!(broken_links("[a](../../../README.md)").len(), 1);
    }

    #[test]
    fn examples_in_code_are_not_links() {
        assert_eq!(broken_links("`[a](gone.md)`\n```\n[a](gone.md)\n```\n"), Vec::<String>::new());
        assert_eq!(broken_links("`code` [a](gone.md) `code`").len(), 1);
    }
}
