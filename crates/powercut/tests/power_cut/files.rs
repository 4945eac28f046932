//! What the model says of files and names, case by case.

use crate::lab::Lab;
use skein_powercut::{Error, Options, PowerCut, Undone};
use std::{fs, time::Duration};

#[test]
fn an_unsynced_write_is_undone_and_a_synced_one_stays() {
    let lab = Lab::new().given("a", "0000000000").given("b", "0000000000");
    let undone = lab.lose(&["write a 2 xx", "sync a", "write a 4 yyyyyyyyy", "write b 0 zz"]);
    lab.assert_tree(&[("a", "00xx000000"), ("b", "0000000000")]);
    assert_eq!(undone, Undone { files: 2, names: 0 });
}

#[test]
fn fdatasync_counts_like_fsync() {
    let lab = Lab::new().given("a", "old");
    lab.lose(&["append a +new", "datasync a"]);
    lab.assert_tree(&[("a", "old+new")]);
}

#[test]
fn without_a_cut_nothing_is_undone() {
    let lab = Lab::new().given("a", "old");
    lab.run_files(&Options::default(), &["append a +new", "replace b x"]);
    lab.assert_tree(&[("a", "old+new"), ("b", "x")]);
}

#[test]
fn lengths_are_undone_in_both_directions() {
    let lab = Lab::new().given("grown", "abc").given("cut", "abcdef").given("emptied", "abc").given("both", "abcdef");
    lab.lose(&["resize grown 9", "resize cut 2", "replace emptied xyz-xyz", "resize both 1", "resize both 20", "write both 0 zz"]);
    lab.assert_tree(&[("both", "abcdef"), ("cut", "abcdef"), ("emptied", "abc"), ("grown", "abc")]);
}

#[test]
fn copying_in_the_kernel_is_a_write() {
    let lab = Lab::new().given("from", "new content").given("to", "old");
    lab.lose(&["copy from to"]);
    lab.assert_tree(&[("from", "new content"), ("to", "old")]);
}

#[test]
fn names_come_back_and_go_unless_their_folder_was_synced() {
    let lab = Lab::new().given("removed", "1").given("renamed", "2").given("replaced", "3").given("kept", "4");
    lab.lose(&["remove removed", "rename renamed other", "rename kept replaced", "replace created x", "sync created"]);
    lab.assert_tree(&[("kept", "4"), ("removed", "1"), ("renamed", "2"), ("replaced", "3")]);
    let undone =
        lab.lose(&["remove removed", "rename renamed other", "rename kept replaced", "replace created x", "sync created", "sync-folder ."]);
    lab.assert_tree(&[("created", "x"), ("other", "2"), ("replaced", "4")]);
    assert_eq!(undone, Undone { files: 0, names: 0 });
}

#[test]
fn a_durable_name_does_not_make_the_content_durable() {
    let lab = Lab::new();
    lab.lose(&["replace new content", "sync-folder ."]);
    lab.assert_tree(&[("new", "")]);
}

#[test]
fn an_atomic_replacement_is_old_or_new() {
    let replace = ["replace a.tmp new", "sync a.tmp", "rename a.tmp a", "sync-folder ."];
    for (steps, expected) in [(3, "old"), (4, "new")] {
        let lab = Lab::new().given("a", "old");
        lab.lose(&replace[..steps]);
        lab.assert_tree(&[("a", expected)]);
    }
}

#[test]
fn a_file_removed_while_written_comes_back_as_it_was_synced() {
    let lab = Lab::new().given("a", "old");
    lab.lose(&["hold a", "put 0 OLD", "put-sync", "remove a", "put 0 xxxx", "replace a another"]);
    lab.assert_tree(&[("a", "OLD")]);
}

#[test]
fn folders_links_and_what_is_in_them_are_undone() {
    let lab = Lab::new().given("a", "1").given_folder("old").given("old/b", "2").given_folder("gone");
    lab.lose(&[
        "folder new",
        "replace new/file x",
        "sync new/file",
        "sync-folder new",
        "remove-folder gone",
        "remove-all old",
        "link a hard",
        "symlink a soft",
        "rename a new/a",
    ]);
    lab.assert_tree(&[("a", "1"), ("gone", "/"), ("old", "/"), ("old/b", "2")]);
}

