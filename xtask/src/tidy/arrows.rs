//! Which crate may depend on which: the picture of the architecture, held against the manifests.
//!
//! The picture covers what is built into the product: `[dependencies]` and `[build-dependencies]`. Tests may look
//! sideways (`[dev-dependencies]`), because there a real part is better than a fake; only the crates made for testing are
//! kept to those that may name them.

use std::collections::BTreeMap;

use super::{File, Violation, Workspace};

/// Read it top-down: an arrow never points up, and never sideways among edge, logic, storage and rpc.
///
/// ```text
///                  testkit   bench          (development only)
///                        \   /
///                        server             (the one that sees everything, to wire it)
///         ┌──────┬───────┼────────┬─────┐
///       edge   logic  storage    rpc   sdk
///         │ └────┴───────┴──────┐ │ │   │
///         │                domain─┘ │   │
///         └────────protocol─────────┴───┘
/// ```
const ARROWS: &[(&str, &[&str])] = &[
    ("server", &["edge", "logic", "storage", "rpc", "sdk", "domain", "protocol"]),
    ("edge", &["domain", "protocol"]),
    ("logic", &["domain"]),
    ("storage", &["domain"]),
    ("rpc", &["domain", "protocol"]),
    ("sdk", &["protocol"]),
    ("domain", &[]),
    ("protocol", &[]),
    ("testkit", &["server", "edge", "logic", "storage", "rpc", "sdk", "domain", "protocol", "powercut", "xtask"]),
    ("bench", &["server", "storage", "sdk", "domain", "protocol", "testkit", "xtask"]),
    ("powercut", &[]),
    ("xtask", &[]),
];

/// Crates made for testing, and who may name them in `[dev-dependencies]`.
const FOR_TESTS: &[(&str, &[&str])] = &[
    ("testkit", &["server", "bench", "testkit"]),
    ("bench", &[]),
    ("powercut", &["testkit"]),
    ("xtask", &["storage", "server", "testkit"]),
];

/// Libraries a crate must not see, because they belong to another crate's knowledge.
const KEPT_OUT: &[KeptOut] = &[
    KeptOut {
        crates: &["server", "edge", "logic", "rpc", "domain", "protocol"],
        libraries: &["rusqlite", "sqlx", "mysql_async"],
        rule: "only storage (and the SDK, for its own local file) knows SQL",
        advice: "add a method to a port in skein-domain and implement it in skein-storage",
    },
    KeptOut {
        crates: &["logic", "storage"],
        libraries: &["axum", "hyper", "tonic", "prost", "tower-http"],
        rule: "business rules and storage do not know how a command arrived",
        advice: "translate at the edge or in skein-rpc, and take domain types here",
    },
    KeptOut {
        crates: &["domain", "protocol"],
        libraries: &[
            "axum",
            "hyper",
            "hyper-util",
            "lettre",
            "libc",
            "mio",
            "reqwest",
            "rustix",
            "rustls",
            "socket2",
            "tokio-rustls",
            "tokio-stream",
            "tonic",
            "tower-http",
        ],
        rule: "the contracts do no IO",
        advice: "put the IO behind a port of skein-domain and implement it in edge, storage, rpc or server",
    },
    KeptOut {
        crates: &["protocol"],
        libraries: &["tokio", "tokio-util", "async-trait", "futures-util"],
        rule: "the protocol turns bytes into values and back; it never waits",
        advice: "keep the codec a function over buffers and await in edge or the SDK",
    },
];

struct KeptOut {
    crates: &'static [&'static str],
    libraries: &'static [&'static str],
    rule: &'static str,
    advice: &'static str,
}

const ARROWS_RULE: &str = "arrows point down only: server → {edge, logic, storage, rpc, sdk} → domain, and edge, rpc, sdk → protocol";
const TESTS_RULE: &str = "crates made for testing stay out of the product";

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let renamed = workspace.root_manifest().map(renamed_libraries).unwrap_or_default();
    workspace.member_manifests().flat_map(|manifest| check_manifest(manifest, &renamed)).collect()
}

fn check_manifest(manifest: &File, renamed: &BTreeMap<String, String>) -> Vec<Violation> {
    let name = crate_name(&manifest.path);
    if !ARROWS.iter().any(|(from, _)| *from == name) {
        return vec![Violation {
            place: manifest.path.clone(),
            problem: format!("the crate {name} is not in the picture"),
            rule: "every crate has its place in the picture before it has code",
            advice: "add it to ARROWS in xtask/src/tidy/arrows.rs and to ARCHITECTURE.md, in the same change",
        }];
    }

    dependencies(&manifest.text)
        .iter()
        .filter_map(|dependency| {
            let library = renamed.get(&dependency.library).unwrap_or(&dependency.library);
            let (problem, rule, advice) = judge(name, library, dependency.kind)?;
            let place = format!("{}:{}", manifest.path, dependency.line);
            Some(Violation { place, problem, rule, advice })
        })
        .collect()
}

