//! Guests that goim's comets have told us of. goim names a connection by its key alone; the registry behind the door wants
//! a generation, too, so that the end of an older connection does not take the newer one's place.
//!
//! **Invariant:** a comet tells of the end of each connection once, and of those with one key in the order of their
//! beginning: the end of a key is the end of its oldest generation.
//!
//! **Bound:** [`GUESTS_MAX`] keys, [`CONNECTIONS_MAX`] connections a key. At the bound keys that were not heard of for
//! [`SILENT_MAX`] are forgotten; if there are none, one more is refused.

use skein_domain::id::Generation;
use skein_domain::live::{GuestKey, GuestRef, Mid};
use skein_domain::{Code, Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const GUESTS_MAX: usize = 1_000_000;
const CONNECTIONS_MAX: usize = 8;
/// goim tells of a connection that lives at least every 30 minutes.
const SILENT_MAX: Duration = Duration::from_secs(3_600);

pub struct Roster {
    state: Mutex<State>,
    guests_max: usize,
}

#[derive(Default)]
struct State {
    servers: HashMap<String, HashMap<GuestKey, Entry>>,
    guests: usize,
    last: i64,
}

struct Entry {
    mid: Mid,
    generations: VecDeque<Generation>,
    heard: Instant,
}

impl Roster {
    pub fn new() -> Self {
        Self::of(GUESTS_MAX)
    }

    fn of(guests_max: usize) -> Self {
        Self { state: Mutex::default(), guests_max }
    }

    /// For a connection about to be registered.
    pub fn next_generation(&self) -> Generation {
        let mut state = self.state();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        state.last = (now << Generation::COUNTER_BITS).max(state.last + 1);
        Generation(state.last)
    }

    pub fn connected(&self, server: &str, mid: Mid, guest: GuestRef) -> Result<()> {
        let mut state = self.state();
        if state.guests >= self.guests_max {
            state.forget_silent();
        }
        let is_known = state.servers.get(server).is_some_and(|guests| guests.contains_key(&guest.key));
        if !is_known && state.guests >= self.guests_max {
            return Err(Error::new(Code::Busy, "too many guests of goim's comets").retry_after(60_000));
        }
        state.guests += usize::from(!is_known);
        let guests = state.servers.entry(server.to_owned()).or_default();
        let entry = guests.entry(guest.key).or_insert_with(|| Entry { mid, generations: VecDeque::new(), heard: Instant::now() });
        (entry.mid, entry.heard) = (mid, Instant::now());
        entry.generations.push_back(guest.generation);
        if entry.generations.len() > CONNECTIONS_MAX {
            entry.generations.pop_front();
        }
        Ok(())
    }

    /// The connection of that key that began first, which is no more.
    pub fn ended(&self, server: &str, key: &GuestKey) -> Option<GuestRef> {
        let mut state = self.state();
        let guests = state.servers.get_mut(server)?;
        let entry = guests.get_mut(key)?;
        let generation = entry.generations.pop_front();
        if entry.generations.is_empty() {
            guests.remove(key);
            let is_empty = guests.is_empty();
            state.guests -= 1;
            if is_empty {
                state.servers.remove(server);
            }
        }
        generation.map(|generation| GuestRef { key: key.clone(), generation })
    }

    /// The newest connection of a key that lives.
    pub fn alive(&self, server: &str, key: &GuestKey) -> Option<GuestRef> {
        let mut state = self.state();
        let entry = state.servers.get_mut(server)?.get_mut(key)?;
        entry.heard = Instant::now();
        entry.generations.back().map(|generation| GuestRef { key: key.clone(), generation: *generation })
    }

    /// All that live at a comet.
    pub fn of_server(&self, server: &str) -> Vec<(Mid, GuestRef)> {
        let state = self.state();
        let guests = state.servers.get(server).into_iter().flatten();
        guests.filter_map(|(key, entry)| Some((entry.mid, GuestRef { key: key.clone(), generation: *entry.generations.back()? }))).collect()
    }

    /// Poison means a panic between plain assignments; what is there is sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn forget_silent(&mut self) {
        for guests in self.servers.values_mut() {
            guests.retain(|_, entry| entry.heard.elapsed() < SILENT_MAX);
        }
        self.servers.retain(|_, guests| !guests.is_empty());
        self.guests = self.servers.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> GuestKey {
        GuestKey::parse(name).unwrap()
    }

    fn guest(name: &str, generation: i64) -> GuestRef {
        GuestRef { key: key(name), generation: Generation(generation) }
    }

    #[test]
    fn generations_grow() {
        let roster = Roster::of(1);
        let all: Vec<i64> = (0..1_000).map(|_| roster.next_generation().0).collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_end_of_an_older_connection_is_not_that_of_the_newer() {
        let roster = Roster::of(10);
        roster.connected("comet-1", Mid(5), guest("k", 1)).unwrap();
        roster.connected("comet-1", Mid(5), guest("k", 2)).unwrap();
        assert_eq!(roster.ended("comet-1", &key("k")), Some(guest("k", 1)));
        assert_eq!(roster.alive("comet-1", &key("k")), Some(guest("k", 2)));
        assert_eq!(roster.of_server("comet-1"), [(Mid(5), guest("k", 2))]);
        assert_eq!(roster.ended("comet-1", &key("k")), Some(guest("k", 2)));
        assert_eq!(roster.ended("comet-1", &key("k")), None);
        assert!(roster.state().servers.is_empty() && roster.state().guests == 0, "nothing is left behind");
    }

    #[test]
    fn servers_have_guests_of_their_own() {
        let roster = Roster::of(10);
        roster.connected("comet-1", Mid(5), guest("k", 1)).unwrap();
        assert_eq!(roster.ended("comet-2", &key("k")), None);
        assert_eq!(roster.alive("comet-2", &key("k")), None);
        assert!(roster.of_server("comet-2").is_empty());
    }

    #[test]
    fn at_the_bound_newcomers_are_refused_and_known_ones_are_not() {
        let roster = Roster::of(2);
        roster.connected("s", Mid(1), guest("a", 1)).unwrap();
        roster.connected("s", Mid(1), guest("b", 2)).unwrap();
        assert_eq!(roster.connected("s", Mid(1), guest("c", 3)).unwrap_err().code, Code::Busy);
        for generation in 4..40 {
            roster.connected("s", Mid(1), guest("b", generation)).unwrap();
        }
        let longest = roster.state().servers["s"].values().map(|entry| entry.generations.len()).max();
        assert_eq!(longest, Some(CONNECTIONS_MAX));
    }
}
