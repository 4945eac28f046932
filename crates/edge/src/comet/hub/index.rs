//! What guests and sessions are found by besides their own names; shared by both.

use super::addresses::Addresses;
use super::live::LiveRooms;
use super::missed::Missed;

pub(in crate::comet) struct Index {
    pub rooms: LiveRooms,
    pub addresses: Addresses,
    pub missed: Missed,
}

impl Index {
    pub fn new() -> Self {
        Self { rooms: LiveRooms::new(), addresses: Addresses::default(), missed: Missed::default() }
    }
}
