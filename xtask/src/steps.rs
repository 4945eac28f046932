//! Long work told as steps: a header when one starts, a table of durations at the end, also after a failure.

use std::time::{Duration, Instant};

use anyhow::Result;

pub struct Steps {
    started: Instant,
    finished: Vec<Finished>,
}

struct Finished {
    name: &'static str,
    took: Duration,
    succeeded: bool,
}

impl Steps {
    pub fn new() -> Self {
        Self { started: Instant::now(), finished: Vec::new() }
    }

    /// Runs one step under its header; its outcome appears in the table.
    pub fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n==> {name}  [{} elapsed]", shown(self.started.elapsed()));
        let step_started = Instant::now();
        let outcome = work();
        self.finished.push(Finished { name, took: step_started.elapsed(), succeeded: outcome.is_ok() });
        outcome
    }

    pub fn print_table(&self) {
        eprint!("\n{}", self.table());
    }

    fn table(&self) -> String {
        let width = self.finished.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let mut table = String::new();
        for step in &self.finished {
            let verdict = if step.succeeded { "ok" } else { "FAILED" };
            table += &format!("    {:width$}  {:>9}  {verdict}\n", step.name, shown(step.took));
        }
        table + &format!("    {:width$}  {:>9}\n", "total", shown(self.started.elapsed()))
    }
}

fn shown(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    let (minutes, seconds) = (tenths / 600, tenths % 600);
    if minutes == 0 { format!("{}.{} s", seconds / 10, seconds % 10) } else { format!("{minutes} m {:02} s", seconds / 10) }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(shown(Duration::from_millis(60)), "0.0 s");
        assert_eq!(shown(Duration::from_millis(59_960)), "59.9 s");
        assert_eq!(shown(Duration::from_millis(61_000)), "1 m 01 s");
        assert_eq!(shown(Duration::from_secs(4_000)), "66 m 40 s");
    }

    #[test]
    fn the_table_names_the_step_that_failed() {
        let mut steps = Steps::new();
        assert_eq!(steps.step("count", || Ok(7)).unwrap(), 7);
        assert!(steps.step("break", || -> Result<()> { bail!("broken") }).is_err());

        let table = steps.table();
        let line_of = |name| table.lines().find(|line| line.contains(name)).unwrap();
        assert!(line_of("count").ends_with("ok"), "{table}");
        assert!(line_of("break").ends_with("FAILED"), "{table}");
        assert!(line_of("total").ends_with("s"), "{table}");
    }
}
