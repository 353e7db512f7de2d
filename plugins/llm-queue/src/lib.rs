//! Servers of language models by what they report: the shortest queue and the freest cache serve; a prompt whose beginning
//! is known goes where it is cached, unless that is crowded.

#[cfg(test)]
mod tests;

use pointsman_sdk::{Cost, Costs, hashing::Key, host::figures::Reported, prelude::*};
use serde::Deserialize;

/// What a full cache weighs, in requests that wait.
const CACHE: f64 = 8.0;
/// Above this use of its cache a server throws out what it will need again: it is the last choice.
const CACHE_FULL: f64 = 0.95;
const LAST_CHOICE: f64 = 1e6;
/// No queue is longer.
const QUEUE_MOST: f64 = 1e6;
/// 30 days; the table counts milliseconds in 32 bits.
const REMEMBER_MAX_S: u32 = 2_592_000;
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
    /// By what was reported, and when that was read.
    costs: Costs,
    read_us: Option<u64>,
    /// Of the ready backends, in the order of their ids.
    positions: Vec<(u64, Position)>,
}

impl Balancer for LlmQueue {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.slack.is_nan() || settings.slack < 0.0 {
            return Err(format!("slack must be 0 or more, not {}", settings.slack));
        }
        if !(1..=REMEMBER_MAX_S).contains(&settings.remember_s) {
            return Err(format!("remember_s must be 1 to {REMEMBER_MAX_S}, not {}", settings.remember_s));
        }
        let [queue, cache] = [&settings.queue, &settings.cache].map(|name| Reported::named(name));
        let (costs, positions) = (Costs::default(), Vec::new());
        Ok(LlmQueue { settings, queue, cache, costs, read_us: None, positions })
    }

    fn update(&mut self, pool: &Pool) {
        self.read_us = None;
        self.positions = pool.ready().iter().zip(0..).map(|(backend, at)| (backend.id, at)).collect();
        self.positions.sort_unstable();
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if self.read_us.is_none_or(|read| turn.now_us.saturating_sub(read) > READ_EVERY_US) {
            self.read(pool);
            self.read_us = Some(turn.now_us);
        }
        if turn.attempt == 0 {
            return serve(&mut self.costs, &self.settings, &self.positions, turn, pool);
        }
        let mut left = self.costs.without(&request::tried());
        serve(&mut left, &self.settings, &self.positions, turn, pool)
    }
}

/// Where the prompt's beginning is cached, unless another of these costs so much less that waiting there is not worth it.
fn serve(costs: &mut Costs, settings: &Settings, positions: &[(u64, Position)], turn: &Turn, pool: &Pool) -> Decision {
    let under_way = figures::all_in_flight();
    let cost = |costs: &Costs, at: Position| costs.of(at, under_way[at as usize]);
    let Some(best) = costs.least(&under_way, Costs::EQUAL, turn.draw(0)) else { return Decision::Pass };

    let prefix = settings.prefix.find(turn);
    let position = |id: u64| Some(positions[positions.binary_search_by_key(&id, |of| of.0).ok()?].1);
    let home = prefix.and_then(shared::recall).and_then(position);
    let is_worth_it = |home: &Position| f64::from(cost(costs, *home) - cost(costs, best)) <= settings.slack;
    let at = home.filter(is_worth_it).unwrap_or(best);
    notes::explain(turn, || {
        let of = |at| format!("{} at {:.1}", pool.name(at), cost(costs, at));
        format!("home {}, best {}", home.map_or("unknown".into(), of), of(best))
    });
    if let Some(prefix) = prefix {
        // By its id, for the table outlives these positions. Anew each time, so that what is used stays known.
        shared::remember(prefix, pool.ready()[at as usize].id, settings.remember_s * 1000);
    }
    Decision::Choose(at)
}

impl LlmQueue {
    fn read(&mut self, pool: &Pool) {
        // What a backend says of itself is not believed without bounds. What is no number stays none.
        let within = |numbers: Vec<f64>, most: f64| numbers.into_iter().map(|n| n.clamp(0.0, most)).collect::<Vec<_>>();
        let (queues, caches) = (within(self.queue.all(), QUEUE_MOST), within(self.cache.all(), 1.0));
        let (queue, cache) = (average(&queues), average(&caches));
        let known = |number: f64, else_: f64| if number.is_nan() { else_ } else { number };
        let weighed = |cache: f64| if cache > CACHE_FULL { LAST_CHOICE } else { cache * CACHE };
        let cost = |(backend, (&q, &c)): (&Backend, (&f64, &f64))| {
            let each = 1.0 / f64::from(backend.weight);
            let base = known(q, queue) * each + weighed(known(c, cache));
            Cost { base: base as f32, each: each as f32, weight: backend.weight }
        };
        self.costs = pool.ready().iter().zip(queues.iter().zip(&caches)).map(cost).collect();
    }
}

/// Of those that are known; 0 when none is.
fn average(numbers: &[f64]) -> f64 {
    let (sum, count) =
        numbers.iter().filter(|n| !n.is_nan()).fold((0.0, 0.0), |(sum, count), n| (sum + n, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

balancer!(LlmQueue: about);