/// `crates/logic/Cargo.toml` → `logic`.
fn crate_name(manifest_path: &str) -> &str {
    manifest_path.rsplit('/').nth(1).unwrap_or_default()
}

/// What is wrong with this dependency, by which rule, and what to do instead.
fn judge(from: &str, library: &str, kind: Kind) -> Option<(String, &'static str, &'static str)> {
    let sibling = library.strip_prefix("skein-").or((library == "xtask").then_some("xtask"));
    match (sibling, kind) {
        (Some(to), Kind::Dev) => {
            let (_, allowed) = FOR_TESTS.iter().find(|(tool, _)| *tool == to)?;
            let advice = "move the test to crates/testkit, or the thing it shares into the crate under test";
            (!allowed.contains(&from)).then(|| (format!("forbidden arrow {from} → {to} (in tests)"), TESTS_RULE, advice))
        }
        (Some(to), Kind::Product) => {
            let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == from)?;
            let is_tool = FOR_TESTS.iter().any(|(tool, _)| *tool == to);
            let rule = if is_tool { TESTS_RULE } else { ARROWS_RULE };
            let advice = "let both sides meet in a type or port of skein-domain, and join them in the server's wiring";
            (!allowed.contains(&to)).then(|| (format!("forbidden arrow {from} → {to}"), rule, advice))
        }
        (None, Kind::Dev) => None,
        (None, Kind::Product) => {
            let kept_out = KEPT_OUT.iter().find(|kept_out| kept_out.crates.contains(&from) && kept_out.libraries.contains(&library))?;
            Some((format!("forbidden library {from} → {library}"), kept_out.rule, kept_out.advice))
        }
    }
}

// === reading manifests ===

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Built into what we ship: normal and build dependencies.
    Product,
    Dev,
}

#[derive(Debug, PartialEq)]
struct Dependency {
    line: usize,
    kind: Kind,
    /// The package's name, also where the manifest gives it another one.
    library: String,
}

/// The dependencies of a manifest. Reads the part of TOML that manifests are written in: one entry per line.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut section = None;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = dependency_section(header.split(']').next().unwrap_or_default());
            if let Some((kind, Some(library))) = section {
                let library = unquoted(library).to_owned();
                found.push(Dependency { line: index + 1, kind, library });
            }
            continue;
        }
        let Some((kind, library)) = section else {
            continue;
        };
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let package = package_in(line).map(str::to_owned);
        match (library, package) {
            // [dependencies.name] with a line package = "other"
            (Some(_), Some(package)) => {
                if let Some(last) = found.last_mut() {
                    last.library = package;
                }
            }
            (Some(_), None) => {}
            (None, package) => {
                let name = unquoted(key.trim().split('.').next().unwrap_or_default());
                let is_entry = !name.is_empty() && !value.trim().is_empty();
                if is_entry {
                    let library = package.unwrap_or_else(|| name.to_owned());
                    found.push(Dependency { line: index + 1, kind, library });
                }
            }
        }
    }
    found
}

/// `target.'cfg(unix)'.dev-dependencies.tokio` → (dev, tokio).
fn dependency_section(header: &str) -> Option<(Kind, Option<&str>)> {
    let (before, after) = header.rsplit_once("dependencies")?;
    let kind = if before.ends_with("dev-") { Kind::Dev } else { Kind::Product };
    match after {
        "" => Some((kind, None)),
        _ => Some((kind, Some(after.strip_prefix('.')?))),
    }
}

/// The value of `package = "…"` in a line.
fn package_in(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("package")?;
    let is_key = before.chars().last().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
    let value = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    value.split('"').next().filter(|_| is_key)
}

