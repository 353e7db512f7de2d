//! The host that a test talks to: one per thread, so tests do not meet.

use super::request::legal_header;
use crate::{
    Position, Subset,
    host::log::Level,
    testing::{Notes, Request, kv::Kv},
    turn::mix,
};
use std::{cell::RefCell, collections::BTreeMap};

/// How much one filter may add to one request, in bytes.
const ADDED_MAX: usize = 64 << 10;
/// What each edit costs of that beside its text.
const ADDED_EACH: usize = 32;
/// How large the body of an answer may be.
const BODY_MAX: usize = 64 << 10;
/// How many subsets there may be at the same time.
const SUBSETS_MAX: usize = 64;
/// How many counters a plugin may have.
const COUNTERS_MAX: usize = 64;
/// How long a counter's name may be, in bytes.
const COUNTER_NAME_MAX: usize = 256;
/// How many cells each backend has.
const SLOTS: u32 = 8;
/// How many metrics a plugin may have.
const METRICS_MAX: usize = 32;
/// How many names of reported numbers there may be.
const REPORTED_MAX: usize = 32;

thread_local!(static HOST: RefCell<Host> = RefCell::default());

/// The host of this thread, to set what it will answer and to see what it was told.
///
/// ```
/// # use pointsman_sdk::{host::figures, testing};
/// testing::host(|host| host.figures = vec![testing::Figures { in_flight: 2, ..Default::default() }]);
/// assert_eq!(figures::in_flight(0), 2);
/// ```
pub fn host<R>(act: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(act)
}

/// What the plugin is told, and what it said.
#[derive(Debug, Default)]
pub struct Host {
    /// The request at hand.
    pub request: Request,
    /// Where it has been.
    pub tried: Vec<Position>,
    /// Whom the request's client is bound to by the pool's cookie.
    pub stuck: Option<Position>,
    /// Of each backend, by position.
    pub figures: Vec<Figures>,
    /// What the plugin logged.
    pub log: Vec<(Level, String)>,
    /// What the filter answered in place of a backend.
    pub answer: Option<Answer>,
    /// What the balancer may narrow to: positions and weights. A [`Bench`](super::Bench) forgets them at each update.
    pub subsets: Vec<Vec<(Position, u32)>>,
    /// What the balancer's latest pick said beside its decision.
    pub notes: Notes,
    /// Whom the plugin has had asked how busy they are, the first first. Whoever answers takes them out: until then they are
    /// under way.
    pub asked: Vec<Position>,
    /// There were as many probes as may be.
    pub asks_no_more: bool,
    /// What time it is, on the clock of [`Turn::now_us`](crate::Turn::now_us).
    pub now_us: u64,
    pub(super) counters: Vec<(String, u64)>,
    /// What the plugin has put, by the name of the metric.
    pub metrics: BTreeMap<String, Vec<f64>>,
    /// Metrics in the order of their handles.
    pub(super) declared: Vec<String>,
    pub(crate) kv: Kv,
    /// When what was taken is used up, by key, in nanoseconds.
    pub(super) used_up: BTreeMap<u64, u64>,
    /// Of the numbers that are asked for.
    pub(super) reported_names: Vec<String>,
    pub(super) cells: BTreeMap<(u32, Position), u64>,
    /// Numbers by key, and when they end.
    pub(super) table: BTreeMap<u64, (u64, Option<u64>)>,
    /// How much was added to the request at hand.
    pub(super) added: usize,
}

impl Host {
    pub(crate) fn figures(&self, of: Position) -> &Figures {
        match self.figures.get(of as usize) {
            Some(figures) => figures,
            None => panic!("the plugin asked for position {of} of {}; a host stops it here", self.figures.len()),
        }
    }

    pub(crate) fn ask(&mut self, of: Position) -> bool {
        self.figures(of);
        let is_under_way = self.asked.contains(&of);
        if !is_under_way && !self.asks_no_more {
            self.asked.push(of);
        }
        is_under_way || !self.asks_no_more
    }

