//! Within a crate, the modules of a folder are layers: none of them needs, be it around corners, one that needs it.
//!
//! A module stands for its whole folder, so the rule holds at every height. What a module and its parents need of each
//! other is not judged: a parent shows what its children have, and they use what it keeps for all of them.
//!
//! Followed are `use` and paths that begin with `crate`, `super` or `self`, through what other modules import, to the
//! module that defines the name. Tests may look anywhere: neither `#[cfg(test)]` items nor files of tests are judged.

use std::collections::{BTreeMap, VecDeque};

use super::uses::Module;
use super::{Violation, Workspace};

const RULE: &str = "two modules that need each other are one, or hide a third";
const ADVICE: &str = "move what both need into a module of its own, or hand it over as an argument";
/// Imports of imports; a name that goes further counts for where it was last seen.
const HOPS_MAX: u8 = 8;

/// From the crate's root; the root itself is empty.
type Place = Vec<String>;

pub fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut crates: BTreeMap<String, Modules> = BTreeMap::new();
    for file in workspace.rust_files() {
        if let Some((sources, place)) = place_of(&file.path) {
            crates.entry(sources).or_default().0.insert(place, Module::read(&file.text));
        }
    }
    crates.iter().flat_map(|(sources, modules)| modules.circles(sources)).collect()
}

/// The folder of a library's sources, and the module that a file of it is.
fn place_of(path: &str) -> Option<(String, Place)> {
    let (root, file) = path.strip_suffix(".rs")?.split_once("/src/")?;
    let is_member = root == "xtask" || root.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
    let mut place: Place = file.split('/').map(str::to_owned).collect();
    let is_part = !place.iter().any(|part| part == "tests" || part == "bin") && file != "main";
    if place.last().is_some_and(|last| last == "mod" || file == "lib" && last == "lib") {
        place.pop();
    }
    (is_member && is_part).then(|| (format!("{root}/src"), place))
}

/// All of a crate.
#[derive(Default)]
struct Modules(BTreeMap<Place, Module>);

/// Of the modules of one folder: who needs whom, and a line of whom that shows it.
type Needs = BTreeMap<String, BTreeMap<String, String>>;

impl Modules {
    fn circles(&self, sources: &str) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (folder, mut needs) in self.folders() {
            while let Some(circle) = shortest_circle(&needs) {
                let steps: Vec<_> =
                    circle.iter().zip(circle.iter().cycle().skip(1)).map(|(a, b)| format!("{a} → {b}: {}", needs[a][b])).collect();
                let place = [&[sources.to_owned()], &folder[..]].concat().join("/");
                let problem = format!("a circle of modules\n          {}", steps.join("\n          "));
                violations.push(Violation { place, problem, rule: RULE, advice: ADVICE });
                needs.retain(|module, _| !circle.contains(module));
            }
        }
        violations
    }

    fn folders(&self) -> BTreeMap<Place, Needs> {
        let mut folders: BTreeMap<Place, Needs> = BTreeMap::new();
        for (place, module) in &self.0 {
            for path in &module.needs {
                let Some(needed) = self.resolve(place, path, HOPS_MAX) else { continue };
                let common = place.iter().zip(&needed).take_while(|(one, other)| one == other).count();
                if let (Some(from), Some(to)) = (place.get(common), needed.get(common)) {
                    let shown = format!("{} names {}", place.join("::"), path.join("::"));
                    folders
                        .entry(place[..common].to_vec())
                        .or_default()
                        .entry(from.clone())
                        .or_default()
                        .entry(to.clone())
                        .or_insert(shown);
                }
            }
        }
        folders
    }

    /// The module that defines what a path in `at` names. `None`: it leads out of the crate.
    fn resolve(&self, at: &[String], path: &[String], hops: u8) -> Option<Place> {
        let (mut place, mut rest) = self.start(at, path)?;
        while let Some((name, tail)) = rest.split_first() {
            let child = [&place[..], std::slice::from_ref(name)].concat();
            if !self.0.contains_key(&child) {
                return self.definer(&place, name, hops);
            }
            (place, rest) = (child, tail);
        }
        Some(place)
    }

    fn start<'p>(&self, at: &[String], mut path: &'p [String]) -> Option<(Place, &'p [String])> {
        let first = path.first()?;
        let mut place = at.to_vec();
        match first.as_str() {
            "crate" => return Some((Place::new(), &path[1..])),
            "self" => path = &path[1..],
            "super" => {}
            child => return self.0.contains_key(&[at, &[child.to_owned()]].concat()).then_some((place, path)),
        }
        while path.first().is_some_and(|part| part == "super") {
            place.pop();
            path = &path[1..];
        }
        Some((place, path))
    }

    fn definer(&self, place: &Place, name: &str, hops: u8) -> Option<Place> {
        let Some(module) = self.0.get(place).filter(|module| hops > 0 && !module.defined.contains(name)) else {
            return Some(place.clone());
        };
        let imported = module.imported.get(name).and_then(|path| self.resolve(place, path, hops - 1));
        let from_glob = || {
            let mut places = module.globs.iter().filter_map(|path| self.resolve(place, path, hops - 1));
            places.find(|place| self.0.get(place).is_some_and(|module| module.defined.contains(name)))
        };
        imported.or_else(from_glob).or_else(|| Some(place.clone()))
    }
}

