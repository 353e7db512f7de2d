//! Servers of language models by what they report: the shortest queue and the freest cache serve; a prompt whose beginning
//! is known goes where it is cached, unless that is crowded.

use pointsman_sdk::{hashing::Key, host::figures::Reported, prelude::*};
use serde::Deserialize;
use std::collections::HashMap;

/// What a full cache weighs, in requests that wait.
const CACHE: f64 = 8.0;
/// No queue is longer.
const QUEUE_MOST: f64 = 1e6;
/// Above this use of its cache a server throws out what it will need again: it is the last choice.
const CACHE_FULL: f64 = 0.95;
const LAST_CHOICE: f64 = 1e6;
/// For so long what was reported is not asked for again: reports come with answers, and those are not that quick.
const READ_EVERY_US: u64 = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// What tells that two prompts begin alike.
    prefix: Key,
    /// How many more requests may wait where the prefix is cached.
    slack: f64,
    /// For how long after its last request a prefix is known.
    remember_s: u32,
    /// Under which names queue and cache are reported.
    queue: String,
    cache: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            prefix: Key::header("x-prefix"),
            slack: 4.0,
            remember_s: 600,
            queue: "named_metrics.num_requests_waiting".into(),
            cache: "named_metrics.kv_cache_usage_perc".into(),
        }
    }
}

struct LlmQueue {
    settings: Settings,
    queue: Reported,
    cache: Reported,
    /// By position: requests that wait, and what the cache weighs; and when they were read.
    reported: Vec<(f64, f64)>,
    read_us: Option<u64>,
    /// Of the ready backends, by id.
    positions: HashMap<u64, Position>,
}

impl Balancer for LlmQueue {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let [queue, cache] = [&settings.queue, &settings.cache].map(|name| Reported::named(name));
        let (reported, read_us, positions) = (Vec::new(), None, HashMap::new());
        Ok(LlmQueue { settings, queue, cache, reported, read_us, positions })
    }

    fn update(&mut self, pool: &Pool) {
        self.read_us = None;
        self.positions = pool.ready().iter().zip(0..).map(|(backend, at)| (backend.id, at)).collect();
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if self.read_us.is_none_or(|read| turn.now_us.saturating_sub(read) > READ_EVERY_US) {
            self.read();
            self.read_us = Some(turn.now_us);
        }
        let under_way = figures::all_in_flight();
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let cost = |at: Position| {
            let (backend, (waiting, cache)) = (&pool.ready()[at as usize], self.reported[at as usize]);
            let may = backend.weight > 0 && !tried.contains(&at);
            may.then(|| (waiting + f64::from(under_way[at as usize])) / f64::from(backend.weight) + cache)
        };

        // From a place drawn by chance, so that equals get equally much.
        let first = turn.below(0, pool.len());
        let all = (first..pool.len()).chain(0..first);
        let costs = all.filter_map(|at| Some((cost(at)?, at)));
        let Some((least, best)) = costs.min_by(|(a, _), (b, _)| a.total_cmp(b)) else { return Decision::Pass };

        let Some(prefix) = self.settings.prefix.find(turn) else { return Decision::Choose(best) };
        let home = shared::recall(prefix).and_then(|id| self.positions.get(&id).copied());
        let at = match home {
            Some(home) if cost(home).is_some_and(|cost| cost <= least + self.settings.slack) => home,
            _ => best,
        };
        // By its id, for the table outlives these positions. Anew each time, so that what is used stays known.
        let ttl_ms = self.settings.remember_s.saturating_mul(1000);
        shared::remember(prefix, pool.ready()[at as usize].id, ttl_ms);
        Decision::Choose(at)
    }
}

impl LlmQueue {
    fn read(&mut self) {
        // What a backend says of itself is not believed without bounds. What is no number stays none.
        let within = |numbers: Vec<f64>, most: f64| numbers.into_iter().map(|n| n.clamp(0.0, most)).collect::<Vec<_>>();
        let (queues, caches) = (within(self.queue.all(), QUEUE_MOST), within(self.cache.all(), 1.0));
        let (queue, cache) = (average(&queues), average(&caches));
        let known = |number: f64, else_: f64| if number.is_nan() { else_ } else { number };
        let weighed = |cache: f64| if cache > CACHE_FULL { LAST_CHOICE } else { cache * CACHE };
        let both = queues.iter().zip(&caches);
        self.reported = both.map(|(&q, &c)| (known(q, queue), weighed(known(c, cache)))).collect();
    }
}

/// Of those that are known; 0 when none is.
fn average(numbers: &[f64]) -> f64 {
    let (sum, count) =
        numbers.iter().filter(|n| !n.is_nan()).fold((0.0, 0.0), |(sum, count), n| (sum + n, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

balancer!(LlmQueue: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Bench, Request};

    behaves!(LlmQueue);

    fn report(at: usize, queue: f64, cache: f64) {
        testing::host(|host| {
            let reported = &mut host.figures[at].reported;
            reported.insert("named_metrics.num_requests_waiting".into(), queue);
            reported.insert("named_metrics.kv_cache_usage_perc".into(), cache);
        });
    }

    fn busy(at: Position, requests: u32) {
        testing::host(|host| host.figures[at as usize].in_flight = requests);
    }

    #[test]
    fn the_shortest_queue_and_the_freest_cache_serve() {
        let mut bench = Bench::<LlmQueue>::new(&[1; 4]);
        for (at, (queue, cache)) in [(5.0, 0.1), (1.0, 0.9), (2.0, 0.2), (0.0, 0.96)].into_iter().enumerate() {
            report(at, queue, cache);
        }
        assert_eq!(bench.pick(), Decision::Choose(2), "5.8, 8.2, 3.6, and one that is full");
        busy(2, 3);
        assert_eq!(bench.pick(), Decision::Choose(0));
    }

    #[test]
    fn who_reports_nothing_is_taken_for_the_average() {
        let mut bench = Bench::<LlmQueue>::new(&[1; 3]);
        report(0, 10.0, 0.5);
        report(1, 0.0, 0.5);
        assert_eq!(bench.pick(), Decision::Choose(1));
        busy(1, 9);
        assert_eq!(bench.pick(), Decision::Choose(2));
    }

    #[test]
    fn a_prefix_goes_home_until_home_is_crowded() {
        let mut bench = Bench::<LlmQueue>::with("{}", &[1; 4], 2).unwrap();
        testing::host(|host| host.request = Request::get("/").with_header("x-prefix", "agent-7"));
        let Decision::Choose(home) = bench.pick() else { panic!("nobody serves") };
        busy(home, 4);
        assert!((0..100).all(|_| bench.pick() == Decision::Choose(home)), "on every worker");
        busy(home, 5);
        let Decision::Choose(other) = bench.pick() else { panic!("nobody serves") };
        assert_ne!(other, home);
        busy(home, 0);
        assert_eq!(bench.pick(), Decision::Choose(other), "it is cached there now");
    }

    #[test]
    fn a_retry_leaves_home() {
        let mut bench = Bench::<LlmQueue>::new(&[1, 1]);
        testing::host(|host| host.request = Request::get("/").with_header("x-prefix", "agent-7"));
        let Decision::Choose(home) = bench.pick() else { panic!("nobody serves") };
        assert_eq!(bench.retry(&[home]), Decision::Choose(1 - home));
        assert_eq!(bench.retry(&[0, 1]), Decision::Pass);
    }
}
