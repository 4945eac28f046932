//! From how many different addresses the logged-in connections come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(in crate::comet) struct Addresses(Mutex<HashMap<IpAddr, u32>>);

impl Addresses {
    pub fn add(&self, address: IpAddr) {
        *self.lock().entry(address).or_default() += 1;
    }

    pub fn remove(&self, address: IpAddr) {
        let mut addresses = self.lock();
        if let Some(connections) = addresses.get_mut(&address) {
            *connections -= 1;
            if *connections == 0 {
                addresses.remove(&address);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_until_its_last_connection_goes() {
        let (addresses, [one, other]) = (Addresses::default(), [1, 2].map(|last| IpAddr::from([10, 0, 0, last])));
        [one, one, other].into_iter().for_each(|address| addresses.add(address));
        assert_eq!(addresses.len(), 2);
        addresses.remove(one);
        assert_eq!(addresses.len(), 2);
        [one, other].into_iter().for_each(|address| addresses.remove(address));
        assert_eq!(addresses.len(), 0);
    }
}
