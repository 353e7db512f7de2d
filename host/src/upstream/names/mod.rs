//! Backends by name: what a name stands for, looked up again and again as the answers grow old. That becomes backends above
//! this room, before pools are made, so that nothing else here knows of names.

mod ask;
mod follow;
mod servers;

pub use ask::HOSTS_MOST;
pub use follow::{Names, News, first};

use std::{net::SocketAddr, time::Duration};

/// Addresses of one name that become backends; of more, the first in their order.
pub const ADDRESSES_MOST: usize = 256;
/// An answer is believed for so long at least, whatever it says itself: nobody is asked more often.
const TTL_LEAST: Duration = Duration::from_secs(1);
/// And for no longer than this.
const TTL_MOST: Duration = Duration::from_secs(300);

/// An address that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Tier of the service's record, 0 of a host.
    pub priority: u32,
    /// Where.
    pub address: SocketAddr,
    /// Share of the service's record, 1 to 1000; none of a host.
    pub weight: Option<u32>,
    /// Which host has this address.
    host: String,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// By priority and address; never empty, each address once.
    pub found: Vec<Found>,
    /// How long that may be believed.
    pub ttl: Duration,
    /// Nobody can say anything of a part; there it is as it was before.
    pub is_partial: bool,
    /// There is more than is taken.
    pub is_cut: bool,
}

impl Answer {
    /// None when nothing was found.
    fn new(mut found: Vec<Found>, ttl_s: u32) -> Option<Answer> {
        // An address with two priorities has the first of them.
        found.sort_by_key(|found| (found.address, found.priority));
        found.dedup_by_key(|found| found.address);
        found.sort();
        let is_cut = found.len() > ADDRESSES_MOST;
        found.truncate(ADDRESSES_MOST);
        let ttl = Duration::from_secs(ttl_s.into()).clamp(TTL_LEAST, TTL_MOST);
        (!found.is_empty()).then_some(Answer { found, ttl, is_partial: false, is_cut })
    }
}

#[cfg(test)]
impl Found {
    /// A host's.
    pub(crate) fn of_host(host: &str, address: SocketAddr) -> Found {
        Found { priority: 0, address, weight: None, host: host.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(priority: u32, last: u8) -> Found {
        Found { priority, ..Found::of_host("a", ([10, 0, 0, last], 80).into()) }
    }

    #[test]
    fn an_answer_has_an_order_and_each_address_once() {
        let answer = Answer::new(vec![found(1, 2), found(0, 3), found(0, 2), found(0, 1), found(2, 1)], 60).unwrap();
        assert_eq!(answer.found, [found(0, 1), found(0, 2), found(0, 3)]);
        assert_eq!(Answer::new(Vec::new(), 60), None);
        let all = (0..=255)
            .flat_map(|last| [found(0, last), found(1, last), Found::of_host("b", ([10, 0, 1, last], 1).into())]);
        let cut = Answer::new(all.collect(), 60).unwrap();
        assert_eq!((cut.found.len(), cut.is_cut, answer.is_cut), (ADDRESSES_MOST, true, false));
    }

    #[test]
    fn how_long_an_answer_is_believed_is_bounded() {
        let ttl = |seconds| Answer::new(vec![found(0, 1)], seconds).unwrap().ttl.as_secs();
        assert_eq!([0, 1, 60, 86_400].map(ttl), [1, 1, 60, 300]);
    }
}