fn shortest_circle(needs: &Needs) -> Option<Vec<String>> {
    needs.keys().filter_map(|start| way_back(needs, start)).min_by_key(Vec::len)
}

/// The shortest way from `start` to itself.
fn way_back(needs: &Needs, start: &String) -> Option<Vec<String>> {
    let mut before: BTreeMap<&String, &String> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(module) = waiting.pop_front() {
        for needed in needs.get(module)?.keys().filter(|needed| needs.contains_key(*needed)) {
            if needed == start {
                let mut way: Vec<String> = std::iter::successors(Some(module), |module| before.get(*module).copied()).cloned().collect();
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(needed) {
                before.insert(needed, module);
                waiting.push_back(needed);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        check(&Workspace::made_up(files)).into_iter().map(|violation| format!("{}: {}", violation.place, violation.problem)).collect()
    }

    #[test]
    fn two_files_that_need_each_other_are_found_with_the_lines_that_show_it() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod one; mod two;"),
            ("crates/a/src/one.rs", "use crate::two::Two; pub struct One;"),
            ("crates/a/src/two.rs", "pub struct Two; fn f() -> crate::one::One { crate::one::One }"),
        ]);
        let [found] = &found[..] else { panic!("{found:?}") };
        assert!(found.starts_with("crates/a/src: ") && found.contains("one names crate::two::Two"), "{found}");
        assert!(found.contains("two names crate::one::One"), "{found}");
    }

    #[test]
    fn a_circle_around_a_third_and_through_folders_is_one() {
        let found = circles(&[
            ("crates/a/src/x/mod.rs", "pub use deep::Deep;"),
            ("crates/a/src/x/deep.rs", "use crate::y::inner::Y; pub struct Deep;"),
            ("crates/a/src/y/mod.rs", "mod inner;"),
            ("crates/a/src/y/inner.rs", "use super::super::{z::{self, Z as Other}, q}; pub struct Y;"),
            ("crates/a/src/z.rs", "use crate::x::Deep; pub struct Z;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("x → y") && found[0].contains("y → z") && found[0].contains("z → x"), "{found:?}");
    }

    #[test]
    fn parents_and_children_may_need_each_other() {
        let found = circles(&[
            ("crates/a/src/lib.rs", "mod parent;"),
            ("crates/a/src/parent.rs", "mod child; use child::Child; pub struct Parent;"),
            ("crates/a/src/parent/child.rs", "use super::Parent; pub struct Child;"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_name_counts_for_who_defines_it_and_not_for_who_shows_it() {
        let shown = |import: &str| {
            circles(&[
                ("crates/a/src/f/mod.rs", &format!("{import} pub use low::*;")),
                ("crates/a/src/f/low.rs", "pub struct Low;"),
                ("crates/a/src/f/high.rs", "use super::Low; pub struct High;"),
                ("crates/a/src/f/side.rs", "use super::high::High;"),
            ])
        };
        assert_eq!(shown(""), [""; 0]);
        let back = circles(&[
            ("crates/a/src/f/mod.rs", "use high::High as Shown; pub use low::*;"),
            ("crates/a/src/f/low.rs", "pub struct Low(super::Shown);"),
            ("crates/a/src/f/high.rs", "use super::Low; pub struct High;"),
        ]);
        assert_eq!(back.len(), 1, "{back:?}");
    }

    #[test]
    fn tests_and_prose_do_not_count() {
        let found = circles(&[
            ("crates/a/src/one.rs", "use crate::two::Two; pub struct One;"),
            ("crates/a/src/two.rs", "//! See crate::one::One.\npub struct Two; #[cfg(test)] mod tests { use crate::one::One; fn f() {} }"),
            ("crates/a/src/two/tests.rs", "use crate::one::One;"),
            ("crates/a/tests/it.rs", "use crate::one::One;"),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
