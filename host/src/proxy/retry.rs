//! Whether a request that was lost goes out once more, and when. Sent again is what no backend can have seen, and what may
//! be done twice and was not answered with a single byte; each request a few times at the most, all of a pool's together
//! within its budget.

use crate::{
    config::model::{self, PoolTimeout},
    figures::PoolCounts,
    rng::Rng,
    upstream::{ErrorKind, ExchangeError, Limits, Pool, Retry},
};
use http::Method;
use std::time::Duration;
use tokio::time::Instant;

/// Before any retry, however many there were.
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// What one request may still take.
pub(super) struct Retries<'a> {
    pool: &'a Pool,
    is_idempotent: bool,
    /// Of all attempts together.
    limits: Limits,
    /// Attempts that a backend may have seen, and that were repeated.
    sent: u32,
}

impl<'a> Retries<'a> {
    pub(super) fn new(pool: &'a Pool, method: &Method, now: Instant) -> Retries<'a> {
        let limits = Limits {
            head: now + pool.timeout.head,
            idle: pool.timeout.idle,
            end: pool.timeout.total.map(|total| now + total),
            tunnel: pool.timeout.tunnel,
            stall: None,
        };
        Retries { pool, is_idempotent: method.is_idempotent(), limits, sent: 0 }
    }

    /// Whether the request may be done twice.
    pub(super) fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    /// When the answer's head must be there.
    pub(super) fn until(&self) -> Instant {
        until(&self.limits)
    }

    /// How long the attempt may take that begins now.
    pub(super) fn limits(&self, now: Instant) -> Limits {
        let head = self.pool.timeout.per_try.map_or(self.limits.head, |most| self.limits.head.min(now + most));
        Limits { head, stall: self.stall(now), ..self.limits }
    }

    /// From when on a stall of its backend sends the request elsewhere; none: it may not be sent again.
    fn stall(&self, now: Instant) -> Option<Instant> {
        let after = self.pool.eject.as_ref()?.stall?;
        (self.is_idempotent && self.sent < self.pool.retry.most).then(|| now + after)
    }

    /// The pool's limits; a connect has no more time than the attempt.
    pub(super) fn timeout(&self, limits: &Limits, now: Instant) -> PoolTimeout {
        let left = until(limits).saturating_duration_since(now);
        let timeout = self.pool.timeout;
        PoolTimeout { connect: timeout.connect.min(left), ..timeout }
    }

    /// Whether a kept connection that was lost is replaced by a new one to the same backend. It says nothing about the
    /// backend, so the first time that costs no retry: a backend that is dying loses both.
    pub(super) fn may_reconnect(&self, lost: &ExchangeError) -> bool {
        // One that stands and is silent did not die of age.
        let died = matches!(lost.error.kind, ErrorKind::Closed | ErrorKind::Broken(_) | ErrorKind::GoneAway);
        died && lost.reused && self.sent == 0 && self.may_repeat(lost, Instant::now())
    }

    /// Whether another backend is asked after this, and after which pause. Counts it.
    pub(super) fn goes_on(&mut self, lost: &ExchangeError, counts: &PoolCounts, rng: &mut Rng) -> Option<Duration> {
        let now = Instant::now();
        if !self.may_repeat(lost, now) {
            return None;
        }
        if !lost.error.sent {
            return Some(Duration::ZERO);
        }
        if self.sent == self.pool.retry.most {
            return None;
        }
        if !self.pool.pays(now) {
            counts.retries_refused.up();
            return None;
        }
        counts.retries.up();
        self.sent += 1;
        let pause = pause(&self.pool.retry, self.sent, rng);
        (now + pause < self.until()).then_some(pause)
    }

    /// As far as this loss and the time go.
    fn may_repeat(&self, lost: &ExchangeError, now: Instant) -> bool {
        let may = match lost.error.retry() {
            Retry::Unsent => true,
            Retry::Idempotent => self.is_idempotent && !lost.answered,
            Retry::No => false,
        };
        may && now < self.until()
    }
}

/// When an attempt's head must be there.
fn until(limits: &Limits) -> Instant {
    limits.end.map_or(limits.head, |end| end.min(limits.head))
}

/// Before the retry of this number, from 1: twice as long each time, and less by up to half of it, so that what was lost
/// together does not come back together.
fn pause(retry: &model::Retry, number: u32, rng: &mut Rng) -> Duration {
    let whole = retry.backoff.saturating_mul(1 << (number - 1).min(16)).min(PAUSE_MOST);
    whole.mul_f64(1.0 - (rng.bits() >> 12) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::model::Backend, figures::Figures, upstream::Error};
    use std::{io, net::SocketAddr, sync::Arc};
    use tokio::time::advance;

    fn pool(change: impl FnOnce(&mut model::Pool)) -> Arc<Pool> {
        let backends = vec![Backend::new("a", SocketAddr::from(([127, 0, 0, 1], 1)))];
        let mut config = model::Pool::new("test", backends);
        change(&mut config);
        Pool::new(&config, &Figures::default()).unwrap()
    }

    fn lost(kind: ErrorKind, sent: bool) -> ExchangeError {
        ExchangeError { error: Error { kind, sent }, answered: false, reused: false }
    }

    fn closed() -> ExchangeError {
        lost(ErrorKind::Closed, true)
    }

    fn refused() -> ExchangeError {
        lost(ErrorKind::Connect(io::ErrorKind::ConnectionRefused.into()), false)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_safe_is_sent_again() {
        let pool = pool(|_| {});
        let goes_on = |method: Method, lost: &ExchangeError| {
            Retries::new(&pool, &method, Instant::now()).goes_on(lost, pool.figures.of(0), &mut Rng::new(7)).is_some()
        };
        for (method, again) in [(Method::GET, true), (Method::PUT, true), (Method::POST, false), (Method::PATCH, false)]
        {
            assert_eq!(goes_on(method.clone(), &closed()), again, "{method}, sent");
            assert!(goes_on(method.clone(), &lost(ErrorKind::Closed, false)), "{method}, unsent");
            assert!(goes_on(method.clone(), &refused()), "{method}, refused");
            assert!(!goes_on(method.clone(), &ExchangeError { answered: true, ..closed() }), "{method}, answered");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_is_sent_again_as_often_as_configured_and_refused_connects_are_free() {
        for most in [0, 1, 3] {
            let pool = pool(|pool| pool.retry.most = most);
            let mut retries = Retries::new(&pool, &Method::GET, Instant::now());
            let mut rng = Rng::new(7);
            for _ in 0..most {
                assert_eq!(retries.goes_on(&refused(), pool.figures.of(0), &mut rng), Some(Duration::ZERO));
                assert!(retries.goes_on(&closed(), pool.figures.of(0), &mut rng).is_some());
            }
            assert_eq!(retries.goes_on(&closed(), pool.figures.of(0), &mut rng), None, "{most}");
            assert_eq!(pool.figures.of(0).retries.get(), u64::from(most));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_requests_of_a_pool_share_its_budget() {
        let pool = pool(|pool| pool.retry.budget = 0);
        let goes_on = |_: u64| {
            Retries::new(&pool, &Method::GET, Instant::now())
                .goes_on(&closed(), pool.figures.of(0), &mut Rng::new(7))
                .is_some()
        };
        let allowed = (0..1000).filter(|&n: &u64| goes_on(n)).count() as u64;
        assert!(allowed < 200, "{allowed}");
        assert_eq!(
            (pool.figures.of(0).retries.get(), pool.figures.of(0).retries_refused.get()),
            (allowed, 1000 - allowed)
        );
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let retry = model::Retry { backoff: Duration::from_millis(100), ..Default::default() };
        let mut rng = Rng::new(7);
        for (number, whole) in [(1, 100), (2, 200), (4, 800), (5, 1000), (40, 1000)] {
            let pauses: Vec<_> = (0..100).map(|_| pause(&retry, number, &mut rng)).collect();
            let (least, most) = (Duration::from_millis(whole / 2), Duration::from_millis(whole));
            assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{number}: {pauses:?}");
            assert!(pauses.iter().max() > pauses.iter().min(), "{number}");
        }
        let none = model::Retry { backoff: Duration::ZERO, ..retry };
        assert_eq!(pause(&none, 3, &mut rng), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_has_its_own_time_and_all_have_the_requests() {
        let pool = pool(|pool| {
            pool.timeout.head = Duration::from_secs(10);
            pool.timeout.per_try = Some(Duration::from_secs(4));
            pool.retry.most = 9;
        });
        let mut retries = Retries::new(&pool, &Method::GET, Instant::now());
        let mut had = Vec::new();
        loop {
            let limits = retries.limits(Instant::now());
            let left = limits.head - Instant::now();
            had.push(left.as_secs());
            assert_eq!(retries.timeout(&limits, Instant::now()).connect, Duration::from_secs(1).min(left));
            advance(left).await;
            let Some(pause) =
                retries.goes_on(&lost(ErrorKind::HeadTimeout, true), pool.figures.of(0), &mut Rng::new(7))
            else {
                break;
            };
            advance(pause).await;
        }
        assert_eq!(had, [4, 4, 1]);
    }
}