    pub(crate) fn reported_name(&mut self, name: &str) -> u32 {
        let known = self.reported_names.iter().position(|known| known == name);
        let handle = known.unwrap_or_else(|| {
            let fits = self.reported_names.len() < REPORTED_MAX;
            assert!(fits, "more than {REPORTED_MAX} names of reported numbers; a host stops the plugin here");
            self.reported_names.push(name.to_owned());
            self.reported_names.len() - 1
        });
        handle as u32
    }

    pub(crate) fn reported(&self, name: u32, of: Position) -> f64 {
        let name = self.reported_names.get(name as usize);
        let number = name.and_then(|name| self.figures(of).reported.get(name));
        number.copied().unwrap_or(f64::NAN)
    }

    /// Other figures for all backends, and all that they are asked to report.
    pub(super) fn move_all(&mut self, round: u64) {
        for (at, figures) in (0..).zip(&mut self.figures) {
            let any = |nth: u64, most: u64| mix(round << 32 | at << 8 | nth) % most;
            figures.in_flight = any(0, 8) as u32;
            figures.latency_us = any(1, 20_000) as u32;
            figures.peak_latency_us = figures.latency_us + any(2, 20_000) as u32;
            figures.success_permille = 1000 - any(3, 3) as u32 * 100;
            let report = |(nth, name): (u64, &String)| (name.clone(), any(nth, 100) as f64 / 50.0);
            figures.reported = (4..).zip(&self.reported_names).map(report).collect();
        }
    }

    pub(crate) fn declare(&mut self, name: &str) -> u32 {
        let known = self.declared.iter().position(|known| known == name);
        let handle = known.unwrap_or_else(|| {
            let fits = self.declared.len() < METRICS_MAX;
            assert!(fits, "more than {METRICS_MAX} metrics; a host stops the plugin here");
            self.declared.push(name.to_owned());
            self.declared.len() - 1
        });
        handle as u32
    }

    pub(crate) fn put(&mut self, metric: u32, value: f64) {
        let Some(name) = self.declared.get(metric as usize) else {
            panic!("metric {metric} is not of this host: make it in `new`, after the bench");
        };
        self.metrics.entry(name.clone()).or_default().push(value);
    }

    pub(crate) fn take(&mut self, key: u64, per_second: u32, burst: u32) -> bool {
        let Some(each_ns) = 1_000_000_000_u64.checked_div(per_second.into()) else { return false };
        let now_ns = self.now_us * 1000;
        let next = self.used_up.get(&key).copied().unwrap_or(0).max(now_ns) + each_ns;
        let is_free = next <= now_ns + each_ns * u64::from(burst);
        if is_free {
            self.used_up.insert(key, next);
        }
        is_free
    }

    /// A backend's cell; the backends of a test keep their positions.
    pub(crate) fn cell(&mut self, slot: u32, of: Position) -> &mut u64 {
        self.figures(of);
        assert!(slot < SLOTS, "there is no cell {slot}: each backend has {SLOTS}; a host stops the plugin here");
        self.cells.entry((slot, of)).or_default()
    }

    pub(crate) fn recall(&self, key: u64) -> Option<u64> {
        let &(value, until) = self.table.get(&key)?;
        until.is_none_or(|until| self.now_us < until).then_some(value)
    }

    /// A test does not run out of room.
    pub(crate) fn remember(&mut self, key: u64, value: u64, ttl_ms: u32) {
        let until = (ttl_ms > 0).then(|| self.now_us + u64::from(ttl_ms) * 1000);
        self.table.insert(key, (value, until));
    }

    /// One more edit of the request at hand, by so many bytes.
    pub(crate) fn edit(&mut self, bytes: usize) -> &mut Request {
        self.added += bytes + ADDED_EACH;
        let fits = self.added <= ADDED_MAX;
        assert!(fits, "a filter adds at most {ADDED_MAX} bytes to a request; a host stops the plugin here");
        &mut self.request
    }

    pub(crate) fn prefer(&mut self, of: Position) {
        self.figures(of);
        self.notes.prefer(of);
    }

