//! How many retries a pool may send: a share of its requests, so that a backend in trouble is not met by twice the load,
//! and a few a second in any case, so that a pool with little traffic can retry too. Finagle's `RetryBudget`: tokens that
//! requests earn and retries cost, of which those of the last [`WINDOW`] count.
//!
//! A request earns its share without doing anything: attempts are counted by the backends' figures anyway, and a retry
//! looks at how many there were since the last one. So nothing of this is on the way of a request that needs no retry.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// How long what was earned can be spent.
const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_MS: u64 = WINDOW.as_millis() as u64;
/// Retries that a pool may send each second, however few its requests are.
const PER_SECOND_LEAST: u64 = 10;
/// What one retry costs; tokens are counted in thousandths of that.
const RETRY: u64 = 1000;

/// One pool's budget; shared by all workers, without a lock.
#[derive(Debug)]
pub(super) struct Budget {
    /// What one attempt earns.
    earned: u64,
    tokens: AtomicU64,
    /// Attempts that have earned already.
    counted: AtomicU64,
    /// When time has earned last, in milliseconds since `begun`.
    looked_ms: AtomicU64,
    begun: Instant,
}

impl Budget {
    /// `share` in per cent; `attempts` were there before.
    pub(super) fn new(share: u32, attempts: u64, now: Instant) -> Budget {
        Budget {
            earned: u64::from(share) * (RETRY / 100),
            tokens: AtomicU64::new(PER_SECOND_LEAST * RETRY * WINDOW.as_secs()),
            counted: AtomicU64::new(attempts),
            looked_ms: AtomicU64::new(0),
            begun: now,
        }
    }

    /// The budget of the same pool with another share, or with other backends: what was earned can be spent still. `had`: all
    /// attempts of those that were there; `has`: of those that are now.
    pub(super) fn successor(&self, share: u32, had: u64, has: u64) -> Budget {
        let to_earn = had.saturating_sub(self.counted.load(Relaxed));
        Budget {
            tokens: AtomicU64::new(self.tokens.load(Relaxed)),
            looked_ms: AtomicU64::new(self.looked_ms.load(Relaxed)),
            ..Budget::new(share, has.saturating_sub(to_earn), self.begun)
        }
    }

    /// Pays for a retry, if there is enough. `attempts`: of all backends together, ever.
    pub(super) fn pay(&self, attempts: u64, now: Instant) -> bool {
        let now_ms = u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        // What two workers see at the same time is earned once: each gets the part behind what the other has seen.
        let passed_ms = now_ms.saturating_sub(self.looked_ms.fetch_max(now_ms, Relaxed));
        let requests = attempts.saturating_sub(self.counted.fetch_max(attempts, Relaxed));
        let income = requests * self.earned + passed_ms * (PER_SECOND_LEAST * RETRY / 1000);
        // Of a longer time only the last part of it counts.
        let income = income / passed_ms.div_ceil(WINDOW_MS).max(1);
        let balance = |tokens: u64| tokens - tokens * passed_ms.min(WINDOW_MS) / WINDOW_MS + income;
        let paid = |tokens: u64| balance(tokens).checked_sub(RETRY);
        // Never an error: there is always a new value.
        let before = self.tokens.fetch_update(Relaxed, Relaxed, |t| Some(paid(t).unwrap_or(balance(t))));
        let is_paid = before.is_ok_and(|tokens| paid(tokens).is_some());
        if is_paid {
            // The attempt that it pays for earns nothing.
            self.counted.fetch_add(1, Relaxed);
        }
        is_paid
    }

    /// What was paid for did not come about.
    pub(super) fn take_back(&self) {
        self.tokens.fetch_add(RETRY, Relaxed);
        // Nor did the attempt that earns nothing.
        self.counted.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const RESERVE: u64 = PER_SECOND_LEAST * WINDOW.as_secs();

    /// How many retries can be paid now.
    fn spend(budget: &Budget, attempts: u64) -> u64 {
        (0..).take_while(|retries| budget.pay(attempts + retries, Instant::now())).count() as u64
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_without_traffic_has_a_few_a_second() {
        let budget = Budget::new(20, 0, Instant::now());
        assert_eq!(spend(&budget, 0), RESERVE);
        advance(Duration::from_secs(1)).await;
        assert_eq!(spend(&budget, 0), PER_SECOND_LEAST);
        advance(WINDOW * 1000).await;
        assert!(spend(&budget, 0).abs_diff(RESERVE) <= 1, "what was earned long ago is worth nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_goes_on_with_what_is_left() {
        let budget = Budget::new(20, 5000, Instant::now());
        assert_eq!(spend(&budget, 5000), RESERVE);
        // Who left had 4000 of the attempts; 50 were asked since.
        let had = 5000 + RESERVE + 50;
        let budget = budget.successor(20, had, had - 4000);
        assert_eq!(spend(&budget, had - 4000), 10);
        advance(Duration::from_secs(1)).await;
        // Who was asked again has earned nothing.
        let had = had - 4000 + 10;
        assert_eq!(spend(&budget.successor(20, had, had), had), PER_SECOND_LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_earn_their_share_and_retries_do_not() {
        let budget = Budget::new(20, 5000, Instant::now());
        assert_eq!(spend(&budget, 5000), RESERVE, "what was there before has earned nothing");
        assert_eq!(spend(&budget, 5000 + RESERVE + 1000), 200);
        assert_eq!(spend(&budget, 5000 + RESERVE + 1000 + 200), 0);
        let none = Budget::new(0, 0, Instant::now());
        assert_eq!(spend(&none, 1_000_000), RESERVE);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_what_was_earned_is_left_after_half_the_window() {
        let budget = Budget::new(100, 0, Instant::now());
        assert_eq!(spend(&budget, 0), RESERVE);
        assert!(budget.pay(1000 + RESERVE, Instant::now()));
        advance(WINDOW / 2).await;
        assert_eq!(spend(&budget, 1000 + RESERVE + 1), 999 / 2 + RESERVE / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_paid_for_in_vain_is_there_again() {
        let budget = Budget::new(20, 0, Instant::now());
        for _ in 0..10 * RESERVE {
            assert!(budget.pay(0, Instant::now()));
            budget.take_back();
        }
        assert_eq!(spend(&budget, 0), RESERVE);
    }

    #[test]
    fn workers_that_look_at_the_same_time_earn_once() {
        let budget = Budget::new(100, 0, Instant::now());
        let now = Instant::now();
        let paid = || (0..1000).filter(|_| budget.pay(500, now)).count() as u64;
        let paid: u64 = std::thread::scope(|scope| {
            let workers = [(); 4].map(|()| scope.spawn(paid));
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert!((500..=500 + RESERVE + 1).contains(&paid), "{paid}");
    }
}
