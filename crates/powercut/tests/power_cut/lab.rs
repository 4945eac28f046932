//! A data folder, its journal, and probes to run and kill.

use skein_powercut::{Error, Options, PowerCut, Undone};
use std::{
    fs,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

pub struct Lab {
    root: tempfile::TempDir,
    power: PowerCut,
}

impl Lab {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("make a folder");
        let power = PowerCut::new(&root.path().join("data"), &root.path().join("journal")).expect("set up");
        Self { root, power }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("data").join(name)
    }

    /// A file that is durable from the start, for nobody watched it being written.
    pub fn given(self, name: &str, content: &str) -> Self {
        fs::write(self.path(name), content).expect("write a given file");
        self
    }

    pub fn given_folder(self, name: &str) -> Self {
        fs::create_dir(self.path(name)).expect("make a given folder");
        self
    }

    pub fn start(&self, options: &Options, arguments: &[&str]) -> Probe {
        let mut child = Command::new(env!("CARGO_BIN_EXE_powercut-probe"))
            .args(arguments)
            .envs(self.power.environment(options))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the probe");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Probe { child, lines }
    }

    pub fn start_files(&self, options: &Options, steps: &[&str]) -> Probe {
        let data = self.path("");
        self.start(options, &[&["files", data.to_str().expect("utf-8")], steps].concat())
    }

    /// Runs all steps and kills the process. Returns its answers, one per step.
    pub fn run_files(&self, options: &Options, steps: &[&str]) -> Vec<String> {
        let mut probe = self.start_files(options, steps);
        let answers = probe.until("ready");
        probe.kill();
        answers
    }

    /// Runs all steps, which must succeed, kills the process and cuts the power.
    pub fn lose(&self, steps: &[&str]) -> Undone {
        for (step, answer) in steps.iter().zip(self.run_files(&Options::default(), steps)) {
            assert_eq!(answer, "ok", "step {step:?}");
        }
        self.cut().expect("cut the power")
    }

    pub fn power(&self) -> &PowerCut {
        &self.power
    }

    pub fn cut(&self) -> Result<Undone, Error> {
        self.power.cut()
    }

    /// Every name in the data folder with its content (of folders: `/`), sorted.
    pub fn tree(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        collect(&self.path(""), "", &mut found);
        found.sort();
        found
    }

    pub fn assert_tree(&self, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, content)| (name.to_string(), content.to_string())).collect();
        assert_eq!(self.tree(), expected);
    }
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("list").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_str().expect("utf-8"));
        if path.is_symlink() {
            found.push((name, format!("-> {}", fs::read_link(&path).expect("read link").display())));
        } else if path.is_dir() {
            collect(&path, &format!("{name}/"), found);
            found.push((name, "/".into()));
        } else {
            found.push((name, String::from_utf8(fs::read(&path).expect("read")).expect("utf-8")));
        }
    }
}

pub struct Probe {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Probe {
    pub fn line(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("read the probe's output"))
    }

    /// The answer to a step given to a probe of `steps`.
    pub fn asked(&mut self, step: &str) -> String {
        self.tell(step);
        self.line().expect("the probe answers")
    }

    /// A step given to a probe of `steps`, which may be its last.
    pub fn tell(&mut self, step: &str) {
        writeln!(self.child.stdin.as_mut().expect("stdin is piped"), "{step}").expect("ask the probe");
    }

    /// The lines before this one, which must come.
    pub fn until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                Some(line) if line == last => return lines,
                Some(line) => lines.push(line),
                None => panic!("the probe ended before {last:?}, having said {lines:?}"),
            }
        }
    }

    /// Kill -9, then everything that was said up to then.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("kill the probe");
        self.rest()
    }

    /// Waits until the process has killed itself. One that did not would end on its own, and fail the test.
    pub fn killed(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let said = self.lines.by_ref().map(|line| line.expect("read the probe's output")).collect();
        let status = self.child.wait().expect("wait for the probe");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
        said
    }

    fn rest(mut self) -> Vec<String> {
        let said = self.lines.by_ref().map(|line| line.expect("read the probe's output")).collect();
        self.child.wait().expect("wait for the probe");
        said
    }
}
