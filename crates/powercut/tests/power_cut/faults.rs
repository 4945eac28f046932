//! Planted faults: slow, failing and deadly fsyncs.

use crate::lab::Lab;
use skein_powercut::Options;
use std::time::{Duration, Instant};

const EIO: &str = "error 5";
const ENOSPC: &str = "error 28";

#[test]
fn each_fsync_of_data_is_delayed() {
    let lab = Lab::new().given("a", "old");
    let steps = ["append a 1", "sync a", "append a 2", "datasync a", "sync-folder ."];
    let delay = Duration::from_millis(60);
    for skip_real_fsync in [false, true] {
        let begun = Instant::now();
        lab.run_files(&Options { fsync_delay: delay, skip_real_fsync, ..Options::default() }, &steps);
        assert!(begun.elapsed() >= delay * 3, "took {:?}", begun.elapsed());
    }
}

#[test]
fn without_a_journal_fsyncs_are_as_slow_and_a_cut_is_refused() {
    let lab = Lab::new().given("a", "old");
    let delay = Duration::from_millis(60);
    let options = Options { fsync_delay: delay, skip_real_fsync: true, keep_nothing: true, ..Options::default() };
    let begun = Instant::now();
    lab.run_files(&options, &["append a 1", "sync a", "append a 2"]);
    assert!(begun.elapsed() >= delay, "took {:?}", begun.elapsed());
    assert_eq!(lab.cut().expect_err("nothing was kept").code(), "unsupported");
    lab.assert_tree(&[("a", "old12")]);
}

#[test]
fn a_failed_fsync_is_an_io_error_and_makes_nothing_durable() {
    let lab = Lab::new().given("a", "old").given("b", "old");
    let options = Options { fail_from_fsync: Some(2), ..Options::default() };
    let steps = ["append a 1", "sync a", "append a 2", "sync a", "append b 1", "datasync b", "remove b", "sync-folder ."];
    let answers = lab.run_files(&options, &steps);
    assert_eq!(answers, ["ok", "ok", "ok", EIO, "ok", EIO, "ok", EIO]);
    lab.cut().expect("cut");
    lab.assert_tree(&[("a", "old1"), ("b", "old")]);
}

#[test]
fn the_chosen_fsync_kills_before_it_happens() {
    let lab = Lab::new().given("a", "old");
    let options = Options { kill_at_fsync: Some(2), skip_real_fsync: true, ..Options::default() };
    let probe = lab.start_files(&options, &["append a 1", "sync a", "append a 2", "sync-folder .", "sync a", "append a 3"]);
    assert_eq!(probe.killed(), ["ok", "ok", "ok", "ok"]);
    lab.assert_tree(&[("a", "old12")]);
    lab.cut().expect("cut");
    lab.assert_tree(&[("a", "old1")]);
}

#[test]
fn faults_are_switched_while_the_process_runs() {
    let lab = Lab::new().given("a", "old");
    let switches = lab.power().switches().expect("make the switches");
    let step_under = |set: &dyn Fn(bool), step: &str| {
        let mut said = Vec::new();
        let mut probe = lab.start(&Options::default(), &["steps", lab.path("").to_str().expect("utf-8")]);
        for is_on in [false, true, false] {
            set(is_on);
            said.push(probe.asked(step));
        }
        probe.kill();
        said
    };
    let failing = step_under(&|fails| switches.fail_fsync(fails).expect("switch"), "sync a");
    assert_eq!(failing, ["ok", EIO, "ok"]);
    let full = |is_full| switches.fill_up(is_full).expect("switch");
    assert_eq!(step_under(&full, "append a +"), ["ok", ENOSPC, "ok"]);
    assert_eq!(step_under(&full, "write a 0 OLD"), ["ok", "ok", "ok"], "what is there may change");
    assert_eq!(step_under(&full, "shell fallocate -l $(($(stat -c %s a) + 9)) a"), ["ok", "error 0", "ok"]);
    let mut probe = lab.start(&Options::default(), &["steps", lab.path("").to_str().expect("utf-8")]);
    let (delay, begun) = (Duration::from_millis(60), Instant::now());
    switches.delay_fsync(delay).expect("switch");
    assert_eq!(probe.asked("datasync a"), "ok");
    assert!(begun.elapsed() >= delay, "took {:?}", begun.elapsed());
    probe.kill();
    // A cut leaves the switches where they are.
    lab.cut().expect("cut");
    switches.delay_fsync(Duration::ZERO).expect("switch");
    switches.fail_fsync(true).expect("switch");
    assert_eq!(lab.run_files(&Options::default(), &["sync a"]), [EIO]);
}

#[test]
fn a_switch_kills_at_an_fsync_to_come() {
    let lab = Lab::new().given("a", "old");
    let switches = lab.power().switches().expect("make the switches");
    let mut probe = lab.start(&Options::default(), &["steps", lab.path("").to_str().expect("utf-8")]);
    for step in ["append a 1", "sync a", "sync a"] {
        assert_eq!(probe.asked(step), "ok");
    }
    switches.kill_after(2).expect("switch");
    for step in ["append a 2", "sync a", "append a 3"] {
        assert_eq!(probe.asked(step), "ok");
    }
    probe.tell("sync a");
    assert_eq!(probe.killed(), Vec::<String>::new());
    lab.cut().expect("cut");
    lab.assert_tree(&[("a", "old12")]);
}

#[test]
fn names_are_spared_where_a_program_relies_on_it() {
    for (spare_names, left) in [(false, &[][..]), (true, &[("a", "1")][..])] {
        let lab = Lab::new();
        let options = Options { spare_names, ..Options::default() };
        let answers = lab.run_files(&options, &["append a 1", "sync a", "append b 2"]);
        assert_eq!(answers, ["ok", "ok", "ok"]);
        lab.cut().expect("cut");
        lab.assert_tree(left);
    }
}

#[test]
fn a_process_without_the_two_folders_is_left_alone() {
    let status = std::process::Command::new("true").env("LD_PRELOAD", skein_powercut::library()).status();
    assert!(status.expect("start").success());
}
