//! What backends said of themselves lately, one answer of each, and which of them to go by.

use pointsman_sdk::prelude::*;
use std::collections::VecDeque;

/// Fewer answers are no choice.
const LEAST: usize = 2;
/// So many requests under way, as said lately, tell who is hot.
const SAID_MOST: usize = 128;

/// What one backend said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) at: Position,
    /// Requests under way there, whoever sent them, and those of this process among them.
    pub(crate) in_flight: u32,
    pub(crate) ours: u32,
    pub(crate) latency_us: u32,
    pub(crate) said_us: u64,
    /// For so many requests more.
    pub(crate) uses: u32,
}

impl Answer {
    /// As it said, and with what this process has sent there since and what has ended: known to the last one, so nobody is
    /// flooded between two of its answers.
    pub(crate) fn in_flight_now(&self, ours: &[u32]) -> u32 {
        let ours = ours.get(self.at as usize).copied().unwrap_or(self.ours);
        self.in_flight.saturating_sub(self.ours.saturating_sub(ours)).saturating_add(ours.saturating_sub(self.ours))
    }
}

/// All that count now.
pub(crate) struct Answers {
    known: Vec<Answer>,
    most: usize,
    age_us: u64,
    /// Which share of what was said is not hot.
    cold: f64,
    said: VecDeque<u32>,
    /// More under way is hot.
    pub(crate) hot_above: u32,
    takes_worst: bool,
}

impl Answers {
    pub(crate) fn new(most: usize, age_us: u64, cold: f64) -> Answers {
        let said = VecDeque::with_capacity(SAID_MOST);
        Answers { known: Vec::with_capacity(most), most, age_us, cold, said, hot_above: 0, takes_worst: false }
    }

    pub(crate) fn all(&self) -> &[Answer] {
        &self.known
    }

    /// In place of what the same backend said before; of too many the oldest goes.
    pub(crate) fn learn(&mut self, answer: Answer) {
        self.forget(answer.id);
        if self.known.len() == self.most {
            self.remove_oldest();
        }
        self.known.push(answer);
        if self.said.len() == SAID_MOST {
            self.said.pop_front();
        }
        self.said.push_back(answer.in_flight);
    }

    /// Says anew who is hot, after something was learnt.
    pub(crate) fn settle(&mut self) {
        let mut said: Vec<u32> = self.said.iter().copied().collect();
        let at = ((said.len() as f64 * self.cold) as usize).min(said.len().saturating_sub(1));
        self.hot_above = if said.is_empty() { 0 } else { *said.select_nth_unstable(at).1 };
    }

    /// What this backend said counts no more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.known.retain(|answer| answer.id != id);
    }

    /// The pool is another one.
    pub(crate) fn update(&mut self, pool: &Pool) {
        self.known.retain_mut(|answer| {
            let mut ready = pool.ready().iter();
            let at = ready.position(|backend| backend.id == answer.id && backend.weight > 0);
            answer.at = at.unwrap_or_default() as Position;
            at.is_some()
        });
    }

    /// The one to go by: of those that are cold the quickest, else the one with the least under way. It is one use of it.
    /// `ours`: what this process has under way, by position.
    pub(crate) fn choose(&mut self, now_us: u64, tried: &[Position], ours: &[u32]) -> Option<Answer> {
        self.known.retain(|answer| now_us.saturating_sub(answer.said_us) <= self.age_us);
        if self.known.len() < LEAST {
            return None;
        }
        let places = (0..self.known.len()).filter(|&place| !tried.contains(&self.known[place].at));
        let best = places.min_by_key(|&place| self.rank(&self.known[place], ours))?;
        let chosen = self.known[best];
        self.known[best].uses = chosen.uses.saturating_sub(1);
        if self.known[best].uses == 0 {
            self.known.swap_remove(best);
        }
        Some(chosen)
    }

    /// Less is better.
    fn rank(&self, answer: &Answer, ours: &[u32]) -> (bool, u32, u32) {
        let in_flight = answer.in_flight_now(ours);
        match in_flight > self.hot_above {
            false => (false, answer.latency_us, in_flight),
            true => (true, in_flight, answer.latency_us),
        }
    }

    /// Lets go of the worst and of the oldest in turn, so that neither stays for ever; not of the last few.
    pub(crate) fn thin(&mut self, ours: &[u32]) {
        if self.known.len() <= LEAST {
            return;
        }
        self.takes_worst = !self.takes_worst;
        if !self.takes_worst {
            return self.remove_oldest();
        }
        let places = 0..self.known.len();
        if let Some(worst) = places.max_by_key(|&place| self.rank(&self.known[place], ours)) {
            self.known.swap_remove(worst);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(oldest) = (0..self.known.len()).min_by_key(|&place| self.known[place].said_us) {
            self.known.swap_remove(oldest);
        }
    }
}
