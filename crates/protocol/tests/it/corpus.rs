//! Replays the fuzz corpus, so that what a fuzzer once found stays found.

use std::fs;

use skein_protocol::fuzzing;

use crate::here;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = here("../../fuzz/corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("entry").path();
        let data = fs::read(&path).expect("seed");
        println!("replay {}", path.display());
        check(&data);
        // A seed is one valid input: everything near it is worth a look as well.
        for len in 0..data.len().min(200) {
            check(&data[..len]);
        }
        for at in 0..data.len().min(200) {
            let mut flipped = data.clone();
            flipped[at] ^= 0x81;
            check(&flipped);
        }
        seeds += 1;
    }
    assert!(seeds >= 4, "{target} has {seeds} seeds");
}

#[test]
fn frames() {
    replay("frame", fuzzing::frame);
}

#[test]
fn websocket() {
    replay("websocket", fuzzing::websocket);
}

#[test]
fn envelopes() {
    replay("envelope", fuzzing::envelope);
}
