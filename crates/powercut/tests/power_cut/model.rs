//! Random operations, in a process that is killed and continued, against a model of a disk.

use crate::lab::Lab;
use proptest::prelude::*;
use skein_powercut::Options;
use std::collections::BTreeMap;

/// `sub` is a folder that is there from the start.
const NAMES: [&str; 6] = ["a", "b", "c", "sub/a", "sub/b", "sub/c"];

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize, usize),
    Append(usize, usize),
    Replace(usize, usize),
    Resize(usize, usize),
    Copy(usize, usize),
    Sync(usize),
    SyncFolder(bool),
    Rename(usize, usize),
    Link(usize, usize),
    Remove(usize),
    Hold(usize),
    Put(usize, usize),
    PutSync,
    /// The process is killed, without a cut, and a new one goes on.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (name, length) = (|| 0..NAMES.len(), || 1usize..40);
    prop_oneof![
        4 => (name(), 0usize..60, length()).prop_map(|(name, offset, length)| Step::Write(name, offset, length)),
        2 => (name(), length()).prop_map(|(name, length)| Step::Append(name, length)),
        1 => (name(), length()).prop_map(|(name, length)| Step::Replace(name, length)),
        2 => (name(), 0usize..60).prop_map(|(name, size)| Step::Resize(name, size)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Copy(from, to)),
        3 => name().prop_map(Step::Sync),
        2 => any::<bool>().prop_map(Step::SyncFolder),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => name().prop_map(Step::Remove),
        1 => name().prop_map(Step::Hold),
        2 => (0usize..60, length()).prop_map(|(offset, length)| Step::Put(offset, length)),
        1 => Just(Step::PutSync),
        1 => Just(Step::Restart),
    ]
}

/// Text that tells which step wrote it.
fn text(number: usize, length: usize) -> String {
    char::from(b'A' + (number % 50) as u8).to_string().repeat(length)
}

impl Step {
    fn command(&self, number: usize) -> String {
        match *self {
            Self::Write(name, offset, length) => format!("write {} {offset} {}", NAMES[name], text(number, length)),
            Self::Append(name, length) => format!("append {} {}", NAMES[name], text(number, length)),
            Self::Replace(name, length) => format!("replace {} {}", NAMES[name], text(number, length)),
            Self::Resize(name, size) => format!("resize {} {size}", NAMES[name]),
            Self::Copy(from, to) => format!("copy {} {}", NAMES[from], NAMES[to]),
            Self::Sync(name) => format!("sync {}", NAMES[name]),
            Self::SyncFolder(sub) => format!("sync-folder {}", if sub { "sub" } else { "." }),
            Self::Rename(from, to) => format!("rename {} {}", NAMES[from], NAMES[to]),
            Self::Link(from, to) => format!("link {} {}", NAMES[from], NAMES[to]),
            Self::Remove(name) => format!("remove {}", NAMES[name]),
            Self::Hold(name) => format!("hold {}", NAMES[name]),
            Self::Put(offset, length) => format!("put {offset} {}", text(number, length)),
            Self::PutSync => "put-sync".into(),
            Self::Restart => unreachable!("splits the script"),
        }
    }
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// What POSIX promises, in a few lines: names of a folder and bytes of a file, each now and durably.
#[derive(Default)]
struct Disk {
    files: Vec<File>,
    now: BTreeMap<usize, usize>,
    durable: BTreeMap<usize, usize>,
    held: Option<usize>,
}

impl Disk {
    fn open(&mut self, name: usize) -> usize {
        *self.now.entry(name).or_insert_with(|| {
            self.files.push(File::default());
            self.files.len() - 1
        })
    }

    fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let now = &mut self.files[file].now;
        now.resize(now.len().max(offset + bytes.len()), 0);
        now[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn apply(&mut self, step: &Step, number: usize) {
        match *step {
            Step::Write(name, offset, length) => {
                let file = self.open(name);
                self.write(file, offset, text(number, length).as_bytes());
            }
            Step::Append(name, length) => {
                let file = self.open(name);
                self.write(file, self.files[file].now.len(), text(number, length).as_bytes());
            }
            Step::Replace(name, length) => {
                let file = self.open(name);
                self.files[file].now = text(number, length).into_bytes();
            }
            Step::Resize(name, size) => {
                let file = self.open(name);
                self.files[file].now.resize(size, 0);
            }
            Step::Copy(from, to) => self.copy(from, to),
            Step::Sync(name) => self.sync(self.now.get(&name).copied()),
            Step::PutSync => self.sync(self.held),
            Step::SyncFolder(sub) => {
                let inside = |name: &usize| NAMES[*name].starts_with("sub/") == sub;
                self.durable.retain(|name, _| !inside(name));
                self.durable.extend(self.now.iter().filter(|(name, _)| inside(name)));
            }
            Step::Rename(from, to) => self.rename(from, to),
            Step::Link(from, to) => {
                if let (Some(&file), false) = (self.now.get(&from), self.now.contains_key(&to)) {
                    self.now.insert(to, file);
                }
            }
            Step::Remove(name) => drop(self.now.remove(&name)),
            Step::Hold(name) => self.held = Some(self.open(name)),
            Step::Put(offset, length) => {
                if let Some(file) = self.held {
                    self.write(file, offset, text(number, length).as_bytes());
                }
            }
            Step::Restart => self.held = None,
        }
    }

    fn sync(&mut self, file: Option<usize>) {
        if let Some(file) = file {
            self.files[file].durable = self.files[file].now.clone();
        }
    }

    /// The standard library opens the source, then empties the target, even if it is the source.
    fn copy(&mut self, from: usize, to: usize) {
        let Some(&source) = self.now.get(&from) else { return };
        let target = self.open(to);
        self.files[target].now = if source == target { Vec::new() } else { self.files[source].now.clone() };
    }

    fn rename(&mut self, from: usize, to: usize) {
        let Some(&file) = self.now.get(&from) else { return };
        if self.now.get(&to) == Some(&file) {
            return; // two names of one file: POSIX does nothing
        }
        self.now.remove(&from);
        self.now.insert(to, file);
    }

    fn tree(&self, names: &BTreeMap<usize, usize>, content: impl Fn(&File) -> &Vec<u8>) -> Vec<(String, String)> {
        let text = |file: usize| String::from_utf8(content(&self.files[file]).clone()).expect("letters");
        let mut tree: Vec<_> = names.iter().map(|(name, file)| (NAMES[*name].to_string(), text(*file))).collect();
        tree.push(("sub".into(), "/".into()));
        tree.sort();
        tree
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_leaves_exactly_what_the_model_holds_durable(steps in prop::collection::vec(step(), 1..50)) {
        let lab = Lab::new().given_folder("sub");
        let mut disk = Disk::default();
        let mut number = 0;
        for script in steps.split_inclusive(|step| matches!(step, Step::Restart)) {
            let mut commands = Vec::new();
            for step in script {
                number += 1;
                disk.apply(step, number);
                if !matches!(step, Step::Restart) {
                    commands.push(step.command(number));
                }
            }
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            lab.run_files(&Options { skip_real_fsync: true, ..Options::default() }, &commands);
        }
        prop_assert_eq!(lab.tree(), disk.tree(&disk.now, |file| &file.now), "before the cut");
        lab.cut().expect("cut");
        prop_assert_eq!(lab.tree(), disk.tree(&disk.durable, |file| &file.durable), "after the cut");
    }
}
