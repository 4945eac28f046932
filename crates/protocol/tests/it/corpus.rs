//! Replays the fuzz corpus, so that what a fuzzer once found stays found.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
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

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(here("../../fuzz/corpus").join(target)).expect("corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    // The order of a folder is not the same everywhere; a failing case must be.
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("seed")).collect()
}

/// What a fuzzer does first: two seeds one after the other, with some bytes changed.
fn mutated(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let seeds = seeds(target);
    let edits = vec((any::<Index>(), any::<u8>()), 0..6);
    (any::<Index>(), any::<Index>(), edits).prop_map(move |(first, second, edits)| {
        let mut data = [first.get(&seeds).as_slice(), second.get(&seeds).as_slice()].concat();
        for (at, byte) in edits {
            *at.get_mut(&mut data) = byte;
        }
        data
    })
}

proptest! {
    #[test]
    fn frames_near_the_corpus(data in mutated("frame")) {
        fuzzing::frame(&data);
    }

    #[test]
    fn websocket_near_the_corpus(data in mutated("websocket")) {
        fuzzing::websocket(&data);
    }

    #[test]
    fn goim_near_the_corpus(data in mutated("goim")) {
        fuzzing::goim(&data);
    }

    #[test]
    fn envelopes_near_the_corpus(data in mutated("envelope")) {
        fuzzing::envelope(&data);
    }
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
fn goim() {
    replay("goim", fuzzing::goim);
}

#[test]
fn envelopes() {
    replay("envelope", fuzzing::envelope);
}
