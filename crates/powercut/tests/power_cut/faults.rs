//! Planted faults: slow, failing and deadly fsyncs.

use crate::lab::Lab;
use skein_powercut::Options;
use std::time::{Duration, Instant};

const EIO: &str = "error 5";

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
fn a_process_without_the_two_folders_is_left_alone() {
    let status = std::process::Command::new("true").env("LD_PRELOAD", skein_powercut::library()).status();
    assert!(status.expect("start").success());
}
