//! Bodies made shorter by raw DEFLATE (RFC 1951), each on its own: no state between frames, so one deflated push is
//! shared by all its receivers.
//!
//! **Invariant:** inflating never yields, nor reserves, more than the limit of the connection.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Below this a body is sent as it is: the gain would not be worth the work.
pub const BODY_BYTES_MIN: usize = 512;

/// Why a body cannot be made as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is at least so long.
    TooLarge {
        len: usize,
    },
    Damaged,
}

/// `None` when the body is small or would not become shorter.
pub(crate) fn deflate(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < BODY_BYTES_MIN {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() - 1);
    let mut stream = Compress::new(Compression::fast(), false);
    match stream.compress_vec(body, &mut out, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => Some(out),
        // It ran out of room before it was shorter.
        Ok(_) | Err(_) => None,
    }
}

/// The whole of `deflated` must be one stream.
pub(crate) fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Bytes, InflateError> {
    let mut out = Vec::with_capacity(deflated.len().saturating_mul(4).min(bytes_max));
    let mut stream = Decompress::new(false);
    loop {
        let taken = stream.total_in() as usize;
        let status = stream.decompress_vec(&deflated[taken..], &mut out, FlushDecompress::Finish);
        let all_taken = stream.total_in() as usize == deflated.len();
        match status {
            _ if out.len() > bytes_max => return Err(InflateError::TooLarge { len: out.len() }),
            Ok(Status::StreamEnd) if all_taken => return Ok(out.into()),
            Ok(Status::Ok | Status::BufError) if out.len() == out.capacity() => grow(&mut out, bytes_max),
            _ => return Err(InflateError::Damaged),
        }
    }
}

/// Doubles the room, up to one byte more than allowed: filling that one is the proof of too much.
fn grow(out: &mut Vec<u8>, bytes_max: usize) {
    let room_max = bytes_max.saturating_add(1).saturating_sub(out.len());
    out.reserve_exact(out.len().max(BODY_BYTES_MIN).min(room_max));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_is_deflated_inflates_to_the_same() {
        for len in [512, 513, 4096, 65_520] {
            let body: Vec<u8> = (0..len).map(|at| b"the quick brown fox "[at % 20]).collect();
            let deflated = deflate(&body).expect("text becomes shorter");
            assert!(deflated.len() < len / 2, "{len} became {}", deflated.len());
            assert_eq!(inflate(&deflated, len).expect("inflates"), body);
        }
    }

    #[test]
    fn what_would_not_become_shorter_is_left_alone() {
        assert_eq!(deflate(&[0; BODY_BYTES_MIN - 1]), None);
        assert_eq!(deflate(&noise(2000)), None);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let bomb = deflate(&vec![0; 10 * 1024 * 1024]).expect("zeros become shorter");
        let one_more = |max| deflate(&vec![0; max + 1]).expect("zeros become shorter");
        for max in [511, 4096, 65_520] {
            let refused = Err(InflateError::TooLarge { len: max + 1 });
            assert_eq!(inflate(&bomb, max), refused);
            assert_eq!(inflate(&one_more(max), max), refused);
        }
        assert!(matches!(inflate(&bomb, 0), Err(InflateError::TooLarge { .. })));
    }

    #[test]
    fn a_cut_a_tail_and_rubbish_are_refused() {
        let deflated = deflate(&[7; 4096]).expect("shorter");
        for len in 0..deflated.len() {
            assert_eq!(inflate(&deflated[..len], 4096), Err(InflateError::Damaged), "cut at {len}");
        }
        assert_eq!(inflate(&[&deflated[..], b"x"].concat(), 4096), Err(InflateError::Damaged));
        assert!(inflate(&noise(600), 4096).is_err());
    }
}
