//! How often something may happen, by key, over all workers: the generic cell rate algorithm (ITU-T I.371), which needs one
//! number for each key: when it would have been used up if it had been asked for at its rate.

use super::Table;
use tokio::time::Instant;

/// The rates of one plugin in one pool.
#[derive(Debug)]
pub(in crate::plugin) struct Rates {
    /// Nanoseconds since `began`.
    used_up: Table,
    began: Instant,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Default for Rates {
    fn default() -> Self {
        Rates { used_up: Table::default(), began: Instant::now() }
    }
}

impl Rates {
    /// Whether it may happen once more: `burst` times at once, and then `per_second` times a second.
    pub(in crate::plugin) fn take(&self, key: u64, per_second: u32, burst: u32) -> bool {
        let Some(each_ns) = SECOND_NS.checked_div(per_second.into()) else { return false };
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let until_ns = now_ns.saturating_add(each_ns.saturating_mul(burst.into()));
        let taken = |used_up: Option<u64>| {
            let next = used_up.unwrap_or(0).max(now_ns).saturating_add(each_ns);
            (next <= until_ns).then_some(next)
        };
        self.used_up.change(key, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_the_rate() {
        let rates = Rates::default();
        let taken = |key, asked: u32| (0..asked).filter(|_| rates.take(key, 10, 5)).count();
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!((taken(1, 20), taken(2, 20)), (5, 5), "each key by itself");
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(taken(1, 20), 2);
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(taken(1, 20), 1, "what was refused did not count");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(taken(1, 20), 5, "no more than a burst is saved up");
        assert!(!rates.take(3, 0, 5) && !rates.take(3, 10, 0));
    }
}