    pub(crate) fn define(&mut self, members: &[Position], weights: &[u32]) -> Subset {
        let fits = !members.is_empty() && members.len() == weights.len();
        assert!(fits, "a subset has at least one member, and a weight for each; a host stops the plugin here");
        assert!(self.subsets.len() < SUBSETS_MAX, "more than {SUBSETS_MAX} subsets; a host stops the plugin here");
        for (nth, at) in members.iter().enumerate() {
            self.figures(*at);
            assert!(!members[..nth].contains(at), "position {at} is in a subset twice; a host stops the plugin here");
        }
        self.subsets.push(members.iter().copied().zip(weights.iter().copied()).collect());
        (self.subsets.len() - 1) as Subset
    }

    pub(crate) fn counter(&mut self, name: &str) -> u32 {
        let known = self.counters.iter().position(|(known, _)| known == name);
        let handle = known.unwrap_or_else(|| {
            let fits = self.counters.len() < COUNTERS_MAX && name.len() <= COUNTER_NAME_MAX;
            assert!(
                fits,
                "more than {COUNTERS_MAX} counters, or a name that is too long; a host stops the plugin here"
            );
            self.counters.push((name.to_owned(), 0));
            self.counters.len() - 1
        });
        handle as u32
    }

    pub(crate) fn add(&mut self, counter: u32, delta: u64) -> u64 {
        let Some((_, value)) = self.counters.get_mut(counter as usize) else {
            panic!("counter {counter} is not of this host: make it in `new`, after the bench");
        };
        let before = *value;
        *value = before.wrapping_add(delta);
        before
    }
}

/// Live figures of one backend; by default those of one that has not served yet.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests under way.
    pub in_flight: u32,
    /// Moving average of the time to the first byte.
    pub latency_us: u32,
    /// The same, quick to rise and slow to fall.
    pub peak_latency_us: u32,
    /// Share of attempts that got an answer below 500.
    pub success_permille: u32,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Since it joined.
    pub age_ms: u64,
    /// Which part of its weight it should count with: less than 1000 in slow start.
    pub slow_start_permille: u32,
    /// Requests under way that wait for a connection, or for a place on one.
    pub queued: u32,
    /// What it reports about itself, by name.
    pub reported: BTreeMap<String, f64>,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            in_flight: 0,
            latency_us: 0,
            peak_latency_us: 0,
            success_permille: 1000,
            consecutive_failures: 0,
            age_ms: 0,
            slow_start_permille: 1000,
            queued: 0,
            reported: BTreeMap::new(),
        }
    }
}

/// What a filter answered in place of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whole.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: Vec<(String, Vec<u8>)>, body: &[u8]) -> Answer {
        assert!((200..600).contains(&status), "status {status}: a host takes 200 to 599");
        assert!(body.len() <= BODY_MAX, "an answer's body has at most {BODY_MAX} bytes; a host stops the plugin here");
        let headers = headers.iter().map(|(name, value)| legal_header(name, value)).collect();
        Answer { status, headers, body: body.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{edits, shared::Counter};
    use std::panic::catch_unwind;

    /// What the plugin dies of.
    fn dies(act: impl FnOnce() + std::panic::UnwindSafe) -> String {
        host(|host| *host = Host::default());
        let panic = catch_unwind(act).expect_err("the limit holds");
        panic.downcast_ref::<String>().expect("a message").clone()
    }

    #[test]
    fn the_limits_are_a_hosts() {
        let header = || (0..17).for_each(|_| edits::append_header("x-a", &[b'a'; 4 << 10]));
        assert!(dies(header).starts_with("a filter adds at most 65536 bytes"));
        let tags = || (0..65).for_each(|n| edits::set_tag(&format!("t{n}"), "x"));
        assert!(dies(tags).starts_with("a request has at most 64 tags"));
        assert!(dies(|| edits::set_tag("t", &"x".repeat(4097))).starts_with("a tag has at most 4096 bytes"));
        let body = || _ = edits::respond(200, &[], &[0; (64 << 10) + 1]);
        assert!(dies(body).starts_with("an answer's body has at most 65536 bytes"));
        let forbidden = || _ = edits::respond(200, &[("Content-Length", b"1")], b"");
        assert!(dies(forbidden).starts_with("`content-length` is no header"));
        let counters = || (0..65).for_each(|n| _ = Counter::named(&format!("c{n}")));
        assert!(dies(counters).starts_with("more than 64 counters"));
    }
}