#[test]
fn what_one_process_did_not_sync_the_next_can_lose_or_sync() {
    let lab = Lab::new().given("a", "a").given("b", "b");
    lab.run_files(&Options::default(), &["append a 1", "append b 1", "replace c 1"]);
    lab.lose(&["append a 2", "sync a", "append b 2"]);
    lab.assert_tree(&[("a", "a12"), ("b", "b")]);
}

#[test]
fn a_childs_writes_count_and_forking_does_not_deadlock() {
    let lab = Lab::new().given("a", "old").given("synced", "old");
    let steps = ["append a 1", "shell printf 2 >> a; printf 3 > new; rm synced; echo new > synced", "shell sync a", "append a 4"];
    lab.lose(&steps);
    lab.assert_tree(&[("a", "old12"), ("synced", "old")]);
}

#[test]
fn a_reused_journal_starts_empty_after_a_cut() {
    let lab = Lab::new().given("a", "old");
    lab.lose(&["append a 1", "sync a"]);
    assert_eq!(lab.cut().expect("cut again"), Undone { files: 0, names: 0 });
    lab.assert_tree(&[("a", "old1")]);
}

#[test]
fn an_fsync_covers_nothing_that_begins_during_it() {
    let lab = Lab::new().given("a", "old").given("b", "old");
    let options = Options { fsync_delay: Duration::from_millis(200), ..Options::default() };
    let steps = ["append a 1", "during-sync-of a append a 2", "remove b", "during-sync-of . replace c x", "append a 3"];
    assert_eq!(lab.run_files(&options, &steps), ["ok"; 5]);
    lab.assert_tree(&[("a", "old123"), ("c", "x")]);
    lab.cut().expect("cut");
    lab.assert_tree(&[("a", "old1")]);
}

#[test]
fn a_stream_of_writes_loses_nothing_promised() {
    let lab = Lab::new();
    let file = lab.path("stream");
    fs::write(&file, "").expect("create");
    let options = Options { fsync_delay: Duration::from_millis(2), ..Options::default() };
    let mut probe = lab.start(&options, &["stream", file.to_str().expect("utf-8")]);
    let mut said: Vec<String> = (0..20).filter_map(|_| probe.line()).collect();
    said.extend(probe.kill());
    let promised = said.last().and_then(|line| line.strip_prefix("ack ")?.parse::<u64>().ok()).expect("promises");
    let before = fs::metadata(&file).expect("look").len();
    lab.cut().expect("cut");
    let kept = fs::read(&file).expect("read");
    assert!(kept.len() as u64 >= promised, "{} bytes kept of {promised} promised", kept.len());
    assert!((kept.len() as u64) < before, "nothing was lost of {before} bytes, though the writer never stopped");
    for (number, bytes) in kept.chunks_exact(8).enumerate() {
        assert_eq!(bytes, (number as u64).to_le_bytes());
    }
}

#[test]
fn a_cut_waits_for_nobody_and_touches_nothing_of_the_living() {
    let lab = Lab::new().given("a", "old");
    let mut probe = lab.start_files(&Options::default(), &["append a 1"]);
    probe.until("ready");
    assert!(matches!(lab.cut(), Err(Error::StillRunning)));
    lab.assert_tree(&[("a", "old1")]);
    probe.kill();
    lab.cut().expect("cut the dead");
    lab.assert_tree(&[("a", "old")]);
}

#[test]
fn what_cannot_be_undone_fails_the_cut() {
    let lab = Lab::new().given_folder("old");
    lab.run_files(&Options::default(), &["rename old new"]);
    let error = lab.cut().expect_err("a folder was renamed");
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert_eq!(error.code(), "unsupported");
}

#[test]
fn a_journal_inside_the_data_folder_is_refused() {
    let root = tempfile::tempdir().expect("make a folder");
    assert!(matches!(PowerCut::new(root.path(), &root.path().join("journal")), Err(Error::Misplaced)));
}