/// Names in the root manifest's `[workspace.dependencies]` that stand for a package of another name.
fn renamed_libraries(root_manifest: &File) -> BTreeMap<String, String> {
    let renames = root_manifest.text.lines().filter_map(|line| {
        let name = unquoted(line.split(['=', '.']).next()?.trim());
        Some((name.to_owned(), package_in(line)?.to_owned()))
    });
    renames.collect()
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, manifest: &str) -> Vec<String> {
        let root = "[workspace.dependencies]\ndb = { package = \"rusqlite\", version = \"1\" }\n";
        let workspace = Workspace::made_up(&[("Cargo.toml", root), (path, manifest)]);
        check(&workspace).into_iter().map(|violation| format!("{} {}", violation.place, violation.problem)).collect()
    }

    #[test]
    fn arrows_of_the_picture_pass() {
        let manifest = "[package]\nname = \"skein-edge\"\n\n[dependencies]\nskein-domain.workspace = true\nskein-protocol = { path = \"../protocol\" }\naxum = \"0.8\"\n";
        assert_eq!(problems("crates/edge/Cargo.toml", manifest), Vec::<String>::new());
    }

    #[test]
    fn a_sideways_arrow_is_caught_with_its_line() {
        let manifest = "[dependencies]\nskein-domain.workspace = true\nskein-storage.workspace = true\n";
        assert_eq!(problems("crates/logic/Cargo.toml", manifest), ["crates/logic/Cargo.toml:3 forbidden arrow logic → storage"]);
    }

    #[test]
    fn an_arrow_is_caught_however_it_is_written() {
        for manifest in [
            "[dependencies.skein-server]\npath = \"../server\"\n",
            "[dependencies]\n\"skein-server\" = { path = \"../server\" }\n",
            "[dependencies]\nboss = { path = \"../server\", package = \"skein-server\" }\n",
            "[dependencies.boss]\npath = \"../server\"\npackage = \"skein-server\"\n",
            "[build-dependencies]\nskein-server.workspace = true\n",
            "[target.'cfg(unix)'.dependencies]\nskein-server.workspace = true\n",
        ] {
            let found = problems("crates/domain/Cargo.toml", manifest);
            assert!(matches!(&found[..], [one] if one.ends_with("forbidden arrow domain → server")), "{manifest}{found:?}");
        }
    }

    #[test]
    fn libraries_that_are_kept_out_are_caught() {
        for (path, library) in [
            ("crates/logic/Cargo.toml", "axum"),
            ("crates/logic/Cargo.toml", "tonic"),
            ("crates/logic/Cargo.toml", "rusqlite"),
            ("crates/logic/Cargo.toml", "prost"),
            ("crates/edge/Cargo.toml", "rusqlite"),
            ("crates/domain/Cargo.toml", "reqwest"),
            ("crates/protocol/Cargo.toml", "tokio"),
        ] {
            let found = problems(path, &format!("[dependencies]\n{library}.workspace = true\n"));
            assert!(matches!(&found[..], [one] if one.contains(library)), "{path} {library} {found:?}");
        }
        assert_eq!(problems("crates/storage/Cargo.toml", "[dependencies]\nrusqlite.workspace = true\n"), Vec::<String>::new());
    }

    #[test]
    fn a_rename_in_the_root_manifest_hides_nothing() {
        let found = problems("crates/edge/Cargo.toml", "[dependencies]\ndb.workspace = true\n");
        assert_eq!(found, ["crates/edge/Cargo.toml:2 forbidden library edge → rusqlite"]);
    }

    #[test]
    fn the_product_never_depends_on_crates_for_testing() {
        let in_product = "[dependencies]\nskein-testkit.workspace = true\n";
        let in_tests = "[dev-dependencies]\nskein-testkit.workspace = true\n";
        assert_eq!(problems("crates/server/Cargo.toml", in_product).len(), 1);
        assert_eq!(problems("crates/server/Cargo.toml", in_tests).len(), 0);
        assert_eq!(problems("crates/edge/Cargo.toml", in_tests).len(), 1);
        assert_eq!(problems("crates/edge/Cargo.toml", "[dev-dependencies]\nxtask = { path = \"../../xtask\" }\n").len(), 1);
    }

    #[test]
    fn tests_may_use_real_parts() {
        let manifest = "[dev-dependencies]\nskein-storage.workspace = true\ntokio.workspace = true\n";
        assert_eq!(problems("crates/logic/Cargo.toml", manifest), Vec::<String>::new());
    }

    #[test]
    fn a_crate_outside_the_picture_is_named() {
        let found = problems("crates/novelty/Cargo.toml", "[dependencies]\n");
        assert_eq!(found, ["crates/novelty/Cargo.toml the crate novelty is not in the picture"]);
    }

    #[test]
    fn lists_that_span_lines_are_not_entries() {
        let manifest = "[features]\nx = []\n[dependencies]\ntokio = { version = \"1\", features = [\n    \"net\",\n] }\n# axum = \"1\"\n[lints]\nworkspace = true\n";
        let found = dependencies(manifest);
        let expected = [Dependency { line: 4, kind: Kind::Product, library: "tokio".to_owned() }];
        assert_eq!(found, expected);
    }
}
